/* transfer.c - see transfer.h. */
#include "http/transfer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/curl_memory.h"
#include "platform/socket.h"

enum {
    EXCERPT_MAX = 64 * 1024,      /* bytes of an error's body */
    EXCERPT_MORE = 16 * 1024,     /* additional bytes, so that a secret at the limit is complete and can be removed */
    MAX_IDLE_NON_IDEMPOTENT = 45, /* seconds: an older connection is likely dead, which makes the outcome unknown */
    BUFFER_FOR_FILES = 131072,    /* for images */
    BUFFER_FOR_MEMORY = 16384,    /* for responses of a few hundred bytes */
    FRAMING_MAX = 16,             /* chunk header bytes per body byte; chunks of one byte need 5 */
};

/* --- callbacks of libcurl ------------------------------------------------------------------------ */

/* Makes the reader of the request continue with the first byte. */
static void rewind_body(struct flux2_transfer *t)
{
    struct flux2_body_reader *reader = t->request.reader;
    if (!reader)
        return;
    reader->rewind(reader);
    t->unread = reader->size;
}

/* Called for the next bytes of a body that has a reader. */
static size_t on_read(char *out, size_t one, size_t n, void *arg)
{
    struct flux2_transfer *t = arg;
    struct flux2_body_reader *reader = t->request.reader;
    if (!reader || t->unread == 0)
        return 0;
    size_t got = reader->read(reader, out, one * n);
    if (got == 0) {
        t->failure = FLUX2_FAILURE_INPUT;
        return CURL_READFUNC_ABORT;
    }
    t->unread -= got;
    t->gave_all = t->gave_all || t->unread == 0;
    return got;
}

/* Called before libcurl sends a body again, from the first byte: after a redirect, for example. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    if (offset != 0 || origin != SEEK_SET)
        return CURL_SEEKFUNC_FAIL;
    rewind_body(arg);
    return CURL_SEEKFUNC_OK;
}

/* Called before each send. libcurl sends a request again on another connection if a kept one turns out to be dead after
 * the request was written; for a non-idempotent request this stops it. */
static int before_send(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    struct flux2_transfer *t = arg;
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    if (t->sends > 0 && t->request.idempotency == FLUX2_NON_IDEMPOTENT) {
        t->failure = FLUX2_FAILURE_NETWORK;
        t->stopped = true;
        return CURL_PREREQFUNC_ABORT;
    }
    t->sends++;
    /* libcurl seeks only if it has sent a part of the body; it may have read one that it could not send. */
    rewind_body(t);
    return CURL_PREREQFUNC_OK;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct flux2_transfer *t = arg;
    flux2_descriptor socket;
    (void)purpose;
    t->system_error = flux2_socket_open(address->family, address->socktype, address->protocol, &socket);
    return t->system_error == 0 ? (curl_socket_t)socket : CURL_SOCKET_BAD;
}

/* Called before each TLS handshake. */
static CURLcode on_tls_context(CURL *easy, void *context, void *arg)
{
    struct flux2_transfer *t = arg;
    (void)easy;
    return flux2_ca_store_use(&t->multi->ca, context) ? CURLE_OK : CURLE_SSL_CACERT_BADFILE;
}

/* Returns whether a header line announces a chunked body. */
static bool is_chunked(const char *line, size_t n)
{
    static const char name[] = "transfer-encoding:";
    return n >= sizeof name && curl_strnequal(line, name, sizeof name - 1);
}

/* Counts the received bytes, chunk headers included. */
static int on_raw_data(CURL *easy, curl_infotype type, char *data, size_t n, void *arg)
{
    struct flux2_transfer *t = arg;
    (void)easy, (void)data;
    if (type == CURLINFO_DATA_IN)
        t->raw_received += n;
    return 0;
}

/* libcurl skips chunk extensions of any length and passes them to its debug function only. */
static void watch_framing(struct flux2_transfer *t)
{
    t->raw_received = 0;
    curl_easy_setopt(t->easy, CURLOPT_DEBUGFUNCTION, on_raw_data);
    curl_easy_setopt(t->easy, CURLOPT_DEBUGDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_VERBOSE, 1L);
    t->is_framed = true;
}

/* libcurl discards the body of a proxy's response to CONNECT without calling on_body, and does not return while it
 * arrives: it calls on_progress for each byte. Returns whether there were too many in one turn. */
static bool is_flooded(struct flux2_transfer *t)
{
    if (t->seen_turn != t->multi->turn) {
        t->seen_turn = t->multi->turn;
        t->calls = 0;
    }
    return ++t->calls > t->config->max_headers;
}

/* Called on received data and periodically. It limits the body of a redirect, which libcurl discards without calling
 * on_body. */
