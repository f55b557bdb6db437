/* job_table.c - see job_table.h. */
#include "engine/job_table.h"

#include <stdlib.h>

/* --- by id -------------------------------------------------------------------------------------- */

/* Fibonacci hashing: consecutive ids multiplied by the golden ratio are spread over the high bits. */
static size_t home(const struct flux2_job_table *t, uint64_t id)
{
    return (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (t->slot_count - 1);
}

static void put(struct flux2_job_table *t, struct flux2_job *job)
{
    size_t i = home(t, job->id);
    while (t->slots[i])
        i = (i + 1) & (t->slot_count - 1);
    t->slots[i] = job;
}

static bool resize(struct flux2_job_table *t, size_t slot_count)
{
    struct flux2_job **old = t->slots;
    size_t i, old_count = t->slot_count;
    struct flux2_job **slots = calloc(slot_count, sizeof(struct flux2_job *));
    if (!slots)
        return false;
    t->slots = slots;
    t->slot_count = slot_count;
    for (i = 0; i < old_count; i++)
        if (old[i])
            put(t, old[i]);
    free(old);
    return true;
}

struct flux2_job *flux2_job_table_find(const struct flux2_job_table *t, uint64_t id)
{
    if (t->slot_count == 0)
        return NULL;
    size_t i = home(t, id);
    while (t->slots[i] && t->slots[i]->id != id)
        i = (i + 1) & (t->slot_count - 1);
    return t->slots[i];
}

/* Removes ID and moves later entries into the gap, so that searches find them. */
static void remove_id(struct flux2_job_table *t, uint64_t id)
{
    size_t mask = t->slot_count - 1, i = home(t, id), k;
    while (t->slots[i]->id != id)
        i = (i + 1) & mask;
    t->slots[i] = NULL;
    for (k = (i + 1) & mask; t->slots[k]; k = (k + 1) & mask) {
        size_t wants = home(t, t->slots[k]->id);
        if (((k - wants) & mask) < ((k - i) & mask))
            continue;
        t->slots[i] = t->slots[k];
        t->slots[k] = NULL;
        i = k;
    }
}

/* --- by time ------------------------------------------------------------------------------------ */

double flux2_job_table_time(const struct flux2_job *job)
{
    if (job->phase == FLUX2_PHASE_WAITING && job->due < job->deadline)
        return job->due;
    return job->deadline;
}

static void place(struct flux2_job_table *t, size_t i, struct flux2_job *job)
{
    t->heap[i] = job;
    job->heap_index = i;
}

static size_t sift_up(struct flux2_job_table *t, size_t i)
{
    struct flux2_job *job = t->heap[i];
    double time = flux2_job_table_time(job);
    while (i > 0 && time < flux2_job_table_time(t->heap[(i - 1) / 2])) {
        place(t, i, t->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(t, i, job);
    return i;
}

static void sift_down(struct flux2_job_table *t, size_t i)
{
    struct flux2_job *job = t->heap[i];
    double time = flux2_job_table_time(job);
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= t->heap_count)
            break;
        if (child + 1 < t->heap_count &&
            flux2_job_table_time(t->heap[child + 1]) < flux2_job_table_time(t->heap[child]))
            child++;
        if (time <= flux2_job_table_time(t->heap[child]))
            break;
        place(t, i, t->heap[child]);
        i = child;
    }
    place(t, i, job);
}

void flux2_job_table_moved(struct flux2_job_table *t, struct flux2_job *job)
{
    sift_down(t, sift_up(t, job->heap_index));
}

struct flux2_job *flux2_job_table_first(const struct flux2_job_table *t)
{
    return t->heap_count > 0 ? t->heap[0] : NULL;
}

/* --- both ----------------------------------------------------------------------------------------- */

bool flux2_job_table_add(struct flux2_job_table *t, struct flux2_job *job)
{
    /* At most half full, so that searches are short and end at an empty slot. */
    if ((t->heap_count + 1) * 2 > t->slot_count && !resize(t, t->slot_count ? t->slot_count * 2 : 64))
        return false;
    if (t->heap_count == t->heap_capacity) {
        size_t capacity = t->heap_capacity ? t->heap_capacity * 2 : 64;
        struct flux2_job **heap = realloc(t->heap, capacity * sizeof(struct flux2_job *));
        if (!heap)
            return false;
        t->heap = heap;
        t->heap_capacity = capacity;
    }
    put(t, job);
    place(t, t->heap_count++, job);
    sift_up(t, job->heap_index);
    return true;
}

void flux2_job_table_remove(struct flux2_job_table *t, struct flux2_job *job)
{
    size_t i = job->heap_index;
    struct flux2_job *last = t->heap[--t->heap_count];
    if (last != job) {
        place(t, i, last);
        flux2_job_table_moved(t, last);
    }
    remove_id(t, job->id);
    /* Memory shrinks after a burst; the threshold of one eighth prevents frequent resizing. */
    if (t->heap_count < t->slot_count / 8 && t->slot_count > 64)
        resize(t, t->slot_count / 2);
    if (t->heap_count < t->heap_capacity / 8 && t->heap_capacity > 64) {
        struct flux2_job **heap = realloc(t->heap, t->heap_capacity / 2 * sizeof(struct flux2_job *));
        if (heap) {
            t->heap = heap;
            t->heap_capacity /= 2;
        }
    }
}

struct flux2_job *flux2_job_table_any(const struct flux2_job_table *t)
{
    return t->heap_count > 0 ? t->heap[t->heap_count - 1] : NULL;
}

void flux2_job_table_free(struct flux2_job_table *t)
{
    free(t->slots);
    free(t->heap);
    *t = (struct flux2_job_table){0};
}
