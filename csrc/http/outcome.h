/* outcome.h - how one HTTP request ended. */
#ifndef FLUX2_HTTP_OUTCOME_H
#define FLUX2_HTTP_OUTCOME_H

#include <stdbool.h>

/* One list for the enum and the names in Lua. */
#define FLUX2_FAILURES(X)                                                                                              \
    X(NONE, "none")                           /* there is an HTTP response */                                          \
    X(RESOLVE, "resolve")                     /* the host name was not found */                                        \
    X(RESOLVE_PROXY, "resolve_proxy")         /* the proxy's host name was not found */                                \
    X(CONNECT, "connect")                     /* no connection could be established */                                 \
    X(TLS, "tls")                             /* the handshake or the certificate failed */                            \
    X(TIMEOUT, "timeout")                     /* one of the deadlines passed */                                        \
    X(NETWORK, "network")                     /* the connection broke, or the response is not HTTP */                  \
    X(TOO_LARGE, "too_large")                 /* the body is larger than its limit */                                  \
    X(HEADERS_TOO_LARGE, "headers_too_large") /* the headers are larger than their limit */                            \
    X(IO, "io")                               /* the file could not be written */                                      \
    X(INPUT, "input")                         /* the body of the request could not be read */                          \
    X(MEMORY, "memory")                       /* out of memory */                                                      \
    X(CANCELLED, "cancelled")                 /* cancelled by the caller */                                            \
    X(SIGNATURE, "signature")                 /* the first bytes match no accepted signature */                        \
    X(TRUNCATED, "truncated")                 /* the body is complete, the image in it is not */                       \
    X(PROXY, "proxy")                         /* the address of the proxy is invalid */                                \
    X(PROTOCOL, "protocol")                   /* the response is unusable, or the URL is invalid */                    \
    X(REDIRECT, "redirect")                   /* a redirect was not followed */

enum flux2_failure {
#define X(name, word) FLUX2_FAILURE_##name,
    FLUX2_FAILURES(X)
#undef X
};

/* Whether a request may be sent again. */
enum flux2_idempotency {
    FLUX2_NON_IDEMPOTENT, /* sent again only if the server certainly did not process it */
    FLUX2_IDEMPOTENT,     /* may be sent again */
};

static inline bool flux2_is_success_status(int status)
{
    return status >= 200 && status <= 299;
}

/* The result of one request, without its body. */
struct flux2_outcome {
    enum flux2_failure failure; /* NONE: there is a response */
    int status;                 /* HTTP status of the last response, 0 without one */
    bool sent;                  /* the whole request may have reached the server */
    double retry_after;         /* seconds of Retry-After, below 0 without it */
    bool slow_down;             /* the server asked for fewer requests (429); set by the response reader's caller */
};

#endif
