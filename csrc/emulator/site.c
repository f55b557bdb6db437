/* site.c - a page for this machine's browser; see site.h. */
#define _GNU_SOURCE /* getentropy */
#include "site.h"

#include "util.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/random.h>
#endif

#define TOKEN_BYTES 16
#define TOKEN_CHARS (2 * TOKEN_BYTES)
#define MAX_CONNECTIONS 64
#define MAX_BODY ((size_t)256 * 1024)
#define IDLE_SECONDS 60
#define STACK_BYTES (512 * 1024)

/* A request on the thread of its connection. */
struct visit {
    struct emu_call call;
    struct visit *next; /* in the list of all that are unanswered */
    struct emu_site *site;
    char *uri;
    struct emu_buf body;
    bool judged, too_large;
    /* Under the lock. */
    bool listed, taken;
    int status; /* 0: not answered */
    char *content_type;
    struct emu_buf answer;
};

struct emu_site {
    /* Fixed once it runs. */
    struct MHD_Daemon *daemon;
    int fd; /* of the listener, which the daemon closes */
    int port;
    char host[32];      /* "127.0.0.1:PORT", what a Host must say */
    char host_name[32]; /* "localhost:PORT", which is as good */
    char token[TOKEN_CHARS + 1];
    char url[96];
    int wake[2]; /* readable while a call waits to be taken, or the site is closed */

    /* Under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct visit *visits; /* newest first */
    uint64_t calls;
    size_t waiting; /* not taken yet */
    bool closed;
};

/* --- headers ---------------------------------------------------------------------------------------------- */

/* Nothing but the page's own files, no code but in them, no frame, no form, no other site in any direction. */
static const char *const guards[][2] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
     "trusted-types 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Embedder-Policy", "require-corp"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Permissions-Policy", "camera=(), geolocation=(), microphone=(), clipboard-read=()"},
    {"Cache-Control", "no-store"},
};

