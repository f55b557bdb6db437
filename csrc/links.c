/* links.c - see links.h. */
#include "links.h"

#include <stdlib.h>
#include <string.h>

#include "ascii.h"

enum {
    LINKS_MAX = 16, /* a task has one picture, some have a few */
    DEPTH_MAX = 6,  /* as in flux2.pictures */
    LOOKS_MAX = 500,
};

/* What is found while one place is looked through. */
struct search {
    const struct flux2_places *places;
    size_t count, looks;
    bool doubtful; /* it is not for us to say */
    struct {
        const json_t *url, *type;
    } at[LINKS_MAX];
};

void flux2_places_free(struct flux2_places *p)
{
    flux2_words_free(&p->packed);
    flux2_words_free(&p->places);
    flux2_words_free(&p->keys);
    flux2_words_free(&p->bytes);
    flux2_words_free(&p->types);
    flux2_words_free(&p->credits);
}

/* --- texts -------------------------------------------------------------------------------------- */

static bool ends_authority(char c)
{
    return c == '\0' || c == '/' || c == '?' || c == '#';
}

/* Whether S, behind the name of a host, is a port and no more, or nothing. */
static bool is_port(const char *s)
{
    if (*s != ':')
        return ends_authority(*s);
    char *end;
    size_t digits = strspn(s + 1, "0123456789");
    unsigned long port = strtoul(s + 1, &end, 10);
    return digits >= 1 && digits <= 5 && port >= 1 && port <= 65535 && ends_authority(*end);
}

/* An absolute http(s) URL in plain ASCII, without anything that needs thought. */
static bool is_plain_url(const char *s, size_t size)
{
    size_t i, scheme = strncmp(s, "https://", 8) == 0 ? 8 : 7;
    if (scheme == 7 && strncmp(s, "http://", 7) != 0)
        return false;
    for (i = 0; i < size; i++)
        if (s[i] <= ' ' || s[i] > '~' || s[i] == '\\')
            return false;
    for (i = scheme; flux2_is_alphanumeric(s[i]) || s[i] == '-' || s[i] == '.'; i++)
        ;
    return i > scheme && is_port(s + i);
}

static bool is_media_type(const json_t *v)
{
    const char *s = json_string_value(v);
    if (!s || strncmp(s, "image/", 6) != 0 || s[6] == '\0')
        return false;
    for (s += 6; flux2_is_alphanumeric(*s) || *s == '.' || *s == '+' || *s == '-'; s++)
        ;
    return s == json_string_value(v) + json_string_length(v);
}

/* --- looking ------------------------------------------------------------------------------------ */

static void collect(struct search *f, const json_t *v, int depth);

static void collect_text(struct search *f, const json_t *v)
{
    const char *s = json_string_value(v);
    size_t i, size = json_string_length(v);
    if (!is_plain_url(s, size)) {
        /* It may be a URL all the same, or a picture in a "data:" URL. */
        f->doubtful = f->doubtful || (*s && strchr("hHdD", *s));
        return;
    }
    for (i = 0; i < f->count; i++)
        if (json_equal(f->at[i].url, v))
            return;
    if (f->count == LINKS_MAX) {
        f->doubtful = true;
        return;
    }
    f->at[f->count].url = v;
    f->at[f->count++].type = NULL;
}

static const json_t *media_type_of(const struct flux2_places *p, const json_t *object)
{
    size_t i;
    for (i = 0; i < p->types.count; i++) {
        const json_t *v = json_object_get(object, p->types.at[i]);
        if (is_media_type(v))
            return v;
    }
    return NULL;
}

static void collect_object(struct search *f, const json_t *object, int depth)
{
    const struct flux2_places *p = f->places;
    size_t i, k, before = f->count;
    for (i = 0; i < p->keys.count; i++) {
        collect(f, json_object_get(object, p->keys.at[i]), depth + 1);
        if (f->count == before)
            continue;
        const json_t *type = media_type_of(p, object);
        for (k = before; k < f->count; k++)
            f->at[k].type = f->at[k].type ? f->at[k].type : type;
        return;
    }
    for (i = 0; i < p->bytes.count; i++)
        f->doubtful = f->doubtful || json_object_get(object, p->bytes.at[i]);
}

static void collect(struct search *f, const json_t *v, int depth)
{
    size_t i;
    if (!v)
        return;
    if (depth > DEPTH_MAX || ++f->looks > LOOKS_MAX)
        f->doubtful = true;
    if (f->doubtful)
        return;
    if (json_is_string(v))
        collect_text(f, v);
    else if (json_is_object(v))
        collect_object(f, v, depth);
    for (i = 0; i < json_array_size(v) && !f->doubtful; i++)
        collect(f, json_array_get(v, i), depth + 1);
}

/* --- the result --------------------------------------------------------------------------------- */

/* What a service says in other forms than a number, Lua has to read. */
static bool read_credits(const struct flux2_places *p, const json_t *root, struct flux2_links *out)
{
    size_t i;
    for (i = 0; i < p->credits.count; i++) {
        const json_t *v = flux2_path_follow(root, p->credits.at[i]);
        if (json_is_string(v))
            return false;
        if (!json_is_number(v) || json_number_value(v) < 0 || json_number_value(v) >= 0x1p53)
            continue;
        out->has_credits = true;
        out->credits = json_number_value(v);
        break;
    }
    return true;
}

static size_t size_of(const json_t *text)
{
    return text ? json_string_length(text) + 1 : 0;
}

/* Copies TEXT to *ROOM, which moves on behind it. */
static const char *keep(const json_t *text, char **room)
{
    char *copy = *room;
    if (!text)
        return NULL;
    memcpy(copy, json_string_value(text), size_of(text));
    *room += size_of(text);
    return copy;
}

static struct flux2_links *copy_links(const struct search *f)
{
    struct flux2_links *out;
    size_t i, size = sizeof *out + f->count * sizeof *out->at;
    for (i = 0; i < f->count; i++)
        size += size_of(f->at[i].url) + size_of(f->at[i].type);
    out = malloc(size);
    if (!out)
        return NULL;
    out->has_credits = false;
    out->count = f->count;
    char *room = (char *)&out->at[f->count], *s;
    for (i = 0; i < f->count; i++) {
        out->at[i].url = keep(f->at[i].url, &room);
        s = room;
        out->at[i].type = keep(f->at[i].type, &room);
        for (; s < room; s++)
            *s = flux2_lower(*s);
    }
    return out;
}

struct flux2_links *flux2_links_read(const struct flux2_places *p, const json_t *root)
{
    struct search f = {.places = p};
    size_t i;
    for (i = 0; i < p->packed.count; i++)
        if (json_is_string(flux2_path_follow(root, p->packed.at[i])))
            return NULL;
    for (i = 0; i < p->places.count && f.count == 0 && !f.doubtful; i++) {
        f.looks = 0;
        collect(&f, flux2_path_follow(root, p->places.at[i]), 1);
    }
    if (f.count == 0 || f.doubtful)
        return NULL;
    struct flux2_links *out = copy_links(&f);
    if (!out || read_credits(p, root, out))
        return out;
    free(out);
    return NULL;
}
