/* paths.c - deterministic code paths of the engine for bench/check.lua, which counts their instructions.
 *
 *   paths NAME COUNT
 *
 * Uses one thread, no network and no clock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/event_queue.h"
#include "engine/job_table.h"
#include "engine/poll_job.h"
#include "engine/response_reader.h"
#include "http/transfer.h"
#include "platform/random.h"
#include "schema.h"

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
    flux2_response_schema_release(p->schema);
    p->schema = flux2_response_schema_hold(&schema);
    p->http->user_agent = (char *)"flux2-bench";
    p->http->headers = curl_slist_append(NULL, "Authorization: Bearer aio_bench_key");
    return p;
}

static struct flux2_job *new_poll(struct flux2_profile *p, uint64_t id)
{
    const struct flux2_poll_spec spec = {.url = "http://127.0.0.1:1/api/v1/tasks/t0000001"};
    const struct flux2_input begin = {.kind = FLUX2_INPUT_BEGIN, .now = 1};
    struct flux2_job *job = flux2_poll_job_new(id, p, &spec);
    must(job != NULL && flux2_job_step(job, &begin, NULL));
    return job;
}

/* Reads the response of a running task. */
static void read_response(long count)
{
    const struct flux2_outcome outcome = {.status = 200, .sent = true, .retry_after = -1};
    const struct flux2_response_source source = {
        .kind = FLUX2_REQUEST_TASK, .outcome = &outcome, .body = running, .size = sizeof running - 1};
    struct flux2_response response;
    while (count--) {
        must(flux2_response_read(&schema, &source, &response) && response.verdict == FLUX2_VERDICT_RUNNING);
        flux2_response_clear(&response);
    }
}

/* Prepares the easy handle for the next poll. */
static void prepare(long count)
{
    struct flux2_profile *p = new_profile();
    struct flux2_transfer *t = flux2_transfer_new();
    struct flux2_request request = {.url = "http://127.0.0.1:1/api/v1/tasks/t0000001", .idempotency = FLUX2_IDEMPOTENT};
    must(t != NULL);
    while (count--)
        must(flux2_transfer_prepare(t, p->http, &request));
}

/* Runs one poll without the network: request, preparation, response, waiting. */
static void cycle(long count)
{
    struct flux2_profile *p = new_profile();
    struct flux2_transfer *t = flux2_transfer_new();
    struct flux2_job *job = new_poll(p, 1);
    struct flux2_job_table job_table = {0};
    uint64_t random = 7;
    struct flux2_outcome ok = {.status = 200, .sent = true, .retry_after = -1};
    const struct flux2_input answered = {
        .kind = FLUX2_INPUT_TRANSFERRED, .now = 2, .random = &random, .outcome = &ok, .transfer = t};
    const struct flux2_input due = {.kind = FLUX2_INPUT_DUE, .now = 3, .random = &random};
    must(t != NULL && flux2_job_table_add(&job_table, job));
    while (count--) {
        struct flux2_request request;
        must(flux2_job_request(job, &request) == 0 && flux2_transfer_prepare(t, p->http, &request));
        t->sink.limit = 4096;
        must(flux2_sink_write(&t->sink, running, sizeof running - 1, sizeof running - 1) == FLUX2_FAILURE_NONE);
        struct flux2_output output = {.events = NULL};
        must(flux2_job_step(job, &answered, &output));
        flux2_job_table_moved(&job_table, job);
        flux2_transfer_clear(t);
        flux2_event_free(output.events);
        must(flux2_job_step(job, &due, &output));
    }
}

/* Computes poll intervals for different elapsed times. */
static void schedule(long count)
{
    struct flux2_profile *p = new_profile();
    struct flux2_duration_histogram histogram;
    uint64_t random = 7;
    double expected_end, end;
    int i;
    flux2_duration_histogram_init(&histogram);
    for (i = 0; i < 100; i++) {
        end = 8 + 12 * flux2_random_unit(&random);
        flux2_duration_histogram_learn(&histogram, end - 0.5, end + 0.5);
    }
    while (count--)
        must(flux2_schedule_gap(&p->poll_policy, &histogram, NULL, (double)(count % 25), &random, &expected_end) > 0);
}

/* Passes an event through the event queue. */
static void event_queue(long count)
{
    struct flux2_event_queue box;
    struct flux2_event_texts texts = {.content_type = "application/json"};
    must(flux2_event_queue_open(&box) == 0);
    while (count--) {
        flux2_event_queue_post(&box, flux2_event_new(1, FLUX2_EVENT_ENDED, &texts));
        must(flux2_event_queue_peek(&box) != NULL);
        flux2_event_queue_drop(&box);
    }
}

/* Moves a job among 10,000 others. */
static void job_table(long count)
{
    struct flux2_profile *p = new_profile();
    struct flux2_job_table all = {0};
    struct flux2_job *job = NULL;
    uint64_t i, random = 7;
    for (i = 1; i <= 10000; i++) {
        job = new_poll(p, i);
        job->phase = FLUX2_PHASE_WAITING;
        job->due = flux2_random_unit(&random);
        must(flux2_job_table_add(&all, job));
    }
    while (count--) {
        job->due = flux2_random_unit(&random);
        flux2_job_table_moved(&all, job);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(long);
    } all[] = {{"read_response", read_response}, {"prepare", prepare},         {"cycle", cycle},
               {"schedule", schedule},           {"event_queue", event_queue}, {"job_table", job_table}};
    size_t i;
    for (i = 0; argc == 3 && i < sizeof all / sizeof *all; i++)
        if (strcmp(argv[1], all[i].name) == 0) {
            all[i].run(atol(argv[2]));
            return 0;
        }
    return 2;
}
