/* response_schema.c - see response_schema.h. */
#include "engine/response_schema.h"

#include <stdlib.h>

struct flux2_response_schema *flux2_response_schema_new(void)
{
    struct flux2_response_schema *s = calloc(1, sizeof *s);
    if (s)
        atomic_init(&s->references, 1);
    return s;
}

struct flux2_response_schema *flux2_response_schema_hold(struct flux2_response_schema *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

static void free_hints(struct flux2_hint_list *list)
{
    size_t i;
    for (i = 0; i < list->count; i++)
        flux2_string_list_free(&list->at[i].words);
    free(list->at);
}

void flux2_response_schema_release(struct flux2_response_schema *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
        return;
#define X(name) flux2_string_list_free(&s->name);
    FLUX2_SCHEMA_LISTS(X)
#undef X
    free(s->code_ok);
    free_hints(&s->hints);
    free_hints(&s->type_hints);
    free(s);
}
