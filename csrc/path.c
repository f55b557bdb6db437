/* path.c - see path.h. */
#include "path.h"

#include <stdlib.h>
#include <string.h>

enum { STEP_MAX = 128 }; /* longest name of a member in a path */

void flux2_words_free(struct flux2_words *w)
{
    size_t i;
    for (i = 0; i < w->count; i++)
        free(w->at[i]);
    free(w->at);
    w->at = NULL;
    w->count = 0;
}

/* One step down: a place in an array, or a member of an object. A number is never a member. */
static const json_t *step(const json_t *at, const char *name)
{
    if (name[strspn(name, "0123456789")] == '\0')
        return json_is_array(at) ? json_array_get(at, strtoul(name, NULL, 10)) : NULL;
    return json_object_get(at, name);
}

const json_t *flux2_path_follow(const json_t *at, const char *path)
{
    char name[STEP_MAX];
    while (at && *path) {
        size_t n = strcspn(path, ".");
        if (n >= sizeof name)
            return NULL;
        memcpy(name, path, n);
        name[n] = '\0';
        at = step(at, name);
        path += n + (path[n] == '.');
    }
    return at;
}
