/* job.c - see job.h. */
#include "job.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "escape.h"

enum {
    /* A service that has just given us an id may need a moment until all of it knows the task. */
    NOT_FOUND_MAX = 3,
    /* Of a body, for observers: a task's answer is a few hundred bytes, unless it holds the picture. */
    OBSERVED_MAX = 16 * 1024,
};

/* --- making and freeing ----------------------------------------------------------------------------- */

static bool copy(char **out, const char *text)
{
    *out = text ? strdup(text) : NULL;
    return !text || *out;
}

struct flux2_job *flux2_job_new(uint64_t id, struct flux2_profile *profile, const struct flux2_job_spec *spec)
{
    struct flux2_job *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->id = id;
    j->kind = spec->kind;
    j->profile = profile ? flux2_profile_hold(profile) : NULL;
    j->durations = spec->durations ? flux2_kind_hold(spec->durations) : NULL;
    j->deadline = spec->deadline > 0 ? spec->deadline : INFINITY;
    j->nature = spec->nature;
    j->check_signature = spec->check_signature;
    j->base64 = spec->base64;
    j->observed = spec->observed;
    j->fetch_profile = spec->fetch_profile ? flux2_profile_hold(spec->fetch_profile) : NULL;
    j->fetch_id = spec->fetch_id;
    j->heap_index = SIZE_MAX;
    bool ok = copy(&j->url, spec->url) && copy(&j->opening, spec->opening) && copy(&j->path, spec->path) &&
              flux2_record_init(&j->record, spec->record_path, spec->record_text);
    if (ok && spec->body) {
        j->body = malloc(spec->body_size + 1);
        ok = j->body != NULL;
        if (ok) {
            memcpy(j->body, spec->body, spec->body_size);
            j->body[spec->body_size] = '\0';
            j->body_size = spec->body_size;
        }
    }
    if (!ok) {
        flux2_job_free(j);
        return NULL;
    }
    return j;
}

void flux2_job_free(struct flux2_job *j)
{
    if (!j)
        return;
    flux2_profile_release(j->profile);
    flux2_profile_release(j->fetch_profile);
    flux2_kind_release(j->durations);
    flux2_job_free(j->fetch);
    free(j->url);
    free(j->opening);
    free(j->body);
    free(j->path);
    flux2_record_free(&j->record);
    free(j);
}

void flux2_job_begin(struct flux2_job *j, double now)
{
    j->began = j->polling_since = j->alive_at = j->likely = now;
    if (j->kind == FLUX2_JOB_TIMER) {
        j->due = now + j->deadline;
        j->deadline = INFINITY;
        j->phase = FLUX2_PHASE_WAITING;
        return;
    }
    j->deadline += now;
    j->phase = FLUX2_PHASE_READY;
}

/* --- asking ------------------------------------------------------------------------------------------- */

bool flux2_job_is_polling(const struct flux2_job *j)
{
    return j->kind == FLUX2_JOB_POLL && !j->opening;
}

int flux2_job_request(struct flux2_job *j, struct flux2_request *r)
{
    memset(r, 0, sizeof *r);
    j->attempts++;
    if (flux2_job_is_polling(j)) {
        j->polls++;
        r->url = j->url;
        r->nature = FLUX2_SAFE;
        return 0;
    }
    r->body = j->body;
    r->body_size = j->body_size;
    if (j->opening) {
        r->url = j->opening;
        r->nature = FLUX2_ONCE;
        return flux2_record_write(&j->record, "", NULL);
    }
    r->url = j->url;
    r->path = j->path;
    r->nature = j->nature;
    r->check_signature = j->check_signature;
    return 0;
}

static bool is_success(const struct flux2_outcome *o)
{
    return o->failure == FLUX2_FAILURE_NONE && o->status >= 200 && o->status < 300;
}

/* --- events ------------------------------------------------------------------------------------------- */

