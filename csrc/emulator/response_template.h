/* response_template.h - renders task responses from JSON templates.
 *
 * Placeholder strings: "$task_id" "$status" "$progress" "$reason" "$url" "$b64" "$created"; {"$json": X} is X
 * encoded as a string. Members without a value (such as a URL before completion) and containers that become empty
 * are omitted. An array element with "$url" or "$b64" is repeated for each image. Stateless. */
#ifndef FLUX2_EMU_RESPONSE_TEMPLATE_H
#define FLUX2_EMU_RESPONSE_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>

struct emu_template_values {
    const char *task_id, *status;
    const char *reason; /* NULL unless failed */
    json_t *progress;   /* NULL: none */
    json_t *urls, *b64; /* arrays of strings; NULL until succeeded */
    long long created;  /* Unix time */
};

/* Returns the rendered template, a new object, or NULL if out of memory. */
json_t *flux2_emu_template_render(const json_t *template, const struct emu_template_values *values);

/* Merges EXTRA into BASE recursively. Values of EXTRA replace those of BASE unless both are objects. */
void flux2_emu_template_merge(json_t *base, json_t *extra);

/* Returns whether the template contains "$b64", so that images must be drawn. */
bool flux2_emu_template_uses_b64(const json_t *template);

#endif
