/* job.c - see job.h. */
#include "engine/job.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_span.h"
#include "engine/classify.h"
#include "engine/response_reader.h"

/* Bytes of a body in a REQUEST event. A poll's response has a few hundred, unless it contains the image. */
enum { OBSERVED_MAX = 16 * 1024 };

/* --- making and freeing ------------------------------------------------------------------------- */

bool flux2_job_copy(char **out, const char *text)
{
    *out = text ? strdup(text) : NULL;
    return !text || *out;
}

bool flux2_job_copy_body(char **out, const char *data, size_t size)
{
    *out = data ? flux2_text_copy(data, size) : NULL;
    return !data || *out;
}

void *flux2_job_new(size_t size, const struct flux2_job_type *type, uint64_t id, struct flux2_profile *profile,
                    const char *url, double seconds)
{
    struct flux2_job *j = calloc(1, size);
    if (!j)
        return NULL;
    j->type = type;
    j->id = id;
    j->lane = FLUX2_LANE_OTHERS;
    j->profile = profile ? flux2_profile_hold(profile) : NULL;
    j->deadline = seconds > 0 ? seconds : INFINITY;
    if (flux2_job_copy(&j->url, url))
        return j;
    flux2_job_free(j);
    return NULL;
}

void flux2_job_free(struct flux2_job *j)
{
    if (!j)
        return;
    if (j->type->free)
        j->type->free(j);
    flux2_profile_release(j->profile);
    free(j->url);
    free(j);
}

/* --- observing ---------------------------------------------------------------------------------- */

/* Copies the beginning of the body into a REQUEST event, if there is memory. */
static void copy_body(struct flux2_event *e, const struct flux2_sink *sink)
{
    size_t kept = sink->received < OBSERVED_MAX ? sink->received : OBSERVED_MAX;
    if (sink->data && flux2_job_copy_body(&e->body, sink->data, kept))
        e->body_size = kept;
}

/* Creates the REQUEST event. Returns NULL if it is not wanted, or out of memory. */
static struct flux2_event *observe(struct flux2_job *j, const struct flux2_input *in)
{
    struct flux2_transfer *t = in->transfer;
    if (!in->observe || !(j->observed || j->profile->observed))
        return NULL;
    struct flux2_event_texts texts = {
        .message = t ? t->error : in->message, .trace = t ? t->headers.trace : NULL, .url = j->url};
    struct flux2_event *e = flux2_job_event(j, FLUX2_EVENT_REQUEST, &texts, in);
    if (!e)
        return NULL;
    e->seconds = in->now - j->sent_at;
    e->query = j->kind == FLUX2_REQUEST_TASK;
    e->received = t ? t->sink.received : 0;
    if (t && j->observed)
        copy_body(e, &t->sink);
    return e;
}

/* Completes the REQUEST event with the new state, and puts it before the other events. */
static void conclude(const struct flux2_job *j, const struct flux2_input *in, struct flux2_event *observed,
                     struct flux2_output *out)
{
    if (!observed)
        return;
    observed->outcome = *in->outcome;
    if (j->type->describe)
        j->type->describe(j, observed);
    observed->pause = j->phase == FLUX2_PHASE_WAITING ? fmax(j->due - in->now, 0) : -1;
    observed->next = out->events;
    out->events = observed;
}

/* --- steps -------------------------------------------------------------------------------------- */

static bool step(struct flux2_job *j, const struct flux2_input *in, struct flux2_output *out)
{
    if (j->type->step(j, in, out))
        return true;
    if (in->kind != FLUX2_INPUT_TRANSFERRED || j->kind == FLUX2_REQUEST_SUBMISSION)
        return false;
    in->outcome->failure = FLUX2_FAILURE_MEMORY;
    return j->type->step(j, in, out);
}

bool flux2_job_step(struct flux2_job *j, const struct flux2_input *in, struct flux2_output *out)
{
    struct flux2_event *observed = observe(j, in);
    bool done = step(j, in, out);
    if (done)
        conclude(j, in, observed, out);
    else
        flux2_event_free(observed);
    return done;
}

int flux2_job_request(struct flux2_job *j, struct flux2_request *request)
{
    memset(request, 0, sizeof *request);
    j->attempts++;
    return j->type->request(j, request);
}

void flux2_job_abandon(struct flux2_job *j, bool sent)
{
    if (j->type->abandon)
        j->type->abandon(j, sent);
}

/* --- for the types: waiting --------------------------------------------------------------------- */

void flux2_job_begin(struct flux2_job *j, double now)
{
    j->deadline += now - j->began; /* it began at 0 unless this call is repeated */
    j->began = j->expected_end = now;
    j->phase = FLUX2_PHASE_READY;
}

void flux2_job_wait_until(struct flux2_job *j, double when)
{
    j->due = when;
    j->phase = FLUX2_PHASE_WAITING;
}

void flux2_job_back_off(struct flux2_job *j, const struct flux2_input *in, double until)
{
    double asked = in->outcome->retry_after;
    double when = in->now + flux2_schedule_pause(&j->profile->poll_policy, j->attempts, asked, in->random);
    flux2_job_wait_until(j, asked < 0 ? fmin(when, until) : when);
}

/* --- for the types: responses ------------------------------------------------------------------- */

/* Adds slow_down and retry_after from the body to OUTCOME. */
static void complete(struct flux2_outcome *o, const struct flux2_response *r)
{
    bool may_wait = o->status == 503 && o->retry_after >= 0;
    o->slow_down = o->status == 429 || may_wait || r->status_code == 429;
    if (o->retry_after < 0)
        o->retry_after = r->retry_after;
}

