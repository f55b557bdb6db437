/* response_reader.c - see response_reader.h. */
#include "engine/response_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/json.h"
#include "engine/classify.h"
#include "engine/response_fields.h"
#include "engine/response_text.h"

void flux2_response_clear(struct flux2_response *r)
{
    flux2_image_list_clear(&r->images);
    free(r->id);
    free(r->poll_url);
    free(r->reason);
    free(r->type);
    free(r->code);
    free(r->request_id);
    free(r->excerpt);
    *r = (struct flux2_response){.retry_after = -1};
}

/* The state of parsing one response. */
struct reading {
    const struct flux2_response_schema *schema;
    const struct flux2_response_source *source;
    const struct flux2_json_value *root; /* NULL: the body is not a JSON object or array */
    bool is_outer_status;                /* the status is at the top level: it may not be the task's */
    bool is_followed;                    /* another JSON text follows, which may be that of an accepted task */
    struct flux2_response *out;
    bool out_of_memory;
};

static bool is_submission(const struct reading *r)
{
    return r->source->kind == FLUX2_REQUEST_SUBMISSION;
}

/* --- words -------------------------------------------------------------------------------------- */

/* Returns whether STATUS is WORD. A blank in WORD matches a blank, a dash, an underscore or nothing. */
static bool is_word(const char *status, const char *word)
{
    for (; *word; word++) {
        if (*word == ' ')
            status += *status == ' ' || *status == '_' || *status == '-';
        else if (flux2_lower(*status++) != *word)
            return false;
    }
    return *status == '\0';
}

static bool is_one_of(const struct flux2_string_list *words, const char *status)
{
    size_t i;
    for (i = 0; i < words->count; i++)
        if (is_word(status, words->at[i]))
            return true;
    return false;
}

/* Returns the verdict of a task's status; UNREADABLE if it is missing or unknown. */
static enum flux2_verdict verdict_of(const struct flux2_response_schema *schema, const char *status)
{
    if (is_one_of(&schema->running, status))
        return FLUX2_VERDICT_RUNNING;
    if (is_one_of(&schema->succeeded, status))
        return FLUX2_VERDICT_SUCCEEDED;
    if (is_one_of(&schema->failed, status))
        return FLUX2_VERDICT_FAILED;
    if (is_one_of(&schema->moderated, status))
        return FLUX2_VERDICT_MODERATED;
    return is_one_of(&schema->rejected, status) ? FLUX2_VERDICT_REJECTED : FLUX2_VERDICT_UNREADABLE;
}

/* --- texts -------------------------------------------------------------------------------------- */

static void keep(struct reading *r, char **out, bool found)
{
    r->out_of_memory = r->out_of_memory || (found && !*out);
}

static void keep_sentence(struct reading *r, char **out, const struct flux2_string_list *paths)
{
    keep(r, out, flux2_field_sentence(r->schema, r->root, paths, out));
}

static void keep_code(struct reading *r, const struct flux2_string_list *paths)
{
    struct flux2_response *out = r->out;
    keep(r, &out->code,
         flux2_field_code(r->schema, r->root, paths, &out->has_code_number, &out->code_number, &out->code));
}

/* Moderation that is given apart from the error counts as its type. */
static void keep_type(struct reading *r, const struct flux2_string_list *paths)
{
    struct flux2_response *out = r->out;
    keep_sentence(r, &out->type, paths);
    if (out->type || !flux2_field_any(r->schema, r->root, &r->schema->moderation))
        return;
    out->type = strdup("moderation");
    keep(r, &out->type, true);
}

static void keep_request_id(struct reading *r)
{
    keep_sentence(r, &r->out->request_id, &r->schema->request_id);
}

static void keep_id(struct reading *r)
{
    struct flux2_response *out = r->out;
    keep(r, &out->id, flux2_field_id(r->root, &r->schema->task_id, &out->id));
    if (out->id && is_submission(r))
        keep(r, &out->poll_url, flux2_field_url(r->root, &r->schema->poll_url, r->source->url, &out->poll_url));
}

static void read_retry_after(struct reading *r)
{
    if (r->out->retry_after < 0 && !flux2_field_amount(r->root, &r->schema->retry_after, &r->out->retry_after))
        r->out->retry_after = -1;
}

/* --- verdicts ----------------------------------------------------------------------------------- */

/* Reads the images, unless VERDICT is that of a running or failed task. An image with an unknown status means that the
 * task has ended; an image of a running task is a preview or the input. */
static void read_images(struct reading *r, enum flux2_verdict verdict)
{
    if (verdict != FLUX2_VERDICT_SUCCEEDED && verdict != FLUX2_VERDICT_UNREADABLE)
        return;
    if (!flux2_image_list_read(&r->out->images, r->schema, r->root, r->source->url))
        r->out_of_memory = true;
}