static struct flux2_event *new_event(struct flux2_job *j, enum flux2_event_kind kind,
                                     const struct flux2_event_texts *texts,
                                     const struct flux2_outcome *outcome, double now)
{
    struct flux2_event *e = flux2_event_new(j->id, kind, texts);
    if (!e)
        return NULL;
    e->outcome = *outcome;
    memcpy(e->status, j->status, sizeof e->status);
    e->opening = j->opening != NULL;
    e->elapsed = now - j->began;
    e->attempts = j->attempts;
    e->polls = j->polls;
    e->has_progress = j->has_progress;
    e->progress = j->progress;
    return e;
}

/* The body of a good answer as Base64: made here, where it holds nobody up. False without memory. */
static bool encode_body(struct flux2_event *e, const struct flux2_sink *sink)
{
    size_t size = FLUX2_BASE64_SIZE(sink->received);
    char *text = malloc(size + 1);
    if (!text)
        return false;
    flux2_base64_encode(sink->data, sink->received, text);
    text[size] = '\0';
    e->body = text;
    e->body_size = size;
    return true;
}

/* An event with all that the exchange brought; NULL without memory. */
static struct flux2_event *exchange_event(struct flux2_job *j, enum flux2_event_kind kind,
                                          struct flux2_transfer *t, const struct flux2_outcome *outcome,
                                          double now)
{
    struct flux2_event_texts texts = {
        .message = t->error,
        .content_type = t->headers.content_type,
        .location = t->headers.location,
        .trace = t->headers.trace,
    };
    struct flux2_event *e = new_event(j, kind, &texts, outcome, now);
    if (!e)
        return NULL;
    e->signature = t->sink.signature;
    e->received = t->sink.received;
    if (!j->base64 || !t->sink.data || !is_success(outcome)) {
        e->body = flux2_sink_take(&t->sink, &e->body_size);
    } else if (!encode_body(e, &t->sink)) {
        flux2_event_free(e);
        return NULL;
    }
    return e;
}

struct flux2_event *flux2_job_end(struct flux2_job *j, const struct flux2_outcome *outcome,
                                  const char *message, double now)
{
    struct flux2_event_texts texts = {.message = message};
    flux2_job_drop(j, outcome->sent);
    j->phase = FLUX2_PHASE_ENDED;
    return new_event(j, FLUX2_EVENT_ENDED, &texts, outcome, now);
}

struct flux2_event *flux2_job_end_answered(struct flux2_job *j, struct flux2_transfer *t,
                                           const struct flux2_outcome *outcome, double now)
{
    j->phase = FLUX2_PHASE_ENDED;
    return exchange_event(j, FLUX2_EVENT_ENDED, t, outcome, now);
}

void flux2_job_drop(struct flux2_job *j, bool sent)
{
    if (j->opening && !sent)
        flux2_record_remove(&j->record);
}

/* --- observing ---------------------------------------------------------------------------------------- */

struct flux2_event *flux2_job_observe(struct flux2_job *j, struct flux2_transfer *t,
                                      const struct flux2_outcome *outcome, double now)
{
    struct flux2_event_texts texts = {.message = t->error, .trace = t->headers.trace};
    if (!j->observed)
        return NULL;
    struct flux2_event *e = new_event(j, FLUX2_EVENT_EXCHANGED, &texts, outcome, now);
    if (!e || !t->sink.data)
        return e;
    e->received = t->sink.received;
    size_t kept = e->received < OBSERVED_MAX ? e->received : OBSERVED_MAX;
    e->body = malloc(kept + 1);
    if (e->body) {
        memcpy(e->body, t->sink.data, kept);
        e->body[kept] = '\0';
        e->body_size = kept;
    }
    return e;
}

