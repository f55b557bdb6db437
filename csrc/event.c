/* event.c - see event.h. */
#include "event.h"

#include <stdlib.h>
#include <string.h>

static size_t size_of(const char *text)
{
    return text && *text ? strlen(text) + 1 : 0;
}

/* Moves TEXT to *FREE_SPACE and makes it point there; an empty text becomes NULL. */
static void keep(const char **text, char **free_space)
{
    size_t n = size_of(*text);
    if (n > 0)
        memcpy(*free_space, *text, n);
    *text = n > 0 ? *free_space : NULL;
    *free_space += n;
}

struct flux2_event *flux2_event_new(uint64_t job, enum flux2_event_kind kind,
                                    const struct flux2_event_texts *texts)
{
    static const struct flux2_event_texts none;
    const struct flux2_event_texts *t = texts ? texts : &none;
    size_t extra = size_of(t->message) + size_of(t->content_type) + size_of(t->location) + size_of(t->trace) +
                   size_of(t->id);
    struct flux2_event *e = malloc(sizeof *e + extra);
    if (!e)
        return NULL;
    memset(e, 0, sizeof *e);
    e->job = job;
    e->kind = kind;
    e->outcome.retry_after = -1;
    e->signature = -1;
    e->texts = *t;
    char *space = (char *)(e + 1);
    keep(&e->texts.message, &space);
    keep(&e->texts.content_type, &space);
    keep(&e->texts.location, &space);
    keep(&e->texts.trace, &space);
    keep(&e->texts.id, &space);
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
    free(e->links);
    free(e);
}