static void read_credits(struct reading *r)
{
    r->out->has_credits = flux2_field_amount(r->root, &r->schema->credits, &r->out->credits);
}

static void succeed(struct reading *r)
{
    r->out->verdict = FLUX2_VERDICT_SUCCEEDED;
    r->out->has_progress = true;
    r->out->progress = 1;
    read_credits(r);
    if (r->out->images.count == 0)
        r->out->error = FLUX2_ERROR_PROTOCOL;
}

/* Sets the acceptance of a submission. */
static void accept_as(struct reading *r, enum flux2_claim claim)
{
    if (!is_submission(r))
        return;
    r->out->acceptance = flux2_classify_acceptance(r->source->outcome, claim);
    if (r->out->acceptance == FLUX2_ACCEPTANCE_UNKNOWN)
        r->out->error = FLUX2_ERROR_UNKNOWN_OUTCOME;
}

/* Handles a task that ended with VERDICT, without a result. */
static void fail(struct reading *r, enum flux2_verdict verdict)
{
    struct flux2_response *out = r->out;
    keep_sentence(r, &out->reason, &r->schema->reason);
    keep_code(r, &r->schema->reason_code);
    keep_type(r, &r->schema->reason_type);
    enum flux2_error_kind hint = flux2_classify_hint(&r->schema->hints, out->code, out->type, out->reason);
    if (verdict == FLUX2_VERDICT_FAILED && hint == FLUX2_ERROR_MODERATED)
        verdict = FLUX2_VERDICT_MODERATED;
    if (verdict == FLUX2_VERDICT_FAILED && hint == FLUX2_ERROR_REJECTED)
        verdict = FLUX2_VERDICT_REJECTED;
    out->verdict = verdict;
    out->error = verdict == FLUX2_VERDICT_MODERATED  ? FLUX2_ERROR_MODERATED
                 : verdict == FLUX2_VERDICT_REJECTED ? FLUX2_ERROR_REJECTED
                                                     : FLUX2_ERROR_TASK_FAILED;
    accept_as(r, verdict == FLUX2_VERDICT_FAILED ? FLUX2_CLAIM_NONE : FLUX2_CLAIM_REFUSAL);
}

/* Handles a 2xx response without any known field. */
static void set_unreadable(struct reading *r)
{
    struct flux2_response *out = r->out;
    out->verdict = FLUX2_VERDICT_UNREADABLE;
    out->error = FLUX2_ERROR_PROTOCOL;
    out->retryable = !is_submission(r);
    accept_as(r, FLUX2_CLAIM_NONE);
}

/* Handles a request that was refused by its status or its body. */
static void refuse(struct reading *r)
{
    struct flux2_response *out = r->out;
    bool names_task = out->id || out->images.count > 0 || r->is_followed;
    flux2_image_list_clear(&out->images);
    keep_sentence(r, &out->reason, &r->schema->error_text);
    if (!out->reason)
        keep(r, &out->reason, flux2_field_problems(r->schema, r->root, &out->reason));
    if (!out->has_code_number)
        keep_code(r, &r->schema->error_code);
    keep_type(r, &r->schema->error_type);
    read_retry_after(r);
    flux2_classify_refusal(r->schema, r->source->kind, r->source->outcome, names_task, out);
}

static bool is_refusal(const struct reading *r)
{
    return flux2_field_any(r->schema, r->root, &r->schema->refused) ||
           flux2_field_is_bad_code(r->schema, r->root, &r->schema->code);
}

/* Returns whether a failure is the request's and not the task's: {"status":"error","code":500} contains no task. */
static bool is_failed_request(const struct reading *r, enum flux2_verdict verdict)
{
    double code;
    return verdict == FLUX2_VERDICT_FAILED && r->is_outer_status && !r->out->id && is_refusal(r) &&
           flux2_field_code_number(r->root, &r->schema->error_code, &code) && flux2_classify_is_temporary(code);
}

/* Handles a 2xx response without the task. */
static void miss(struct reading *r)
{
    struct flux2_response *out = r->out;
    out->has_code_number = true;
    out->code_number = 404;
    refuse(r);
    if (out->reason)
        return;
    out->reason = strdup(out->status);
    keep(r, &out->reason, true);
}

