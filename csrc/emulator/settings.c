/* settings.c - see settings.h. */
#include "emulator/settings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { NUMBER, INTEGER, STRING, RANGE, TEMPLATE, RATE, WORDS };

#define MAX_BYTES (256.0 * 1024 * 1024)
#define DAY 86400.0

/* One row per setting. low and high bound NUMBER, INTEGER and RANGE; choices lists the values of a STRING. */
static const struct row {
    const char *name;
    enum kind kind;
    size_t offset;
    double low, high, number;
    const char *text, *choices;
    bool start_only;
} rows[] = {
#define AT(member) offsetof(struct emu_settings, member)
    {"port", INTEGER, AT(port), 0, 65535, 0, NULL, NULL, true},
    {"log_requests", INTEGER, AT(log_requests), 0, 1e6, 1000, NULL, NULL, true},
    {"log_body_bytes", INTEGER, AT(log_body_bytes), 0, MAX_BYTES, 32768, NULL, NULL, true},
    {"image_cache_bytes", INTEGER, AT(image_cache_bytes), 0, 1e12, 64 * 1024 * 1024, NULL, NULL, true},
    {"seed", NUMBER, AT(seed), 0, 9007199254740992.0, -1, NULL, NULL, true},

    {"api_key", STRING, AT(api_key), 0, 0, 0, "aio_emulator_key", NULL, false},
    {"credits", NUMBER, AT(credits), 0, 1e15, 1000000, NULL, NULL, false},
    {"flex_2k_credits", NUMBER, AT(flex_2k_credits), 0, 1e9, 12, NULL, NULL, false},
    {"rate_limit", RATE, AT(rate_requests), 0, 0, 0, NULL, NULL, false},
    {"max_active_tasks", INTEGER, AT(max_active_tasks), 0, 1e9, 0, NULL, NULL, false},
    {"retry_after_format", STRING, AT(retry_after_format), 0, 0, 0, "seconds", "seconds|date", false},
    {"max_body_bytes", INTEGER, AT(max_body_bytes), 1, MAX_BYTES, 1024 * 1024, NULL, NULL, false},
    {"rejection_word", STRING, AT(rejection_word), 0, 0, 0, "[reject]", NULL, false},

    {"duration", RANGE, AT(duration), 0, DAY, 1.5, NULL, NULL, false},
    {"failure_rate", NUMBER, AT(failure_rate), 0, 1, 0, NULL, NULL, false},
    {"failure_word", STRING, AT(failure_word), 0, 0, 0, "[fail]", NULL, false},
    {"failure_reason", STRING, AT(failure_reason), 0, 0, 0, "The model could not generate this image", NULL, false},
    {"moderation_word", STRING, AT(moderation_word), 0, 0, 0, "[moderate]", NULL, false},
    {"moderation_reason", STRING, AT(moderation_reason), 0, 0, 0, "Request Moderated", NULL, false},

    {"shape", TEMPLATE, AT(shape), 0, 0, 0,
     "{\"code\":200,\"message\":\"success\",\"data\":{\"task_id\":\"$task_id\",\"status\":\"$status\","
     "\"progress\":\"$progress\",\"output\":{\"image_url\":\"$url\"}}}",
     NULL, false},
    {"failure_shape", TEMPLATE, AT(failure_shape), 0, 0, 0, "{\"data\":{\"error\":\"$reason\"}}", NULL, false},
    {"moderation_shape", TEMPLATE, AT(moderation_shape), 0, 0, 0, "{}", NULL, false},
    {"status_words", WORDS, AT(word_running), 0, 0, 0, NULL, NULL, false},
    {"progress", STRING, AT(progress), 0, 0, 0, "percent", "none|percent|fraction|string", false},
    {"sync", STRING, AT(sync), 0, 0, 0, "none", "none|url|b64_json", false},
    {"dialect", STRING, AT(dialect), 0, 0, 0, "flux2", "flux2|openai|bfl", false},
    {"latency", RANGE, AT(latency), 0, DAY, 0, NULL, NULL, false},

    {"image_bytes", INTEGER, AT(image_bytes), 0, MAX_BYTES, 0, NULL, NULL, false},
    {"images_per_task", INTEGER, AT(images_per_task), 1, 16, 1, NULL, NULL, false},
    {"image_ttl", NUMBER, AT(image_ttl), 0, 1e9, 0, NULL, NULL, false},
    {"image_expired_status", INTEGER, AT(image_expired_status), 400, 599, 404, NULL, NULL, false},
    {"image_path", STRING, AT(image_path), 0, 0, 0, "/images", NULL, false},
    {"image_base_url", STRING, AT(image_base_url), 0, 0, 0, "", NULL, false},
    {"image_content_type", STRING, AT(image_content_type), 0, 0, 0, "image/png", NULL, false},

    {"max_requests_per_connection", INTEGER, AT(max_requests_per_connection), 0, 1e9, 0, NULL, NULL, false},
    {"idle_close", NUMBER, AT(idle_close), 0, DAY, 0, NULL, NULL, false},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct word {
    const char *name;
    size_t offset;
    const char *text;
} words[] = {
    {"running", AT(word_running), "IN_PROGRESS"},
    {"succeeded", AT(word_succeeded), "SUCCESS"},
    {"failed", AT(word_failed), "FAILED"},
    {"moderated", AT(word_moderated), "FAILED"},
};
#define WORD_COUNT (sizeof(words) / sizeof(words[0]))

struct error {
    char *text;
    size_t size;
};

static bool fail(const struct error *e, const char *name, const char *what)
{
    snprintf(e->text, e->size, "%s %s", name, what);
    return false;
}

static void *field(struct emu_settings *s, size_t offset)
{
    return (char *)s + offset;
}

static bool set_string(struct emu_settings *s, size_t offset, const char *text)
{
    char **slot = field(s, offset);
    char *copy = strdup(text);
    if (!copy)
        return false;
    free(*slot);
    *slot = copy;
    return true;
}

static bool set_template(struct emu_settings *s, size_t offset, const char *text)
{
    json_t **slot = field(s, offset);
    json_t *template = json_loads(text, 0, NULL);
    if (!json_is_object(template)) {
        json_decref(template);
        return false;
    }
    json_decref(*slot);
    *slot = template;
    return true;
}

static bool set_default(struct emu_settings *s, const struct row *row)
{
    size_t i;
    bool ok = true;
    switch (row->kind) {
    case NUMBER:
        *(double *)field(s, row->offset) = row->number;
        break;
    case INTEGER:
        *(long long *)field(s, row->offset) = (long long)row->number;
        break;
    case RANGE: /* from the default to twice the default */
        ((double *)field(s, row->offset))[0] = row->number;
        ((double *)field(s, row->offset))[1] = row->number * 2;
        break;
    case STRING:
        ok = set_string(s, row->offset, row->text);
        break;
    case TEMPLATE:
        ok = set_template(s, row->offset, row->text);
        break;
    case RATE:
        s->rate_requests = s->rate_seconds = 0;
        s->rate_submissions_only = false;
        break;
    case WORDS:
        for (i = 0; i < WORD_COUNT; i++)
            ok = ok && set_string(s, words[i].offset, words[i].text);
        break;
    }
    return ok;
}

static bool in_range(const struct row *row, const json_t *value)
{
    double n = json_number_value(value);
    return json_is_number(value) && n >= row->low && n <= row->high;
}

static bool read_number(struct emu_settings *s, const struct row *row, const json_t *value, const struct error *e)
{
    char what[96];
    double n = json_number_value(value);
    if (!in_range(row, value) || (row->kind == INTEGER && n != floor(n))) {
        snprintf(what, sizeof(what), "must be a%s number from %.16g to %.16g", row->kind == INTEGER ? " whole" : "",
                 row->low, row->high);
        return fail(e, row->name, what);
    }
    if (row->kind == INTEGER)
        *(long long *)field(s, row->offset) = (long long)n;
    else
        *(double *)field(s, row->offset) = n;
    return true;
}

static bool read_range(struct emu_settings *s, const struct row *row, const json_t *value, const struct error *e)
{
    double *slot = field(s, row->offset);
    const json_t *low = json_is_array(value) ? json_array_get(value, 0) : value;
    const json_t *high = json_is_array(value) ? json_array_get(value, 1) : value;
    if (!in_range(row, low) || !in_range(row, high) || json_number_value(low) > json_number_value(high))
        return fail(e, row->name, "must be a number of seconds, or {least, most}");
    slot[0] = json_number_value(low);
    slot[1] = json_number_value(high);
    return true;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);
    const char *p = choices;
    while (p) {
        if (!strncmp(p, text, len) && (p[len] == '|' || !p[len]))
            return true;
        p = strchr(p, '|');
        p = p ? p + 1 : NULL;
    }
    return false;
}