void flux2_job_conclude(const struct flux2_job *j, struct flux2_event *e, double now)
{
    if (!e)
        return;
    memcpy(e->status, j->status, sizeof e->status);
    e->has_progress = j->has_progress;
    e->progress = j->progress;
    e->pause = j->phase == FLUX2_PHASE_WAITING ? fmax(j->due - now, 0) : -1;
}

/* --- waiting ------------------------------------------------------------------------------------------ */

static void wait_until(struct flux2_job *j, double when)
{
    j->due = when;
    j->phase = FLUX2_PHASE_WAITING;
}

struct flux2_event *flux2_job_wake(struct flux2_job *j, double now)
{
    if (j->kind == FLUX2_JOB_TIMER) {
        static const struct flux2_outcome fine = {.retry_after = -1};
        return flux2_job_end(j, &fine, NULL, now);
    }
    j->phase = FLUX2_PHASE_READY;
    return NULL;
}

/* --- asking again --------------------------------------------------------------------------------------- */

static void back_off(struct flux2_job *j, const struct flux2_outcome *o, double now, uint64_t *random)
{
    wait_until(j, now + flux2_schedule_pause(&j->profile->backoff, j->attempts, o->retry_after, random));
}

/* A poll failed in a way that says nothing about the task: what is paid for is not given up for that. False if that was
 * once too often. */
static bool outlives(struct flux2_job *j, const struct flux2_outcome *o, double now, uint64_t *random)
{
    /* "Slow down" comes from a service that works: it costs time, not patience. */
    bool slow_down = o->failure == FLUX2_FAILURE_NONE && o->status == 429;
    if (!slow_down && ++j->failures >= j->profile->poll_failures)
        return false;
    back_off(j, o, now, random);
    return true;
}

/* A request that is no poll failed: sends it once more after a while, if it may be and there is an attempt left. */
static bool tries_again(struct flux2_job *j, const struct flux2_outcome *o, double now, uint64_t *random)
{
    bool may = flux2_schedule_may_retry(j->opening ? FLUX2_ONCE : j->nature, o);
    /* What may be repeated was certainly not acted upon. */
    flux2_job_drop(j, o->sent && !may);
    if (!may || j->attempts >= j->profile->max_attempts)
        return false;
    back_off(j, o, now, random);
    return true;
}

static bool asks_again(struct flux2_job *j, const struct flux2_outcome *o, double now, uint64_t *random)
{
    return flux2_job_is_polling(j) ? outlives(j, o, now, random) : tries_again(j, o, now, random);
}

/* Its last word, with all that the exchange brought. Without memory for that, NULL: the server has it still, and
 * what may be asked for again waits for that; else the job has ended, see flux2_job_end_answered. */
static struct flux2_event *end_with(struct flux2_job *j, struct flux2_transfer *t,
                                    const struct flux2_outcome *outcome, double now, uint64_t *random)
{
    static const struct flux2_outcome lost = {
        .failure = FLUX2_FAILURE_MEMORY, .sent = true, .retry_after = -1};
    struct flux2_event *e = exchange_event(j, FLUX2_EVENT_ENDED, t, outcome, now);
    if (e || !asks_again(j, &lost, now, random))
        j->phase = FLUX2_PHASE_ENDED;
    return e;
}

/* --- answers ------------------------------------------------------------------------------------------ */

/* Puts the id into the URL of the polls. */
static bool fill_in_id(struct flux2_job *j, const char *id)
{
    char escaped[FLUX2_ESCAPED_SIZE(FLUX2_ID_MAX)];
    char *place = strstr(j->url, "{id}");
    if (!place)
        return true;
    flux2_escape(id, strlen(id), escaped);
    size_t size = strlen(j->url) + strlen(escaped) + 1;
    char *url = malloc(size);
    if (!url)
        return false;
    snprintf(url, size, "%.*s%s%s", (int)(place - j->url), j->url, escaped, place + 4);
    free(j->url);
    j->url = url;
    return true;
}

