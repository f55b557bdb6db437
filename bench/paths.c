/* paths.c - the engine's repeatable paths, one at a time, for callgrind to count: bench/check.lua runs it.
 *
 *   paths NAME COUNT
 *
 * Only one thread, no network, nothing that depends on time. Owns what it makes. Never: measures anything itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../csrc/agenda.h"
#include "../csrc/job.h"
#include "../csrc/mailbox.h"
#include "../csrc/probe.h"
#include "../csrc/transfer.h"
#include "watch.h"

static const char running[] = "{\"code\":200,\"message\":\"success\",\"data\":{\"task_id\":\"t0000001\","
                              "\"status\":\"IN_PROGRESS\",\"progress\":50}}";

static void must(int ok)
{
    if (!ok)
        abort();
}

static struct flux2_profile *new_profile(void)
{
    struct flux2_profile *p = flux2_profile_new();
    must(p != NULL);
    p->watch = watch; /* never released: its lists are static */
    p->user_agent = (char *)"flux2-bench";
    p->headers = curl_slist_append(NULL, "Authorization: Bearer aio_bench_key");
    return p;
}

static struct flux2_job *new_poll(struct flux2_profile *p, uint64_t id)
{
    struct flux2_job_spec spec = {.kind = FLUX2_JOB_POLL, .url = "http://127.0.0.1:1/api/v1/tasks/t0000001"};
    struct flux2_job *job = flux2_job_new(id, p, &spec);
    must(job != NULL);
    flux2_job_begin(job, 1);
    return job;
}

/* What an answer that says "still running" means. */
static void probe(long count)
{
    struct flux2_reading reading;
    while (count--)
        flux2_probe_read(&watch, running, sizeof running - 1, false, &reading);
}

/* The easy handle made ready for the next poll. */
static void prepare(long count)
{
    struct flux2_profile *p = new_profile();
    struct flux2_transfer *t = flux2_transfer_new();
    struct flux2_request request = {.url = "http://127.0.0.1:1/api/v1/tasks/t0000001", .nature = FLUX2_SAFE};
    must(t != NULL);
    while (count--)
        must(flux2_transfer_prepare(t, p, &request));
}

/* One poll without the network: asked for, prepared, answered as the last one was, put back to wait. */
static void cycle(long count)
{
    struct flux2_profile *p = new_profile();
    struct flux2_transfer *t = flux2_transfer_new();
    struct flux2_job *job = new_poll(p, 1);
    struct flux2_agenda agenda = {0};
    uint64_t random = 7;
    struct flux2_outcome ok = {.status = 200, .sent = true, .retry_after = -1};
    must(t != NULL && flux2_agenda_add(&agenda, job));
    while (count--) {
        struct flux2_request request;
        must(flux2_job_request(job, &request) == 0 && flux2_transfer_prepare(t, p, &request));
        t->sink.limit = 4096;
        must(flux2_sink_write(&t->sink, running, sizeof running - 1, sizeof running - 1) == FLUX2_FAILURE_NONE);
        struct flux2_event *events = flux2_job_answered(job, t, &ok, 2, &random);
        flux2_agenda_moved(&agenda, job);
        flux2_transfer_clear(t);
        flux2_event_free(events);
        flux2_job_wake(job, 3);
    }
}

/* When to look again at tasks that are at different points of what was learned. */
static void schedule(long count)
{
    struct flux2_profile *p = new_profile();
    struct flux2_sketch sketch = {0};
    uint64_t random = 7;
    double likely, end;
    int i;
    for (i = 0; i < 100; i++) {
        end = 8 + 12 * flux2_schedule_random(&random);
        flux2_sketch_learn(&sketch, end - 0.5, end + 0.5);
    }
    while (count--)
        must(flux2_schedule_gap(&p->cadence, &sketch, NULL, (double)(count % 25), &random, &likely) > 0);
}

/* An event through the mailbox. */
static void mailbox(long count)
{
    struct flux2_mailbox box;
    struct flux2_event_texts texts = {.content_type = "application/json"};
    must(flux2_mailbox_open(&box) == 0);
    while (count--) {
        flux2_mailbox_post(&box, flux2_event_new(1, FLUX2_EVENT_ENDED, &texts));
        must(flux2_mailbox_peek(&box) != NULL);
        flux2_mailbox_drop(&box);
    }
}

/* A job that moves among 10,000 others. */
static void agenda(long count)
{
    struct flux2_profile *p = new_profile();
    struct flux2_agenda all = {0};
    struct flux2_job *job = NULL;
    uint64_t i, random = 7;
    for (i = 1; i <= 10000; i++) {
        job = new_poll(p, i);
        job->phase = FLUX2_PHASE_WAITING;
        job->due = flux2_schedule_random(&random);
        must(flux2_agenda_add(&all, job));
    }
    while (count--) {
        job->due = flux2_schedule_random(&random);
        flux2_agenda_moved(&all, job);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(long);
    } all[] = {{"probe", probe},       {"prepare", prepare}, {"cycle", cycle},
               {"schedule", schedule}, {"mailbox", mailbox}, {"agenda", agenda}};
    size_t i;
    for (i = 0; argc == 3 && i < sizeof all / sizeof *all; i++)
        if (strcmp(argv[1], all[i].name) == 0) {
            all[i].run(atol(argv[2]));
            return 0;
        }
    return 2;
}
