/* agenda.h - the engine's book of jobs: which has this id, and which is to be called next.
 *
 * Owns: the index by id and the order by time. Never: owns or changes a job beyond its place in here. */
#ifndef FLUX2_AGENDA_H
#define FLUX2_AGENDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "job.h"

struct flux2_agenda {
    struct flux2_job **slots; /* open addressing by id */
    size_t slot_count;        /* a power of two, or 0 */
    size_t count;
    struct flux2_job **heap; /* a binary heap by flux2_agenda_time */
    size_t heap_count;
    size_t heap_capacity;
};

/* False without memory; nothing has changed then. */
bool flux2_agenda_add(struct flux2_agenda *agenda, struct flux2_job *job);
void flux2_agenda_remove(struct flux2_agenda *agenda, struct flux2_job *job);
struct flux2_job *flux2_agenda_find(const struct flux2_agenda *agenda, uint64_t id);

/* When a job has to be looked at without anything happening to it: its due time while it waits, or its deadline. */
double flux2_agenda_time(const struct flux2_job *job);
/* The time of JOB has changed. Never fails: every job in the agenda has its place reserved. */
void flux2_agenda_moved(struct flux2_agenda *agenda, struct flux2_job *job);
/* The job that comes first, NULL if there is none. */
struct flux2_job *flux2_agenda_first(const struct flux2_agenda *agenda);

/* Any job, to empty the agenda at the end; NULL if there is none. */
struct flux2_job *flux2_agenda_any(const struct flux2_agenda *agenda);
void flux2_agenda_free(struct flux2_agenda *agenda);

#endif