/* Nothing new: looks again when that is worth it, or when the service says so within reason. */
static void poll_again(struct flux2_job *j, const struct flux2_outcome *o, double now, uint64_t *random)
{
    const struct flux2_cadence *c = &j->profile->cadence;
    double most = j->profile->backoff.ceiling, likely;
    const struct flux2_sketch *sketch = j->durations ? flux2_kind_borrow(j->durations) : NULL;
    double gap = flux2_schedule_gap(c, sketch, &j->trend, now - j->polling_since, random, &likely);
    if (sketch)
        flux2_kind_give_back(j->durations);
    double asked = o->retry_after < most ? o->retry_after : most;
    j->likely = j->polling_since + likely;
    j->attempts = 0;
    /* The service knows better than what we have learned, but not better than the caller. */
    wait_until(j, now + (asked > 0 && (asked > gap || c->interval <= 0) ? asked : gap));
}

/* An id must not be lost, whatever becomes of the host, nor an answer that is the last word: it may hold the only link
 * to what was paid. What is paid goes on all the same if the disk says no. */
static void record_opening(struct flux2_job *j, struct flux2_transfer *t, const struct flux2_reading *r)
{
    const char *answer = r->verdict == FLUX2_VERDICT_ENDED ? t->sink.data : NULL;
    int rc = r->id[0] || answer ? flux2_record_write(&j->record, r->id, answer) : 0;
    if (rc == 0)
        return;
    snprintf(t->error, sizeof t->error, "%s could not be recorded: %s", answer ? "the answer" : "its id",
             strerror(rc));
    if (answer && r->id[0])
        flux2_record_write(&j->record, r->id, NULL); /* which takes less room */
}

/* The opening was answered with a success: polling begins, unless the answer leaves nothing to wait for. */
static struct flux2_event *opened(struct flux2_job *j, struct flux2_transfer *t,
                                  const struct flux2_outcome *o, double now, uint64_t *random)
{
    struct flux2_reading reading;
    flux2_probe_read(&j->profile->watch, t->sink.data, t->sink.received, true, &reading);
    record_opening(j, t, &reading);
    if (reading.verdict != FLUX2_VERDICT_RUNNING || !fill_in_id(j, reading.id))
        return end_with(j, t, o, now, random);
    memcpy(j->status, reading.status, sizeof j->status);
    struct flux2_event_texts texts = {.message = t->error, .id = reading.id};
    struct flux2_event *e = new_event(j, FLUX2_EVENT_OPENED, &texts, o, now);
    if (!e) /* nobody would learn its id: then whoever asked for it has to read the answer, and begin to poll */
        return end_with(j, t, o, now, random);
    free(j->opening);
    free(j->body);
    j->opening = j->body = NULL;
    j->opened = true;
    j->polling_since = j->alive_at = now;
    poll_again(j, o, now, random);
    return e;
}

/* Takes over what was read; true if something is not what it was. */
static bool note_change(struct flux2_job *j, const struct flux2_reading *r)
{
    bool changed = false;
    if (r->has_status && strcmp(j->status, r->status) != 0) {
        memcpy(j->status, r->status, sizeof j->status);
        changed = true;
    }
    if (r->has_progress && (!j->has_progress || j->progress != r->progress)) {
        j->has_progress = true;
        j->progress = r->progress;
        changed = true;
    }
    return changed;
}

static struct flux2_event *bad_poll(struct flux2_job *j, struct flux2_transfer *t,
                                    const struct flux2_outcome *o, double now, uint64_t *random)
{
    return outlives(j, o, now, random) ? NULL : end_with(j, t, o, now, random);
}

static void still_runs(struct flux2_job *j, const struct flux2_outcome *o, double now, uint64_t *random)
{
    j->failures = 0;
    j->alive_at = j->asked_at;
    poll_again(j, o, now, random);
}

/* Where the answer says beyond doubt what is to be fetched, nobody has to wait for the host to say so. Without memory
 * the host does. */
