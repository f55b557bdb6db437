/* engine.h - the worker thread with its command queue and its event queue.
 *
 * Owns the thread, the multi handles, all jobs and transfers. A descriptor is readable exactly while events wait. Never
 * touches a lua_State.
 *
 * All functions are called by one thread, the host's. */
#ifndef FLUX2_ENGINE_ENGINE_H
#define FLUX2_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/event.h"
#include "engine/job.h"
#include "platform/wakeup.h"

struct flux2_engine;

/* Counters. */
struct flux2_engine_stats {
    uint64_t jobs;        /* jobs that are started and not ended */
    uint64_t in_flight;   /* jobs with a request in flight */
    uint64_t requests;    /* requests sent */
    uint64_t connections; /* connections opened */
    uint64_t received;    /* bytes of response bodies */
    uint64_t ended;       /* jobs that ended */
};

/* Creates an engine without starting its thread. Returns NULL on failure, with an errno value in *ERROR. */
struct flux2_engine *flux2_engine_new(int *error);

/* Stops the thread and frees the engine. Unfinished files are removed. Returns within about 100 ms whatever the
 * network, the resolver or a disk does; a thread that is still blocked then frees the engine later. In a forked child
 * it only closes the descriptor. */
void flux2_engine_close(struct flux2_engine *engine);

/* Returns whether this process is a fork of the one that created ENGINE: it must not be used then. */
bool flux2_engine_is_foreign(const struct flux2_engine *engine);

/* Starts the thread unless it runs, which initializes libcurl. Returns 0 or an errno value. */
int flux2_engine_run(struct flux2_engine *engine);

/* Starts JOB, and the thread if needed. Returns 0, and the engine owns JOB, or an errno value, and JOB remains the
 * caller's. The id of JOB comes from flux2_engine_next_id. */
int flux2_engine_start(struct flux2_engine *engine, struct flux2_job *job);
/* Returns an unused job id, which is not 0. */
uint64_t flux2_engine_next_id(struct flux2_engine *engine);

/* Cancels job ID: it ends as soon as possible with FLUX2_FAILURE_CANCELLED unless it has already ended. An unknown id
 * is ignored. Returns false if out of memory. */
bool flux2_engine_cancel(struct flux2_engine *engine, uint64_t id);

/* Frees BLOCK of SIZE bytes from malloc. A large block is freed on the engine's thread, because that takes
 * milliseconds. Cannot fail. */
void flux2_engine_free(struct flux2_engine *engine, void *block, size_t size);

/* Returns the number of waiting events: an atomic load. */
size_t flux2_engine_ready(const struct flux2_engine *engine);
/* Returns the first waiting event, which the engine owns; NULL if there is none. */
struct flux2_event *flux2_engine_peek(struct flux2_engine *engine);
/* Removes and frees the event that flux2_engine_peek returned. */
void flux2_engine_drop(struct flux2_engine *engine);

/* Returns the descriptor, which the engine owns and which the caller must not read or close. It is readable exactly
 * while events wait. */
flux2_descriptor flux2_engine_fd(const struct flux2_engine *engine);

/* Sets *STATS to the current counters. */
void flux2_engine_read_stats(const struct flux2_engine *engine, struct flux2_engine_stats *stats);

#endif
