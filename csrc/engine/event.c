/* event.c - see event.h. */
#include "engine/event.h"

#include <stdlib.h>
#include <string.h>

/* An ENDED event with its response, in one block. */
struct last_event {
    struct flux2_event event;
    struct flux2_response response;
};

static size_t size_of(const char *text)
{
    return text && *text ? strlen(text) + 1 : 0;
}

/* Copies *TEXT to *FREE_SPACE and updates both pointers; an empty text becomes NULL. */
static void keep(const char **text, char **free_space)
{
    size_t n = size_of(*text);
    if (n > 0)
        memcpy(*free_space, *text, n);
    *text = n > 0 ? *free_space : NULL;
    *free_space += n;
}

struct flux2_event *flux2_event_new(uint64_t job, enum flux2_event_kind kind, const struct flux2_event_texts *texts)
{
    static const struct flux2_event_texts none;
    const struct flux2_event_texts *t = texts ? texts : &none;
    size_t head = kind == FLUX2_EVENT_ENDED ? sizeof(struct last_event) : sizeof(struct flux2_event);
    size_t extra = size_of(t->message) + size_of(t->content_type) + size_of(t->location) + size_of(t->url) +
                   size_of(t->trace) + size_of(t->id) + size_of(t->poll_url);
    struct flux2_event *e = malloc(head + extra);
    if (!e)
        return NULL;
    memset(e, 0, head);
    e->job = job;
    e->kind = kind;
    e->outcome.retry_after = -1;
    e->signature = -1;
    e->credits = -1;
    e->texts = *t;
    if (kind == FLUX2_EVENT_ENDED) {
        e->response = &((struct last_event *)e)->response;
        e->response->retry_after = -1;
    }
    char *space = (char *)e + head;
    keep(&e->texts.message, &space);
    keep(&e->texts.content_type, &space);
    keep(&e->texts.location, &space);
    keep(&e->texts.url, &space);
    keep(&e->texts.trace, &space);
    keep(&e->texts.id, &space);
    keep(&e->texts.poll_url, &space);
    return e;
}

void flux2_event_renew(struct flux2_event *e, const struct flux2_event *newer)
{
    memcpy(e->status, newer->status, sizeof e->status);
    e->has_progress = newer->has_progress;
    e->progress = newer->progress;
    e->elapsed = newer->elapsed;
    e->polls = newer->polls;
}

void flux2_event_free(struct flux2_event *e)
{
    if (!e)
        return;
    free(e->body);
    if (e->response)
        flux2_response_clear(e->response);
    free(e);
}
