/* classify.c - see classify.h. */
#include "engine/classify.h"

#include <math.h>
#include <string.h>

#include "base/text_span.h"

bool flux2_classify_is_temporary(double number)
{
    if (number == 408 || number == 425 || number == 429)
        return true;
    return number >= 500 && number <= 599 && number != 501 && number != 505;
}

/* Returns the error of NUMBER: an HTTP status, or a code of any value in its place. */
static enum flux2_error_kind kind_of_number(double number)
{
    int whole = number == floor(number) && number >= 0 && number <= 999 ? (int)number : 0;
    switch (whole) {
    case 400:
    case 413:
    case 414:
    case 415:
        return FLUX2_ERROR_INVALID_REQUEST;
    case 401:
    case 403:
        return FLUX2_ERROR_AUTH;
    case 402:
        return FLUX2_ERROR_CREDITS;
    case 404:
    case 410:
        return FLUX2_ERROR_NOT_FOUND;
    case 405:
    case 406:
        return FLUX2_ERROR_PROTOCOL;
    case 408:
        return FLUX2_ERROR_TIMEOUT;
    case 425:
        return FLUX2_ERROR_SERVER;
    case 429:
        return FLUX2_ERROR_RATE_LIMITED;
    }
    if (number >= 500 && number <= 599)
        return FLUX2_ERROR_SERVER;
    return number >= 400 && number <= 499 ? FLUX2_ERROR_REJECTED : FLUX2_ERROR_PROTOCOL;
}

/* Returns whether the text may be more precise than the status NUMBER, unlike with 401, 402 and 404. */
static bool is_vague(double number)
{
    return number == 400 || number == 403 || number == 409 || number == 422 || number == 451 || number < 400 ||
           number > 599;
}

/* --- hints -------------------------------------------------------------------------------------- */

static bool holds(const char *text, const char *word)
{
    return text && flux2_find_word(text, strlen(text), word);
}

enum flux2_error_kind flux2_classify_hint(const struct flux2_hint_list *hints, const char *code, const char *type,
                                          const char *message)
{
    size_t i, k;
    for (i = 0; i < hints->count; i++) {
        const struct flux2_string_list *words = &hints->at[i].words;
        for (k = 0; k < words->count; k++)
            if (holds(code, words->at[k]) || holds(type, words->at[k]) || holds(message, words->at[k]))
                return hints->at[i].kind;
    }
    return FLUX2_ERROR_NONE;
}

/* --- submissions -------------------------------------------------------------------------------- */

enum http_class {
    HTTP_SUCCESS,
    HTTP_MOVED,    /* 301, 307, 308: the request must be sent to another URL, so it was not processed */
    HTTP_REDIRECT, /* other redirects, such as 303, may lead to the created task */
    HTTP_REFUSED,  /* 400 to 498 except 408 */
    HTTP_BUSY,     /* 503 with Retry-After */
    HTTP_OPEN,     /* the request may have been processed: 500 etc., 408, 499 */
    HTTP_CLASSES
};

static enum http_class http_class_of(const struct flux2_outcome *o)
{
    if (flux2_is_success_status(o->status))
        return HTTP_SUCCESS;
    if (o->status == 301 || o->status == 307 || o->status == 308)
        return HTTP_MOVED;
    if (o->status >= 300 && o->status <= 399)
        return HTTP_REDIRECT;
    if (o->status >= 400 && o->status <= 498 && o->status != 408)
        return HTTP_REFUSED;
    return o->status == 503 && o->retry_after >= 0 ? HTTP_BUSY : HTTP_OPEN;
}

enum flux2_acceptance flux2_classify_acceptance(const struct flux2_outcome *o, enum flux2_claim claim)
{
#define A FLUX2_ACCEPTANCE_ACCEPTED
#define R FLUX2_ACCEPTANCE_REFUSED
#define U FLUX2_ACCEPTANCE_UNKNOWN
    static const enum flux2_acceptance table[HTTP_CLASSES][FLUX2_CLAIMS] = {
        /* the body's claim: NONE, TASK, DOUBT, REFUSAL */
        [HTTP_SUCCESS] = {U, A, U, R}, [HTTP_MOVED] = {R, U, U, R}, [HTTP_REDIRECT] = {U, U, U, U},
        [HTTP_REFUSED] = {R, U, U, R}, [HTTP_BUSY] = {R, U, U, R},  [HTTP_OPEN] = {U, U, U, U},
    };
#undef A
#undef R
#undef U
    return table[http_class_of(o)][claim];
}