static int on_progress(void *arg, curl_off_t total, curl_off_t received, curl_off_t to_send, curl_off_t sent)
{
    struct flux2_transfer *t = arg;
    size_t n = received > 0 ? (size_t)received : 0;
    (void)total, (void)to_send, (void)sent;
    if (!t->started_body && n > t->config->max_body) {
        t->sink.limit = t->config->max_body;
        t->failure = FLUX2_FAILURE_TOO_LARGE;
    } else if (is_flooded(t)) {
        t->failure = FLUX2_FAILURE_HEADERS_TOO_LARGE;
    } else if (t->is_framed && t->raw_received / FRAMING_MAX > n + t->config->max_headers / FRAMING_MAX) {
        t->failure = FLUX2_FAILURE_HEADERS_TOO_LARGE;
    }
    return t->failure != FLUX2_FAILURE_NONE;
}

static size_t on_header(char *line, size_t one, size_t n, void *arg)
{
    struct flux2_transfer *t = arg;
    n *= one;
    flux2_headers_read(&t->headers, &t->config->traces, &t->config->secrets, line, n);
    if (is_chunked(line, n))
        watch_framing(t);
    if (t->headers.bytes <= t->config->max_headers)
        return n;
    t->failure = FLUX2_FAILURE_HEADERS_TOO_LARGE;
    return n + 1; /* any value except n ends the transfer */
}

/* Only the body of a success goes to the destination of the request; of other bodies an excerpt is kept. */
static void choose_sink(struct flux2_transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->started_body = true;
    t->sink_is_excerpt = status < 200 || status > 299;
    t->sink.path = t->sink_is_excerpt ? NULL : t->request.path;
    t->sink.durable = t->config->durable;
    t->sink.limit = t->sink_is_excerpt ? EXCERPT_MAX + EXCERPT_MORE : t->config->max_body;
    bool check = t->request.check_signature && !t->sink_is_excerpt;
    t->sink.accept = check ? t->config->accept : NULL;
    t->sink.metadata = check && t->sink.path ? t->request.metadata : NULL;
    t->sink.accept_count = check ? t->config->accept_count : 0;
}

/* Writes decoded bytes to the sink. Returns false after a failure, or once an excerpt is complete. */
static bool on_decoded(void *arg, const void *data, size_t n)
{
    struct flux2_transfer *t = arg;
    curl_off_t expected = -1;
    if (t->sink.received == 0)
        curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &expected);
    size_t take = n;
    if (t->sink_is_excerpt && take > t->sink.limit - t->sink.received)
        take = t->sink.limit - t->sink.received;
    t->failure = flux2_sink_write(&t->sink, data, take, expected > 0 ? (size_t)expected : 0);
    return t->failure == FLUX2_FAILURE_NONE && take == n;
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
    struct flux2_transfer *t = arg;
    n *= one;
    if (!t->started_body)
        choose_sink(t);
    /* any value except n ends the transfer */
    return flux2_decoder_write(&t->decoder, data, n, on_decoded, t) ? n : n + 1;
}

/* --- options -------------------------------------------------------------------------------------- */

/* Sets a string option, which libcurl copies. Returns false if out of memory: without its proxy option, for example, a
 * request would be sent directly. */
static bool set_text(CURL *e, CURLoption option, const char *text)
{
    return curl_easy_setopt(e, option, text) != CURLE_OUT_OF_MEMORY;
}

static bool set_security(CURL *e, const struct flux2_http_config *p)
{
    bool ok = set_text(e, CURLOPT_PROTOCOLS_STR, "http,https") &&
              set_text(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, p->max_redirects > 0 ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_MAXREDIRS, p->max_redirects);
    curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    return ok;
}

/* Sets the trusted certificates. Those of a proxy are separate, but libcurl calls on_tls_context for it, too. */
static bool set_certificates(struct flux2_transfer *t, bool has_tls)
{
    const struct flux2_http_config *p = t->config;
    if (!p->ca_file)
        return true;
    bool is_shared = has_tls && p->direct && flux2_ca_store_claim(&t->multi->ca, p->ca_file);
    curl_easy_setopt(t->easy, CURLOPT_SSL_CTX_FUNCTION, is_shared ? on_tls_context : NULL);
    curl_easy_setopt(t->easy, CURLOPT_SSL_CTX_DATA, t);
    /* With a CApath libcurl would parse the bundle for every connection. */
    curl_easy_setopt(t->easy, CURLOPT_CAPATH, NULL);
    return set_text(t->easy, CURLOPT_CAINFO, is_shared ? NULL : p->ca_file);
}

