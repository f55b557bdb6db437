/* transfer_job.c - see transfer_job.h. */
#include "engine/transfer_job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "engine/classify.h"

struct transfer_job {
    struct flux2_job base;
    char *body;
    size_t body_size;
    char *path;
    struct flux2_image_metadata metadata;
    bool check_signature;
    bool base64;
    bool patient;
    size_t image;
    /* The request that takes turns with the current one: the query of the task, or the download meanwhile. */
    char *other_url;                     /* owned; NULL: the task is not queried */
    struct flux2_profile *other_profile; /* one reference; NULL: the task is not queried */
    bool is_query;                       /* the current request is the query of the task */
    bool takes_turns;                    /* the other request is the next one */
    struct flux2_last_poll last;         /* the last attempt, before another one */
    double last_at;                      /* time at which it ended; INFINITY: there is no other attempt */
    double failing_since;                /* time at which the first attempt ended; INFINITY: none has */
};

static struct transfer_job *self(struct flux2_job *job)
{
    return (struct transfer_job *)(void *)job;
}

/* Returns the body as Base64, which the caller frees; NULL if out of memory. Encoding on the engine's thread saves the
 * host's time. */
static char *encode(const struct flux2_sink *sink)
{
    char *text = malloc(FLUX2_BASE64_SIZE(sink->received) + 1);
    if (!text)
        return NULL;
    flux2_base64_encode(sink->data, sink->received, text);
    text[FLUX2_BASE64_SIZE(sink->received)] = '\0';
    return text;
}

static bool end_as_base64(struct flux2_job *j, const struct flux2_input *in, struct flux2_response *r,
                          struct flux2_output *out)
{
    size_t size = FLUX2_BASE64_SIZE(in->transfer->sink.received);
    char *text = encode(&in->transfer->sink);
    if (!text || !flux2_job_end(j, in, r, out)) {
        free(text);
        return false;
    }
    free(out->events->body);
    out->events->body = text;
    out->events->body_size = size;
    return true;
}

/* Returns the time until which a download is repeated; INFINITY: another limit applies. */
static double patient_until(const struct transfer_job *t)
{
    const struct flux2_profile *images = t->is_query ? t->other_profile : t->base.profile;
    return t->patient ? t->failing_since + images->patience : INFINITY;
}

static bool may_try_again(const struct transfer_job *t, const struct flux2_input *in, const struct flux2_response *r)
{
    const struct flux2_job *j = &t->base;
    if (t->patient)
        return in->now + FLUX2_PATIENCE_MIN <= patient_until(t) && flux2_classify_may_appear(in->outcome, r);
    return j->attempts < j->profile->max_attempts && flux2_classify_may_retry(j->kind, in->outcome, r);
}

/* Waits for the next request: not at all if AT_ONCE, else for the back-off. */
static void wait(struct transfer_job *t, const struct flux2_input *in, bool at_once)
{
    if (at_once)
        flux2_job_wait_until(&t->base, in->now);
    else
        flux2_job_back_off(&t->base, in, patient_until(t));
}

/* Waits for the next attempt, or for the query before it: the first query follows at once, because the link may have
 * expired. A time-out until then is explained by this attempt. */
static void try_again(struct transfer_job *t, const struct flux2_input *in)
{
    const struct flux2_outcome *o = in->outcome;
    t->last = (struct flux2_last_poll){.failure = o->failure, .status = o->status, .asked_pause = o->retry_after};
    t->last_at = in->now;
    t->takes_turns = t->other_url != NULL;
    wait(t, in, t->takes_turns && t->base.attempts == 1);
}

/* Makes the other request the current one, while neither is queued or in flight. */
static void take_turns(struct transfer_job *t)
{
    struct flux2_job *j = &t->base;
    char *url = j->url;
    struct flux2_profile *profile = j->profile;
    j->url = t->other_url;
    j->profile = t->other_profile;
    t->other_url = url;
    t->other_profile = profile;
    t->is_query = !t->is_query;
    t->takes_turns = false;
    j->kind = t->is_query ? FLUX2_REQUEST_TASK : FLUX2_REQUEST_DOWNLOAD;
    j->lane = t->is_query ? FLUX2_LANE_POLLS : FLUX2_LANE_OTHERS;
}

