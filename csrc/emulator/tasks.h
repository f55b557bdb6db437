/* tasks.h - what was submitted, and what becomes of it.
 *
 * Owns: the tasks, found by id and kept in order for ever (that is the ledger), their end and their image links.
 * Never: HTTP, credits, locks. The caller holds the emulator's lock round every call; what `accept` was given may be
 * read without it, since a task is never changed in that and never freed before the store is. */
#ifndef FLUX2_EMU_TASKS_H
#define FLUX2_EMU_TASKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a checked request asked for. */
struct emu_order {
    char *model, *prompt, *type, *resolution, *aspect_ratio;
    json_t *input_urls; /* array or NULL */
    int width, height; /* of the picture, where the request gave it in dots; 0: as resolution and ratio say */
};

enum emu_outcome { EMU_SUCCEEDS, EMU_FAILS, EMU_MODERATED };

struct emu_task {
    char id[32];
    struct emu_order order;
    double credits;
    double accepted_at; /* monotonic seconds */
    char *body;         /* as it came, bounded by log_body_bytes */
    size_t body_len;
    uint64_t picture; /* the seed of its picture: of the request and of nothing else */

    /* Under the lock. */
    double finished_at;
    enum emu_outcome outcome;
    char *reason;
    uint64_t polls;
    unsigned link;       /* which issue of its links is the valid one, from 1; 0: none was given out */
    unsigned link_epoch; /* the store's epoch when it was issued */
    double link_expires; /* monotonic; 0: never */
};

struct emu_tasks {
    struct emu_task **all; /* in the order of acceptance */
    size_t count, room;
    struct emu_task **table; /* by id; a power of two, at most half full */
    size_t slots;
    unsigned epoch; /* links of an earlier epoch have expired */
    uint64_t ids;   /* the generator's state */
};

void flux2_emu_order_free(struct emu_order *order);

void flux2_emu_tasks_free(struct emu_tasks *store);

/* A task with a new id at the end of the ledger. Takes ORDER's members over if it succeeds; NULL: out of memory. */
struct emu_task *flux2_emu_tasks_accept(struct emu_tasks *store, struct emu_order *order, const char *body,
                                        size_t body_len);

/* ID need not end with a NUL. NULL if there is none. */
struct emu_task *flux2_emu_tasks_find(const struct emu_tasks *store, const char *id, size_t len);

/* The links that are valid now; issues new ones if there are none or they expired. TTL 0 is for ever. */
unsigned flux2_emu_tasks_link(struct emu_tasks *store, struct emu_task *task, double now, double ttl);

/* Whether issue LINK of the task's links is valid. */
bool flux2_emu_tasks_link_valid(const struct emu_tasks *store, const struct emu_task *task, unsigned link,
                                double now);

/* Everything accepted so far, from number FROM on, as the ledger shows it; START is the clock when the emulator began.
 */
json_t *flux2_emu_tasks_ledger(const struct emu_tasks *store, size_t from, double start);

/* One task as it stands. */
json_t *flux2_emu_tasks_view(const struct emu_task *task, double start, double now);

#endif
