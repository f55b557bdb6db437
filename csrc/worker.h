/* worker.h - what the engine's thread does: runs jobs on a multi handle, one turn at a time.
 *
 * Owns: the lines to servers, every job that was begun, every transfer. Never: locks, or knows that there are threads; the
 * mailbox and the counters are the only things of it that another thread may touch, and flux2_worker_wake. */
#ifndef FLUX2_WORKER_H
#define FLUX2_WORKER_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agenda.h"
#include "gate.h"
#include "lines.h"
#include "mailbox.h"

enum { FLUX2_POOL_MAX = 128 }; /* idle transfers that are kept */

struct flux2_worker {
    struct flux2_mailbox *mailbox; /* borrowed */
    struct flux2_lines lines;
    struct flux2_agenda agenda;
    struct flux2_gate gate;
    struct flux2_transfer *pool[FLUX2_POOL_MAX];
    size_t pooled;
    struct flux2_event *first_out, *last_out; /* events that are not posted yet */
    struct flux2_job *dead;                   /* jobs that ended, freed once their events are posted */
    uint64_t random;
    atomic_bool
        awaits_host; /* nothing is sent before the host has taken events: whoever takes one wakes the worker */

    /* Written here, read by anyone. `jobs` is raised by whoever hands a job over. */
    struct {
        atomic_uint_fast64_t jobs, in_flight, exchanges, connections, received, ended;
    } count;
};

/* Makes a worker of zeroed memory ready. Returns 0 or an errno value. */
int flux2_worker_open(struct flux2_worker *worker, struct flux2_mailbox *mailbox);
/* Ends every job without an event, and frees all it has. Files that are not whole are removed. */
void flux2_worker_close(struct flux2_worker *worker);

/* Takes JOB over and begins it with the next turn. */
void flux2_worker_begin(struct flux2_worker *worker, struct flux2_job *job);
/* The job with this id, if there is one, ends as FLUX2_FAILURE_CANCELLED. */
void flux2_worker_cancel(struct flux2_worker *worker, uint64_t id);

/* Does all that can be done now, and posts what happened. Returns how many milliseconds may pass until the next turn if
 * nothing happens. */
int flux2_worker_turn(struct flux2_worker *worker);
/* Sleeps for so long, or until a socket or flux2_worker_wake ends it. */
void flux2_worker_sleep(struct flux2_worker *worker, int ms);
/* Any thread, while the worker is open. */
void flux2_worker_wake(struct flux2_worker *worker);

#endif
