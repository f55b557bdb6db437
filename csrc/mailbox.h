/* mailbox.h - the queue of events on their way to the host.
 *
 * Owns: the events in it, and the descriptor that is readable exactly while there are any. One thread posts, one
 * takes. Never: waits, or knows what an event means beyond its kind. */
#ifndef FLUX2_MAILBOX_H
#define FLUX2_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "event.h"
#include "platform.h"

struct flux2_mailbox {
    pthread_mutex_t lock;
    struct flux2_event *first, *last;
    struct flux2_wake wake;
    atomic_size_t count;
    atomic_size_t bytes; /* what the events in it take, their bodies above all */
};

/* Returns 0 or an errno value. */
int flux2_mailbox_open(struct flux2_mailbox *box);
void flux2_mailbox_close(struct flux2_mailbox *box);

/* Poster: puts EVENTS (linked by ->next) behind the others, waking the taker once for all of them. An event whose
 * ->slot is set is a CHANGED event: *slot is the one of the same job that has not been taken yet, or NULL. The
 * older one is then brought up to date and the newer freed, so that a host that is busy for a minute finds one
 * event and not hundreds; otherwise *slot is set until the event is taken. */
void flux2_mailbox_post(struct flux2_mailbox *box, struct flux2_event *events);
/* Poster: SLOT is about to go away. */
void flux2_mailbox_forget(struct flux2_mailbox *box, struct flux2_event **slot);

/* Taker: how many wait; an atomic load. */
static inline size_t flux2_mailbox_count(const struct flux2_mailbox *box)
{
    return atomic_load_explicit(&box->count, memory_order_acquire);
}
/* Anybody: the memory that it takes; an atomic load. */
static inline size_t flux2_mailbox_bytes(const struct flux2_mailbox *box)
{
    return atomic_load(&box->bytes);
}
/* Taker: the first event, which stays in the mailbox, or NULL. */
struct flux2_event *flux2_mailbox_peek(struct flux2_mailbox *box);
/* Taker: removes and frees the first event. */
void flux2_mailbox_drop(struct flux2_mailbox *box);

#endif
