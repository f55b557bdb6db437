/* error_kind.h - the kinds of errors, by the words that Lua knows them by (flux2.errors). */
#ifndef FLUX2_ENGINE_ERROR_KIND_H
#define FLUX2_ENGINE_ERROR_KIND_H

/* One list makes the enum and the words. */
#define FLUX2_ERROR_KINDS(X)                                                                                           \
    X(NONE, "none")                                                                                                    \
    X(INVALID_REQUEST, "invalid_request")                                                                              \
    X(AUTH, "auth")                                                                                                    \
    X(CREDITS, "credits")                                                                                              \
    X(RATE_LIMITED, "rate_limited")                                                                                    \
    X(NOT_FOUND, "not_found")                                                                                          \
    X(REJECTED, "rejected")                                                                                            \
    X(TASK_FAILED, "task_failed")                                                                                      \
    X(SERVER, "server")                                                                                                \
    X(NETWORK, "network")                                                                                              \
    X(TLS, "tls")                                                                                                      \
    X(TIMEOUT, "timeout")                                                                                              \
    X(CANCELLED, "cancelled")                                                                                          \
    X(MODERATED, "moderated")                                                                                          \
    X(TOO_LARGE, "too_large")                                                                                          \
    X(NOT_AN_IMAGE, "not_an_image")                                                                                    \
    X(PROTOCOL, "protocol")                                                                                            \
    X(UNKNOWN_OUTCOME, "unknown_outcome")                                                                              \
    X(IO, "io")

enum flux2_error_kind {
#define X(name, word) FLUX2_ERROR_##name,
    FLUX2_ERROR_KINDS(X)
#undef X
};

#endif
