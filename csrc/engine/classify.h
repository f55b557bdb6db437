/* classify.h - the classification of a finished request: the kind of error, whether a submission was accepted, and
 * whether the request may be sent again. Only this file decides that. Pure functions; any thread. */
#ifndef FLUX2_ENGINE_CLASSIFY_H
#define FLUX2_ENGINE_CLASSIFY_H

#include <stdbool.h>

#include "engine/response.h"
#include "engine/response_schema.h"
#include "http/outcome.h"

/* What the body of a response to a submission says. */
enum flux2_claim {
    FLUX2_CLAIM_NONE,    /* nothing, an error of the service, or an error without a known cause */
    FLUX2_CLAIM_TASK,    /* it contains a task id or an image */
    FLUX2_CLAIM_DOUBT,   /* it contains both a task id and an error, or the request was cut off (408, 499) */
    FLUX2_CLAIM_REFUSAL, /* an error caused by the request or the account */
    FLUX2_CLAIMS
};

/* Returns whether a submission with an HTTP response was accepted: REFUSED only if the response proves that no task was
 * created. */
enum flux2_acceptance flux2_classify_acceptance(const struct flux2_outcome *outcome, enum flux2_claim claim);

/* Classifies a request that was refused by its HTTP status or body. RESPONSE holds reason, code and type; sets its
 * verdict, error, retryable, acceptance and status_code. NAMES_TASK: a response to a submission contains a task id or
 * an image nevertheless. */
void flux2_classify_refusal(const struct flux2_response_schema *schema, enum flux2_request_kind kind,
                            const struct flux2_outcome *outcome, bool names_task, struct flux2_response *response);

/* Classifies a request without an HTTP response: sets the same members of RESPONSE, which is empty. */
void flux2_classify_failure(enum flux2_request_kind kind, const struct flux2_outcome *outcome,
                            struct flux2_response *response);

/* Returns whether NUMBER, an HTTP status or an equivalent code, is a temporary error. */
bool flux2_classify_is_temporary(double number);

/* Returns the kind of the first hint with a word in one of the texts, which may be NULL; NONE without a match. */
enum flux2_error_kind flux2_classify_hint(const struct flux2_hint_list *hints, const char *code, const char *type,
                                          const char *message);

/* Returns whether a request other than a poll may be sent again: a submission only if the service certainly did not
 * accept it. The number of attempts is not considered. RESPONSE is classified by a function above or by the response
 * reader. */
bool flux2_classify_may_retry(enum flux2_request_kind kind, const struct flux2_outcome *outcome,
                              const struct flux2_response *response);

/* Returns whether the image of a failed download may be there later, perhaps at another URL: storage may be late with
 * it, and links expire. */
bool flux2_classify_may_appear(const struct flux2_outcome *outcome, const struct flux2_response *response);

#endif
