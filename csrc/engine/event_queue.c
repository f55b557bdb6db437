/* event_queue.c - see event_queue.h. */
#include "engine/event_queue.h"

#include "platform/thread.h"
#include "platform/wakeup.h"

atomic_size_t flux2_pending_work;

int flux2_event_queue_open(struct flux2_event_queue *queue)
{
    flux2_mutex_init(&queue->lock);
    queue->first = queue->last = NULL;
    atomic_init(&queue->count, 0);
    atomic_init(&queue->bytes, 0);
    return flux2_wakeup_open(&queue->wake);
}

void flux2_event_queue_close(struct flux2_event_queue *queue)
{
    while (queue->first) {
        struct flux2_event *event = queue->first;
        queue->first = event->next;
        flux2_event_free(event);
    }
    queue->last = NULL;
    atomic_fetch_sub(&flux2_pending_work, flux2_event_queue_count(queue));
    flux2_wakeup_close(&queue->wake);
    flux2_mutex_destroy(&queue->lock);
}

static size_t weight_of(const struct flux2_event *event)
{
    size_t images = event->response ? flux2_image_list_size(&event->response->images) : 0;
    return sizeof *event + event->body_size + images;
}

static void append(struct flux2_event_queue *queue, struct flux2_event *event)
{
    event->next = NULL;
    if (queue->last)
        queue->last->next = event;
    else
        queue->first = event;
    queue->last = event;
    if (event->slot)
        *event->slot = event;
    atomic_fetch_add(&queue->bytes, weight_of(event));
}

void flux2_event_queue_post(struct flux2_event_queue *queue, struct flux2_event *events)
{
    size_t added = 0;
    flux2_mutex_lock(&queue->lock);
    while (events) {
        struct flux2_event *event = events;
        events = event->next;
        if (event->slot && *event->slot) {
            flux2_event_renew(*event->slot, event);
            flux2_event_free(event);
        } else {
            append(queue, event);
            added++;
        }
    }
    atomic_fetch_add_explicit(&flux2_pending_work, added, memory_order_relaxed);
    /* Signalled when the first event arrives, under the lock, so that the descriptor always matches the count. */
    if (added > 0 && atomic_fetch_add_explicit(&queue->count, added, memory_order_release) == 0)
        flux2_wakeup_signal(&queue->wake);
    flux2_mutex_unlock(&queue->lock);
}

void flux2_event_queue_forget(struct flux2_event_queue *queue, struct flux2_event **slot)
{
    flux2_mutex_lock(&queue->lock);
    if (*slot)
        (*slot)->slot = NULL;
    *slot = NULL;
    flux2_mutex_unlock(&queue->lock);
}

struct flux2_event *flux2_event_queue_peek(struct flux2_event_queue *queue)
{
    if (flux2_event_queue_count(queue) == 0)
        return NULL;
    flux2_mutex_lock(&queue->lock);
    struct flux2_event *event = queue->first;
    /* The poster must not update an event that the taker reads. */
    if (event && event->slot) {
        *event->slot = NULL;
        event->slot = NULL;
    }
    flux2_mutex_unlock(&queue->lock);
    return event;
}

void flux2_event_queue_drop(struct flux2_event_queue *queue)
{
    flux2_mutex_lock(&queue->lock);
    struct flux2_event *event = queue->first;
    queue->first = event->next;
    if (!queue->first)
        queue->last = NULL;
    atomic_fetch_sub(&queue->bytes, weight_of(event));
    if (atomic_fetch_sub_explicit(&queue->count, 1, memory_order_release) == 1)
        flux2_wakeup_drain(&queue->wake);
    atomic_fetch_sub_explicit(&flux2_pending_work, 1, memory_order_relaxed);
    flux2_mutex_unlock(&queue->lock);
    flux2_event_free(event);
}