static bool read_string(struct emu_settings *s, const struct row *row, const json_t *value, const struct error *e)
{
    char what[96];
    const char *text = json_string_value(value);
    if (!text || strlen(text) != json_string_length(value) || strpbrk(text, "\r\n"))
        return fail(e, row->name, "must be a single-line string");
    if (row->choices && !is_choice(row->choices, text)) {
        snprintf(what, sizeof(what), "must be one of %s", row->choices);
        return fail(e, row->name, what);
    }
    return set_string(s, row->offset, text) || fail(e, row->name, "cannot be stored: out of memory");
}

static bool read_rate(struct emu_settings *s, const json_t *value, const struct error *e)
{
    double requests = json_number_value(json_object_get(value, "requests"));
    double seconds = json_number_value(json_object_get(value, "per_seconds"));
    if (!(requests >= 1) || !(seconds > 0))
        return fail(e, "rate_limit", "must be { requests = n, per_seconds = s }, both above 0");
    s->rate_requests = floor(requests);
    s->rate_seconds = seconds;
    s->rate_submissions_only = json_is_true(json_object_get(value, "submissions_only"));
    return true;
}

/* "moderated" defaults to the word of "failed". */
static bool read_words(struct emu_settings *s, const json_t *value, const struct error *e)
{
    const char *name, *failed = json_string_value(json_object_get(value, "failed"));
    const json_t *text;
    size_t i;
    bool ok = !failed || set_string(s, AT(word_moderated), failed);
    json_object_foreach((json_t *)value, name, text)
    {
        for (i = 0; i < WORD_COUNT && strcmp(name, words[i].name); i++)
            ;
        if (i == WORD_COUNT || !json_is_string(text))
            return fail(e, "status_words", "must be { running, succeeded, failed, moderated = strings }");
        ok = ok && set_string(s, words[i].offset, json_string_value(text));
    }
    return (json_is_object(value) && ok) || fail(e, "status_words", "must be a table of strings");
}

