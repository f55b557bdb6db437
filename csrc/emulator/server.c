/* server.c - the emulator's HTTP; see server.h. */
#include "server.h"

#include "contract.h"
#include "reply.h"
#include "wire.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_CONNECTIONS 4096
#define STACK_BYTES (1024 * 1024)
#define SWALLOWED                                                                                            \
    (64ull * 1024 * 1024) /* of a body that is too long: a client that is still sending hears no answer */

struct emu_server {
    struct MHD_Daemon *daemon;
    int fd; /* of the listener, which the daemon closes */
};

/* A connection; its own thread's alone. */
struct link {
    uint64_t ordinal;
    uint64_t requests;
};

/* A request and its answer; the connection's thread's alone. */
struct exchange {
    struct flux2_emu *emu;
    char *path; /* as it came, with the query */
    struct emu_settings *settings;
    struct emu_fault *fault;
    struct link *link;
    int fd;
    bool begun, too_large;
    struct emu_buf body;
};

static void free_exchange(struct exchange *x)
{
    flux2_emu_settings_unref(x->settings);
    flux2_emu_fault_unref(x->fault);
    flux2_emu_buf_free(&x->body);
    free(x->path);
    free(x);
}

/* The server calls this with the request line as it came, before it decodes anything. */
static void *on_request_line(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct exchange *x = calloc(1, sizeof(*x));
    (void)connection;
    if (!x)
        return NULL;
    x->emu = cls;
    x->path = strdup(uri);
    return x;
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct flux2_emu *emu = cls;
    struct link *link;
    (void)connection;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = link = calloc(1, sizeof(*link));
        pthread_mutex_lock(&emu->lock);
        emu->journal.connections++;
        emu->journal.open_connections++;
        if (link)
            link->ordinal = emu->journal.connections;
        pthread_mutex_unlock(&emu->lock);
        return;
    }
    free(*context);
    *context = NULL;
    pthread_mutex_lock(&emu->lock);
    emu->journal.open_connections--;
    pthread_mutex_unlock(&emu->lock);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *context;
    (void)cls;
    if (!x)
        return;
    /* Only a connection that waits for its next request may be idle too long. */
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK && x->settings && x->settings->idle_close > 0)
        MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                  (unsigned)ceil(x->settings->idle_close));
    free_exchange(x);
    *context = NULL;
}

static enum MHD_Result log_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct emu_buf *headers = cls;
    char lower;
    (void)kind;
    for (; *name; name++) {
        lower = (char)tolower((unsigned char)*name);
        flux2_emu_buf_append(headers, &lower, 1);
    }
    flux2_emu_buf_append(headers, "", 1);
    flux2_emu_buf_append(headers, value ? value : "", value ? strlen(value) + 1 : 1);
    return MHD_YES;
}

/* Before the answer goes out, so that who has the answer finds the request in the log. Returns the seconds that the
 * service takes for every answer. */
static double log_request(struct exchange *x, struct MHD_Connection *connection, const char *method,
                          int status)
{
    struct flux2_emu *emu = x->emu;
    const double *latency = x->settings->latency;
    struct emu_entry entry = {0};
    size_t kept = x->body.len < emu->journal.body_limit ? x->body.len : emu->journal.body_limit;
    double seconds = latency[1];
    snprintf(entry.method, sizeof(entry.method), "%s", method);
    entry.path = x->path ? strdup(x->path) : NULL;
    MHD_get_connection_values(connection, MHD_HEADER_KIND, log_header, &entry.headers);
    flux2_emu_buf_append(&entry.body, x->body.data, kept);
    entry.connection = x->link ? x->link->ordinal : 0;
    entry.status = status;
    entry.fault = x->fault ? x->fault->index : 0;
    pthread_mutex_lock(&emu->lock);
    entry.at = flux2_emu_now() - emu->started;
    if (latency[0] < latency[1])
        seconds = latency[0] + (latency[1] - latency[0]) * flux2_emu_random_unit(&emu->random);
    flux2_emu_journal_add(&emu->journal, &entry);
    pthread_mutex_unlock(&emu->lock);
    return seconds;
}

/* What there is before the body. NO: the connection is ended. */
static enum MHD_Result begin(struct exchange *x, struct MHD_Connection *connection, const char *method)
{
    struct flux2_emu *emu = x->emu;
    const union MHD_ConnectionInfo *info;
    char path[2048];
    x->begun = true;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    x->fd = info ? (int)info->connect_fd : -1;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    x->link = info ? info->socket_context : NULL;
    if (x->link)
        x->link->requests++;
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0);
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(x->path, "?"), x->path);
    pthread_mutex_lock(&emu->lock);
    x->settings = flux2_emu_settings_ref(emu->settings);
    x->fault = flux2_emu_fault_take(&emu->faults, method, path);
    pthread_mutex_unlock(&emu->lock);
    if (!x->fault || (x->fault->reset != EMU_LOSS_BEFORE && x->fault->close != EMU_LOSS_BEFORE))
        return MHD_YES;
    log_request(x, connection, method, 0);
    if (x->fault->reset)
        flux2_emu_wire_reset(x->fd);
    else
        flux2_emu_wire_close(x->fd);
    return MHD_NO;
}

static void collect(struct exchange *x, const char *data, size_t len)
{
    size_t room = (size_t)x->settings->max_body_bytes - x->body.len;
    x->too_large = x->too_large || len > room;
    flux2_emu_buf_append(&x->body, data, len < room ? len : room);
}

