/* shapes.h - what an answer about a task looks like.
 *
 * Owns: filling in a template, a JSON document with these strings in it:
 *     "$task_id" "$status" "$progress" "$reason" "$url" "$b64" "$created", and {"$json": X}: X as text.
 * A member whose string says nothing now (a URL before there is one) is left out, and so is what becomes empty by that.
 * An element of an array that holds "$url" or "$b64" is repeated for each image.
 * Never: knows which templates there are (lua/flux2/emulator.lua does), or how a task stands. */
#ifndef FLUX2_EMU_SHAPES_H
#define FLUX2_EMU_SHAPES_H

#include <jansson.h>

struct emu_facts {
    const char *task_id, *status;
    const char *reason; /* NULL unless it failed */
    json_t *progress;   /* NULL: not told */
    json_t *urls, *b64; /* arrays of strings; NULL until it succeeded */
    long long created;  /* seconds since 1970 */
};

/* The template filled in; a new object, NULL only when out of memory. */
json_t *flux2_emu_shapes_fill(const json_t *template, const struct emu_facts *facts);

/* Puts what EXTRA has into BASE, object by object; what both have and is not an object becomes EXTRA's. */
void flux2_emu_shapes_merge(json_t *base, json_t *extra);

/* Whether the template asks for "$b64" anywhere, which costs a picture to know. */
int flux2_emu_shapes_wants_b64(const json_t *template);

#endif
