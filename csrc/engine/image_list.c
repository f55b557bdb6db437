/* image_list.c - see image_list.h. */
#include "engine/image_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/base64.h"
#include "base/http_url.h"
#include "base/json_path.h"
#include "base/text_span.h"
#include "base/utf8.h"

enum {
    DEPTH_MAX = 6,
    VISITED_MAX = 5000,      /* values visited in one place */
    DATA_URL_HEAD_MAX = 200, /* bytes before the comma */
    BAD_LINK_MAX = 400,      /* bytes kept of a text that is no URL */
};

struct search {
    const struct flux2_response_schema *schema;
    struct flux2_image_list *list;
    const char *base_url;
    size_t visited; /* values so far */
    bool out_of_memory;
};

static void free_image(struct flux2_response_image *image)
{
    free(image->url);
    free(image->content_type);
    free(image->data);
    *image = (struct flux2_response_image){0};
}

/* --- one image ---------------------------------------------------------------------------------- */

static bool is_same(const struct flux2_response_image *a, const struct flux2_response_image *b)
{
    if (a->url && b->url)
        return strcmp(a->url, b->url) == 0;
    return a->data && b->data && a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* Adds IMAGE, whose memory it takes over; a duplicate is freed. */
static void add(struct search *s, struct flux2_response_image image)
{
    struct flux2_image_list *list = s->list;
    size_t i;
    for (i = 0; i < list->count; i++) {
        if (is_same(&list->at[i], &image)) {
            free_image(&image);
            return;
        }
    }
    if (!list->at)
        list->at = calloc(FLUX2_IMAGES_MAX, sizeof *list->at);
    if (!list->at) {
        s->out_of_memory = true;
        free_image(&image);
        return;
    }
    list->at[list->count++] = image;
}

/* Adds the image TEXT in Base64. TYPE is its media type if TYPE_SIZE is not 0. */
static void add_bytes(struct search *s, const char *text, size_t size, const char *type, size_t type_size)
{
    struct flux2_response_image image = {.data = malloc(size + 1)};
    if (type_size > 0)
        image.content_type = flux2_lower_copy(type, type_size);
    if (!image.data || (type_size > 0 && !image.content_type)) {
        s->out_of_memory = true;
        free_image(&image);
        return;
    }
    enum flux2_base64_error fault = flux2_base64_decode(text, size, (unsigned char *)image.data, &image.size);
    if (fault != FLUX2_BASE64_OK || image.size == 0) {
        free_image(&image);
        return;
    }
    image.data[image.size] = '\0';
    add(s, image);
}

static void note_bad_link(struct search *s, const char *text, size_t size)
{
    if (s->list->bad_link || size == 0)
        return;
    s->list->bad_link = flux2_text_copy(text, flux2_utf8_cut(text, size, BAD_LINK_MAX));
    s->out_of_memory = !s->list->bad_link;
}

static void add_link(struct search *s, const char *text, size_t size)
{
    struct flux2_response_image image = {0};
    if (!flux2_http_url_resolve(s->base_url, text, size, &image.url))
        note_bad_link(s, text, size);
    else if (image.url)
        add(s, image);
    else
        s->out_of_memory = true;
}

static bool is_media_type(const char *text, size_t size)
{
    size_t i = strlen("image/");
    if (!flux2_begins_with(text, size, "image/") || size == i)
        return false;
    for (; i < size; i++)
        if (!flux2_is_alphanumeric(text[i]) && text[i] != '.' && text[i] != '+' && text[i] != '-')
            return false;
    return true;
}

/* Adds the image of a data URL: "data:image/png;base64,...". */
static void collect_data_url(struct search *s, const char *text, size_t size)
{
    size_t head_size = size < DATA_URL_HEAD_MAX ? size : DATA_URL_HEAD_MAX, type_size = 0;
    const char *type = text + strlen("data:"), *comma = memchr(text, ',', head_size);
    if (!comma || !flux2_find_word(type, (size_t)(comma - type), ";base64"))
        return;
    while (type[type_size] != ';')
        type_size++;
    if (type_size == 0 || is_media_type(type, type_size))
        add_bytes(s, comma + 1, size - (size_t)(comma + 1 - text), type, type_size);
}

static void collect_text(struct search *s, const struct flux2_json_value *v, bool is_bytes)
{
    if (flux2_begins_with(v->text, v->size, "data:"))
        collect_data_url(s, v->text, v->size);
    else if (is_bytes)
        add_bytes(s, v->text, v->size, NULL, 0);
    else
        add_link(s, v->text, v->size);
}

/* --- looking ------------------------------------------------------------------------------------ */

static void collect(struct search *s, const struct flux2_json_value *v, int depth, bool is_bytes);

/* Sets the media type in OBJECT for the images from FIRST on that have none. */
static void name_types(struct search *s, const struct flux2_json_value *object, size_t first)
{
    const struct flux2_string_list *keys = &s->schema->media_type_keys;
    size_t i;
    for (i = 0; i < keys->count; i++) {
        const struct flux2_json_value *v = flux2_json_member(object, keys->at[i], strlen(keys->at[i]));
        if (v && v->type == FLUX2_JSON_STRING && is_media_type(v->text, v->size)) {
            for (; first < s->list->count; first++) {
                struct flux2_response_image *image = &s->list->at[first];
                if (!image->content_type)
                    image->content_type = flux2_lower_copy(v->text, v->size);
            }
            return;
        }
    }
}

/* Adds the images in the first member listed in KEYS that has any. Returns whether there is one. */
static bool collect_members(struct search *s, const struct flux2_json_value *object,
                            const struct flux2_string_list *keys, int depth, bool is_bytes)
{
    size_t i, before = s->list->count;
    for (i = 0; i < keys->count; i++) {
        collect(s, flux2_json_member(object, keys->at[i], strlen(keys->at[i])), depth + 1, is_bytes);
        if (s->list->count > before) {
            name_types(s, object, before);
            return true;
        }
    }
    return false;
}

static void collect(struct search *s, const struct flux2_json_value *v, int depth, bool is_bytes)
{
    if (!v || s->out_of_memory || depth > DEPTH_MAX || ++s->visited > VISITED_MAX || s->list->count == FLUX2_IMAGES_MAX)
        return;
    if (v->type == FLUX2_JSON_STRING) {
        collect_text(s, v, is_bytes);
    } else if (v->type == FLUX2_JSON_OBJECT) {
        if (!collect_members(s, v, &s->schema->image_keys, depth, false))
            collect_members(s, v, &s->schema->bytes_keys, depth, true);
    } else if (v->type == FLUX2_JSON_ARRAY) {
        for (v = flux2_json_first(v); v && s->visited <= VISITED_MAX; v = flux2_json_next(v))
            collect(s, v, depth + 1, is_bytes);
    }
}

static void collect_place(struct search *s, const struct flux2_json_value *place)
{
    s->visited = 0;
    collect(s, place, 1, false);
}

/* Adds the images in a string that contains JSON. */
static void collect_packed(struct search *s, const struct flux2_json_value *packed)
{
    struct flux2_json document;
    if (!packed || packed->type != FLUX2_JSON_STRING)
        return;
    enum flux2_json_error fault = flux2_json_read(&document, packed->text, packed->size);
    s->out_of_memory = s->out_of_memory || fault == FLUX2_JSON_NO_MEMORY;
    collect_place(s, flux2_json_root(&document));
    flux2_json_free(&document);
}

bool flux2_image_list_read(struct flux2_image_list *list, const struct flux2_response_schema *schema,
                           const struct flux2_json_value *root, const char *base_url)
{
    struct search s = {.schema = schema, .list = list, .base_url = base_url};
    const struct flux2_string_list *packed = &schema->packed_places, *places = &schema->image_places;
    size_t i;
    *list = (struct flux2_image_list){0};
    for (i = 0; i < packed->count && list->count == 0; i++)
        collect_packed(&s, flux2_json_path(root, packed->at[i]));
    for (i = 0; i < places->count && list->count == 0; i++)
        collect_place(&s, flux2_json_path(root, places->at[i]));
    if (s.out_of_memory)
        flux2_image_list_clear(list);
    return !s.out_of_memory;
}

size_t flux2_image_list_size(const struct flux2_image_list *list)
{
    size_t i, size = 0;
    for (i = 0; i < list->count; i++)
        size += list->at[i].size;
    return size;
}

void flux2_image_list_clear(struct flux2_image_list *list)
{
    size_t i;
    for (i = 0; i < list->count; i++)
        free_image(&list->at[i]);
    free(list->at);
    free(list->bad_link);
    *list = (struct flux2_image_list){0};
}
