/* job_table.h - the jobs of the engine, by id and by time.
 *
 * Owns its index, not the jobs. One thread, the engine's. */
#ifndef FLUX2_ENGINE_JOB_TABLE_H
#define FLUX2_ENGINE_JOB_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/job.h"

/* A zeroed table is empty. */
struct flux2_job_table {
    struct flux2_job **slots; /* hash table by id with open addressing, owned */
    size_t slot_count;        /* a power of two, or 0 */
    struct flux2_job **heap;  /* binary heap by flux2_job_table_time, owned */
    size_t heap_count;        /* jobs */
    size_t heap_capacity;     /* of `heap` */
};

/* Adds JOB. Returns false if out of memory: then nothing has changed. */
bool flux2_job_table_add(struct flux2_job_table *table, struct flux2_job *job);
/* Removes JOB, which is in the table. */
void flux2_job_table_remove(struct flux2_job_table *table, struct flux2_job *job);
/* Returns the job with ID; NULL if there is none. */
struct flux2_job *flux2_job_table_find(const struct flux2_job_table *table, uint64_t id);

/* Returns when JOB must be called next: its due time or its deadline. */
double flux2_job_table_time(const struct flux2_job *job);
/* Updates the order after the time of JOB has changed. Cannot fail: adding a job reserves its place. */
void flux2_job_table_moved(struct flux2_job_table *table, struct flux2_job *job);
/* Returns the job with the earliest time; NULL if there is none. */
struct flux2_job *flux2_job_table_first(const struct flux2_job_table *table);

/* Returns any job, to empty the table; NULL if it is empty. */
struct flux2_job *flux2_job_table_any(const struct flux2_job_table *table);
/* Frees the index. */
void flux2_job_table_free(struct flux2_job_table *table);

#endif