/* Rounds up: 0 would mean unlimited, or libcurl's default. */
static long whole(double limit)
{
    return (long)ceil(limit);
}

/* Adds SECONDS to LIMIT; 0 stays 0: unlimited. */
static double extend(double limit, double seconds)
{
    return limit > 0 ? limit + seconds : 0;
}

static void set_limits(CURL *e, const struct flux2_http_config *p, double extension)
{
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, whole(extend(p->connect_timeout, extension) * 1000));
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, whole(extend(p->request_timeout, extension) * 1000));
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    /* libcurl measures silence in whole seconds. */
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, whole(extend(p->silence_timeout, extension)));
}

/* Sets the proxy. Returns false if out of memory. */
static bool set_route(CURL *e, const struct flux2_http_config *p)
{
    /* The header lists contain the user agent; this option is for the CONNECT request to a proxy. */
    return set_text(e, CURLOPT_USERAGENT, p->direct ? NULL : p->user_agent) &&
           /* "" disables the lookup of six environment variables for each request. */
           set_text(e, CURLOPT_PROXY, p->direct ? "" : p->proxy) &&
           set_text(e, CURLOPT_NOPROXY, p->direct ? "" : p->no_proxy);
}

/* Sets the options that depend on the configuration only. Returns false if out of memory. */
static bool set_config(struct flux2_transfer *t, const struct flux2_http_config *p)
{
    CURL *e = t->easy;
    curl_easy_reset(e);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Without it, closing a handle waits for its resolver thread. */
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
#endif
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(e, CURLOPT_READDATA, t);
    curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
    curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(e, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, before_send);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
    /* Dots in a path are data, not relative segments. */
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    set_limits(e, p, 0);
    return set_route(e, p) && set_security(e, p);
}

/* Properties of a request that determine its options. */
enum { HAS_BODY = 1, HAS_PATH = 2, AT_MOST_ONCE = 4, HAS_TLS = 8, IS_SET = 16, HAS_HEADER = 32 };

static unsigned shape_of(const struct flux2_request *r)
{
    return IS_SET | (r->body || r->reader ? HAS_BODY : 0) | (r->path ? HAS_PATH : 0) |
           (r->idempotency == FLUX2_NON_IDEMPOTENT ? AT_MOST_ONCE : 0) |
           (strncmp(r->url, "https:", 6) == 0 ? HAS_TLS : 0) | (r->header ? HAS_HEADER : 0);
}

/* Returns false if out of memory. */
static bool set_shape(struct flux2_transfer *t, unsigned shape)
{
    CURL *e = t->easy;
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION,
                     shape & AT_MOST_ONCE ? (long)CURL_HTTP_VERSION_1_1 : (long)CURL_HTTP_VERSION_2TLS);
    /* Wait for a connection that can be shared instead of opening another. Without TLS no connection is shared, and
     * libcurl would wait for the response to the first request. */
    curl_easy_setopt(e, CURLOPT_PIPEWAIT, shape & HAS_TLS ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, shape & AT_MOST_ONCE ? (long)MAX_IDLE_NON_IDEMPOTENT : 118L);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, shape & HAS_PATH ? (long)BUFFER_FOR_FILES : (long)BUFFER_FOR_MEMORY);
    if (shape & HAS_BODY) {
        curl_easy_setopt(e, CURLOPT_POST, 1L);
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, shape & HAS_HEADER ? &t->own_header : t->config->body_headers);
    } else {
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, NULL);
        curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->config->headers);
    }
    t->shape = set_certificates(t, shape & HAS_TLS) ? shape : 0;
    return t->shape;
}

/* Sets the URL in parsed form: of a text libcurl makes a normalized copy for each request, which is a twelfth of all
 * instructions. If it cannot be parsed, libcurl says so when the request begins. */
static CURLcode set_url(struct flux2_transfer *t)
{
    const char *url = t->request.url;
    bool is_parsed = curl_url_set(t->url, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS) == CURLUE_OK;
    curl_easy_setopt(t->easy, CURLOPT_CURLU, is_parsed ? t->url : NULL);
    return curl_easy_setopt(t->easy, CURLOPT_URL, url);
}

static CURLcode set_request(struct flux2_transfer *t)
{
    const struct flux2_request *r = &t->request;
    unsigned shape = shape_of(r);
    if (r->header)
        t->own_header = (struct curl_slist){.data = r->header, .next = t->config->body_headers};
    if (t->shape != shape && !set_shape(t, shape))
        return CURLE_OUT_OF_MEMORY;
    if (shape & HAS_BODY) {
        /* Without a body in memory libcurl calls on_read. */
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, r->body);
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)(r->reader ? r->reader->size : r->body_size));
    }
    return set_url(t);
}

