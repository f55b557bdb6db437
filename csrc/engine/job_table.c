/* job_table.c - see job_table.h. */
#include "engine/job_table.h"

#include <stdlib.h>

/* --- by id -------------------------------------------------------------------------------------- */

/* Fibonacci hashing: consecutive ids multiplied by the golden ratio are spread over the high bits. */
static size_t home(const struct flux2_job_table *a, uint64_t id)
{
    return (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (a->slot_count - 1);
}

static void put(struct flux2_job_table *a, struct flux2_job *job)
{
    size_t i = home(a, job->id);
    while (a->slots[i])
        i = (i + 1) & (a->slot_count - 1);
    a->slots[i] = job;
}

static bool resize(struct flux2_job_table *a, size_t slot_count)
{
    struct flux2_job **old = a->slots;
    size_t i, old_count = a->slot_count;
    struct flux2_job **slots = calloc(slot_count, sizeof(struct flux2_job *));
    if (!slots)
        return false;
    a->slots = slots;
    a->slot_count = slot_count;
    for (i = 0; i < old_count; i++)
        if (old[i])
            put(a, old[i]);
    free(old);
    return true;
}

struct flux2_job *flux2_job_table_find(const struct flux2_job_table *a, uint64_t id)
{
    if (a->slot_count == 0)
        return NULL;
    size_t i = home(a, id);
    while (a->slots[i] && a->slots[i]->id != id)
        i = (i + 1) & (a->slot_count - 1);
    return a->slots[i];
}

/* Removes ID and moves later entries into the gap, so that searches find them. */
static void remove_id(struct flux2_job_table *a, uint64_t id)
{
    size_t mask = a->slot_count - 1, i = home(a, id), k;
    while (a->slots[i]->id != id)
        i = (i + 1) & mask;
    a->slots[i] = NULL;
    for (k = (i + 1) & mask; a->slots[k]; k = (k + 1) & mask) {
        size_t wants = home(a, a->slots[k]->id);
        if (((k - wants) & mask) < ((k - i) & mask))
            continue;
        a->slots[i] = a->slots[k];
        a->slots[k] = NULL;
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

static void place(struct flux2_job_table *a, size_t i, struct flux2_job *job)
{
    a->heap[i] = job;
    job->heap_index = i;
}

static size_t sift_up(struct flux2_job_table *a, size_t i)
{
    struct flux2_job *job = a->heap[i];
    double t = flux2_job_table_time(job);
    while (i > 0 && t < flux2_job_table_time(a->heap[(i - 1) / 2])) {
        place(a, i, a->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(a, i, job);
    return i;
}

static void sift_down(struct flux2_job_table *a, size_t i)
{
    struct flux2_job *job = a->heap[i];
    double t = flux2_job_table_time(job);
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= a->heap_count)
            break;
        if (child + 1 < a->heap_count &&
            flux2_job_table_time(a->heap[child + 1]) < flux2_job_table_time(a->heap[child]))
            child++;
        if (t <= flux2_job_table_time(a->heap[child]))
            break;
        place(a, i, a->heap[child]);
        i = child;
    }
    place(a, i, job);
}

void flux2_job_table_moved(struct flux2_job_table *a, struct flux2_job *job)
{
    sift_down(a, sift_up(a, job->heap_index));
}

struct flux2_job *flux2_job_table_first(const struct flux2_job_table *a)
{
    return a->heap_count > 0 ? a->heap[0] : NULL;
}

/* --- both ----------------------------------------------------------------------------------------- */

bool flux2_job_table_add(struct flux2_job_table *a, struct flux2_job *job)
{
    /* At most half full, so that searches are short and end at an empty slot. */
    if ((a->heap_count + 1) * 2 > a->slot_count && !resize(a, a->slot_count ? a->slot_count * 2 : 64))
        return false;
    if (a->heap_count == a->heap_capacity) {
        size_t capacity = a->heap_capacity ? a->heap_capacity * 2 : 64;
        struct flux2_job **heap = realloc(a->heap, capacity * sizeof(struct flux2_job *));
        if (!heap)
            return false;
        a->heap = heap;
        a->heap_capacity = capacity;
    }
    put(a, job);
    place(a, a->heap_count++, job);
    sift_up(a, job->heap_index);
    return true;
}

void flux2_job_table_remove(struct flux2_job_table *a, struct flux2_job *job)
{
    size_t i = job->heap_index;
    struct flux2_job *last = a->heap[--a->heap_count];
    if (last != job) {
        place(a, i, last);
        flux2_job_table_moved(a, last);
    }
    remove_id(a, job->id);
    /* Memory shrinks after a burst; the threshold of one eighth prevents frequent resizing. */
    if (a->heap_count < a->slot_count / 8 && a->slot_count > 64)
        resize(a, a->slot_count / 2);
    if (a->heap_count < a->heap_capacity / 8 && a->heap_capacity > 64) {
        struct flux2_job **heap = realloc(a->heap, a->heap_capacity / 2 * sizeof(struct flux2_job *));
        if (heap) {
            a->heap = heap;
            a->heap_capacity /= 2;
        }
    }
}

struct flux2_job *flux2_job_table_any(const struct flux2_job_table *a)
{
    return a->heap_count > 0 ? a->heap[a->heap_count - 1] : NULL;
}

void flux2_job_table_free(struct flux2_job_table *a)
{
    free(a->slots);
    free(a->heap);
    *a = (struct flux2_job_table){0};
}