static enum MHD_Result send_response(struct MHD_Connection *connection, int status, const char *content_type,
                                     struct MHD_Response *response)
{
    enum MHD_Result result;
    size_t i;
    if (!response)
        return MHD_NO;
    for (i = 0; i < sizeof(guards) / sizeof(guards[0]); i++)
        MHD_add_response_header(response, guards[i][0], guards[i][1]);
    MHD_add_response_header(response, "Content-Type", content_type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", "GET, POST");
    result = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, int status, const char *why)
{
    return send_response(
        connection, status, "text/plain; charset=utf-8",
        MHD_create_response_from_buffer(strlen(why), (void *)(uintptr_t)why, MHD_RESPMEM_PERSISTENT));
}

/* --- the rules ----------------------------------------------------------------------------------------------- */

struct verdict {
    int status; /* 0: the request may pass */
    const char *why;
};

/* A header that is looked for: how often it came, and what it said last. */
struct sought {
    const char *name, *value;
    unsigned times;
};

static enum MHD_Result seek(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct sought *s = cls;
    (void)kind;
    if (!strcasecmp(name, s->name)) {
        s->times++;
        s->value = value ? value : "";
    }
    return MHD_YES;
}

static struct sought header(struct MHD_Connection *connection, const char *name)
{
    struct sought s = {name, "", 0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, seek, &s);
    return s;
}

/* A name that leads here without being ours is how a foreign page gets around the browser's rules (DNS rebinding). */
static bool is_own_host(const struct emu_site *site, const struct sought *host)
{
    return host->times == 1 &&
           (!strcasecmp(host->value, site->host) || !strcasecmp(host->value, site->host_name));
}

static bool is_own_origin(const struct sought *origin, const struct sought *host)
{
    return origin->times == 1 && !strncmp(origin->value, "http://", 7) &&
           !strcasecmp(origin->value + 7, host->value);
}

/* In a time that does not tell how much of it was right. */
static bool has_token(const struct emu_site *site, const char *uri)
{
    unsigned char difference = 0;
    size_t i;
    if (strnlen(uri, TOKEN_CHARS + 2) < TOKEN_CHARS + 2)
        return false;
    for (i = 0; i < TOKEN_CHARS; i++)
        difference |= (unsigned char)(uri[i + 1] ^ site->token[i]);
    return uri[0] == '/' && !difference && uri[TOKEN_CHARS + 1] == '/';
}

/* Whether a page that is not ours is behind the request. Following a link that was printed somewhere is all right: it
 * holds the token, and its answer goes to nobody else. */
static bool is_from_elsewhere(struct MHD_Connection *connection, const struct sought *host, bool is_post)
{
    struct sought origin = header(connection, "Origin");
    struct sought site = header(connection, "Sec-Fetch-Site");
    struct sought mode = header(connection, "Sec-Fetch-Mode");
    bool is_link = !is_post && mode.times && !strcmp(mode.value, "navigate");
    if (is_post && !origin.times)
        return true;
    if (origin.times && !is_own_origin(&origin, host))
        return true;
    return site.times && strcmp(site.value, "same-origin") != 0 && !is_link &&
           (is_post || strcmp(site.value, "none") != 0);
}

static struct verdict judge_post(struct MHD_Connection *connection)
{
    static const char json[] = "application/json";
    struct sought type = header(connection, "Content-Type");
    struct sought length = header(connection, "Content-Length");
    char after = type.times == 1 && !strncasecmp(type.value, json, sizeof(json) - 1)
                     ? type.value[sizeof(json) - 1]
                     : 'x';
    if (after && after != ';' && after != ' ')
        return (struct verdict){MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "a call is application/json\n"};
    if (length.times && strtoull(length.value, NULL, 10) > MAX_BODY)
        return (struct verdict){MHD_HTTP_CONTENT_TOO_LARGE, "the call is too large\n"};
    return (struct verdict){0, NULL};
}

static struct verdict judge(const struct emu_site *site, struct MHD_Connection *connection, const char *uri,
                            const char *method)
{
    struct sought host = header(connection, "Host");
    bool is_post = !strcmp(method, "POST");
    if (!is_own_host(site, &host))
        return (struct verdict){MHD_HTTP_MISDIRECTED_REQUEST, "this is not a name of the tester\n"};
    if (!is_post && strcmp(method, "GET") != 0)
        return (struct verdict){MHD_HTTP_METHOD_NOT_ALLOWED, "GET and POST only\n"};
    if (!has_token(site, uri))
        return (struct verdict){MHD_HTTP_FORBIDDEN,
                                "the address lacks its token: open the one that was printed\n"};
    if (is_from_elsewhere(connection, &host, is_post))
        return (struct verdict){MHD_HTTP_FORBIDDEN,
                                "the request comes from another page than the tester's\n"};
    return is_post ? judge_post(connection) : (struct verdict){0, NULL};
}

/* --- calls ---------------------------------------------------------------------------------------------------- */

static void poke(struct emu_site *site)
{
    ssize_t n = write(site->wake[1], "", 1);
    (void)n; /* full: it is readable all the more */
}

static void unlist(struct emu_site *site, struct visit *v)
{
    struct visit **link;
    for (link = &site->visits; *link && *link != v; link = &(*link)->next)
        ;
    if (*link)
        *link = v->next;
    if (!v->taken)
        site->waiting--;
    v->listed = false;
}

/* Hands the request over and waits for its answer, for as long as the site is open. */
static bool ask(struct emu_site *site, struct visit *v)
{
    pthread_mutex_lock(&site->lock);
    if (!site->closed) {
        v->call.id = ++site->calls;
        v->next = site->visits;
        site->visits = v;
        v->listed = true;
        if (site->waiting++ == 0)
            poke(site);
        while (!v->status && !site->closed)
            pthread_cond_wait(&site->answered, &site->lock);
        unlist(site, v);
    }
    pthread_mutex_unlock(&site->lock);
    return v->status != 0;
}

static enum MHD_Result finish(struct emu_site *site, struct MHD_Connection *connection, struct visit *v)
{
    struct MHD_Response *response;
    enum MHD_Result result;
    if (v->too_large || v->body.failed)
        return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE, "the call is too large\n");
    v->call.path = v->uri + TOKEN_CHARS + 1;
    v->call.body = v->body.data ? v->body.data : "";
    v->call.body_len = v->body.len;
    if (!ask(site, v))
        return MHD_NO;
    if (v->answer.data)
        response = MHD_create_response_from_buffer(v->answer.len, v->answer.data, MHD_RESPMEM_MUST_FREE);
    else
        response = MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    if (response)
        v->answer = (struct emu_buf){0}; /* the response's now */
    result = send_response(connection, v->status, v->content_type, response);
    return result;
}

static void *on_request_line(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct visit *v = calloc(1, sizeof(*v));
    (void)connection;
    if (!v)
        return NULL;
    v->site = cls;
    v->uri = strdup(uri);
    return v;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct visit *v = *context;
    (void)cls, (void)connection, (void)code;
    if (!v)
        return;
    flux2_emu_buf_free(&v->body);
    flux2_emu_buf_free(&v->answer);
    free(v->content_type);
    free(v->uri);
    free(v);
    *context = NULL;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data, size_t *len,
                                  void **context)
{
    struct emu_site *site = cls;
    struct visit *v = *context;
    (void)url, (void)version;
    if (!v || !v->uri)
        return MHD_NO;
    if (!v->judged) {
        struct verdict verdict = judge(site, connection, v->uri, method);
        v->judged = true;
        v->call.method = !strcmp(method, "POST") ? "POST" : "GET";
        return verdict.status ? refuse(connection, verdict.status, verdict.why) : MHD_YES;
    }
    if (*len) {
        v->too_large = v->too_large || *len > MAX_BODY - v->body.len;
        if (!v->too_large)
            flux2_emu_buf_append(&v->body, data, *len);
        *len = 0;
        return MHD_YES;
    }
    return finish(site, connection, v);
}

/* --- the one who answers -------------------------------------------------------------------------------------- */

