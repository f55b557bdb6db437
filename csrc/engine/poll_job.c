/* poll_job.c - see poll_job.h. */
#include "engine/poll_job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/url_escape.h"
#include "engine/classify.h"
#include "engine/spool_record.h"
#include "engine/transfer_job.h"
#include "platform/file.h"

/* Seconds for which polls of a task may be refused that the service has not confirmed yet: its id may be wrong. */
static const double UNKNOWN_TASK_PATIENCE = 3;

struct poll_job {
    struct flux2_job base;

    /* parameters, see struct flux2_poll_spec */
    char *submission; /* freed once accepted */
    char *body;
    size_t body_size;
    char *idempotency;
    struct flux2_input_body *input; /* `body` and the local images after it, freed once accepted; NULL: `body` is all */
    char *path;
    struct flux2_image_metadata metadata;
    bool check_signature;
    struct flux2_profile *fetch_profile; /* one reference */
    uint64_t fetch_id;
    struct flux2_spool_record record; /* of the submission */
    char *durations_kind;             /* freed once `durations` is set; NULL: unknown */

    /* state */
    struct flux2_duration_histogram *durations; /* of its kind, owned by the worker; NULL: unknown */
    bool may_be_accepted;                       /* an earlier send of the submission had an unknown outcome */
    bool was_accepted;                          /* its submission was accepted */
    bool is_known;                              /* the service knows the task: it was accepted, or a poll showed it */
    double polling_since;                       /* time of acceptance or start */
    double alive_at;                            /* time of the last poll that showed a running task */
    double failing_since;                       /* time of the first failure since a usable response; INFINITY: none */
    struct flux2_trend trend;                   /* of the progress */
    unsigned polls;                             /* polls sent so far */
    uint64_t last_body;                         /* digest of the last poll's body, if it said only "running"; 0: none */
    bool has_progress;
    double progress;               /* last progress */
    char status[FLUX2_STATUS_MAX]; /* last status */
    struct flux2_last_poll last;   /* the last poll; its times are set in describe */
    double last_at;                /* time at which the last poll ended */
    double reached_at;             /* time of the last HTTP response */
};

static struct poll_job *self(struct flux2_job *job)
{
    return (struct poll_job *)(void *)job;
}

/* Stores how a request ended, for the message of a time-out. */
static void note_last(struct poll_job *p, const struct flux2_input *in, enum flux2_verdict verdict, double code)
{
    const struct flux2_outcome *o = in->outcome;
    if (o->failure == FLUX2_FAILURE_NONE)
        p->reached_at = in->now;
    p->last.asked_pause = o->retry_after;
    if (p->base.kind == FLUX2_REQUEST_SUBMISSION && verdict == FLUX2_VERDICT_RUNNING)
        return; /* no poll yet */
    p->last.failure = o->failure;
    p->last.status = o->status;
    p->last.code = code;
    p->last.verdict = verdict;
    p->last_at = in->now;
}

/* --- waiting ------------------------------------------------------------------------------------ */

/* Returns for how many seconds polls may fail like RESPONSE. */
static double patience(const struct poll_job *p, const struct flux2_response *r)
{
    bool is_unknown = r->verdict == FLUX2_VERDICT_REFUSED && !r->retryable && !p->is_known;
    return fmin(p->base.profile->patience, is_unknown ? UNKNOWN_TASK_PATIENCE : INFINITY);
}

/* Handles a poll without a result, or with a success without an image. The task is paid, so one such response does not
 * end the job. Returns false after they have lasted too long. */
static bool tolerate(struct poll_job *p, const struct flux2_input *in, const struct flux2_response *r)
{
    /* 429 comes from a working service, so it does not count against the patience. 503 with Retry-After does. */
    bool is_busy = in->outcome->slow_down && in->outcome->status != 503;
    p->failing_since = is_busy ? INFINITY : fmin(p->failing_since, in->now);
    double until = p->failing_since + patience(p, r);
    if (in->now + FLUX2_PATIENCE_MIN > until)
        return false;
    flux2_job_back_off(&p->base, in, until);
    return true;
}

