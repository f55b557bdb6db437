/* tasks.h - the store of accepted tasks, indexed by id and in order of acceptance (the ledger).
 *
 * The caller holds the emulator's lock. The members of a task that are set at acceptance may be read without the
 * lock. */
#ifndef FLUX2_EMU_TASKS_H
#define FLUX2_EMU_TASKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emulator/request.h"

enum emu_outcome { EMU_SUCCEEDS, EMU_FAILS, EMU_MODERATED };

struct emu_task {
    char id[32];
    struct emu_request request;
    double credits;     /* price */
    double accepted_at; /* monotonic time */
    char *body;         /* as received, truncated to log_body_bytes */
    size_t body_len;
    uint64_t image_seed;

    /* Guarded by the lock. */
    double finished_at;
    enum emu_outcome outcome;
    char *reason;
    uint64_t polls;
    unsigned url_version; /* version of the valid image URLs, from 1; 0: none issued */
    unsigned url_epoch;   /* store epoch of that version */
    double url_expires;   /* monotonic time; 0: never */
};

struct emu_tasks {
    struct emu_task **all; /* in order of acceptance */
    size_t count, capacity;
    struct emu_task **table; /* hash table by id; size is a power of two, at most half full */
    size_t slots;
    unsigned epoch; /* image URLs of earlier epochs have expired */
    uint64_t ids;   /* state of the id generator */
};

void flux2_emu_tasks_free(struct emu_tasks *store);

/* Adds a task with a new id. Takes ownership of REQUEST's members on success. Returns NULL if out of memory. */
struct emu_task *flux2_emu_tasks_accept(struct emu_tasks *store, struct emu_request *request, const char *body,
                                        size_t body_len);

/* Returns the number of tasks that are unfinished at NOW. */
size_t flux2_emu_tasks_active(const struct emu_tasks *store, double now);

/* ID needs no terminating NUL. Returns NULL if there is no such task. */
struct emu_task *flux2_emu_tasks_find(const struct emu_tasks *store, const char *id, size_t len);

/* Returns the version of the valid image URLs; issues a new version if there is none or it has expired. TTL is in
 * seconds; 0: no expiry. */
unsigned flux2_emu_tasks_url_version(struct emu_tasks *store, struct emu_task *task, double now, double ttl);

/* Returns whether image URLs of VERSION are valid at NOW. */
bool flux2_emu_tasks_is_url_valid(const struct emu_tasks *store, const struct emu_task *task, unsigned version,
                                  double now);

/* Returns all tasks as a new array. START is the monotonic start time of the emulator. */
json_t *flux2_emu_tasks_ledger(const struct emu_tasks *store, double start);

/* Returns a task at the time NOW as a new object. */
json_t *flux2_emu_tasks_view(const struct emu_task *task, double start, double now);

#endif
