/* event_queue.h - the queue of events from the worker to the host.
 *
 * Owns its events and the descriptor that is readable exactly while there are any. One thread posts ("poster"), another
 * takes ("taker"). */
#ifndef FLUX2_ENGINE_EVENT_QUEUE_H
#define FLUX2_ENGINE_EVENT_QUEUE_H

#include <stdatomic.h>
#include <stddef.h>

#include "engine/event.h"
#include "platform/thread.h"
#include "platform/wakeup.h"

struct flux2_event_queue {
    struct flux2_mutex lock;          /* of the list and the descriptor */
    struct flux2_event *first, *last; /* owned */
    struct flux2_wakeup wake;         /* readable while count > 0 */
    atomic_size_t count;              /* events */
    atomic_size_t bytes;              /* memory of the events with their bodies */
};

/* The number of reasons for an update in this process: the waiting events of all queues, and accounts with collector
 * steps that are due (gc_pressure.h). It is never below the count of a queue. One static variable, so that an update
 * without a reason reads one cache line. Any thread. */
extern atomic_size_t flux2_pending_work;

/* Opens the queue. Returns 0 or an errno value. */
int flux2_event_queue_open(struct flux2_event_queue *queue);
/* Frees all events and closes the descriptor. No other thread may use the queue any more. */
void flux2_event_queue_close(struct flux2_event_queue *queue);

/* Poster: appends EVENTS (linked by ->next), which the queue then owns, and wakes the taker once. If ->slot of an event
 * is set, it is a CHANGED event, and *slot points to the undelivered one of the same job or is NULL. The undelivered
 * event is updated and the new one freed, so that a busy host finds one event instead of hundreds; otherwise *slot is
 * set until the event is taken. */
void flux2_event_queue_post(struct flux2_event_queue *queue, struct flux2_event *events);
/* Poster: the memory of SLOT is about to be freed. */
void flux2_event_queue_forget(struct flux2_event_queue *queue, struct flux2_event **slot);

/* Taker: returns the number of events: an atomic load. */
static inline size_t flux2_event_queue_count(const struct flux2_event_queue *queue)
{
    return atomic_load_explicit(&queue->count, memory_order_acquire);
}
/* Any thread: returns the memory of the events: an atomic load. */
static inline size_t flux2_event_queue_bytes(const struct flux2_event_queue *queue)
{
    return atomic_load(&queue->bytes);
}
/* Taker: returns the first event, which the queue owns; NULL if there is none. */
struct flux2_event *flux2_event_queue_peek(struct flux2_event_queue *queue);
/* Taker: removes and frees the first event. */
void flux2_event_queue_drop(struct flux2_event_queue *queue);

#endif
