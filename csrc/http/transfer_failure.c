/* transfer_failure.c - why a transfer failed, see transfer.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http/curl_memory.h"
#include "http/transfer.h"
#include "platform/file.h"
#include "platform/socket.h"

static enum flux2_failure classify(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return FLUX2_FAILURE_NONE;
    case CURLE_COULDNT_RESOLVE_PROXY:
        return FLUX2_FAILURE_RESOLVE_PROXY;
    case CURLE_COULDNT_RESOLVE_HOST:
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

/* Adds the system's reason for a failed connection: "Too many open files", for example, is not the server's fault. */
static void append_cause(struct flux2_transfer *t)
{
    long code = 0;
    size_t n = strlen(t->error);
    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &code);
    const char *cause = t->system_error != 0 ? strerror(t->system_error) : flux2_socket_reason((int)code);
    if (t->system_error != 0 || code != 0)
        snprintf(t->error + n, sizeof t->error - n, "%s%s", n > 0 ? ": " : "", cause);
}

/* Returns whether a limit of libcurl on header lines caused RESULT. There is no separate code for it. */
static bool is_long_line(const struct flux2_transfer *t, CURLcode result)
{
    if (result == (CURLcode)100) /* CURLE_TOO_LARGE, since 8.6 */
        return true;
    if (result == CURLE_OUT_OF_MEMORY && !t->started_body)
        return flux2_curl_memory_is_watched() && t->memory_failures == flux2_curl_memory_failures();
    return strncmp(t->error, "Too large response headers", 26) == 0 ||
           strncmp(t->error, "Out of memory in chunked", 24) == 0;
}

/* libcurl's message contains the proxy's address with its password. */
static bool is_bad_proxy(const struct flux2_transfer *t)
{
    return strncmp(t->error, "Unsupported proxy", 17) == 0;
}

enum flux2_failure flux2_transfer_failure(struct flux2_transfer *t, CURLcode result)
{
    if (t->failure != FLUX2_FAILURE_NONE)
        return t->failure;
    /* A truncated excerpt belongs to an HTTP error, which the status describes. */
    if (result == CURLE_WRITE_ERROR && t->sink_is_excerpt)
        return FLUX2_FAILURE_NONE;
    if (t->decoder.state == FLUX2_DECODER_STARVED)
        return FLUX2_FAILURE_MEMORY;
    if (result != CURLE_OK && is_bad_proxy(t)) {
        snprintf(t->error, sizeof t->error, "its URL is malformed or not supported by libcurl");
        return FLUX2_FAILURE_PROXY;
    }
    if (result == CURLE_SSL_CACERT_BADFILE)
        snprintf(t->error, sizeof t->error, "no certificates in the file %s", t->config->ca_file);
    if (result != CURLE_OK && is_long_line(t, result))
        return FLUX2_FAILURE_HEADERS_TOO_LARGE;
    enum flux2_failure failure = classify(result);
    /* "Unsupported" after the request was sent: a redirect to another protocol, or the response is not HTTP. */
    if (failure == FLUX2_FAILURE_PROTOCOL && t->sends > 0)
        return t->headers.location[0] ? FLUX2_FAILURE_REDIRECT : FLUX2_FAILURE_NETWORK;
    return failure;
}

void flux2_transfer_describe_failure(struct flux2_transfer *t)
{
    if (t->stopped)
        snprintf(t->error, sizeof t->error, "the connection broke after the request was sent");
    switch (t->failure) {
    case FLUX2_FAILURE_NONE:
        t->error[0] = '\0'; /* libcurl may have written about an address that failed before another succeeded */
        break;
    case FLUX2_FAILURE_HEADERS_TOO_LARGE:
        if (t->headers.bytes <= t->config->max_headers && t->config->max_headers > CURL_MAX_HTTP_HEADER)
            snprintf(t->error, sizeof t->error, "libcurl limits header lines to %d bytes", CURL_MAX_HTTP_HEADER);
        else
            snprintf(t->error, sizeof t->error, "the headers exceed %zu bytes", t->config->max_headers);
        break;
    case FLUX2_FAILURE_TOO_LARGE:
        snprintf(t->error, sizeof t->error, "the body exceeds %zu bytes", t->sink.limit);
        break;
    case FLUX2_FAILURE_IO:
        snprintf(t->error, sizeof t->error, "%s", flux2_file_reason(t->sink.error));
        break;
    case FLUX2_FAILURE_INPUT:
        snprintf(t->error, sizeof t->error, "%s", t->request.reader->error);
        break;
    case FLUX2_FAILURE_MEMORY:
        snprintf(t->error, sizeof t->error, "%s", strerror(ENOMEM));
        break;
    case FLUX2_FAILURE_SIGNATURE:
        snprintf(t->error, sizeof t->error, "the first bytes match no accepted signature");
        break;
    case FLUX2_FAILURE_TRUNCATED:
        snprintf(t->error, sizeof t->error, "the image is truncated after %zu bytes", t->sink.received);
        break;
    case FLUX2_FAILURE_CONNECT:
        append_cause(t);
        break;
    case FLUX2_FAILURE_NETWORK:
        if (t->decoder.state == FLUX2_DECODER_DAMAGED)
            snprintf(t->error, sizeof t->error, "the compressed body is damaged");
        break;
    default:
        break;
    }
}