/* Returns the claim of a body without a task: by its code, else by its words. */
static enum flux2_claim claim_of_refusal(const struct flux2_response_schema *schema, const struct flux2_response *r)
{
    double number = r->code_number;
    if (r->has_code_number && (number == 408 || number == 499))
        return FLUX2_CLAIM_DOUBT;
    if (r->has_code_number)
        return number >= 400 && number <= 499 ? FLUX2_CLAIM_REFUSAL : FLUX2_CLAIM_NONE;
    if (flux2_classify_hint(&schema->hints, r->code, r->type, r->reason) != FLUX2_ERROR_NONE)
        return FLUX2_CLAIM_REFUSAL;
    enum flux2_error_kind hint = flux2_classify_hint(&schema->type_hints, r->code, r->type, NULL);
    return hint == FLUX2_ERROR_NONE || hint == FLUX2_ERROR_SERVER ? FLUX2_CLAIM_NONE : FLUX2_CLAIM_REFUSAL;
}

/* --- refusals ----------------------------------------------------------------------------------- */

/* Sets *NUMBER to the status, or to the code in the body if the status is a success or 400. Returns false if neither is
 * an error. */
static bool deciding_number(int status, const struct flux2_response *r, double *number)
{
    double code = r->has_code_number ? r->code_number : 0;
    bool code_counts = r->has_code_number &&
                       (flux2_is_success_status(status) || (status == 400 && code > 400 && code < 500));
    *number = code_counts ? code : status;
    return code_counts || !flux2_is_success_status(status);
}

static bool is_gone(int status)
{
    return status == 401 || status == 403 || status == 404 || status == 410;
}

/* Returns the error of a refusal without a number. */
static enum flux2_error_kind kind_of_words(const struct flux2_response_schema *schema, enum flux2_request_kind kind,
                                           struct flux2_response *r)
{
    enum flux2_error_kind hint = flux2_classify_hint(&schema->type_hints, r->code, r->type, NULL);
    r->retryable = hint == FLUX2_ERROR_RATE_LIMITED || hint == FLUX2_ERROR_SERVER;
    if (hint != FLUX2_ERROR_NONE)
        return hint;
    return kind == FLUX2_REQUEST_SUBMISSION ? FLUX2_ERROR_REJECTED : FLUX2_ERROR_TASK_FAILED;
}

static enum flux2_error_kind kind_of_refusal(const struct flux2_response_schema *schema, enum flux2_request_kind kind,
                                             bool has_number, double number, struct flux2_response *r)
{
    enum flux2_error_kind hint = flux2_classify_hint(&schema->hints, r->code, r->type, r->reason);
    if (hint != FLUX2_ERROR_NONE && (!has_number || is_vague(number)))
        return hint;
    /* OpenAI-compatible services report a spent quota as 429; waiting does not help. */
    if (has_number && number == 429 && hint == FLUX2_ERROR_CREDITS)
        return hint;
    if (!has_number)
        return kind_of_words(schema, kind, r);
    r->retryable = flux2_classify_is_temporary(number);
    return kind_of_number(number);
}

void flux2_classify_refusal(const struct flux2_response_schema *schema, enum flux2_request_kind kind,
                            const struct flux2_outcome *o, bool names_task, struct flux2_response *r)
{
    double number;
    bool has_number = deciding_number(o->status, r, &number);
    r->verdict = FLUX2_VERDICT_REFUSED;
    r->retryable = false;
    r->status_code = number;
    r->acceptance = FLUX2_ACCEPTANCE_NONE;
    if (kind == FLUX2_REQUEST_SUBMISSION)
        r->acceptance = flux2_classify_acceptance(o, names_task ? FLUX2_CLAIM_DOUBT : claim_of_refusal(schema, r));
    if (r->acceptance == FLUX2_ACCEPTANCE_UNKNOWN) {
        r->error = FLUX2_ERROR_UNKNOWN_OUTCOME;
    } else if (kind == FLUX2_REQUEST_DOWNLOAD && is_gone(o->status)) {
        r->error = FLUX2_ERROR_NOT_FOUND;
    } else {
        r->error = kind_of_refusal(schema, kind, has_number, number, r);
    }
}

/* --- failures ----------------------------------------------------------------------------------- */