/* Schedules the next poll: by the polling rule, or by Retry-After up to a limit. */
static void poll_again(struct poll_job *p, const struct flux2_input *in)
{
    struct flux2_job *j = &p->base;
    const struct flux2_poll_policy *policy = &j->profile->poll_policy;
    double expected_end, elapsed = in->now - p->polling_since;
    double gap = flux2_schedule_gap(policy, p->durations, &p->trend, elapsed, in->random, &expected_end);
    double asked = in->outcome->retry_after < FLUX2_PAUSE_MAX ? in->outcome->retry_after : FLUX2_PAUSE_MAX;
    j->expected_end = p->polling_since + expected_end;
    j->attempts = 0;
    /* Retry-After overrides the learned schedule, but does not shorten an interval set by the caller. */
    flux2_job_wait_until(j, in->now + (asked > 0 && (asked > gap || policy->interval <= 0) ? asked : gap));
}

static void keep_polling(struct poll_job *p, const struct flux2_input *in)
{
    p->failing_since = INFINITY;
    p->alive_at = p->base.sent_at;
    poll_again(p, in);
}

/* --- the submission ----------------------------------------------------------------------------- */

/* Writes the id, or a final response, which may contain the only URL of the paid image, to the spool record. The task
 * continues if the write fails. */
static void record_submission(struct poll_job *p, struct flux2_transfer *t, const struct flux2_response *r)
{
    bool is_last = r->verdict == FLUX2_VERDICT_SUCCEEDED;
    const char *id = r->id ? r->id : "";
    if (!is_last && !*id)
        return;
    int rc = flux2_spool_record_write(&p->record, id, is_last ? t->sink.data : NULL, t->sink.received);
    if (rc == 0)
        return;
    snprintf(t->error, sizeof t->error, "%s could not be recorded: %s", is_last ? "the response" : "its id",
             flux2_file_reason(rc));
    if (is_last && *id)
        flux2_spool_record_write(&p->record, id, NULL, 0); /* needs less space */
}

/* Sets the poll URL from the response, or from the template. Returns false if out of memory. */
static bool choose_url(struct flux2_job *j, const struct flux2_response *r)
{
    char *url = flux2_profile_may_poll_at(j->profile, r->poll_url) ? strdup(r->poll_url)
                                                                   : flux2_url_fill(j->url, "{id}", r->id);
    if (!url)
        return false;
    free(j->url);
    j->url = url;
    return true;
}

/* Inserts ID into the metadata of the image. Returns false if out of memory. */
static bool name_task(struct poll_job *p, const char *id)
{
    struct flux2_image_metadata filled;
    bool ok = flux2_image_metadata_copy(&filled, &p->metadata, id);
    struct flux2_image_metadata unused = ok ? p->metadata : filled;
    p->metadata = ok ? filled : p->metadata;
    flux2_image_metadata_clear(&unused);
    return ok;
}

/* Switches from submission to polling. Returns false if out of memory. */
static bool begin_polling(struct poll_job *p, const struct flux2_input *in, const struct flux2_response *r)
{
    if (!choose_url(&p->base, r) || !name_task(p, r->id)) /* the second one must not happen twice */
        return false;
    flux2_input_body_free(p->input);
    free(p->submission);
    free(p->body);
    p->input = NULL;
    p->submission = p->body = NULL;
    p->base.lane = FLUX2_LANE_POLLS;
    p->base.kind = FLUX2_REQUEST_TASK;
    p->was_accepted = p->is_known = true;
    p->polling_since = p->alive_at = in->now;
    poll_again(p, in);
    return true;
}

/* Returns whether a submission of unknown outcome may be sent again: the service accepts it once. From then on no
 * refusal proves that nothing was accepted. */
static bool is_repeatable(struct poll_job *p, const struct flux2_input *in, struct flux2_response *r)
{
    if (p->may_be_accepted && r->acceptance == FLUX2_ACCEPTANCE_REFUSED) {
        r->acceptance = FLUX2_ACCEPTANCE_UNKNOWN;
        r->error = FLUX2_ERROR_UNKNOWN_OUTCOME;
    }
    bool is_unknown = p->idempotency && r->acceptance == FLUX2_ACCEPTANCE_UNKNOWN &&
                      in->outcome->failure != FLUX2_FAILURE_CANCELLED && in->outcome->failure != FLUX2_FAILURE_MEMORY;
    p->may_be_accepted = p->may_be_accepted || is_unknown;
    return is_unknown;
}

