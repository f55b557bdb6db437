/* transfer.c - see transfer.h. */
#include "transfer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXCERPT_MAX = 64 * 1024, /* of an error's body */
    ONCE_MAX_IDLE = 45, /* seconds: an older connection is likely dead, and then the outcome is unknown */
    BUFFER_FOR_FILES = 131072, /* large reads for images, ... */
    BUFFER_FOR_MEMORY = 16384, /* ... small ones for answers of a few hundred bytes */
};

/* --- what libcurl calls ------------------------------------------------------------------------- */

/* libcurl calls this each time a request is about to leave: also when it found a kept connection dead after the
 * request was written and would, by itself, send it again on another one. What must leave at most once stops here. */
static int before_send(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    struct flux2_transfer *t = arg;
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    if (t->sends > 0 && t->request.nature == FLUX2_ONCE) {
        t->failure = FLUX2_FAILURE_NETWORK;
        t->stopped = true;
        return CURL_PREREQFUNC_ABORT;
    }
    t->sends++;
    return CURL_PREREQFUNC_OK;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct flux2_transfer *t = arg;
    int fd;
    (void)purpose;
    t->system_error = flux2_platform_socket(address->family, address->socktype, address->protocol, &fd);
    return t->system_error == 0 ? fd : CURL_SOCKET_BAD;
}

static size_t on_header(char *line, size_t one, size_t n, void *arg)
{
    struct flux2_transfer *t = arg;
    n *= one;
    flux2_headers_read(&t->headers, t->profile->traces.at, t->profile->traces.count, line, n);
    if (t->headers.bytes <= t->profile->max_headers)
        return n;
    t->failure = FLUX2_FAILURE_HEADERS_TOO_LARGE;
    return n + 1; /* anything but n ends the transfer */
}

/* Only the body of a success goes where the caller wants it; of an error's body the beginning is enough. */
static void choose_sink(struct flux2_transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->started_body = true;
    t->sink_is_excerpt = status < 200 || status > 299;
    t->sink.path = t->sink_is_excerpt ? NULL : t->request.path;
    t->sink.durable = t->profile->durable;
    t->sink.limit = t->sink_is_excerpt ? EXCERPT_MAX : t->profile->max_body;
    bool check = t->request.check_signature && !t->sink_is_excerpt;
    t->sink.accept = check ? t->profile->accept : NULL;
    t->sink.accept_count = check ? t->profile->accept_count : 0;
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
    struct flux2_transfer *t = arg;
    curl_off_t expected = -1;
    n *= one;
    if (!t->started_body) {
        choose_sink(t);
        curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &expected);
    }
    size_t take = n;
    if (t->sink_is_excerpt && take > t->sink.limit - t->sink.received)
        take = t->sink.limit - t->sink.received;
    enum flux2_failure failure = flux2_sink_write(&t->sink, data, take, expected > 0 ? (size_t)expected : 0);
    if (failure != FLUX2_FAILURE_NONE) {
        t->failure = failure;
        return n + 1;
    }
    return take == n ? n : n + 1;
}

/* --- options -------------------------------------------------------------------------------------- */

/* A text, of which libcurl keeps a copy. False without memory for it: without a proxy, say, a request would go another
 * way than it was told. */
static bool set_text(CURL *e, CURLoption option, const char *text)
{
    return curl_easy_setopt(e, option, text) != CURLE_OUT_OF_MEMORY;
}

static bool set_security(CURL *e, const struct flux2_profile *p)
{
    bool ok = set_text(e, CURLOPT_PROTOCOLS_STR, "http,https") &&
              set_text(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, p->max_redirects > 0 ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_MAXREDIRS, p->max_redirects);
    curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    if (p->ca_file) {
        /* A CApath beside it would make libcurl parse the whole bundle again for every connection. */
        ok = ok && set_text(e, CURLOPT_CAINFO, p->ca_file);
        curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    }
    return ok;
}

/* Rounded up: to libcurl 0 is no limit at all, or one of its own. */
static long whole(double limit)
{
    return (long)ceil(limit);
}

static void set_limits(CURL *e, const struct flux2_profile *p)
{
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, whole(p->connect_timeout * 1000));
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, whole(p->exchange_timeout * 1000));
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    /* libcurl counts silence in whole seconds. */
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, whole(p->silence_timeout));
}

