/* request_server.c - see request_server.h.
 *
 * A request is `pending` from its first line to the end of its response. While it waits for the response it has a slot,
 * whose id is its id. The server's thread suspends the connection first and lists the request then, so that the
 * responding thread can only resume a suspended connection. */
#include "server/request_server.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/file.h"
#include "platform/thread.h"
#include "platform/wakeup.h"
#include "server/bytes.h"
#include "server/connection_list.h"
#include "server/http_server.h"
#include "server/slot_table.h"

#define MAX_WAIT 60.0 /* seconds */
#define SWEEP 0.5     /* seconds between two searches for connections that exceed their time */
#define IDLE_MARGIN 5 /* seconds: libmicrohttpd's own timeout is only the last resort */
/* Bytes above the limit of a body that are read and discarded: a client that is still sending when the connection is
 * closed may see a reset instead of the response. */
#define DISCARDED_BYTES ((size_t)256 * 1024)

/* Used by the server's thread; while it has a slot, `request` also by the responding thread. */
struct pending {
    struct flux2_served_request request;
    struct flux2_request_server *server;
    struct MHD_Connection *connection;
    struct flux2_connection *entry; /* of its connection; NULL: out of memory */
    char *uri;
    char method[16];
    struct flux2_bytes headers, body;
    struct flux2_refusal refusal; /* status 0: none */
    size_t received, limit;       /* bytes of the body */
    size_t large_bytes;           /* its share of the server's */
    bool has_head;

    /* Guarded by the lock. */
    struct pending *next;          /* in the queue */
    struct MHD_Response *response; /* owned; NULL: none yet */
    int status;
};

struct flux2_request_server {
    /* Constant while the server runs. */
    struct flux2_server server;
    struct flux2_request_server_config config;

    /* Guarded by the lock. */
    struct flux2_mutex lock;
    struct flux2_wakeup wakeup; /* readable while a request is queued */
    struct pending *first, *last;
    struct flux2_slot_table slots; /* of the requests without a response */
    struct flux2_connection_list connections;
    bool is_quiescing, is_closed;

    double swept_at;    /* used by the responding thread */
    size_t large_bytes; /* of the bodies that max_large_bodies limits; used by the server's thread */
};

/* --- connections; on the server's thread ----------------------------------------------------------- */

static enum MHD_Result on_accept(void *cls, const struct sockaddr *peer, socklen_t size)
{
    struct flux2_request_server *s = cls;
    char address[FLUX2_ADDRESS_SIZE];
    (void)size;
    flux2_socket_address(peer, address);
    flux2_mutex_lock(&s->lock);
    bool is_allowed = flux2_connection_is_allowed(&s->connections, address, s->config.max_per_address,
                                                  s->config.exempt);
    flux2_mutex_unlock(&s->lock);
    return is_allowed ? MHD_YES : MHD_NO;
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct flux2_request_server *s = cls;
    char address[FLUX2_ADDRESS_SIZE];
    flux2_mutex_lock(&s->lock);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        flux2_descriptor socket = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        flux2_socket_address(MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr,
                             address);
        *context = flux2_connection_add(&s->connections, socket, address, s->config.max_connections);
    } else if (*context) {
        flux2_connection_remove(&s->connections, *context);
        *context = NULL;
    }
    flux2_mutex_unlock(&s->lock);
}

static void set_state(struct pending *p, enum flux2_connection_state state)
{
    if (!p->entry)
        return;
    flux2_mutex_lock(&p->server->lock);
    flux2_connection_use(&p->server->connections, p->entry, state);
    flux2_mutex_unlock(&p->server->lock);
}

/* --- requests; on the server's thread -------------------------------------------------------------- */

static void *on_request_line(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct pending *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->server = cls;
    p->connection = connection;
    p->entry = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    p->uri = strdup(uri);
    return p;
}

static void drop_body(struct pending *p)
{
    flux2_bytes_free(&p->body);
    p->server->large_bytes -= p->large_bytes;
    p->large_bytes = 0;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct pending *p = *context;
    (void)cls, (void)connection, (void)code;
    if (!p)
        return;
    set_state(p, FLUX2_CONNECTION_RECEIVING);
    if (p->response)
        MHD_destroy_response(p->response);
    flux2_bytes_free(&p->headers);
    drop_body(p);
    free(p->uri);
    free(p);
    *context = NULL;
}

