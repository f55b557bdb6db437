/* connection.c - see connection.h. */
#include "emulator/connection.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulator/response_writer.h"
#include "emulator/routes.h"
#include "platform/clock.h"
#include "platform/random.h"
#include "server/bytes.h"

#define MAX_CONNECTIONS 4096
#define STACK_BYTES (1024 * 1024)
/* Excess bytes that are read from a body beyond the limit, because a client that is still sending does not read the
 * response. */
#define DISCARDED_BYTES (64ull * 1024 * 1024)

/* A client connection. Used by its thread only. */
struct connection {
    uint64_t number;
    uint64_t requests;
};

/* A request and its response. Used by the connection's thread only. */
struct request {
    struct flux2_emu *emu;
    char *path; /* as received, with the query */
    struct emu_settings *settings;
    struct emu_fault *fault;
    struct connection *connection;
    flux2_descriptor socket;
    bool has_head, too_large;
    struct flux2_bytes body;
};

static void free_request(struct request *request)
{
    flux2_emu_settings_unref(request->settings);
    flux2_emu_fault_unref(request->fault);
    flux2_bytes_free(&request->body);
    free(request->path);
    free(request);
}

static void *on_request_line(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct request *request = calloc(1, sizeof(*request));
    (void)connection;
    if (!request)
        return NULL;
    request->emu = cls;
    request->path = strdup(uri);
    return request;
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct flux2_emu *emu = cls;
    struct connection *own;
    (void)connection;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = own = calloc(1, sizeof *own);
        flux2_mutex_lock(&emu->lock);
        emu->log.connections++;
        emu->log.open_connections++;
        if (own)
            own->number = emu->log.connections;
        flux2_mutex_unlock(&emu->lock);
        return;
    }
    free(*context);
    *context = NULL;
    flux2_mutex_lock(&emu->lock);
    emu->log.open_connections--;
    flux2_mutex_unlock(&emu->lock);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct request *request = *context;
    (void)cls;
    if (!request)
        return;
    /* The idle timeout applies between requests only. */
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK && request->settings && request->settings->idle_close > 0)
        MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                  (unsigned)ceil(request->settings->idle_close));
    free_request(request);
    *context = NULL;
}

/* Logs the request before the response is sent, so that a client that has the response finds it in the log. Returns
 * the latency of the response in seconds. */
static double log_request(struct request *request, struct MHD_Connection *connection, const char *method, int status)
{
    struct flux2_emu *emu = request->emu;
    const double *latency = request->settings->latency;
    struct emu_log_entry entry = {0};
    size_t kept = request->body.size < emu->log.body_limit ? request->body.size : emu->log.body_limit;
    double seconds = latency[1];
    snprintf(entry.method, sizeof(entry.method), "%s", method);
    entry.path = request->path ? strdup(request->path) : NULL;
    flux2_server_copy_headers(connection, &entry.headers);
    flux2_bytes_append(&entry.body, request->body.data, kept);
    entry.connection = request->connection ? request->connection->number : 0;
    entry.status = status;
    entry.fault = request->fault ? request->fault->index : 0;
    flux2_mutex_lock(&emu->lock);
    entry.at = flux2_clock_now() - emu->started;
    if (latency[0] < latency[1])
        seconds = latency[0] + (latency[1] - latency[0]) * flux2_random_unit(&emu->random);
    flux2_emu_log_add(&emu->log, &entry);
    flux2_mutex_unlock(&emu->lock);
    return seconds;
}

/* Processes the request headers. Returns MHD_NO if a fault closed the connection. */
static enum MHD_Result read_head(struct request *request, struct MHD_Connection *connection, const char *method)
{
    struct flux2_emu *emu = request->emu;
    const union MHD_ConnectionInfo *info;
    char path[2048];
    request->has_head = true;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    request->socket = info ? (flux2_descriptor)info->connect_fd : -1;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    request->connection = info ? info->socket_context : NULL;
    if (request->connection)
        request->connection->requests++;
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0);
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(request->path, "?"), request->path);
    flux2_mutex_lock(&emu->lock);
    request->settings = flux2_emu_settings_ref(emu->settings);
    request->fault = flux2_emu_fault_take(&emu->faults, method, path);
    flux2_mutex_unlock(&emu->lock);
    if (!request->fault ||
        (request->fault->reset != EMU_DISCONNECT_BEFORE && request->fault->close != EMU_DISCONNECT_BEFORE))
        return MHD_YES;
    log_request(request, connection, method, 0);
    if (request->fault->reset)
        flux2_socket_reset(request->socket);
    else
        flux2_socket_shutdown(request->socket);
    return MHD_NO;
}

static void append_body(struct request *request, const char *data, size_t len)
{
    size_t room = (size_t)request->settings->max_body_bytes - request->body.size;
    request->too_large = request->too_large || len > room;
    flux2_bytes_append(&request->body, data, len < room ? len : room);
}

