/* shapes.c - what an answer about a task looks like; see shapes.h. */
#include "shapes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A fill in progress: which image of several the strings speak of, whether an array round this place went through the
 * images already, and whether there was no image to speak of. */
struct fill {
    const struct emu_facts *facts;
    size_t image;
    bool repeated, missing;
};

static json_t *fill_value(const json_t *value, struct fill *f);

static json_t *image_text(json_t *array, const struct fill *f)
{
    return json_incref(json_array_get(array, f->image));
}

/* What the string stands for; NULL if it says nothing now. */
static json_t *fill_string(const json_t *value, const struct fill *f)
{
    const char *text = json_string_value(value);
    const struct emu_facts *facts = f->facts;
    if (text[0] != '$')
        return json_deep_copy(value);
    if (!strcmp(text, "$task_id"))
        return json_string(facts->task_id);
    if (!strcmp(text, "$status"))
        return json_string_nocheck(facts->status);
    if (!strcmp(text, "$reason"))
        return facts->reason ? json_string_nocheck(facts->reason) : NULL;
    if (!strcmp(text, "$progress"))
        return facts->progress ? json_deep_copy(facts->progress) : NULL;
    if (!strcmp(text, "$created"))
        return json_integer(facts->created);
    if (!strcmp(text, "$url"))
        return image_text(facts->urls, f);
    if (!strcmp(text, "$b64"))
        return image_text(facts->b64, f);
    return json_deep_copy(value);
}

static bool mentions(const json_t *value, const char *text)
{
    const char *name;
    json_t *member;
    size_t i;
    if (json_is_string(value))
        return !strcmp(json_string_value(value), text);
    json_object_foreach((json_t *)value, name, member)
    {
        if (mentions(member, text))
            return true;
    }
    json_array_foreach(value, i, member)
    {
        if (mentions(member, text))
            return true;
    }
    return false;
}

static json_t *fill_array(const json_t *value, struct fill *f)
{
    json_t *filled = json_array(), *element;
    size_t i, k;
    bool left_out = false;
    json_array_foreach(value, i, element)
    {
        bool repeat = !f->repeated && (mentions(element, "$url") || mentions(element, "$b64"));
        size_t images = repeat && f->facts->urls ? json_array_size(f->facts->urls) : 1;
        for (k = 0; k < images; k++) {
            struct fill inner = {f->facts, repeat ? k : f->image, f->repeated || repeat, false};
            json_t *one = fill_value(element, &inner);
            if (one && !inner.missing)
                json_array_append_new(filled, one);
            else
                json_decref(one);
            f->missing = f->missing || inner.missing;
            left_out = left_out || inner.missing || !one;
        }
    }
    if (left_out && !json_array_size(filled)) {
        json_decref(filled);
        return NULL;
    }
    return filled;
}

/* JSON within a string. */
static json_t *fill_text(const json_t *value, struct fill *f)
{
    json_t *inner = fill_value(value, f);
    char *text = inner ? json_dumps(inner, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_t *filled = text ? json_string_nocheck(text) : NULL;
    free(text);
    json_decref(inner);
    return filled;
}

static json_t *fill_object(const json_t *value, struct fill *f)
{
    json_t *filled, *member, *one;
    const char *name;
    bool left_out = false;
    if (json_object_get(value, "$json"))
        return fill_text(json_object_get(value, "$json"), f);
    filled = json_object();
    json_object_foreach((json_t *)value, name, member)
    {
        one = fill_value(member, f);
        if (one)
            json_object_set_new_nocheck(filled, name, one);
        left_out = left_out || !one;
    }
    if (left_out && !json_object_size(filled)) {
        json_decref(filled);
        return NULL;
    }
    return filled;
}

/* NULL: it says nothing now. */
static json_t *fill_value(const json_t *value, struct fill *f)
{
    json_t *filled;
    if (json_is_array(value))
        return fill_array(value, f);
    if (json_is_object(value))
        return fill_object(value, f);
    if (!json_is_string(value))
        return json_deep_copy(value);
    filled = fill_string(value, f);
    if (!filled && (mentions(value, "$url") || mentions(value, "$b64")))
        f->missing = true;
    return filled;
}

json_t *flux2_emu_shapes_fill(const json_t *template, const struct emu_facts *facts)
{
    struct fill f = {facts, 0, false, false};
    json_t *filled = fill_value(template, &f);
    return filled ? filled : json_object();
}

void flux2_emu_shapes_merge(json_t *base, json_t *extra)
{
    const char *name;
    json_t *theirs, *ours;
    json_object_foreach(extra, name, theirs)
    {
        ours = json_object_get(base, name);
        if (json_is_object(ours) && json_is_object(theirs))
            flux2_emu_shapes_merge(ours, theirs);
        else
            json_object_set_nocheck(base, name, theirs);
    }
}

int flux2_emu_shapes_wants_b64(const json_t *template)
{
    return mentions(template, "$b64");
}