/* --- life ------------------------------------------------------------------------------------------- */

struct flux2_transfer *flux2_transfer_new(void)
{
    struct flux2_transfer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    flux2_sink_init(&t->sink);
    t->easy = curl_easy_init();
    t->url = curl_url();
    if (t->easy && t->url)
        return t;
    flux2_transfer_free(t);
    return NULL;
}

void flux2_transfer_free(struct flux2_transfer *t)
{
    if (!t)
        return;
    flux2_transfer_clear(t);
    curl_easy_cleanup(t->easy);
    curl_url_cleanup(t->url);
    flux2_http_config_release(t->config);
    free(t);
}

bool flux2_transfer_prepare(struct flux2_transfer *t, struct flux2_http_config *config,
                            const struct flux2_request *request)
{
    flux2_transfer_clear(t);
    if (t->config != config) {
        flux2_http_config_release(t->config);
        t->config = NULL; /* until all options are set */
        t->shape = 0;
        if (!set_config(t, config))
            return false;
        t->config = flux2_http_config_hold(config);
    }
    t->request = *request;
    t->sink_is_excerpt = t->started_body = false;
    t->sends = 0;
    t->gave_all = false;
    t->system_error = 0;
    t->stopped = false;
    if (t->is_framed)
        curl_easy_setopt(t->easy, CURLOPT_VERBOSE, 0L);
    t->is_framed = false;
    t->failure = FLUX2_FAILURE_NONE;
    t->memory_failures = flux2_curl_memory_failures();
    t->error[0] = '\0';
    flux2_headers_clear(&t->headers);
    return set_request(t) != CURLE_OUT_OF_MEMORY;
}

void flux2_transfer_extend(struct flux2_transfer *t, double seconds)
{
    t->extension += seconds;
    set_limits(t->easy, t->config, t->extension);
}

/* Returns whether this side ended the request before its last byte, without a response. Such a request is incomplete
 * (RFC 9112, 6.3; RFC 9113, 8.1.1): it cannot be accepted. */
static bool is_incomplete(const struct flux2_transfer *t, long status)
{
    return t->failure == FLUX2_FAILURE_INPUT && !t->gave_all && status == 0;
}

static struct flux2_outcome outcome_of(struct flux2_transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    struct flux2_outcome out = {
        .failure = t->failure,
        .status = (int)status,
        .sent = t->sends > 0 && !is_incomplete(t, status),
        .retry_after = flux2_headers_retry_after(&t->headers, time(NULL)),
    };
    return out;
}

/* Removes secrets from the error text and from text bodies. */
static void redact(struct flux2_transfer *t)
{
    const struct flux2_secrets *secrets = &t->config->secrets;
    size_t n = strlen(t->error);
    t->error[flux2_redact(t->error, n, t->error, n, secrets)] = '\0';
    if (t->sink.data && !t->sink.accept) {
        size_t cut = t->sink_is_excerpt && t->sink.received == t->sink.limit ? EXCERPT_MORE : 0;
        n = flux2_redact(t->sink.data, t->sink.received, t->sink.data, t->sink.received, secrets);
        n = n > cut ? n - cut : 0;
        t->sink.received = t->sink_is_excerpt && n > EXCERPT_MAX ? EXCERPT_MAX : n;
        t->sink.data[t->sink.received] = '\0';
    }
}

/* Whether what arrived of the body of a success may be complete: the connection broke after it, or fell silent, or more
 * followed than the limit allows. */
static bool may_be_complete(const struct flux2_transfer *t)
{
    return t->failure != FLUX2_FAILURE_MEMORY && t->sink.data && !t->sink_is_excerpt && !t->sink.accept;
}

struct flux2_outcome flux2_transfer_finish(struct flux2_transfer *t, CURLcode result)
{
    t->failure = flux2_transfer_failure(t, result);
    if (t->failure == FLUX2_FAILURE_NONE) {
        if (!t->started_body)
            choose_sink(t);
        if (flux2_decoder_finish(&t->decoder, on_decoded, t))
            t->failure = flux2_sink_finish(&t->sink);
    }
    flux2_transfer_describe_failure(t);
    if (t->failure != FLUX2_FAILURE_NONE && !t->error[0])
        snprintf(t->error, sizeof t->error, "%s", curl_easy_strerror(result));
    redact(t);
    struct flux2_outcome out = outcome_of(t);
    if (t->failure != FLUX2_FAILURE_NONE && !may_be_complete(t))
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
    flux2_decoder_clear(&t->decoder);
    memset(&t->request, 0, sizeof t->request);
    t->owner = NULL;
}
