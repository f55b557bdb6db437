/* probe.c - see probe.h. */
#include "probe.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ascii.h"
#include "number.h"

enum { VALUES_MAX = 100000 }; /* in one answer; a real one has a few dozen */

void flux2_watch_free(struct flux2_watch *w)
{
    flux2_words_free(&w->id);
    flux2_words_free(&w->status);
    flux2_words_free(&w->progress);
    flux2_words_free(&w->done);
    flux2_words_free(&w->result);
    flux2_words_free(&w->refused);
    flux2_words_free(&w->code);
    flux2_words_free(&w->succeeded);
    flux2_places_free(&w->pictures);
    free(w->code_ok);
    w->code_ok = NULL;
    w->code_ok_count = 0;
}

/* --- values ----------------------------------------------------------------------------------- */

static bool is_text(const json_t *v)
{
    return json_is_string(v) && json_string_length(v) > 0;
}

/* Null, false, 0, "", [] and {} are ways to say "nothing". */
static bool is_something(const json_t *v)
{
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_NULL:
    case JSON_FALSE:
        return false;
    case JSON_STRING:
        return is_text(v);
    case JSON_INTEGER:
    case JSON_REAL:
        return json_number_value(v) != 0;
    case JSON_ARRAY:
        return json_array_size(v) > 0;
    case JSON_OBJECT:
        return json_object_size(v) > 0;
    default:
        return true;
    }
}

static bool any(const struct flux2_words *paths, const json_t *root, bool (*counts)(const json_t *))
{
    size_t i;
    for (i = 0; i < paths->count; i++)
        if (counts(flux2_path_follow(root, paths->at[i])))
            return true;
    return false;
}

/* A number, or a string that is nothing but a number, with or without a percent sign. */
static bool read_number(const json_t *v, double *out)
{
    if (json_is_number(v)) {
        *out = json_number_value(v);
        return isfinite(*out);
    }
    const char *s = json_string_value(v), *end;
    if (!s || !*s)
        return false;
    *out = flux2_number_read(s, &end);
    if (end == s)
        return false;
    while (*end == ' ' || *end == '%')
        end++;
    return *end == '\0' && isfinite(*out);
}

static void find_status(const struct flux2_watch *w, const json_t *root, struct flux2_reading *out)
{
    size_t i, n;
    for (i = 0; i < w->status.count && !out->has_status; i++) {
        const json_t *v = flux2_path_follow(root, w->status.at[i]);
        if (!is_text(v))
            continue;
        out->has_status = true;
        n = json_string_length(v);
        if (n >= sizeof out->status) {
            n = sizeof out->status - 1;
            /* Not in the middle of a UTF-8 character. */
            while (n > 0 && ((unsigned char)json_string_value(v)[n] & 0xC0) == 0x80)
                n--;
        }
        memcpy(out->status, json_string_value(v), n);
        out->status[n] = '\0';
    }
    for (i = 0; out->status[i]; i++)
        if (iscntrl((unsigned char)out->status[i]))
            out->status[i] = '?';
}

static void find_progress(const struct flux2_watch *w, const json_t *root, struct flux2_reading *out)
{
    size_t i;
    for (i = 0; i < w->progress.count && !out->has_progress; i++)
        out->has_progress = read_number(flux2_path_follow(root, w->progress.at[i]), &out->progress);
}

static void find_id(const struct flux2_watch *w, const json_t *root, struct flux2_reading *out)
{
    size_t i;
    for (i = 0; i < w->id.count && out->id[0] == '\0'; i++) {
        const json_t *v = flux2_path_follow(root, w->id.at[i]);
        if (json_is_integer(v))
            snprintf(out->id, sizeof out->id, "%lld", (long long)json_integer_value(v));
        else if (json_is_string(v) && json_string_length(v) <= FLUX2_ID_MAX &&
                 strlen(json_string_value(v)) == json_string_length(v))
            memcpy(out->id, json_string_value(v), json_string_length(v) + 1);
    }
}

/* --- verdicts --------------------------------------------------------------------------------- */

/* Whether TEXT is WORD, which is in lower case. Not strcasecmp, which asks the host's locale what a letter is. */
static bool is_word(const char *text, const char *word)
{
    for (; *word; text++, word++)
        if (flux2_lower(*text) != *word)
            return false;
    return *text == '\0';
}

static bool is_one_of(const struct flux2_words *words, const char *status)
{
    size_t i;
    for (i = 0; i < words->count; i++)
        if (is_word(status, words->at[i]))
            return true;
    return false;
}

/* Whether a code is there and says that something else in the body is not to be believed. */
static bool code_is_bad(const struct flux2_watch *w, const json_t *root)
{
    size_t i, k;
    double code;
    for (i = 0; i < w->code.count; i++) {
        if (!read_number(flux2_path_follow(root, w->code.at[i]), &code))
            continue;
        for (k = 0; k < w->code_ok_count; k++)
            if (code == w->code_ok[k])
                return false;
        return true;
    }
    return false;
}

static enum flux2_verdict judge(const struct flux2_watch *w, const json_t *root, bool opening,
                                const struct flux2_reading *r)
{
    if (any(&w->refused, root, is_something) || code_is_bad(w, root))
        return FLUX2_VERDICT_ENDED;
    if (opening) {
        /* The words of an opening are not to be trusted: "success" there often means "accepted". */
        if (any(&w->result, root, is_text))
            return FLUX2_VERDICT_ENDED;
        return r->id[0] ? FLUX2_VERDICT_RUNNING : FLUX2_VERDICT_UNREADABLE;
    }
    if (r->has_status)
        return is_one_of(&w->done, r->status) ? FLUX2_VERDICT_ENDED : FLUX2_VERDICT_RUNNING;
    return any(&w->result, root, is_text) ? FLUX2_VERDICT_ENDED : FLUX2_VERDICT_UNREADABLE;
}

/* Whether a text has a bearable number of values. One that is nothing but "{},{}," takes eighty times its size once it
 * is parsed, and compresses to nothing on the way here. */
static bool is_modest(const char *body, size_t size)
{
    size_t i, values = 0;
    bool in_string = false;
    for (i = 0; i < size; i++) {
        char c = body[i];
        if (in_string) {
            if (c == '\\')
                i++;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if ((c == '{' || c == '[' || c == ',') && ++values > VALUES_MAX) {
            return false;
        }
    }
    return true;
}

void flux2_probe_read(const struct flux2_watch *watch, const char *body, size_t size, bool opening,
                      struct flux2_reading *out)
{
    memset(out, 0, sizeof *out);
    out->verdict = FLUX2_VERDICT_UNREADABLE;
    if (!is_modest(body, size))
        return;
    json_t *root = json_loadb(body ? body : "", size, JSON_ALLOW_NUL, NULL);
    if (!root)
        return;
    find_status(watch, root, out);
    find_progress(watch, root, out);
    if (opening)
        find_id(watch, root, out);
    out->verdict = judge(watch, root, opening, out);
    if (!opening && out->verdict == FLUX2_VERDICT_ENDED && is_one_of(&watch->succeeded, out->status))
        out->links = flux2_links_read(&watch->pictures, root);
    json_decref(root);
}

uint64_t flux2_probe_digest(const char *body, size_t size)
{
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t digest = size * factor, word;
    while (size > 0) {
        size_t n = size < sizeof word ? size : sizeof word;
        word = 0;
        memcpy(&word, body, n);
        digest = (digest ^ word) * factor;
        digest ^= digest >> 29; /* a product carries upwards only */
        body += n;
        size -= n;
    }
    return digest ? digest : 1;
}