static bool read_value(struct emu_settings *s, const struct row *row, const json_t *value, const struct error *e)
{
    if (json_is_false(value))
        return set_default(s, row) || fail(e, row->name, "cannot be stored: out of memory");
    switch (row->kind) {
    case NUMBER:
    case INTEGER:
        return read_number(s, row, value, e);
    case RANGE:
        return read_range(s, row, value, e);
    case STRING:
        return read_string(s, row, value, e);
    case TEMPLATE:
        return (json_is_string(value) && set_template(s, row->offset, json_string_value(value))) ||
               fail(e, row->name, "must be the text of a JSON object");
    case RATE:
        return read_rate(s, value, e);
    case WORDS:
        return read_words(s, value, e);
    }
    return false;
}

static bool apply_patch(struct emu_settings *s, const json_t *patch, bool starting, const struct error *e)
{
    const char *name;
    json_t *value;
    size_t i;
    json_object_foreach((json_t *)patch, name, value)
    {
        for (i = 0; i < ROWS && strcmp(name, rows[i].name); i++)
            ;
        if (i == ROWS)
            return fail(e, name, "is not an emulator setting");
        if (rows[i].start_only && !starting)
            return fail(e, name, "can only be set at the start");
        if (!read_value(s, &rows[i], value, e))
            return false;
    }
    return true;
}

/* Replaces the owned members, which belong to other settings, by copies. */
static bool copy_owned(struct emu_settings *s)
{
    bool ok = true;
    size_t i;
    for (i = 0; i < ROWS; i++) {
        void **slot = field(s, rows[i].offset);
        if (rows[i].kind == STRING)
            ok = (*slot = strdup(*slot)) && ok;
        if (rows[i].kind == TEMPLATE)
            ok = (*slot = json_deep_copy(*slot)) && ok;
    }
    for (i = 0; i < WORD_COUNT; i++) {
        char **slot = field(s, words[i].offset);
        ok = (*slot = strdup(*slot)) && ok;
    }
    return ok;
}

struct emu_settings *flux2_emu_settings_patch(const struct emu_settings *old, const json_t *patch, char *err,
                                              size_t err_size)
{
    struct emu_settings *s = calloc(1, sizeof(*s));
    const struct error e = {err, err_size};
    bool ok = s != NULL;
    size_t i;
    snprintf(err, err_size, "out of memory");
    if (!s)
        return NULL;
    if (old) {
        /* Excludes the reference count, which other threads modify. */
        memcpy(&s->references + 1, &old->references + 1, sizeof *s - sizeof s->references);
        ok = copy_owned(s);
    } else {
        for (i = 0; i < ROWS; i++)
            ok = set_default(s, &rows[i]) && ok;
    }
    atomic_init(&s->references, 1);
    if (ok && apply_patch(s, patch, !old, &e))
        return s;
    flux2_emu_settings_unref(s);
    return NULL;
}

struct emu_settings *flux2_emu_settings_ref(struct emu_settings *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

void flux2_emu_settings_unref(struct emu_settings *s)
{
    size_t i;
    if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) > 1)
        return;
    for (i = 0; i < ROWS; i++) {
        if (rows[i].kind == STRING)
            free(*(char **)field(s, rows[i].offset));
        if (rows[i].kind == TEMPLATE)
            json_decref(*(json_t **)field(s, rows[i].offset));
    }
    for (i = 0; i < WORD_COUNT; i++)
        free(*(char **)field(s, words[i].offset));
    free(s);
}

json_t *flux2_emu_settings_names(void)
{
    json_t *names = json_array();
    size_t i;
    for (i = 0; i < ROWS; i++)
        json_array_append_new(names, json_string(rows[i].name));
    return names;
}
