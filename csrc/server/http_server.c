/* http_server.c - see http_server.h. */
#include "server/http_server.h"

#include <errno.h>
#include <string.h>

#include "base/ascii.h"
#include "platform/thread.h"

#define THREADS (MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ITC)
#define ONE_THREAD (MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME)
#define MEMORY_BYTES 32768 /* libmicrohttpd's default */

int flux2_server_listen(struct flux2_server *server, const char *address, int port)
{
    return flux2_socket_listen(address, port, &server->listener, &server->port);
}

static struct MHD_Daemon *start_daemon(const struct flux2_server *server, const struct flux2_server_config *c)
{
    unsigned flags = c->may_suspend ? ONE_THREAD : THREADS;
    size_t memory = c->memory_bytes ? c->memory_bytes : MEMORY_BYTES;
    return MHD_start_daemon(flags, 0, c->on_accept, c->context, c->on_request, c->context, MHD_OPTION_LISTEN_SOCKET,
                            (MHD_socket)server->listener, MHD_OPTION_CONNECTION_LIMIT, c->max_connections,
                            MHD_OPTION_CONNECTION_TIMEOUT, c->idle_seconds, MHD_OPTION_THREAD_STACK_SIZE,
                            c->stack_bytes, MHD_OPTION_URI_LOG_CALLBACK, c->on_request_line, c->context,
                            MHD_OPTION_NOTIFY_CONNECTION, c->on_connection, c->context, MHD_OPTION_NOTIFY_COMPLETED,
                            c->on_completed, c->context, MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory, MHD_OPTION_END);
}

int flux2_server_run(struct flux2_server *server, const struct flux2_server_config *config)
{
    struct flux2_signal_mask before = flux2_signals_block(); /* inherited by the daemon's threads */
    server->daemon = start_daemon(server, config);
    int rc = server->daemon ? 0 : errno;
    flux2_signals_restore(before);
    return server->daemon || rc != 0 ? rc : ENOMEM;
}

/* The daemon does not close a listener that it was given and that is taken back. */
void flux2_server_quiesce(struct flux2_server *server)
{
    MHD_socket listener = server->daemon ? MHD_quiesce_daemon(server->daemon) : MHD_INVALID_SOCKET;
    if (listener != MHD_INVALID_SOCKET)
        flux2_socket_close(listener);
}

void flux2_server_stop(struct flux2_server *server)
{
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    else if (server->port)
        flux2_socket_close(server->listener);
    *server = (struct flux2_server){0};
}

/* The daemon stays reachable, so leak checkers do not report it. */
void flux2_server_disown(struct flux2_server *server)
{
    if (server->port)
        flux2_socket_close(server->listener);
    server->port = 0;
}

static enum MHD_Result copy_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct flux2_bytes *headers = cls;
    (void)kind;
    for (; *name; name++) {
        char lower = flux2_lower(*name);
        flux2_bytes_append(headers, &lower, 1);
    }
    flux2_bytes_append(headers, "", 1);
    flux2_bytes_append(headers, value ? value : "", value ? strlen(value) + 1 : 1);
    return MHD_YES;
}

void flux2_server_copy_headers(struct MHD_Connection *connection, struct flux2_bytes *out)
{
    MHD_get_connection_values(connection, MHD_HEADER_KIND, copy_header, out);
}

bool flux2_server_has_two_lengths(const struct flux2_bytes *headers)
{
    const char *at = headers->data, *end = at + headers->size, *name, *value;
    int lengths = 0;
    while (at && flux2_pair_next(&at, end, &name, &value))
        lengths += !strcmp(name, "content-length") || !strcmp(name, "transfer-encoding");
    return lengths > 1;
}