/* Where requests go, and as what. */
static bool set_way(CURL *e, const struct flux2_profile *p)
{
    /* Requests have it among their headers; a proxy is told, too. */
    return set_text(e, CURLOPT_USERAGENT, p->direct ? NULL : p->user_agent) &&
           /* "" is no proxy at all: libcurl would look at six variables of the environment for each request. */
           set_text(e, CURLOPT_PROXY, p->direct ? "" : p->proxy) &&
           set_text(e, CURLOPT_NOPROXY, p->direct ? "" : NULL) &&
           set_text(e, CURLOPT_ACCEPT_ENCODING, p->compressed ? "" : NULL);
}

/* Everything that does not change between two requests of one profile. False without memory. */
static bool set_profile(struct flux2_transfer *t, const struct flux2_profile *p)
{
    CURL *e = t->easy;
    curl_easy_reset(e);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Without it, closing a handle whose name is being resolved waits for the resolver. */
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
#endif
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, before_send);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
    /* Wait for a connection that can be shared instead of opening one more. */
    curl_easy_setopt(e, CURLOPT_PIPEWAIT, 1L);
    /* Dots in a path are data here, never steps in it. */
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    set_limits(e, p);
    return set_way(e, p) && set_security(e, p);
}

/* What requests with the same options have in common. */
enum { HAS_BODY = 1, HAS_PATH = 2, AT_MOST_ONCE = 4, IS_SET = 8 };

static unsigned shape_of(const struct flux2_request *r)
{
    return IS_SET | (r->body ? HAS_BODY : 0) | (r->path ? HAS_PATH : 0) |
           (r->nature == FLUX2_ONCE ? AT_MOST_ONCE : 0);
}

static void set_shape(struct flux2_transfer *t, unsigned shape)
{
    CURL *e = t->easy;
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION,
                     shape & AT_MOST_ONCE ? (long)CURL_HTTP_VERSION_1_1 : (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, shape & AT_MOST_ONCE ? (long)ONCE_MAX_IDLE : 118L);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE,
                     shape & HAS_PATH ? (long)BUFFER_FOR_FILES : (long)BUFFER_FOR_MEMORY);
    if (shape & HAS_BODY) {
        curl_easy_setopt(e, CURLOPT_POST, 1L);
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->profile->body_headers);
    } else {
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, NULL);
        curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->profile->headers);
    }
    t->shape = shape;
}

static CURLcode set_request(struct flux2_transfer *t)
{
    const struct flux2_request *r = &t->request;
    unsigned shape = shape_of(r);
    if (t->shape != shape)
        set_shape(t, shape);
    if (r->body) {
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, r->body);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_size);
    }
    return curl_easy_setopt(t->easy, CURLOPT_URL, r->url);
}

/* --- life ------------------------------------------------------------------------------------------- */

struct flux2_transfer *flux2_transfer_new(void)
{
    struct flux2_transfer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->easy = curl_easy_init();
    if (!t->easy) {
        free(t);
        return NULL;
    }
    flux2_sink_init(&t->sink);
    return t;
}

void flux2_transfer_free(struct flux2_transfer *t)
{
    if (!t)
        return;
    flux2_transfer_clear(t);
    curl_easy_cleanup(t->easy);
    flux2_profile_release(t->profile);
    free(t);
}

bool flux2_transfer_prepare(struct flux2_transfer *t, struct flux2_profile *profile,
                            const struct flux2_request *request)
{
    flux2_transfer_clear(t);
    if (t->profile != profile) {
        flux2_profile_release(t->profile);
        t->profile = NULL; /* until all of its options are set */
        t->shape = 0;
        if (!set_profile(t, profile))
            return false;
        t->profile = flux2_profile_hold(profile);
    }
    t->request = *request;
    t->sink_is_excerpt = t->started_body = false;
    t->sends = 0;
    t->system_error = 0;
    t->stopped = false;
    t->failure = FLUX2_FAILURE_NONE;
    t->error[0] = '\0';
    flux2_headers_clear(&t->headers);
    return set_request(t) != CURLE_OUT_OF_MEMORY;
}