/* Handles an accepted submission with a task to poll. Returns false if out of memory. */
static bool accepted(struct poll_job *p, const struct flux2_input *in, const struct flux2_response *r,
                     struct flux2_output *out)
{
    memcpy(p->status, r->status, sizeof p->status);
    struct flux2_event_texts texts = {.message = in->transfer->error, .id = r->id, .poll_url = r->poll_url};
    struct flux2_event *e = flux2_job_event(&p->base, FLUX2_EVENT_ACCEPTED, &texts, in);
    if (!e || !begin_polling(p, in, r)) {
        flux2_event_free(e);
        return false;
    }
    if (r->has_credits)
        e->credits = r->credits;
    out->events = e;
    return true;
}

static void abandon(struct flux2_job *j, bool sent)
{
    if (j->kind == FLUX2_REQUEST_SUBMISSION && !sent && !self(j)->may_be_accepted)
        flux2_spool_record_remove(&self(j)->record);
}

static bool submitted(struct poll_job *p, const struct flux2_input *in, struct flux2_response *r,
                      struct flux2_output *out)
{
    struct flux2_job *j = &p->base;
    bool is_unprocessed = flux2_classify_may_retry(j->kind, in->outcome, r);
    bool may_retry = is_repeatable(p, in, r) || is_unprocessed;
    abandon(j, in->outcome->sent && !is_unprocessed);
    if (may_retry && j->attempts < j->profile->max_attempts) {
        flux2_job_back_off(j, in, INFINITY);
        return true;
    }
    if (r->poll_url && !flux2_spool_record_note_url(&p->record, r->poll_url))
        return false;
    if (in->transfer && r->acceptance != FLUX2_ACCEPTANCE_REFUSED)
        record_submission(p, in->transfer, r);
    bool can_poll = r->verdict == FLUX2_VERDICT_RUNNING &&
                    (j->url || flux2_profile_may_poll_at(j->profile, r->poll_url));
    return can_poll ? accepted(p, in, r, out) : flux2_job_end(j, in, r, out);
}

/* --- polls -------------------------------------------------------------------------------------- */

/* Stores status and progress. Returns whether one has changed. */
static bool note_change(struct poll_job *p, const struct flux2_response *r)
{
    bool changed = false;
    if (r->status[0] && strcmp(p->status, r->status) != 0) {
        memcpy(p->status, r->status, sizeof p->status);
        changed = true;
    }
    if (r->has_progress && (!p->has_progress || p->progress != r->progress)) {
        p->has_progress = true;
        p->progress = r->progress;
        changed = true;
    }
    return changed;
}

/* Creates the job that downloads the first image. If out of memory the host downloads it. */
static void prepare_fetch(struct poll_job *p, double now, struct flux2_output *out)
{
    const struct flux2_image_list *images = &out->events->response->images;
    if (images->count == 0 || !images->at[0].url || !p->fetch_profile)
        return;
    struct flux2_transfer_spec spec = {
        .url = images->at[0].url,
        .path = p->path,
        .metadata = p->metadata,
        .kind = FLUX2_REQUEST_DOWNLOAD,
        .check_signature = p->check_signature,
        .patient = true,
        .task_url = p->base.url,
        .task_profile = p->base.profile,
        .deadline = isinf(p->base.deadline) ? 0 : fmax(p->base.deadline - now, 0.001),
    };
    out->next = flux2_transfer_job_new(p->fetch_id, p->fetch_profile, &spec);
    out->events->fetch = out->next ? p->fetch_id : 0;
}

/* Handles the end of the task. Returns false if out of memory. */
static bool finished(struct poll_job *p, const struct flux2_input *in, struct flux2_response *r,
                     struct flux2_output *out)
{
    note_change(p, r);
    if (!flux2_job_end(&p->base, in, r, out))
        return false;
    prepare_fetch(p, in->now, out);
    /* The end lies between the last two polls. */
    if (p->durations && p->was_accepted)
        flux2_duration_histogram_learn(p->durations, p->alive_at - p->polling_since, in->now - p->polling_since);
    return true;
}

/* Creates an event if status or progress changed. If out of memory a later event reports it. */
static void post_change(struct poll_job *p, const struct flux2_input *in, const struct flux2_response *r,
                        struct flux2_output *out)
{
    if (note_change(p, r))
        out->events = flux2_job_event(&p->base, FLUX2_EVENT_CHANGED, NULL, in);
}