/* Reads the body of the response. Returns false if out of memory. */
static bool read_body(const struct flux2_job *j, const struct flux2_input *in, struct flux2_response *r)
{
    const struct flux2_transfer *t = in->transfer;
    struct flux2_response_source source = {.kind = j->kind,
                                           .outcome = in->outcome,
                                           .url = t->request.url,
                                           .content_type = t->headers.content_type,
                                           .body = t->sink.data,
                                           .size = t->sink.data ? t->sink.received : 0};
    return flux2_response_read(j->profile->schema, &source, r);
}

/* Reads the response to a request that failed. If the connection broke after a complete response, because the last
 * chunk is missing, for example, the task in it counts, and the request did not fail. */
static bool read_failed(const struct flux2_job *j, const struct flux2_input *in, struct flux2_response *r)
{
    struct flux2_transfer *t = in->transfer;
    if (t && j->kind == FLUX2_REQUEST_DOWNLOAD)
        flux2_sink_clear(&t->sink); /* part of a file */
    bool has_body = t && t->sink.data;
    if (has_body && !read_body(j, in, r))
        return false;
    if (has_body && r->error == FLUX2_ERROR_NONE) {
        in->outcome->failure = FLUX2_FAILURE_NONE;
        t->error[0] = '\0';
        return true;
    }
    flux2_response_clear(r);
    r->retry_after = in->outcome->retry_after;
    flux2_classify_failure(j->kind, in->outcome, r);
    return true;
}

bool flux2_job_read(const struct flux2_job *j, const struct flux2_input *in, struct flux2_response *r)
{
    bool is_read = true;
    *r = (struct flux2_response){.retry_after = in->outcome->retry_after};
    if (in->outcome->failure != FLUX2_FAILURE_NONE)
        is_read = read_failed(j, in, r);
    else if (j->kind != FLUX2_REQUEST_DOWNLOAD || !flux2_outcome_is_success(in->outcome))
        is_read = read_body(j, in, r);
    complete(in->outcome, r);
    return is_read;
}

/* --- for the types: events ---------------------------------------------------------------------- */

struct flux2_event *flux2_job_event(struct flux2_job *j, enum flux2_event_kind kind,
                                    const struct flux2_event_texts *texts, const struct flux2_input *in)
{
    struct flux2_event *e = flux2_event_new(j->id, kind, texts);
    if (!e)
        return NULL;
    if (in->outcome)
        e->outcome = *in->outcome;
    e->submission = j->lane == FLUX2_LANE_SUBMISSIONS;
    e->elapsed = in->now - j->began;
    e->attempts = j->attempts;
    if (j->type->describe)
        j->type->describe(j, e);
    return e;
}

static struct flux2_event_texts texts_of(const struct flux2_job *j, const struct flux2_input *in)
{
    const struct flux2_transfer *t = in->transfer;
    const char *message = in->outcome && in->outcome->failure == FLUX2_FAILURE_MEMORY ? strerror(ENOMEM) : in->message;
    if (!t)
        return (struct flux2_event_texts){.message = message};
    return (struct flux2_event_texts){
        .message = t->error[0] ? t->error : message,
        .content_type = t->headers.content_type,
        .location = t->headers.location,
        .url = j->kind == FLUX2_REQUEST_DOWNLOAD ? j->url : NULL,
        .trace = t->headers.trace,
    };
}

bool flux2_job_end(struct flux2_job *j, const struct flux2_input *in, struct flux2_response *response,
                   struct flux2_output *out)
{
    struct flux2_event_texts texts = texts_of(j, in);
    struct flux2_event *e = flux2_job_event(j, FLUX2_EVENT_ENDED, &texts, in);
    if (!e)
        return false;
    e->failed_step = j->failed_step;
    *e->response = *response;
    *response = (struct flux2_response){.retry_after = -1};
    if (in->transfer) {
        e->signature = in->transfer->sink.signature;
        e->received = in->transfer->sink.received;
        e->body = flux2_sink_take(&in->transfer->sink, &e->body_size);
    }
    j->phase = FLUX2_PHASE_ENDED;
    out->events = e;
    return true;
}

bool flux2_job_fail(struct flux2_job *j, const struct flux2_input *in, struct flux2_output *out)
{
    struct flux2_response none = {.retry_after = -1};
    flux2_classify_failure(j->kind, in->outcome, &none);
    return flux2_job_end(j, in, &none, out);
}

/* --- timers ------------------------------------------------------------------------------------- */

static bool timer_step(struct flux2_job *j, const struct flux2_input *in, struct flux2_output *out)
{
    struct flux2_response none = {.retry_after = -1};
    if (in->kind == FLUX2_INPUT_BEGIN) {
        j->began = in->now;
        flux2_job_wait_until(j, in->now + j->due);
        return true;
    }
    return in->kind == FLUX2_INPUT_END ? flux2_job_fail(j, in, out) : flux2_job_end(j, in, &none, out);
}

static const struct flux2_job_type timer = {.step = timer_step};

struct flux2_job *flux2_timer_new(uint64_t id, double seconds)
{
    struct flux2_job *j = flux2_job_new(sizeof *j, &timer, id, NULL, NULL, 0);
    if (j)
        j->due = seconds > 0 ? seconds : 0;
    return j;
}