/* Handles a 2xx response to a poll. */
static void judge_task(struct reading *r)
{
    struct flux2_response *out = r->out;
    if (is_one_of(&r->schema->missing, out->status)) {
        miss(r);
        return;
    }
    enum flux2_verdict verdict = verdict_of(r->schema, out->status);
    if (verdict > FLUX2_VERDICT_SUCCEEDED)
        keep_id(r);
    if (verdict > FLUX2_VERDICT_SUCCEEDED && !is_failed_request(r, verdict)) {
        fail(r, verdict);
        return;
    }
    read_images(r, verdict);
    /* An error code does not invalidate a success with an image; without the success word the refusal counts. */
    if ((out->images.count == 0 || verdict != FLUX2_VERDICT_SUCCEEDED) && is_refusal(r))
        refuse(r);
    else if (out->images.count > 0 || verdict == FLUX2_VERDICT_SUCCEEDED)
        succeed(r);
    else if (out->status[0])
        out->verdict = FLUX2_VERDICT_RUNNING;
    else
        set_unreadable(r);
}

/* Handles a 2xx response to a submission. Its status is unreliable: "success" often means "accepted", and only an image
 * means that the task has ended. With an id the task can be polled. */
static void judge_submission(struct reading *r)
{
    struct flux2_response *out = r->out;
    enum flux2_verdict verdict = verdict_of(r->schema, out->status);
    bool is_refused = is_refusal(r);
    keep_id(r);
    read_images(r, verdict);
    if (out->images.count > 0 && (!is_refused || verdict == FLUX2_VERDICT_SUCCEEDED)) {
        succeed(r);
        accept_as(r, FLUX2_CLAIM_TASK);
    } else if (out->id && (!is_refused || verdict == FLUX2_VERDICT_RUNNING || verdict == FLUX2_VERDICT_SUCCEEDED)) {
        out->verdict = FLUX2_VERDICT_RUNNING;
        read_credits(r);
        accept_as(r, FLUX2_CLAIM_TASK);
    } else if (is_refused) {
        refuse(r);
    } else if (verdict > FLUX2_VERDICT_SUCCEEDED) {
        fail(r, verdict);
    } else {
        set_unreadable(r);
    }
}

/* --- the response -------------------------------------------------------------------------------- */

static const char *fault_text(enum flux2_json_error fault, size_t size)
{
    if (fault == FLUX2_JSON_TOO_MANY_VALUES)
        return "it holds more than 100000 values, or is nested too deeply";
    if (fault == FLUX2_JSON_MALFORMED)
        return size > 0 ? "it is not JSON" : "it is empty";
    return "it is no JSON object";
}

/* A status inside of the task precedes one at the top level, which may be the envelope's. */
static void read_status(struct reading *r)
{
    const char *path = flux2_field_status(r->root, &r->schema->status, r->out->status);
    r->is_outer_status = path && !strchr(path, '.');
    if ((!path || r->is_outer_status) && flux2_field_status_number(r->schema, r->root, r->out->status))
        r->is_outer_status = false;
}

static void judge(struct reading *r)
{
    const struct flux2_response_source *s = r->source;
    struct flux2_response *out = r->out;
    read_status(r);
    out->has_progress = flux2_field_progress(r->root, &r->schema->progress, &out->progress);
    if (!flux2_is_success_status(s->outcome->status)) {
        if (is_submission(r))
            keep_id(r);
        refuse(r);
    } else if (!r->root) {
        set_unreadable(r);
    } else if (is_submission(r)) {
        judge_submission(r);
    } else {
        judge_task(r);
    }
    if (out->error == FLUX2_ERROR_NONE)
        return;
    keep_request_id(r);
    if (!out->reason && !r->root)
        keep(r, &out->excerpt, flux2_response_excerpt(s->content_type, s->body, s->size, &out->form, &out->excerpt));
    else
        out->form = FLUX2_BODY_JSON;
}

bool flux2_response_read(const struct flux2_response_schema *schema, const struct flux2_response_source *source,
                         struct flux2_response *response)
{
    struct flux2_json document;
    struct reading r = {.schema = schema, .source = source, .out = response};
    *response = (struct flux2_response){.retry_after = source->outcome->retry_after,
                                        .status_code = source->outcome->status};
    enum flux2_json_error fault = flux2_json_read(&document, source->body, source->size);
    const struct flux2_json_value *root = flux2_json_root(&document);
    if (root && (root->type == FLUX2_JSON_OBJECT || root->type == FLUX2_JSON_ARRAY))
        r.root = root;
    else
        response->fault = fault_text(fault, source->size);
    r.is_followed = document.is_followed;
    r.out_of_memory = fault == FLUX2_JSON_NO_MEMORY;
    if (!r.out_of_memory)
        judge(&r);
    flux2_json_free(&document);
    if (r.out_of_memory)
        flux2_response_clear(response);
    return !r.out_of_memory;
}