static void running(struct poll_job *p, const struct flux2_input *in, const struct flux2_response *r,
                    struct flux2_output *out)
{
    p->is_known = true;
    p->last_body = flux2_body_digest(in->transfer->sink.data, in->transfer->sink.received);
    if (r->has_progress)
        flux2_schedule_note(&p->trend, in->now - p->polling_since, r->progress);
    keep_polling(p, in);
    post_change(p, in, r, out);
}

static bool polled(struct poll_job *p, const struct flux2_input *in, struct flux2_response *r, struct flux2_output *out)
{
    bool has_failed = r->verdict == FLUX2_VERDICT_FAILED || r->verdict == FLUX2_VERDICT_MODERATED ||
                      r->verdict == FLUX2_VERDICT_REJECTED;
    if (has_failed || (r->verdict == FLUX2_VERDICT_SUCCEEDED && r->images.count > 0))
        return finished(p, in, r, out);
    if (r->verdict == FLUX2_VERDICT_RUNNING)
        running(p, in, r, out);
    else if (tolerate(p, in, r))
        post_change(p, in, r, out);
    else
        return flux2_job_end(&p->base, in, r, out);
    return true;
}

/* --- steps -------------------------------------------------------------------------------------- */

/* Returns whether a poll has the same body as the last one, which then needs no parsing. */
static bool is_unchanged(const struct poll_job *p, const struct flux2_input *in)
{
    return p->last_body != 0 && p->base.kind == FLUX2_REQUEST_TASK && flux2_outcome_is_success(in->outcome) &&
           flux2_body_digest(in->transfer->sink.data, in->transfer->sink.received) == p->last_body;
}

static bool transferred(struct poll_job *p, const struct flux2_input *in, struct flux2_output *out)
{
    struct flux2_response r;
    bool is_poll = p->base.kind == FLUX2_REQUEST_TASK;
    if (is_poll)
        flux2_spool_record_catch_up(&p->record);
    if (is_unchanged(p, in)) {
        note_last(p, in, FLUX2_VERDICT_RUNNING, 0);
        keep_polling(p, in);
        return true;
    }
    if (!flux2_job_read(&p->base, in, &r))
        return false;
    note_last(p, in, r.verdict, r.status_code);
    bool done = is_poll ? polled(p, in, &r, out) : submitted(p, in, &r, out);
    flux2_response_clear(&r);
    return done;
}

static void begin(struct poll_job *p, const struct flux2_input *in)
{
    flux2_job_begin(&p->base, in->now);
    p->polling_since = p->alive_at = p->reached_at = in->now;
    p->last_at = p->failing_since = INFINITY;
    p->last.asked_pause = -1;
    if (p->durations_kind)
        p->durations = flux2_durations_find(in->durations, p->durations_kind);
    free(p->durations_kind);
    p->durations_kind = NULL;
}

static bool end(struct flux2_job *j, const struct flux2_input *in, struct flux2_output *out)
{
    in->outcome->sent = in->outcome->sent || self(j)->may_be_accepted;
    abandon(j, in->outcome->sent);
    return flux2_job_fail(j, in, out);
}

/* Ends a submission whose image could not be saved: here, before anything is sent. The host does not wait for disks.
 * Returns false if out of memory. */
static bool check_target(struct poll_job *p, const struct flux2_input *in, struct flux2_output *out)
{
    int error = p->path ? flux2_file_try(p->path) : 0;
    if (error == 0)
        return true;
    struct flux2_outcome outcome = {.failure = FLUX2_FAILURE_IO, .retry_after = -1};
    struct flux2_input refused = *in;
    refused.outcome = &outcome;
    refused.message = flux2_file_reason(error);
    p->base.failed_step = FLUX2_SEND_STEP_TARGET;
    return end(&p->base, &refused, out);
}

static bool step(struct flux2_job *j, const struct flux2_input *in, struct flux2_output *out)
{
    flux2_input_body_close(self(j)->input); /* no request is in flight */
    switch (in->kind) {
    case FLUX2_INPUT_BEGIN:
        begin(self(j), in);
        return check_target(self(j), in, out);
    case FLUX2_INPUT_DUE:
        j->phase = FLUX2_PHASE_READY;
        return true;
    case FLUX2_INPUT_TRANSFERRED:
        return transferred(self(j), in, out);
    default:
        return end(j, in, out);
    }
}