static void prepare_fetch(struct flux2_job *j, const struct flux2_links *links, struct flux2_event *e,
                          double now)
{
    if (!links || !j->fetch_profile)
        return;
    struct flux2_job_spec spec = {
        .kind = FLUX2_JOB_TRANSFER,
        .url = links->at[0].url,
        .path = j->path,
        .nature = FLUX2_SAFE,
        .check_signature = j->check_signature,
        .deadline = isinf(j->deadline) ? 0 : fmax(j->deadline - now, 0.001),
    };
    j->fetch = flux2_job_new(j->fetch_id, j->fetch_profile, &spec);
    e->fetch = j->fetch ? j->fetch_id : 0;
}

struct flux2_job *flux2_job_take_fetch(struct flux2_job *j)
{
    struct flux2_job *fetch = j->fetch;
    j->fetch = NULL;
    return fetch;
}

/* The task has ended, with LINKS or NULL; takes them over. */
static struct flux2_event *finished(struct flux2_job *j, struct flux2_transfer *t,
                                    const struct flux2_outcome *o, struct flux2_links *links, double now,
                                    uint64_t *random)
{
    struct flux2_event *e = end_with(j, t, o, now, random);
    if (!e) {
        free(links);
        return NULL;
    }
    e->links = links;
    prepare_fetch(j, links, e, now);
    /* Two looks tell no more than that it ended between them. */
    if (j->durations && j->opened)
        flux2_kind_learn(j->durations, j->alive_at - j->polling_since, now - j->polling_since, now);
    return e;
}

static struct flux2_event *polled(struct flux2_job *j, struct flux2_transfer *t,
                                  const struct flux2_outcome *o, double now, uint64_t *random)
{
    struct flux2_reading reading;
    flux2_record_catch_up(&j->record);
    if (!is_success(o)) {
        bool not_yet = o->failure == FLUX2_FAILURE_NONE && o->status == 404 && j->opened &&
                       j->failures + 1 < NOT_FOUND_MAX;
        if (not_yet || flux2_schedule_may_retry(FLUX2_SAFE, o))
            return bad_poll(j, t, o, now, random);
        return end_with(j, t, o, now, random);
    }
    uint64_t digest = flux2_probe_digest(t->sink.data, t->sink.received);
    if (digest == j->answer) {
        still_runs(j, o, now, random);
        return NULL;
    }
    flux2_probe_read(&j->profile->watch, t->sink.data, t->sink.received, false, &reading);
    if (reading.verdict == FLUX2_VERDICT_UNREADABLE)
        return bad_poll(j, t, o, now, random);
    bool changed = note_change(j, &reading);
    if (reading.verdict == FLUX2_VERDICT_ENDED)
        return finished(j, t, o, reading.links, now, random);
    j->answer = digest;
    if (reading.has_progress)
        flux2_schedule_note(&j->trend, now - j->polling_since, reading.progress);
    still_runs(j, o, now, random);
    if (!changed)
        return NULL;
    return new_event(j, FLUX2_EVENT_CHANGED, NULL, o, now);
}

struct flux2_event *flux2_job_answered(struct flux2_job *j, struct flux2_transfer *t,
                                       const struct flux2_outcome *o, double now, uint64_t *random)
{
    if (flux2_job_is_polling(j))
        return polled(j, t, o, now, random);
    if (is_success(o))
        return j->opening ? opened(j, t, o, now, random) : end_with(j, t, o, now, random);
    return tries_again(j, o, now, random) ? NULL : end_with(j, t, o, now, random);
}

struct flux2_event *flux2_job_starved(struct flux2_job *j, double now, uint64_t *random)
{
    static const struct flux2_outcome starved = {.failure = FLUX2_FAILURE_MEMORY, .retry_after = -1};
    return asks_again(j, &starved, now, random) ? NULL : flux2_job_end(j, &starved, strerror(ENOMEM), now);
}