static void add_common_headers(const struct flux2_request_server *s, struct MHD_Response *response, bool is_last)
{
    const char *const *h;
    for (h = s->config.headers; h && *h; h += 2)
        MHD_add_response_header(response, h[0], h[1]);
    if (is_last)
        MHD_add_response_header(response, "Connection", "close");
}

/* `is_early`: before the whole body has been read, after which the connection can't be used again. */
static enum MHD_Result refuse(struct pending *p, bool is_early)
{
    const struct flux2_refusal *refusal = &p->refusal;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(refusal->body), (void *)(uintptr_t)refusal->body, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    add_common_headers(p->server, response, is_early);
    MHD_add_response_header(response, "Content-Type", refusal->content_type);
    if (refusal->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", "GET, POST");
    set_state(p, FLUX2_CONNECTION_SENDING);
    enum MHD_Result result = MHD_queue_response(p->connection, (unsigned)refusal->status, response);
    MHD_destroy_response(response);
    return result;
}

/* True if the client sends a body without waiting for a response to the head, and not too much to discard it. */
static bool sends_short_body(const struct pending *p, unsigned long long length)
{
    if (MHD_lookup_connection_value(p->connection, MHD_HEADER_KIND, "Expect"))
        return false;
    return MHD_lookup_connection_value(p->connection, MHD_HEADER_KIND, "Transfer-Encoding") ||
           (length > 0 && length <= p->limit + DISCARDED_BYTES);
}

static size_t body_limit(const struct flux2_request_server_config *c, const char *target)
{
    size_t size = strcspn(target, "?");
    bool is_large = c->large_target && size == strlen(c->large_target) && !memcmp(target, c->large_target, size);
    return is_large ? c->max_large_body : c->max_body;
}

static enum MHD_Result read_head(struct pending *p, const char *method)
{
    const struct flux2_request_server_config *c = &p->server->config;
    const char *text = MHD_lookup_connection_value(p->connection, MHD_HEADER_KIND, "Content-Length");
    unsigned long long length = text ? strtoull(text, NULL, 10) : 0;
    p->has_head = true;
    p->limit = body_limit(c, p->uri);
    snprintf(p->method, sizeof p->method, "%s", method);
    flux2_server_copy_headers(p->connection, &p->headers);
    if (flux2_server_has_two_lengths(&p->headers))
        return MHD_NO;
    if (c->check)
        p->refusal = c->check(c->context, p->connection, p->uri, method);
    if (!p->refusal.status && length > p->limit)
        p->refusal = c->too_large;
    return p->refusal.status && !sends_short_body(p, length) ? refuse(p, true) : MHD_YES;
}

static void keep_body(struct pending *p, const char *data, size_t size)
{
    struct flux2_request_server *s = p->server;
    if (p->limit > s->config.max_body) {
        if (size > s->config.max_large_bodies - s->large_bytes) {
            p->refusal = s->config.crowded;
            drop_body(p);
            return;
        }
        p->large_bytes += size;
        s->large_bytes += size;
    }
    flux2_bytes_append(&p->body, data, size);
}

static enum MHD_Result read_body(struct pending *p, const char *data, size_t *size)
{
    p->received += *size;
    if (p->received > p->limit && !p->refusal.status)
        p->refusal = p->server->config.too_large;
    if (!p->refusal.status)
        keep_body(p, data, *size);
    *size = 0;
    return p->received <= p->limit + DISCARDED_BYTES ? MHD_YES : MHD_NO;
}

/* Passes a complete request to the responding thread. */
static enum MHD_Result enqueue(struct pending *p)
{
    struct flux2_request_server *s = p->server;
    struct flux2_served_request *r = &p->request;
    *r = (struct flux2_served_request){
        .method = p->method,
        .target = p->uri,
        .address = p->entry ? p->entry->address : "",
        .headers = p->headers.data ? p->headers.data : "",
        .headers_size = p->headers.size,
        .body = p->body.data ? p->body.data : "",
        .body_size = p->body.size,
    };
    set_state(p, FLUX2_CONNECTION_HANDLING);
    MHD_suspend_connection(p->connection);
    flux2_mutex_lock(&s->lock);
    /* On a connection that was told to end no response would arrive: the request has no effect. */
    bool is_ended = s->is_closed || (p->entry && p->entry->is_closed);
    bool is_listed = !is_ended && flux2_slot_take(&s->slots, p, &p->request.id);
    if (is_listed) {
        *(s->last ? &s->last->next : &s->first) = p;
        if (!s->first->next)
            flux2_wakeup_signal(&s->wakeup);
        s->last = p;
    }
    flux2_mutex_unlock(&s->lock);
    if (!is_listed)
        MHD_resume_connection(p->connection);
    return MHD_YES;
}

/* After a resume without a response the server or the connection is closed, or out of memory. */
static enum MHD_Result send_response(struct pending *p)
{
    flux2_mutex_lock(&p->server->lock);
    struct MHD_Response *response = p->response;
    flux2_mutex_unlock(&p->server->lock);
    return response ? MHD_queue_response(p->connection, (unsigned)p->status, response) : MHD_NO;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **context)
{
    struct pending *p = *context;
    (void)cls, (void)url, (void)version, (void)connection;
    if (!p || !p->uri)
        return MHD_NO;
    if (!p->has_head)
        return read_head(p, method);
    if (*size)
        return read_body(p, data, size);
    if (p->request.method)
        return send_response(p);
    if (p->body.failed || p->headers.failed)
        p->refusal = p->server->config.too_large;
    return p->refusal.status ? refuse(p, false) : enqueue(p);
}

/* --- the responding thread ------------------------------------------------------------------------- */

static void sweep(struct flux2_request_server *s)
{
    double now = flux2_clock_now();
    if (now - s->swept_at < SWEEP)
        return;
    s->swept_at = now;
    flux2_mutex_lock(&s->lock);
    flux2_connection_expire(&s->connections, FLUX2_CONNECTION_RECEIVING, s->config.receive_seconds);
    flux2_connection_expire(&s->connections, FLUX2_CONNECTION_SENDING, s->config.send_seconds);
    flux2_mutex_unlock(&s->lock);
}

bool flux2_request_server_wait(struct flux2_request_server *s, flux2_descriptor other, double seconds)
{
    flux2_wait_readable(s->wakeup.read_end, other, fmin(fmax(seconds, 0), MAX_WAIT));
    sweep(s);
    flux2_mutex_lock(&s->lock);
    bool is_open = !s->is_closed;
    flux2_mutex_unlock(&s->lock);
    return is_open;
}

const struct flux2_served_request *flux2_request_server_next(struct flux2_request_server *s)
{
    flux2_mutex_lock(&s->lock);
    struct pending *p = s->first;
    if (p)
        s->first = p->next;
    if (!s->first) {
        s->last = NULL;
        if (!s->is_closed)
            flux2_wakeup_drain(&s->wakeup);
    }
    flux2_mutex_unlock(&s->lock);
    return p ? &p->request : NULL;
}

static int body_of(const struct flux2_served_response *r, struct MHD_Response **out)
{
    intptr_t handle;
    uint64_t size;
    if (!r->path) {
        *out = MHD_create_response_from_buffer(r->body_size, (void *)(uintptr_t)r->body, MHD_RESPMEM_MUST_COPY);
        return *out ? 0 : ENOMEM;
    }
    int rc = flux2_file_open_regular(r->path, &handle, &size);
    if (rc != 0)
        return rc;
    *out = MHD_create_response_from_fd64(size, (int)handle);
    if (*out)
        return 0;
    flux2_file_close(handle);
    return ENOMEM;
}

/* Sets *OUT to a new response. Returns 0 or an errno value. */
static int make_response(struct flux2_request_server *s, const struct flux2_served_response *r,
                         struct MHD_Response **out)
{
    const char *at = r->headers, *end = r->headers + r->headers_size, *name, *value;
    int rc = body_of(r, out);
    if (rc != 0)
        return rc;
    while (flux2_pair_next(&at, end, &name, &value))
        if (MHD_add_response_header(*out, name, value) == MHD_NO) {
            MHD_destroy_response(*out);
            return EINVAL;
        }
    add_common_headers(s, *out, s->is_quiescing);
    return 0;
}

int flux2_request_server_respond(struct flux2_request_server *s, uint64_t id,
                                 const struct flux2_served_response *response)
{
    struct MHD_Response *made = NULL;
    int rc = make_response(s, response, &made);
    if (rc != 0)
        return rc;
    flux2_mutex_lock(&s->lock);
    struct pending *p = flux2_slot_find(&s->slots, id);
    if (p) {
        p->status = response->status;
        p->response = made;
        flux2_slot_free(&s->slots, id);
        if (p->entry)
            flux2_connection_use(&s->connections, p->entry, FLUX2_CONNECTION_SENDING);
        MHD_resume_connection(p->connection);
    }
    flux2_mutex_unlock(&s->lock);
    if (!p)
        MHD_destroy_response(made);
    return 0;
}

void flux2_request_server_quiesce(struct flux2_request_server *s)
{
    s->is_quiescing = true;
    flux2_server_quiesce(&s->server);
}

struct flux2_request_server_counts flux2_request_server_count(struct flux2_request_server *s)
{
    flux2_mutex_lock(&s->lock);
    struct flux2_request_server_counts counts = {
        .connections = s->connections.count,
        .waiting = s->slots.used,
        .sending = flux2_connection_count_in(&s->connections, FLUX2_CONNECTION_SENDING),
    };
    flux2_mutex_unlock(&s->lock);
    return counts;
}

/* --- start and end --------------------------------------------------------------------------------- */

/* Returns 0 or an errno value. */
static int start(struct flux2_request_server *s)
{
    const struct flux2_server_config config = {
        .max_connections = s->config.max_connections + 64, /* those that are told to end, and one to be told */
        .idle_seconds = (unsigned)fmax(s->config.receive_seconds, s->config.send_seconds) + IDLE_MARGIN,
        .may_suspend = true,
        .memory_bytes = s->config.max_headers,
        .context = s,
        .on_request_line = on_request_line,
        .on_request = on_request,
        .on_completed = on_completed,
        .on_connection = on_connection,
        .on_accept = on_accept,
    };
    int rc = flux2_wakeup_open(&s->wakeup);
    rc = rc ? rc : flux2_server_listen(&s->server, s->config.address, s->config.port);
    if (rc == 0 && s->config.prepare)
        rc = s->config.prepare(s->config.context, s->server.port);
    return rc ? rc : flux2_server_run(&s->server, &config);
}

struct flux2_request_server *flux2_request_server_start(const struct flux2_request_server_config *config, char *err,
                                                        size_t err_size)
{
    struct flux2_request_server *s = calloc(1, sizeof *s);
    if (!s) {
        snprintf(err, err_size, "out of memory");
        return NULL;
    }
    flux2_mutex_init(&s->lock);
    s->wakeup = (struct flux2_wakeup){-1, -1};
    s->config = *config;
    int rc = start(s);
    s->config.address = NULL;
    if (rc == 0)
        return s;
    snprintf(err, err_size, "%s, port %d: %s", config->address, config->port, strerror(rc));
    flux2_request_server_free(s);
    return NULL;
}

void flux2_request_server_close(struct flux2_request_server *s)
{
    flux2_mutex_lock(&s->lock);
    if (!s->is_closed && s->wakeup.write_end >= 0)
        flux2_wakeup_signal(&s->wakeup);
    s->is_closed = true;
    flux2_mutex_unlock(&s->lock);
}

/* A resumed request without a response closes its connection, see send_response. */
void flux2_request_server_drop(struct flux2_request_server *s)
{
    size_t i;
    flux2_mutex_lock(&s->lock);
    s->first = s->last = NULL;
    for (i = 0; i < s->slots.count; i++) {
        struct pending *p = s->slots.slots[i].owner;
        if (!p)
            continue;
        flux2_slot_free(&s->slots, p->request.id);
        MHD_resume_connection(p->connection);
    }
    flux2_mutex_unlock(&s->lock);
}

void flux2_request_server_free(struct flux2_request_server *s)
{
    if (!s)
        return;
    flux2_request_server_close(s);
    flux2_request_server_drop(s); /* libmicrohttpd can be stopped only without suspended connections */
    flux2_server_stop(&s->server);
    flux2_wakeup_close(&s->wakeup);
    flux2_mutex_destroy(&s->lock);
    flux2_slot_table_clear(&s->slots);
    free(s);
}

void flux2_request_server_disown(struct flux2_request_server *s)
{
    flux2_server_disown(&s->server);
}

int flux2_request_server_port(const struct flux2_request_server *s)
{
    return s->server.port;
}