static enum flux2_error_kind kind_of_failure(enum flux2_failure failure)
{
    switch (failure) {
    case FLUX2_FAILURE_RESOLVE:
    case FLUX2_FAILURE_CONNECT:
    case FLUX2_FAILURE_RESOLVE_PROXY:
    case FLUX2_FAILURE_NETWORK:
        return FLUX2_ERROR_NETWORK;
    case FLUX2_FAILURE_PROXY:
        return FLUX2_ERROR_INVALID_REQUEST;
    case FLUX2_FAILURE_TLS:
        return FLUX2_ERROR_TLS;
    case FLUX2_FAILURE_TIMEOUT:
        return FLUX2_ERROR_TIMEOUT;
    case FLUX2_FAILURE_TOO_LARGE:
    case FLUX2_FAILURE_HEADERS_TOO_LARGE:
        return FLUX2_ERROR_TOO_LARGE;
    case FLUX2_FAILURE_IO:
    case FLUX2_FAILURE_INPUT:
    case FLUX2_FAILURE_MEMORY:
        return FLUX2_ERROR_IO;
    case FLUX2_FAILURE_CANCELLED:
        return FLUX2_ERROR_CANCELLED;
    case FLUX2_FAILURE_SIGNATURE:
    case FLUX2_FAILURE_TRUNCATED:
        return FLUX2_ERROR_NOT_AN_IMAGE;
    default:
        return FLUX2_ERROR_PROTOCOL;
    }
}

void flux2_classify_failure(enum flux2_request_kind kind, const struct flux2_outcome *o, struct flux2_response *r)
{
    bool is_submission = kind == FLUX2_REQUEST_SUBMISSION;
    r->verdict = FLUX2_VERDICT_NONE;
    r->error = kind_of_failure(o->failure);
    r->status_code = o->status;
    r->acceptance = !is_submission ? FLUX2_ACCEPTANCE_NONE
                    : o->sent      ? FLUX2_ACCEPTANCE_UNKNOWN
                                   : FLUX2_ACCEPTANCE_REFUSED;
    if (r->acceptance == FLUX2_ACCEPTANCE_UNKNOWN && o->failure != FLUX2_FAILURE_CANCELLED)
        r->error = FLUX2_ERROR_UNKNOWN_OUTCOME;
    r->retryable = r->error == FLUX2_ERROR_NETWORK || r->error == FLUX2_ERROR_TIMEOUT;
}

/* --- retries -------------------------------------------------------------------------------------- */

/* Returns whether a failed request may be sent again: a submission only if it was not sent. */
static bool may_repeat_failure(bool is_submission, const struct flux2_outcome *o)
{
    switch (o->failure) {
    case FLUX2_FAILURE_RESOLVE:
    case FLUX2_FAILURE_RESOLVE_PROXY:
    case FLUX2_FAILURE_CONNECT:
    case FLUX2_FAILURE_TIMEOUT:
    case FLUX2_FAILURE_NETWORK:
    case FLUX2_FAILURE_TLS: /* seldom temporary, but polls wait for paid tasks */
        return !is_submission || !o->sent;
    case FLUX2_FAILURE_TRUNCATED:
        return true;
    case FLUX2_FAILURE_MEMORY:
        /* Memory may become available for polls of a paid task. Whether to submit again is the caller's decision. */
        return !is_submission;
    default:
        return false;
    }
}

bool flux2_classify_may_retry(enum flux2_request_kind kind, const struct flux2_outcome *o,
                              const struct flux2_response *r)
{
    bool is_submission = kind == FLUX2_REQUEST_SUBMISSION;
    if (o->failure != FLUX2_FAILURE_NONE)
        return may_repeat_failure(is_submission, o);
    if (r->verdict != FLUX2_VERDICT_REFUSED)
        return false;
    if (!is_submission) /* also with a spent quota: the task is paid */
        return flux2_classify_is_temporary(r->status_code);
    bool may_wait = r->status_code == 429 || (o->status == 503 && o->retry_after >= 0);
    return r->acceptance == FLUX2_ACCEPTANCE_REFUSED && may_wait && r->retryable;
}

bool flux2_classify_may_appear(const struct flux2_outcome *o, const struct flux2_response *r)
{
    if (o->failure == FLUX2_FAILURE_NONE)
        return !flux2_is_success_status(o->status);
    return o->failure == FLUX2_FAILURE_SIGNATURE || flux2_classify_may_retry(FLUX2_REQUEST_DOWNLOAD, o, r);
}
