/* slot_table.c - see slot_table.h. */
#include "server/slot_table.h"

#include <stdlib.h>

#define SLOT_BITS 20                   /* of an id: the slot */
#define MAX_SERIAL (UINT64_C(1) << 32) /* with the slot it is exact in a double */

static bool grow(struct flux2_slot_table *t)
{
    size_t i, count = t->count ? 2 * t->count : 64;
    if (count > (size_t)1 << SLOT_BITS)
        return false;
    struct flux2_slot *slots = realloc(t->slots, count * sizeof *slots);
    if (!slots)
        return false;
    for (i = t->count; i < count; i++)
        slots[i] = (struct flux2_slot){.next_free = i + 1};
    t->slots = slots;
    t->first_free = t->count;
    t->count = count;
    return true;
}

static size_t index_of(uint64_t id)
{
    return (size_t)(id & ((UINT64_C(1) << SLOT_BITS) - 1));
}

bool flux2_slot_take(struct flux2_slot_table *t, void *owner, uint64_t *id)
{
    if (t->first_free >= t->count && !grow(t))
        return false;
    struct flux2_slot *slot = &t->slots[t->first_free];
    slot->serial = (slot->serial + 1) % MAX_SERIAL;
    *id = slot->serial << SLOT_BITS | t->first_free;
    t->first_free = slot->next_free;
    slot->owner = owner;
    t->used++;
    return true;
}

void *flux2_slot_find(const struct flux2_slot_table *t, uint64_t id)
{
    const struct flux2_slot *slot = index_of(id) < t->count ? &t->slots[index_of(id)] : NULL;
    return slot && slot->serial == id >> SLOT_BITS ? slot->owner : NULL;
}

void flux2_slot_free(struct flux2_slot_table *t, uint64_t id)
{
    size_t i = index_of(id);
    t->slots[i].owner = NULL;
    t->slots[i].next_free = t->first_free;
    t->first_free = i;
    t->used--;
}

void flux2_slot_table_clear(struct flux2_slot_table *t)
{
    free(t->slots);
    *t = (struct flux2_slot_table){0};
}
