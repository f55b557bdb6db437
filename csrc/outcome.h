/* outcome.h - how one HTTP exchange ended, in words that every room above shares.
 *
 * Owns: the list of failures and their names. Never: decides what follows from one (schedule.c does). */
#ifndef FLUX2_OUTCOME_H
#define FLUX2_OUTCOME_H

#include <stdbool.h>

/* One list makes the enum and the names that Lua sees. */
#define FLUX2_FAILURES(X)                                                                                    \
    X(NONE, "none")                           /* there is an HTTP answer; its status says the rest */        \
    X(RESOLVE, "resolve")                     /* the host name (or the proxy's) was not found */             \
    X(CONNECT, "connect")                     /* nobody answered there */                                    \
    X(TLS, "tls")                             /* the handshake or the certificate failed */                  \
    X(TIMEOUT, "timeout")                     /* one of the deadlines passed */                              \
    X(NETWORK, "network")                     /* the connection broke, or what came was not HTTP */          \
    X(TOO_LARGE, "too_large")                 /* the body passed its limit */                                \
    X(HEADERS_TOO_LARGE, "headers_too_large") /* the headers passed theirs */                                \
    X(IO, "io")                               /* the file could not be written */                            \
    X(MEMORY, "memory")                       /* there was none to be had for it */                          \
    X(CANCELLED, "cancelled")                 /* by the caller */                                            \
    X(SIGNATURE, "signature")                 /* the first bytes are none of those that are accepted */      \
    X(PROTOCOL, "protocol")                   /* an answer that cannot be used, or a URL that is none */     \
    X(REDIRECT, "redirect")                   /* a redirect that is not followed */                          \
    X(CLOSED, "closed")                       /* the engine ended first */

enum flux2_failure {
#define X(name, word) FLUX2_FAILURE_##name,
    FLUX2_FAILURES(X)
#undef X
};

/* Of a status text with its NUL; a longer one is cut. */
enum { FLUX2_STATUS_MAX = 64 };

struct flux2_outcome {
    enum flux2_failure failure;
    int status;         /* HTTP status of the last answer, 0 without one */
    bool sent;          /* the request may have reached the server */
    double retry_after; /* seconds the server asked for, < 0 if it did not */
};

#endif