static int request(struct flux2_job *j, struct flux2_request *r)
{
    struct poll_job *p = self(j);
    if (j->kind == FLUX2_REQUEST_TASK) {
        p->polls++;
        r->url = j->url;
        r->idempotency = FLUX2_IDEMPOTENT;
        return 0;
    }
    j->failed_step = FLUX2_SEND_STEP_INPUT;
    int error = p->input ? flux2_input_body_open(p->input, &r->reader) : 0;
    if (error != 0)
        return error;
    j->failed_step = FLUX2_SEND_STEP_RECORD;
    error = flux2_spool_record_write(&p->record, "", NULL, 0);
    if (error != 0)
        return error;
    j->failed_step = FLUX2_SEND_STEP_NONE;
    r->url = p->submission;
    r->body = p->input ? NULL : p->body;
    r->body_size = p->body_size;
    r->header = p->idempotency;
    r->idempotency = p->idempotency ? FLUX2_IDEMPOTENT : FLUX2_NON_IDEMPOTENT;
    return 0;
}

static void describe(const struct flux2_job *j, struct flux2_event *e)
{
    const struct poll_job *p = (const struct poll_job *)(const void *)j;
    memcpy(e->status, p->status, sizeof e->status);
    e->polls = p->polls;
    e->has_progress = p->has_progress;
    e->progress = p->progress;
    e->last = p->last;
    double now = j->began + e->elapsed;
    e->last.ago = isinf(p->last_at) ? -1 : now - p->last_at;
    e->last.unreachable = now - p->reached_at;
}

/* --- making and freeing ------------------------------------------------------------------------- */

static void free_members(struct flux2_job *j)
{
    struct poll_job *p = self(j);
    flux2_profile_release(p->fetch_profile);
    flux2_spool_record_free(&p->record);
    flux2_input_body_free(p->input);
    free(p->submission);
    free(p->body);
    free(p->idempotency);
    free(p->path);
    flux2_image_metadata_clear(&p->metadata);
    free(p->durations_kind);
}

static const struct flux2_job_type type = {
    .step = step,
    .request = request,
    .abandon = abandon,
    .free = free_members,
    .describe = describe,
};

/* Copies the images, if there are any. Returns false if out of memory. */
static bool copy_images(struct poll_job *p, const struct flux2_poll_spec *spec)
{
    if (spec->image_count > 0)
        p->input = flux2_input_body_new(p->body, p->body_size, spec->images, spec->image_count);
    return spec->image_count == 0 || p->input;
}

static bool copy_spec(struct poll_job *p, const struct flux2_poll_spec *spec)
{
    p->body_size = spec->body_size;
    p->check_signature = spec->check_signature;
    p->base.observed = spec->observed;
    p->may_be_accepted = spec->resumed;
    p->fetch_profile = spec->fetch_profile ? flux2_profile_hold(spec->fetch_profile) : NULL;
    p->fetch_id = spec->fetch_id;
    return flux2_job_copy(&p->submission, spec->submission) && flux2_job_copy(&p->path, spec->path) &&
           flux2_job_copy(&p->idempotency, spec->idempotency) && flux2_job_copy(&p->durations_kind, spec->durations) &&
           flux2_job_copy_body(&p->body, spec->body, spec->body_size) &&
           flux2_image_metadata_copy(&p->metadata, &spec->metadata, NULL) && copy_images(p, spec) &&
           flux2_spool_record_init(&p->record, spec->record_path, spec->record_text, spec->resumed);
}

struct flux2_job *flux2_poll_job_new(uint64_t id, struct flux2_profile *profile, const struct flux2_poll_spec *spec)
{
    struct poll_job *p = flux2_job_new(sizeof *p, &type, id, profile, spec->url, spec->deadline);
    if (!p)
        return NULL;
    p->base.lane = spec->submission ? FLUX2_LANE_SUBMISSIONS : FLUX2_LANE_POLLS;
    p->base.kind = spec->submission ? FLUX2_REQUEST_SUBMISSION : FLUX2_REQUEST_TASK;
    if (copy_spec(p, spec))
        return &p->base;
    flux2_job_free(&p->base);
    return NULL;
}