/* Takes the image's URL from a response to the query. Returns whether it is another one. */
static bool take_url(struct transfer_job *t, const struct flux2_response *r)
{
    char *url;
    const char *fresh = r->images.count > t->image ? r->images.at[t->image].url : NULL;
    if (!fresh || strcmp(fresh, t->other_url) == 0 || !flux2_job_copy(&url, fresh))
        return false;
    free(t->other_url);
    t->other_url = url;
    return true;
}

/* Handles the response to the query; the download follows in any case, at once if there was a pause before the query or
 * if its URL is another one. Returns false if out of memory. */
static bool queried(struct transfer_job *t, const struct flux2_input *in)
{
    struct flux2_response r;
    if (!flux2_job_read(&t->base, in, &r))
        return false;
    bool is_fresh = take_url(t, &r);
    flux2_response_clear(&r);
    t->takes_turns = true;
    wait(t, in, is_fresh || t->base.attempts > 1);
    return true;
}

static bool transferred(struct flux2_job *j, const struct flux2_input *in, struct flux2_output *out)
{
    struct flux2_response r;
    if (self(j)->is_query)
        return queried(self(j), in);
    if (!flux2_job_read(j, in, &r))
        return false;
    bool done = true;
    self(j)->last_at = INFINITY;
    self(j)->failing_since = fmin(self(j)->failing_since, in->now);
    if (may_try_again(self(j), in, &r))
        try_again(self(j), in);
    else if (self(j)->base64 && flux2_outcome_is_success(in->outcome) && in->transfer->sink.data)
        done = end_as_base64(j, in, &r, out);
    else
        done = flux2_job_end(j, in, &r, out);
    flux2_response_clear(&r);
    return done;
}

static bool step(struct flux2_job *j, const struct flux2_input *in, struct flux2_output *out)
{
    switch (in->kind) {
    case FLUX2_INPUT_BEGIN:
        flux2_job_begin(j, in->now);
        self(j)->last_at = self(j)->failing_since = INFINITY;
        return true;
    case FLUX2_INPUT_DUE:
        if (self(j)->takes_turns)
            take_turns(self(j));
        j->phase = FLUX2_PHASE_READY;
        return true;
    case FLUX2_INPUT_TRANSFERRED:
        return transferred(j, in, out);
    default:
        return flux2_job_fail(j, in, out);
    }
}

static int request(struct flux2_job *j, struct flux2_request *r)
{
    const struct transfer_job *t = self(j);
    r->url = j->url;
    r->idempotency = j->kind == FLUX2_REQUEST_SUBMISSION ? FLUX2_NON_IDEMPOTENT : FLUX2_IDEMPOTENT;
    if (t->is_query) {
        j->attempts--; /* only downloads count */
        return 0;
    }
    r->body = t->body;
    r->body_size = t->body_size;
    r->path = t->path;
    r->metadata = t->metadata.json ? &t->metadata : NULL;
    r->check_signature = t->check_signature;
    return 0;
}

static void describe(const struct flux2_job *j, struct flux2_event *e)
{
    const struct transfer_job *t = (const struct transfer_job *)(const void *)j;
    double now = j->began + e->elapsed;
    e->last = t->last;
    e->last.ago = isinf(t->last_at) ? -1 : now - t->last_at;
    e->last.unreachable = e->elapsed;
}

static void free_members(struct flux2_job *j)
{
    free(self(j)->body);
    free(self(j)->path);
    flux2_image_metadata_clear(&self(j)->metadata);
    free(self(j)->other_url);
    flux2_profile_release(self(j)->other_profile);
}

static const struct flux2_job_type type = {
    .step = step,
    .request = request,
    .free = free_members,
    .describe = describe,
};

struct flux2_job *flux2_transfer_job_new(uint64_t id, struct flux2_profile *profile,
                                         const struct flux2_transfer_spec *spec)
{
    struct transfer_job *t = flux2_job_new(sizeof *t, &type, id, profile, spec->url, spec->deadline);
    if (!t)
        return NULL;
    t->base.kind = spec->kind;
    t->body_size = spec->body_size;
    t->check_signature = spec->check_signature;
    t->base64 = spec->base64;
    t->patient = spec->patient;
    t->image = spec->image;
    t->other_profile = spec->task_url ? flux2_profile_hold(spec->task_profile) : NULL;
    if (flux2_job_copy(&t->path, spec->path) && flux2_job_copy(&t->other_url, spec->task_url) &&
        flux2_job_copy_body(&t->body, spec->body, spec->body_size) &&
        flux2_image_metadata_copy(&t->metadata, &spec->metadata, NULL))
        return &t->base;
    flux2_job_free(&t->base);
    return NULL;
}
