/* tester_server.c - see tester_server.h. */
#include "tester/tester_server.h"

#include <microhttpd.h>
#include <stdio.h>

#define MAX_CONNECTIONS 64
#define MAX_HEADERS 32768
#define MAX_BODY ((size_t)256 * 1024)
#define IDLE_SECONDS 60

/* The page may load only its own files, and no other site may embed it. */
static const char *const security_headers[] = {
    /* clang-format off */
    "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'",
    "X-Content-Type-Options", "nosniff",
    "X-Frame-Options", "DENY",
    "Referrer-Policy", "no-referrer",
    "Cross-Origin-Opener-Policy", "same-origin",
    "Cross-Origin-Embedder-Policy", "require-corp",
    "Cross-Origin-Resource-Policy", "same-origin",
    "Permissions-Policy", "camera=(), geolocation=(), microphone=(), clipboard-read=()",
    "Cache-Control", "no-store",
    NULL,
    /* clang-format on */
};

static int prepare(void *context, int port)
{
    struct flux2_tester_server *server = context;
    int rc = flux2_guard_init(&server->guard, port);
    snprintf(server->url, sizeof server->url, "http://%s/%s/", server->guard.address, server->guard.token);
    return rc;
}

static struct flux2_refusal check(void *context, struct MHD_Connection *connection, const char *target,
                                  const char *method)
{
    const struct flux2_tester_server *server = context;
    return flux2_guard_check(&server->guard, connection, target, method);
}

bool flux2_tester_server_start(struct flux2_tester_server *server, int port, char *err, size_t err_size)
{
    const struct flux2_request_server_config config = {
        .address = "127.0.0.1",
        .port = port,
        .max_connections = MAX_CONNECTIONS,
        .max_headers = MAX_HEADERS,
        .max_body = MAX_BODY,
        .receive_seconds = IDLE_SECONDS,
        .send_seconds = IDLE_SECONDS,
        .too_large = {MHD_HTTP_CONTENT_TOO_LARGE, FLUX2_GUARD_TYPE, "the request body is too large\n"},
        .context = server,
        .prepare = prepare,
        .check = check,
        .headers = security_headers,
    };
    server->requests = flux2_request_server_start(&config, err, err_size);
    return server->requests;
}
