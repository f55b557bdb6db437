/* engine.h - the worker thread, its two queues, and the loop around curl_multi_poll.
 *
 * Owns: the thread, the multi handle, every job and every transfer. Commands go in, events come out, and one
 * descriptor is readable exactly while events wait. Never: touches a lua_State; knows what a job is about.
 *
 * One thread, the host's, calls everything below; the worker is behind it. */
#ifndef FLUX2_ENGINE_H
#define FLUX2_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "job.h"

struct flux2_engine;

struct flux2_engine_stats {
    uint64_t jobs;        /* started and not ended */
    uint64_t in_flight;   /* of those, with an exchange under way */
    uint64_t exchanges;   /* begun since the start */
    uint64_t connections; /* opened since the start */
    uint64_t received;    /* bytes of bodies */
    uint64_t ended;       /* jobs that ended */
};

/* An engine whose thread has not been started yet; NULL with an errno value in *ERROR. */
struct flux2_engine *flux2_engine_new(int *error);

/* Stops the thread and frees the engine: files that are not whole are removed, nothing is sent any more. Returns
 * within about 100 ms whatever the network, the resolver or a disk does; what still hangs then frees itself later.
 * In a forked child it only closes the descriptor. */
void flux2_engine_close(struct flux2_engine *engine);

/* True if this process is a fork of the one that made ENGINE: it must not be used then. */
bool flux2_engine_is_foreign(const struct flux2_engine *engine);

/* Starts JOB, which the engine owns from then on, and the thread if need be. Returns 0, or an errno value and JOB
 * remains the caller's. The id comes from flux2_engine_next_id. */
int flux2_engine_start(struct flux2_engine *engine, struct flux2_job *job);
uint64_t flux2_engine_next_id(struct flux2_engine *engine);

/* The job will end as soon as possible, as FLUX2_FAILURE_CANCELLED unless it has ended already. An unknown id is
 * ignored. False without memory. */
bool flux2_engine_cancel(struct flux2_engine *engine, uint64_t id);

/* Frees BLOCK of SIZE bytes, which comes from malloc; a large one on the engine's thread, because giving megabytes back
 * to the system takes milliseconds. Cannot fail. */
void flux2_engine_free(struct flux2_engine *engine, void *block, size_t size);

/* How many events wait. An atomic load. */
size_t flux2_engine_ready(const struct flux2_engine *engine);
/* The first event that waits, which stays the engine's, or NULL. */
struct flux2_event *flux2_engine_peek(struct flux2_engine *engine);
/* Removes and frees the event that peek returned. */
void flux2_engine_drop(struct flux2_engine *engine);

/* The descriptor: non-blocking, close-on-exec, readable exactly while events wait. It must not be read or closed. */
int flux2_engine_fd(const struct flux2_engine *engine);

void flux2_engine_read_stats(const struct flux2_engine *engine, struct flux2_engine_stats *stats);

#endif
