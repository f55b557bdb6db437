/* worker.h - the work of the engine's thread: runs jobs on curl multi handles, one turn at a time.
 *
 * Owns the connections, the jobs that have begun, and all transfers. One thread calls all functions except
 * flux2_worker_wake. Only the event queue, `awaits_host` and the counters are shared with other threads. */
#ifndef FLUX2_ENGINE_WORKER_H
#define FLUX2_ENGINE_WORKER_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/duration_histogram.h"
#include "engine/event_queue.h"
#include "engine/job_table.h"
#include "engine/limiter.h"
#include "http/multi.h"

enum { FLUX2_POOL_MAX = 128 }; /* idle transfers that are kept for reuse */

struct flux2_worker {
    struct flux2_event_queue *event_queue; /* borrowed */
    struct flux2_multi multi;
    int multi_error; /* why `multi` is not open, an errno value; 0: it is open */
    struct flux2_job_table job_table;
    struct flux2_limiter limiter;
    struct flux2_durations durations;            /* of the tasks that ended */
    struct flux2_transfer *pool[FLUX2_POOL_MAX]; /* idle transfers */
    size_t pooled;                               /* their number */
    struct flux2_event *first_out, *last_out;    /* events to post at the end of the turn */
    struct flux2_job *ended;                     /* ended jobs, freed once their events are posted */
    uint64_t random;                             /* state for random.h */
    double busy;                                 /* seconds that the last turn took */
    double late;                                 /* seconds by which the last sleep overslept */
    atomic_bool awaits_host; /* sending waits for the host to take events: taking one wakes the worker */

    /* Counters, see struct flux2_engine_stats. Written by the worker and read by any thread; flux2_engine_start
     * increments `jobs`. */
    struct {
        atomic_uint_fast64_t jobs, in_flight, requests, connections, received, ended;
    } count;
};

/* Opens WORKER, which is zeroed memory; EVENT_QUEUE is borrowed. Fails if libcurl, or the system, has no resources for
 * the multi handles: then only timers run, and other jobs end with FLUX2_FAILURE_IO. May be called again until it
 * succeeds. Returns whether it is open. */
bool flux2_worker_open(struct flux2_worker *worker, struct flux2_event_queue *event_queue);
/* Ends all jobs without an event and frees everything. Unfinished files are removed. */
void flux2_worker_close(struct flux2_worker *worker);

/* Starts JOB, which the worker then owns. */
void flux2_worker_begin(struct flux2_worker *worker, struct flux2_job *job);
/* Ends the job with ID, if there is one, with FLUX2_FAILURE_CANCELLED. */
void flux2_worker_cancel(struct flux2_worker *worker, uint64_t id);

/* Does all work that does not block and posts the events. Returns the milliseconds until the next turn if nothing
 * happens. */
int flux2_worker_turn(struct flux2_worker *worker);
/* Sleeps for MS milliseconds, or until a socket is ready or flux2_worker_wake is called. */
void flux2_worker_sleep(struct flux2_worker *worker, int ms);
/* Ends flux2_worker_sleep. Any thread, while the worker is open. */
void flux2_worker_wake(struct flux2_worker *worker);

#endif