bool flux2_emu_site_wait(struct emu_site *site, int other_fd, double seconds)
{
    struct pollfd fds[2] = {{site->wake[0], POLLIN, 0}, {other_fd, POLLIN, 0}};
    bool open;
    poll(fds, other_fd >= 0 ? 2 : 1, (int)fmin(ceil(fmax(seconds, 0) * 1000), 60000));
    pthread_mutex_lock(&site->lock);
    open = !site->closed;
    pthread_mutex_unlock(&site->lock);
    return open;
}

const struct emu_call *flux2_emu_site_next(struct emu_site *site)
{
    struct visit *v, *oldest = NULL;
    char drained[8];
    pthread_mutex_lock(&site->lock);
    for (v = site->visits; v; v = v->next)
        if (!v->taken)
            oldest = v;
    if (oldest) {
        oldest->taken = true;
        site->waiting--;
    }
    while (!site->waiting && !site->closed && read(site->wake[0], drained, sizeof(drained)) > 0)
        ;
    pthread_mutex_unlock(&site->lock);
    return oldest ? &oldest->call : NULL;
}

bool flux2_emu_site_answer(struct emu_site *site, uint64_t id, int status, const char *content_type,
                           const void *body, size_t len)
{
    struct emu_buf copy = {0};
    char *type = strdup(content_type);
    struct visit *v;
    flux2_emu_buf_append(&copy, body, len);
    if (!type || copy.failed) {
        free(type);
        flux2_emu_buf_free(&copy);
        return false;
    }
    pthread_mutex_lock(&site->lock);
    for (v = site->visits; v && v->call.id != id; v = v->next)
        ;
    if (v && v->taken && !v->status) {
        v->status = status;
        v->content_type = type;
        v->answer = copy;
        type = NULL;
        copy = (struct emu_buf){0};
        pthread_cond_broadcast(&site->answered);
    }
    pthread_mutex_unlock(&site->lock);
    free(type);
    flux2_emu_buf_free(&copy);
    return true;
}

/* --- life ------------------------------------------------------------------------------------------------------- */

static bool make_token(struct emu_site *site)
{
    unsigned char bytes[TOKEN_BYTES];
    size_t i;
    if (getentropy(bytes, sizeof(bytes)))
        return false;
    for (i = 0; i < sizeof(bytes); i++)
        snprintf(site->token + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

static struct MHD_Daemon *start_daemon(struct emu_site *site)
{
    struct MHD_Daemon *daemon;
    sigset_t all, before;
    /* The server's threads have the mask of the thread that starts them: signals are the host's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    daemon = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ITC, 0, NULL, NULL, on_request,
        site, MHD_OPTION_LISTEN_SOCKET, site->fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)STACK_BYTES, MHD_OPTION_URI_LOG_CALLBACK, on_request_line, site, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, site, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return daemon;
}

static bool open_pipe(struct emu_site *site)
{
    int i;
    if (pipe(site->wake)) {
        site->wake[0] = site->wake[1] = -1;
        return false;
    }
    for (i = 0; i < 2; i++) {
        flux2_emu_wire_cloexec(site->wake[i]);
        fcntl(site->wake[i], F_SETFL, O_NONBLOCK);
    }
    return true;
}

struct emu_site *flux2_emu_site_start(int port, char *err, size_t err_size)
{
    struct emu_site *site = calloc(1, sizeof(*site));
    if (!site) {
        snprintf(err, err_size, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&site->lock, NULL);
    pthread_cond_init(&site->answered, NULL);
    site->fd = site->wake[0] = site->wake[1] = -1;
    if (make_token(site) && open_pipe(site) && (site->fd = flux2_emu_wire_listen(port, &site->port)) >= 0) {
        snprintf(site->host, sizeof(site->host), "127.0.0.1:%d", site->port);
        snprintf(site->host_name, sizeof(site->host_name), "localhost:%d", site->port);
        snprintf(site->url, sizeof(site->url), "http://%s/%s/", site->host, site->token);
        site->daemon = start_daemon(site);
    }
    if (site->daemon)
        return site;
    snprintf(err, err_size, "127.0.0.1:%d: %s", port, strerror(errno));
    if (site->fd >= 0)
        close(site->fd);
    flux2_emu_site_free(site);
    return NULL;
}

void flux2_emu_site_close(struct emu_site *site)
{
    pthread_mutex_lock(&site->lock);
    if (!site->closed)
        poke(site);
    site->closed = true;
    pthread_cond_broadcast(&site->answered);
    pthread_mutex_unlock(&site->lock);
}

void flux2_emu_site_free(struct emu_site *site)
{
    int i;
    if (!site)
        return;
    flux2_emu_site_close(site);
    if (site->daemon)
        MHD_stop_daemon(site->daemon);
    for (i = 0; i < 2; i++)
        if (site->wake[i] >= 0)
            close(site->wake[i]);
    pthread_cond_destroy(&site->answered);
    pthread_mutex_destroy(&site->lock);
    free(site);
}

void flux2_emu_site_disown(struct emu_site *site)
{
    close(site->fd);
}

const char *flux2_emu_site_url(const struct emu_site *site)
{
    return site->url;
}

int flux2_emu_site_port(const struct emu_site *site)
{
    return site->port;
}