/* Returns whether the fault sends something that is not an HTTP response. */
static bool is_socket_fault(const struct emu_fault *f)
{
    return f && (f->reset || f->close || f->hang || f->garbage || f->endless_headers);
}

static void send_garbage(flux2_descriptor socket, flux2_descriptor stop, const json_t *bytes)
{
    flux2_socket_send(socket, stop, json_string_value(bytes), json_string_length(bytes));
    flux2_socket_shutdown_output(socket);
}

/* Returns when the client disconnects or STOP is readable. */
static void send_endless_headers(flux2_descriptor socket, flux2_descriptor stop)
{
    static const char status[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    char line[1024];
    unsigned long long n = 0;
    int size;
    if (!flux2_socket_send(socket, stop, status, sizeof status - 1))
        return;
    do
        size = snprintf(line, sizeof line, "X-Filler-%llu: %0*d\r\n", n++, 900, 0);
    while (flux2_socket_send(socket, stop, line, (size_t)size));
}

static void apply_socket_fault(struct request *request)
{
    const struct emu_fault *f = request->fault;
    flux2_descriptor stop = request->emu->stop.read_end;
    if (f->hang)
        flux2_socket_wait(request->socket, stop, INFINITY);
    else if (f->garbage)
        send_garbage(request->socket, stop, f->garbage);
    else if (f->endless_headers)
        send_endless_headers(request->socket, stop);
    else if (f->reset)
        flux2_socket_reset(request->socket);
    else
        flux2_socket_shutdown(request->socket);
}

/* Sets the task id of a request that is not processed to the last segment of its path. */
static void set_task_id(struct emu_response *out, const char *path)
{
    size_t len = strcspn(path, "?"), start = len;
    while (start && path[start - 1] != '/')
        start--;
    snprintf(out->task_id, sizeof out->task_id, "%.*s", (int)(len - start), path + start);
}

static void process(struct request *request, struct MHD_Connection *connection, const char *method,
                    struct emu_response *out)
{
    struct emu_http_request r = {0};
    r.method = method;
    r.path = request->path;
    r.authorization = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    r.key = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "x-key");
    r.content_type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Type");
    r.body = request->body.data;
    r.body_len = request->body.size;
    r.too_large = request->too_large;
    r.settings = request->settings;
    flux2_emu_route(request->emu, &r, out);
}

/* Sends the response to a complete request. */
static enum MHD_Result respond(struct request *request, struct MHD_Connection *connection, const char *method)
{
    struct flux2_emu *emu = request->emu;
    const struct emu_fault *f = request->fault;
    const struct emu_settings *s = request->settings;
    struct emu_output output = {request->socket, emu->stop.read_end, &emu->log.bytes_out};
    struct emu_response response = {0};
    enum MHD_Result result = MHD_NO;
    double wait;
    bool last = s->max_requests_per_connection && request->connection &&
                request->connection->requests >= (uint64_t)s->max_requests_per_connection;
    if (!f || f->accept || !f->responds)
        process(request, connection, method, &response);
    else
        set_task_id(&response, request->path);
    if (f)
        flux2_emu_response_apply_fault(&response, f, emu->url);
    wait = log_request(request, connection, method, is_socket_fault(f) ? 0 : response.status);
    wait += response.delay + (f ? f->delay : 0);
    if ((wait > 0 && !flux2_socket_wait(request->socket, output.stop, wait)) || flux2_emu_is_stopping(emu))
        result = MHD_NO;
    else if (is_socket_fault(f))
        apply_socket_fault(request);
    else
        result = flux2_emu_response_send(connection, &response, f, &output, last);
    flux2_emu_response_free(&response);
    return result;
}

/* Returns whether Content-Length exceeds what is read and discarded. */
static bool exceeds_discard_limit(const struct request *request, struct MHD_Connection *connection)
{
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    return length &&
           strtoull(length, NULL, 10) > (unsigned long long)request->settings->max_body_bytes + DISCARDED_BYTES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *len, void **context)
{
    struct request *request = *context;
    (void)cls, (void)url, (void)version;
    if (!request || !request->path)
        return MHD_NO;
    if (!request->has_head) {
        if (read_head(request, connection, method) == MHD_NO)
            return MHD_NO;
        request->too_large = exceeds_discard_limit(request, connection);
        return request->too_large ? respond(request, connection, method) : MHD_YES;
    }
    if (*len) {
        append_body(request, data, *len);
        *len = 0;
        return MHD_YES;
    }
    return respond(request, connection, method);
}

int flux2_emu_connections_serve(struct flux2_emu *emu)
{
    const struct flux2_server_config config = {
        .max_connections = MAX_CONNECTIONS,
        .stack_bytes = STACK_BYTES,
        .context = emu,
        .on_request_line = on_request_line,
        .on_request = on_request,
        .on_completed = on_completed,
        .on_connection = on_connection,
    };
    return flux2_server_run(&emu->server, &config);
}
