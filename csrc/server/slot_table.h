/* slot_table.h - numbers for things that another thread or program refers to: an id names a slot and its use, so an id
 * of an earlier use is not found.
 *
 * The caller owns the table, which is zero-initialized, and holds its lock round every call. */
#ifndef FLUX2_SERVER_SLOT_TABLE_H
#define FLUX2_SERVER_SLOT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flux2_slot {
    void *owner;     /* NULL: free */
    uint64_t serial; /* of its last use */
    size_t next_free;
};

struct flux2_slot_table {
    struct flux2_slot *slots; /* owned */
    size_t count, first_free, used;
};

/* Gives OWNER a slot, and sets *ID, which is exact in a double. Returns false if out of memory. */
bool flux2_slot_take(struct flux2_slot_table *table, void *owner, uint64_t *id);
/* Returns the owner of the slot ID, or NULL. */
void *flux2_slot_find(const struct flux2_slot_table *table, uint64_t id);
/* Frees the slot ID, which is taken. */
void flux2_slot_free(struct flux2_slot_table *table, uint64_t id);
/* Frees the memory. */
void flux2_slot_table_clear(struct flux2_slot_table *table);

#endif
