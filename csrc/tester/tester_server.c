/* tester_server.c - see tester_server.h. */
#include "tester/tester_server.h"

#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "base/ascii.h"
#include "platform/random.h"

#define MAX_CONNECTIONS 128 /* a page that is reloaded leaves a request for events, which waits for 15 s */
#define MAX_HEADERS 32768
#define MAX_BODY ((size_t)256 * 1024)
#define IDLE_SECONDS 60
#define TOKEN_CHARS FLUX2_TESTER_TOKEN_CHARS
#define TEXT "text/plain; charset=utf-8" /* type of the refusals */

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

/* --- headers -------------------------------------------------------------------------------------- */

/* A header to find: number of occurrences and last value. */
struct header {
    const char *name, *value;
    unsigned count;
};

static enum MHD_Result match_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct header *h = cls;
    (void)kind;
    if (flux2_equals_ignoring_case(name, h->name)) {
        h->count++;
        h->value = value ? value : "";
    }
    return MHD_YES;
}

static struct header find_header(struct MHD_Connection *connection, const char *name)
{
    struct header h = {name, "", 0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, match_header, &h);
    return h;
}

/* --- the rules ------------------------------------------------------------------------------------ */

/* Prevents DNS rebinding: a host name of another site that resolves to this computer is rejected. */
static bool is_own_host(const struct flux2_tester_server *server, const struct header *host)
{
    return host->count == 1 && (flux2_equals_ignoring_case(host->value, server->address) ||
                                flux2_equals_ignoring_case(host->value, server->name));
}

static bool is_own_origin(const struct header *origin, const struct header *host)
{
    static const char scheme[] = "http://";
    return origin->count == 1 && !strncmp(origin->value, scheme, sizeof scheme - 1) &&
           flux2_equals_ignoring_case(origin->value + sizeof scheme - 1, host->value);
}

/* Compares in constant time. */
static bool has_token(const struct flux2_tester_server *server, const char *target)
{
    unsigned char difference = 0;
    size_t i;
    if (strnlen(target, TOKEN_CHARS + 2) < TOKEN_CHARS + 2)
        return false;
    for (i = 0; i < TOKEN_CHARS; i++)
        difference |= (unsigned char)(target[i + 1] ^ server->token[i]);
    return target[0] == '/' && !difference && target[TOKEN_CHARS + 1] == '/';
}

/* Returns whether another site sends the request. Following a link from another site is allowed: the link contains
 * the token, and the other site cannot read the response. */
static bool is_cross_site(struct MHD_Connection *connection, const struct header *host, bool is_post)
{
    struct header origin = find_header(connection, "Origin");
    struct header site = find_header(connection, "Sec-Fetch-Site");
    struct header mode = find_header(connection, "Sec-Fetch-Mode");
    bool is_link = !is_post && mode.count && !strcmp(mode.value, "navigate");
    if (is_post && !origin.count)
        return true;
    if (origin.count && !is_own_origin(&origin, host))
        return true;
    return site.count && strcmp(site.value, "same-origin") != 0 && !is_link &&
           (is_post || strcmp(site.value, "none") != 0);
}

static const struct flux2_refusal ACCEPTED;

static struct flux2_refusal refusal(int status, const char *reason)
{
    return (struct flux2_refusal){status, TEXT, reason};
}

static struct flux2_refusal check_post(struct MHD_Connection *connection)
{
    struct header type = find_header(connection, "Content-Type");
    const char *rest = type.count == 1 ? flux2_skip_prefix(type.value, "application/json") : NULL;
    if (!rest || (*rest && *rest != ';' && *rest != ' '))
        return refusal(MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json\n");
    return ACCEPTED;
}

static struct flux2_refusal check(void *context, struct MHD_Connection *connection, const char *target,
                                  const char *method)
{
    const struct flux2_tester_server *server = context;
    struct header host = find_header(connection, "Host");
    bool is_post = !strcmp(method, "POST");
    if (!is_own_host(server, &host))
        return refusal(MHD_HTTP_MISDIRECTED_REQUEST, "unknown host name\n");
    if (!is_post && strcmp(method, "GET") != 0)
        return refusal(MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and POST are allowed\n");
    if (!has_token(server, target))
        return refusal(MHD_HTTP_FORBIDDEN, "the URL has no valid token: open the URL that the program printed\n");
    if (is_cross_site(connection, &host, is_post))
        return refusal(MHD_HTTP_FORBIDDEN, "the request comes from another site\n");
    return is_post ? check_post(connection) : ACCEPTED;
}

const char *flux2_tester_path(const char *target)
{
    return target + TOKEN_CHARS + 1;
}

/* --- start ---------------------------------------------------------------------------------------- */

static int prepare(void *context, int port)
{
    struct flux2_tester_server *server = context;
    unsigned char bytes[TOKEN_CHARS / 2];
    size_t i;
    int rc = flux2_random_secret(bytes, sizeof bytes);
    for (i = 0; i < sizeof bytes; i++)
        snprintf(server->token + 2 * i, 3, "%02x", bytes[i]);
    snprintf(server->address, sizeof server->address, "127.0.0.1:%d", port);
    snprintf(server->name, sizeof server->name, "localhost:%d", port);
    snprintf(server->url, sizeof server->url, "http://%s/%s/", server->address, server->token);
    return rc;
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
        .too_large = {MHD_HTTP_CONTENT_TOO_LARGE, TEXT, "the request body is too large\n"},
        .context = server,
        .prepare = prepare,
        .check = check,
        .headers = security_headers,
    };
    server->requests = flux2_request_server_start(&config, err, err_size);
    return server->requests;
}
