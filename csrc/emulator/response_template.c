/* response_template.c - see response_template.h. */
#include "emulator/response_template.h"

#include <stdlib.h>
#include <string.h>

/* State of the renderer: the image index for "$url" and "$b64", whether an enclosing array repeats its element per
 * image, and whether an image value is missing. */
struct renderer {
    const struct emu_template_values *values;
    size_t image;
    bool repeated, missing;
};

static json_t *render_value(const json_t *value, struct renderer *r);

static json_t *image_text(json_t *array, const struct renderer *r)
{
    return json_incref(json_array_get(array, r->image));
}

/* Returns the value of a placeholder, NULL if it has none. */
static json_t *render_string(const json_t *value, const struct renderer *r)
{
    const char *text = json_string_value(value);
    const struct emu_template_values *values = r->values;
    if (text[0] != '$')
        return json_deep_copy(value);
    if (!strcmp(text, "$task_id"))
        return json_string(values->task_id);
    if (!strcmp(text, "$status"))
        return json_string_nocheck(values->status);
    if (!strcmp(text, "$reason"))
        return values->reason ? json_string_nocheck(values->reason) : NULL;
    if (!strcmp(text, "$progress"))
        return values->progress ? json_deep_copy(values->progress) : NULL;
    if (!strcmp(text, "$created"))
        return json_integer(values->created);
    if (!strcmp(text, "$url"))
        return image_text(values->urls, r);
    if (!strcmp(text, "$b64"))
        return image_text(values->b64, r);
    return json_deep_copy(value);
}

static bool contains(const json_t *value, const char *text)
{
    const char *name;
    json_t *member;
    size_t i;
    if (json_is_string(value))
        return !strcmp(json_string_value(value), text);
    json_object_foreach((json_t *)value, name, member)
    {
        if (contains(member, text))
            return true;
    }
    json_array_foreach(value, i, member)
    {
        if (contains(member, text))
            return true;
    }
    return false;
}

static json_t *render_array(const json_t *value, struct renderer *r)
{
    json_t *rendered = json_array(), *element;
    size_t i, k;
    bool is_incomplete = false;
    json_array_foreach(value, i, element)
    {
        bool repeat = !r->repeated && (contains(element, "$url") || contains(element, "$b64"));
        size_t images = repeat && r->values->urls ? json_array_size(r->values->urls) : 1;
        for (k = 0; k < images; k++) {
            struct renderer inner = {r->values, repeat ? k : r->image, r->repeated || repeat, false};
            json_t *one = render_value(element, &inner);
            if (one && !inner.missing)
                json_array_append_new(rendered, one);
            else
                json_decref(one);
            r->missing = r->missing || inner.missing;
            is_incomplete = is_incomplete || inner.missing || !one;
        }
    }
    if (is_incomplete && !json_array_size(rendered)) {
        json_decref(rendered);
        return NULL;
    }
    return rendered;
}

/* Renders JSON encoded as a string. */
static json_t *render_json_string(const json_t *value, struct renderer *r)
{
    json_t *inner = render_value(value, r);
    char *text = inner ? json_dumps(inner, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_t *rendered = text ? json_string_nocheck(text) : NULL;
    free(text);
    json_decref(inner);
    return rendered;
}

static json_t *render_object(const json_t *value, struct renderer *r)
{
    json_t *rendered, *member, *one;
    const char *name;
    bool is_incomplete = false;
    if (json_object_get(value, "$json"))
        return render_json_string(json_object_get(value, "$json"), r);
    rendered = json_object();
    json_object_foreach((json_t *)value, name, member)
    {
        one = render_value(member, r);
        if (one)
            json_object_set_new_nocheck(rendered, name, one);
        is_incomplete = is_incomplete || !one;
    }
    if (is_incomplete && !json_object_size(rendered)) {
        json_decref(rendered);
        return NULL;
    }
    return rendered;
}

/* Returns NULL if there is no value. */
static json_t *render_value(const json_t *value, struct renderer *r)
{
    json_t *rendered;
    if (json_is_array(value))
        return render_array(value, r);
    if (json_is_object(value))
        return render_object(value, r);
    if (!json_is_string(value))
        return json_deep_copy(value);
    rendered = render_string(value, r);
    if (!rendered && (contains(value, "$url") || contains(value, "$b64")))
        r->missing = true;
    return rendered;
}

json_t *flux2_emu_template_render(const json_t *template, const struct emu_template_values *values)
{
    struct renderer r = {values, 0, false, false};
    json_t *rendered = render_value(template, &r);
    return rendered ? rendered : json_object();
}

void flux2_emu_template_merge(json_t *base, json_t *extra)
{
    const char *name;
    json_t *new_value, *old_value;
    json_object_foreach(extra, name, new_value)
    {
        old_value = json_object_get(base, name);
        if (json_is_object(old_value) && json_is_object(new_value))
            flux2_emu_template_merge(old_value, new_value);
        else
            json_object_set_nocheck(base, name, new_value);
    }
}

bool flux2_emu_template_uses_b64(const json_t *template)
{
    return contains(template, "$b64");
}
