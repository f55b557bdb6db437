/* mailbox.c - see mailbox.h. */
#include "mailbox.h"

int flux2_mailbox_open(struct flux2_mailbox *box)
{
    pthread_mutex_init(&box->lock, NULL);
    box->first = box->last = NULL;
    atomic_init(&box->count, 0);
    atomic_init(&box->bytes, 0);
    return flux2_platform_wake_open(&box->wake);
}

void flux2_mailbox_close(struct flux2_mailbox *box)
{
    while (box->first) {
        struct flux2_event *event = box->first;
        box->first = event->next;
        flux2_event_free(event);
    }
    box->last = NULL;
    flux2_platform_wake_close(&box->wake);
    pthread_mutex_destroy(&box->lock);
}

static size_t weight_of(const struct flux2_event *event)
{
    return sizeof *event + event->body_size;
}

static void append(struct flux2_mailbox *box, struct flux2_event *event)
{
    event->next = NULL;
    if (box->last)
        box->last->next = event;
    else
        box->first = event;
    box->last = event;
    if (event->slot)
        *event->slot = event;
    atomic_fetch_add(&box->bytes, weight_of(event));
}

void flux2_mailbox_post(struct flux2_mailbox *box, struct flux2_event *events)
{
    size_t added = 0;
    pthread_mutex_lock(&box->lock);
    while (events) {
        struct flux2_event *event = events;
        events = event->next;
        if (event->slot && *event->slot) {
            flux2_event_renew(*event->slot, event);
            flux2_event_free(event);
        } else {
            append(box, event);
            added++;
        }
    }
    /* Signalled only on the way from none to some, and under the lock: the descriptor never lies. */
    if (added > 0 && atomic_fetch_add_explicit(&box->count, added, memory_order_release) == 0)
        flux2_platform_wake_signal(&box->wake);
    pthread_mutex_unlock(&box->lock);
}

void flux2_mailbox_forget(struct flux2_mailbox *box, struct flux2_event **slot)
{
    pthread_mutex_lock(&box->lock);
    if (*slot)
        (*slot)->slot = NULL;
    *slot = NULL;
    pthread_mutex_unlock(&box->lock);
}

struct flux2_event *flux2_mailbox_peek(struct flux2_mailbox *box)
{
    if (flux2_mailbox_count(box) == 0)
        return NULL;
    pthread_mutex_lock(&box->lock);
    struct flux2_event *event = box->first;
    /* Whoever looks at it must not find it changing. */
    if (event && event->slot) {
        *event->slot = NULL;
        event->slot = NULL;
    }
    pthread_mutex_unlock(&box->lock);
    return event;
}

void flux2_mailbox_drop(struct flux2_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    struct flux2_event *event = box->first;
    box->first = event->next;
    if (!box->first)
        box->last = NULL;
    atomic_fetch_sub(&box->bytes, weight_of(event));
    if (atomic_fetch_sub_explicit(&box->count, 1, memory_order_release) == 1)
        flux2_platform_wake_drain(&box->wake);
    pthread_mutex_unlock(&box->lock);
    flux2_event_free(event);
}
