/* response.h - an HTTP response as a struct, made by response_reader.c. Everything above uses this struct only. */
#ifndef FLUX2_ENGINE_RESPONSE_H
#define FLUX2_ENGINE_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/error_kind.h"
#include "engine/image_list.h"

/* The kind of request. */
enum flux2_request_kind {
    FLUX2_REQUEST_DOWNLOAD,   /* downloads an image: its body is parsed only if the status is no success */
    FLUX2_REQUEST_TASK,       /* queries a task: a poll, a refresh */
    FLUX2_REQUEST_SUBMISSION, /* starts a task, which costs credits; never sent twice */
};

#define FLUX2_VERDICTS(X)                                                                                              \
    X(NONE, "none")             /* there is no HTTP response */                                                        \
    X(UNREADABLE, "unreadable") /* a success without JSON, or without any known field */                               \
    X(RUNNING, "running")       /* the task is running */                                                              \
    X(SUCCEEDED, "succeeded")   /* the task ended well; without an image that is an error */                           \
    X(FAILED, "failed")         /* the task ended without a result */                                                  \
    X(MODERATED, "moderated")   /* the task failed because of moderation */                                            \
    X(REJECTED, "rejected")     /* the task failed because of its request */                                           \
    X(REFUSED, "refused")       /* the request was refused, by its status or in its body */

enum flux2_verdict {
#define X(name, word) FLUX2_VERDICT_##name,
    FLUX2_VERDICTS(X)
#undef X
};

/* The result of a submission. */
#define FLUX2_ACCEPTANCES(X)                                                                                           \
    X(NONE, "none")         /* not a submission */                                                                     \
    X(ACCEPTED, "accepted") /* the service has the task */                                                             \
    X(REFUSED, "refused")   /* it certainly does not have the task */                                                  \
    X(UNKNOWN, "unknown")   /* it may have the task; the submission is never sent again */

enum flux2_acceptance {
#define X(name, word) FLUX2_ACCEPTANCE_##name,
    FLUX2_ACCEPTANCES(X)
#undef X
};

/* The format of an error's body, for its message. */
#define FLUX2_BODY_FORMS(X) X(EMPTY, "empty") X(JSON, "json") X(HTML, "html") X(XML, "xml") X(TEXT, "text")

enum flux2_body_form {
#define X(name, word) FLUX2_BODY_##name,
    FLUX2_BODY_FORMS(X)
#undef X
};

enum {
    FLUX2_ID_MAX = 512,
    FLUX2_POLL_URL_MAX = 2048, /* bytes */
    FLUX2_STATUS_MAX = 64,     /* size of a status text with its NUL; longer ones are truncated */
};

/* Owned by its caller, who clears it. */
struct flux2_response {
    enum flux2_verdict verdict;
    enum flux2_acceptance acceptance;
    enum flux2_error_kind error; /* NONE: no error */
    bool retryable;              /* the same request may succeed later */
    double status_code;          /* the HTTP status, or the code in the body that replaces it */
    double retry_after;          /* seconds of Retry-After, from header or body; below 0: none */

    char status[FLUX2_STATUS_MAX]; /* the task's status, "": none; control characters become "?" */
    bool has_progress;
    double progress; /* 0 to 1 */
    bool has_credits;
    double credits;                 /* the price of the task; of a success, or an accepted submission */
    struct flux2_image_list images; /* only of a success */

    /* Texts, owned; NULL: missing. Those from the server are valid UTF-8 and bounded, but may contain control
     * characters. */
    char *id;       /* of the task */
    char *poll_url; /* where the task is polled, with an id; any URL */
    char *reason;   /* the error message */
    char *type;     /* the error type */
    char *code;     /* the error code, if it is no number */
    bool has_code_number;
    double code_number; /* the error code, if it is a number */
    char *request_id;
    enum flux2_body_form form;
    char *excerpt;     /* the beginning of an error's body that is not JSON */
    const char *fault; /* why the body is not usable JSON; static */
};

/* Frees what RESPONSE owns; it is empty then. */
void flux2_response_clear(struct flux2_response *response);

#endif