static enum flux2_failure classify(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return FLUX2_FAILURE_NONE;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return FLUX2_FAILURE_RESOLVE;
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
        return FLUX2_FAILURE_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_USE_SSL_FAILED:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
        return FLUX2_FAILURE_TLS;
    case CURLE_OPERATION_TIMEDOUT:
        return FLUX2_FAILURE_TIMEOUT;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return FLUX2_FAILURE_PROTOCOL;
    case CURLE_TOO_MANY_REDIRECTS:
        return FLUX2_FAILURE_REDIRECT;
    case CURLE_FILESIZE_EXCEEDED:
        return FLUX2_FAILURE_TOO_LARGE;
    case CURLE_OUT_OF_MEMORY:
        return FLUX2_FAILURE_MEMORY;
    default:
        return FLUX2_FAILURE_NETWORK;
    }
}

/* libcurl says that no connection came about; the system knows why: "Too many open files" is no fault of a server. */
static void append_cause(struct flux2_transfer *t)
{
    long error = t->system_error;
    size_t n = strlen(t->error);
    if (error == 0)
        curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &error);
    if (error != 0)
        snprintf(t->error + n, sizeof t->error - n, "%s%s", n > 0 ? ": " : "", strerror((int)error));
}

/* What we know better than libcurl, which has the last word in its error buffer. */
static void describe_failure(struct flux2_transfer *t)
{
    if (t->stopped)
        snprintf(t->error, sizeof t->error, "the connection broke after the request was sent");
    switch (t->failure) {
    case FLUX2_FAILURE_HEADERS_TOO_LARGE:
        snprintf(t->error, sizeof t->error, "the headers passed %zu bytes", t->profile->max_headers);
        break;
    case FLUX2_FAILURE_TOO_LARGE:
        snprintf(t->error, sizeof t->error, "the body passed %zu bytes", t->sink.limit);
        break;
    case FLUX2_FAILURE_IO:
        snprintf(t->error, sizeof t->error, "%s", strerror(t->sink.error));
        break;
    case FLUX2_FAILURE_MEMORY:
        snprintf(t->error, sizeof t->error, "%s", strerror(ENOMEM));
        break;
    case FLUX2_FAILURE_SIGNATURE:
        snprintf(t->error, sizeof t->error, "the first bytes are of no kind that is accepted");
        break;
    case FLUX2_FAILURE_CONNECT:
        append_cause(t);
        break;
    default:
        break;
    }
}

static struct flux2_outcome outcome_of(struct flux2_transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    struct flux2_outcome out = {
        .failure = t->failure,
        .status = (int)status,
        .sent = t->sends > 0,
        .retry_after = flux2_headers_retry_after(&t->headers, time(NULL)),
    };
    return out;
}

struct flux2_outcome flux2_transfer_finish(struct flux2_transfer *t, CURLcode result)
{
    /* An excerpt that was cut is an error's body, and the status is what counts. */
    bool cut = result == CURLE_WRITE_ERROR && t->sink_is_excerpt && t->failure == FLUX2_FAILURE_NONE;
    if (t->failure == FLUX2_FAILURE_NONE && !cut)
        t->failure = classify(result);
    /* "Unsupported" after the request has left: a redirect to another protocol, or what came back was not HTTP. */
    if (t->failure == FLUX2_FAILURE_PROTOCOL && t->sends > 0)
        t->failure = t->headers.location[0] ? FLUX2_FAILURE_REDIRECT : FLUX2_FAILURE_NETWORK;
    if (t->failure == FLUX2_FAILURE_NONE) {
        if (!t->started_body)
            choose_sink(t);
        t->failure = flux2_sink_finish(&t->sink);
    }
    describe_failure(t);
    if (t->failure != FLUX2_FAILURE_NONE && !t->error[0])
        snprintf(t->error, sizeof t->error, "%s", curl_easy_strerror(result));
    struct flux2_outcome out = outcome_of(t);
    if (t->failure != FLUX2_FAILURE_NONE)
        flux2_sink_clear(&t->sink);
    return out;
}

struct flux2_outcome flux2_transfer_abandon(struct flux2_transfer *t, enum flux2_failure why)
{
    t->failure = why;
    struct flux2_outcome out = outcome_of(t);
    flux2_sink_clear(&t->sink);
    return out;
}

void flux2_transfer_clear(struct flux2_transfer *t)
{
    flux2_sink_clear(&t->sink);
    memset(&t->request, 0, sizeof t->request);
    t->owner = NULL;
}