/* Whether the fault puts something else on the wire than an answer, which it then did: `wait` seconds later. */
static bool is_lost(const struct emu_fault *f)
{
    return f && (f->reset || f->close || f->hang || f->garbage || f->endless_headers);
}

static void lose(struct exchange *x)
{
    const struct emu_fault *f = x->fault;
    int stop = x->emu->stop_pipe[0];
    if (f->hang)
        flux2_emu_wire_wait(x->fd, stop, INFINITY);
    else if (f->garbage)
        flux2_emu_wire_garbage(x->fd, stop, f->garbage_bytes);
    else if (f->endless_headers)
        flux2_emu_wire_endless_headers(x->fd, stop);
    else if (f->reset)
        flux2_emu_wire_reset(x->fd);
    else
        flux2_emu_wire_close(x->fd);
}

/* The task that a request speaks of which nobody processed: what its path ends with. */
static void name_task(struct emu_answer *a, const char *path)
{
    size_t len = strcspn(path, "?"), start = len;
    while (start && path[start - 1] != '/')
        start--;
    snprintf(a->task_id, sizeof(a->task_id), "%.*s", (int)(len - start), path + start);
}

static void process(struct exchange *x, struct MHD_Connection *connection, const char *method,
                    struct emu_answer *a)
{
    struct emu_request r = {0};
    r.method = method;
    r.path = x->path;
    r.authorization = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    r.content_type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Type");
    r.body = x->body.data;
    r.body_len = x->body.len;
    r.too_large = x->too_large;
    r.settings = x->settings;
    flux2_emu_contract_answer(x->emu, &r, a);
}

/* The whole request is here. */
static enum MHD_Result finish(struct exchange *x, struct MHD_Connection *connection, const char *method)
{
    struct flux2_emu *emu = x->emu;
    const struct emu_fault *f = x->fault;
    const struct emu_settings *s = x->settings;
    struct emu_line line = {x->fd, emu->stop_pipe[0], &emu->journal.bytes_out};
    struct emu_answer a = {0};
    enum MHD_Result result = MHD_NO;
    double wait;
    bool last = s->max_requests_per_connection && x->link &&
                x->link->requests >= (uint64_t)s->max_requests_per_connection;
    if (!f || f->accept || !f->answers_itself)
        process(x, connection, method, &a);
    else
        name_task(&a, x->path);
    if (f)
        flux2_emu_reply_spoil(&a, f, emu->url);
    wait = log_request(x, connection, method, is_lost(f) ? 0 : a.status);
    wait += a.hold + (f ? f->delay : 0);
    if ((wait > 0 && !flux2_emu_wire_wait(x->fd, line.stop_fd, wait)) || flux2_emu_is_stopping(emu))
        result = MHD_NO;
    else if (is_lost(f))
        lose(x);
    else
        result = flux2_emu_reply_send(connection, &a, f, &line, last);
    flux2_emu_answer_free(&a);
    return result;
}

/* Whether the body that is announced is too long to be read to its end. */
static bool is_hopeless(const struct exchange *x, struct MHD_Connection *connection)
{
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    return length && strtoull(length, NULL, 10) > (unsigned long long)x->settings->max_body_bytes + SWALLOWED;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data, size_t *len,
                                  void **context)
{
    struct exchange *x = *context;
    (void)cls, (void)url, (void)version;
    if (!x || !x->path)
        return MHD_NO;
    if (!x->begun) {
        if (begin(x, connection, method) == MHD_NO)
            return MHD_NO;
        x->too_large = is_hopeless(x, connection);
        return x->too_large ? finish(x, connection, method) : MHD_YES;
    }
    if (*len) {
        collect(x, data, *len);
        *len = 0;
        return MHD_YES;
    }
    return finish(x, connection, method);
}

static struct MHD_Daemon *start_daemon(struct flux2_emu *emu, int fd)
{
    return MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ITC, 0,
                            NULL, NULL, on_request, emu, MHD_OPTION_LISTEN_SOCKET, fd,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS,
                            MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_URI_LOG_CALLBACK,
                            on_request_line, emu, MHD_OPTION_NOTIFY_CONNECTION, on_connection, emu,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, emu, MHD_OPTION_END);
}

bool flux2_emu_server_start(struct flux2_emu *emu, int port, char *err, size_t err_size)
{
    sigset_t all, before;
    int fd = flux2_emu_wire_listen(port, &emu->port);
    if (fd < 0) {
        snprintf(err, err_size, "127.0.0.1:%d: %s", port, strerror(errno));
        return false;
    }
    snprintf(emu->url, sizeof(emu->url), "http://127.0.0.1:%d", emu->port);
    emu->server = calloc(1, sizeof(*emu->server));
    /* The server's threads have the mask of the thread that starts them: signals are the host's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (emu->server) {
        emu->server->fd = fd;
        emu->server->daemon = start_daemon(emu, fd);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (emu->server && emu->server->daemon)
        return true;
    snprintf(err, err_size, "the HTTP server does not start: %s", strerror(errno));
    close(fd);
    free(emu->server);
    emu->server = NULL;
    return false;
}

void flux2_emu_server_stop(struct flux2_emu *emu)
{
    if (!emu->server)
        return;
    MHD_stop_daemon(emu->server->daemon);
    free(emu->server);
    emu->server = NULL;
}

void flux2_emu_server_disown(struct flux2_emu *emu)
{
    if (emu->server)
        close(emu->server->fd);
}
