/* fault.c - see fault.h. */
#include "emulator/fault.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/random.h"

struct error {
    char *text;
    size_t size;
};

static bool fail(const struct error *e, const char *name, const char *what)
{
    snprintf(e->text, e->size, "fault: %s %s", name, what);
    return false;
}

/* A field of a fault. */
struct row {
    const char *name;
    /* Reads VALUE into MEMBER, which is at `offset`: the whole fault where that is 0. */
    bool (*read)(void *member, const struct row *row, const json_t *value, const struct error *e);
    size_t offset;
    double least; /* of an amount */
};

static bool read_text(void *member, const struct row *row, const json_t *value, const struct error *e)
{
    char **slot = member;
    if (!json_is_string(value))
        return fail(e, row->name, "must be a string");
    *slot = strdup(json_string_value(value));
    return *slot || fail(e, row->name, "cannot be stored: out of memory");
}

static bool read_amount(void *member, const struct row *row, const json_t *value, const struct error *e)
{
    char what[64];
    if (!json_is_number(value) || json_number_value(value) < row->least) {
        snprintf(what, sizeof(what), "must be a number of at least %g", row->least);
        return fail(e, row->name, what);
    }
    *(double *)member = json_number_value(value);
    return true;
}

static bool read_flag(void *member, const struct row *row, const json_t *value, const struct error *e)
{
    *(bool *)member = json_is_true(value);
    return json_is_boolean(value) || fail(e, row->name, "must be true or false");
}

static bool read_disconnect(void *member, const struct row *row, const json_t *value, const struct error *e)
{
    const char *text = json_string_value(value);
    bool is_before = text && !strcmp(text, "before");
    *(enum emu_disconnect *)member = is_before ? EMU_DISCONNECT_BEFORE : EMU_DISCONNECT_AFTER;
    return is_before || (text && !strcmp(text, "after")) || fail(e, row->name, "must be \"before\" or \"after\"");
}

static bool read_nth(void *member, const struct row *row, const json_t *value, const struct error *e)
{
    struct emu_fault *f = member;
    const json_t *first = json_is_array(value) ? json_array_get(value, 0) : value;
    const json_t *last = json_is_array(value) ? json_array_get(value, 1) : value;
    f->first = json_number_value(first);
    f->last = json_number_value(last);
    return (f->first >= 1 && f->last >= f->first) || fail(e, row->name, "must be a number from 1, or { first, last }");
}

static bool set_header(struct emu_fault *f, const char *name, const json_t *value, const struct error *e)
{
    char number[32];
    const char *text = json_string_value(value);
    if (json_is_number(value)) {
        snprintf(number, sizeof(number), "%.16g", json_number_value(value));
        text = number;
    }
    if (!text || strpbrk(text, "\r\n") || !*name || strpbrk(name, "\r\n: "))
        return fail(e, "headers", "must be { name = value } without line breaks");
    if (!f->headers)
        f->headers = json_object();
    return !json_object_set_new_nocheck(f->headers, name, json_string_nocheck(text)) ||
           fail(e, "headers", "cannot be stored: out of memory");
}

static bool read_headers(void *member, const struct row *row, const json_t *value, const struct error *e)
{
    const char *name;
    json_t *text;
    if (!json_is_object(value))
        return fail(e, row->name, "must be a table: { name = value }");
    json_object_foreach((json_t *)value, name, text)
    {
        if (!set_header(member, name, text, e))
            return false;
    }
    return true;
}

static bool read_redirect(void *member, const struct row *row, const json_t *value, const struct error *e)
{
    return json_is_string(value) ? set_header(member, "Location", value, e) : fail(e, row->name, "must be a URL");
}

static bool read_retry_after(void *member, const struct row *row, const json_t *value, const struct error *e)
{
    (void)row;
    return set_header(member, "Retry-After", value, e);
}

static bool read_trickle(void *member, const struct row *row, const json_t *value, const struct error *e)
{
    static const struct row bytes = {"trickle.bytes", NULL, 0, 1}, interval = {"trickle.interval", NULL, 0, 0};
    struct emu_fault *f = member;
    if (json_is_true(value)) {
        f->trickle_bytes = 1;
        f->trickle_interval = 0.1;
        return true;
    }
    return (json_is_object(value) || fail(e, row->name, "must be { bytes = n, interval = seconds }")) &&
           read_amount(&f->trickle_bytes, &bytes, json_object_get(value, "bytes"), e) &&
           read_amount(&f->trickle_interval, &interval, json_object_get(value, "interval"), e);
}

static bool read_status(void *member, const struct row *row, const json_t *value, const struct error *e)
{
    double status = json_number_value(value);
    if (!json_is_number(value) || status < 200 || status > 999 || status != floor(status))
        return fail(e, row->name, "must be a whole number from 200 to 999");
    *(int *)member = (int)status;
    return true;
}

static bool read_body(void *member, const struct row *row, const json_t *value, const struct error *e)
{
    json_t **slot = member;
    *slot = json_is_string(value) ? json_deep_copy(value) : NULL;
    return *slot || fail(e, row->name, "must be a string");
}

static bool read_garbage(void *member, const struct row *row, const json_t *value, const struct error *e)
{
    json_t **slot = member;
    uint64_t state = 42, noise[32];
    size_t i;
    for (i = 0; i < sizeof noise / sizeof *noise; i++)
        noise[i] = flux2_random_next(&state);
    if (json_is_true(value))
        *slot = json_stringn_nocheck((const char *)noise, sizeof noise);
    else if (json_is_string(value))
        *slot = json_deep_copy(value);
    return *slot || json_is_false(value) || fail(e, row->name, "must be true, or the bytes to send");
}

static const struct row rows[] = {
#define AT(member) offsetof(struct emu_fault, member)
    {"method", read_text, AT(method), 0},
    {"path", read_text, AT(path), 0},
    {"nth", read_nth, 0, 0},
    {"every", read_amount, AT(every), 1},
    {"times", read_amount, AT(times), 1},
    {"chance", read_amount, AT(chance), 0},
    {"status", read_status, AT(status), 0},
    {"headers", read_headers, 0, 0},
    {"body", read_body, AT(body), 0},
    {"delay", read_amount, AT(delay), 0},
    {"trickle", read_trickle, 0, 0},
    {"cut", read_amount, AT(cut), 0},
    {"reset", read_disconnect, AT(reset), 0},
    {"close", read_disconnect, AT(close), 0},
    {"garbage", read_garbage, AT(garbage), 0},
    {"endless", read_flag, AT(endless), 0},
    {"endless_headers", read_flag, AT(endless_headers), 0},
    {"redirect", read_redirect, 0, 0},
    {"retry_after", read_retry_after, 0, 0},
    {"bomb", read_amount, AT(bomb), 1},
    {"hang", read_flag, AT(hang), 0},
    {"accept", read_flag, AT(accept), 0},
};
#define ROWS (sizeof rows / sizeof *rows)

/* Sets the members that depend on other members. */
static void derive_members(struct emu_fault *f, const json_t *spec)
{
    bool has_no_response = f->reset || f->close || f->hang;
    if (!f->status && json_object_get(spec, "redirect"))
        f->status = 302;
    if (!f->status && json_object_get(spec, "retry_after"))
        f->status = 429;
    f->responds = f->status || f->body || f->bomb > 0 || f->garbage || f->endless || f->endless_headers ||
                  has_no_response;
    if (!json_object_get(spec, "accept"))
        f->accept = !f->responds || f->reset == EMU_DISCONNECT_AFTER || f->close == EMU_DISCONNECT_AFTER || f->hang;
    if (f->reset == EMU_DISCONNECT_BEFORE || f->close == EMU_DISCONNECT_BEFORE)
        f->accept = false;
    if (!json_object_get(spec, "times"))
        f->times = json_object_get(spec, "nth") || f->every > 0 || f->chance < 1 ? HUGE_VAL : 1;
}

static bool read_spec(struct emu_fault *f, const json_t *spec, const struct error *e)
{
    const char *name;
    json_t *value;
    size_t i;
    json_object_foreach((json_t *)spec, name, value)
    {
        for (i = 0; i < ROWS && strcmp(name, rows[i].name); i++)
            ;
        if (i == ROWS)
            return fail(e, name, "is not a fault field");
        if (!rows[i].read((char *)f + rows[i].offset, &rows[i], value, e))
            return false;
    }
    derive_members(f, spec);
    return true;
}

int flux2_emu_fault_add(struct emu_faults *faults, const json_t *spec, char *err, size_t err_size)
{
    const struct error e = {err, err_size};
    struct emu_fault *f = calloc(1, sizeof(*f)), **list;
    snprintf(err, err_size, "out of memory");
    if (!f)
        return 0;
    atomic_init(&f->references, 1);
    f->cut = -1;
    f->chance = 1;
    if (!read_spec(f, spec, &e) || !(list = realloc(faults->list, (faults->count + 1) * sizeof(*list)))) {
        flux2_emu_fault_unref(f);
        return 0;
    }
    f->index = ++faults->last_index;
    faults->list = list;
    faults->list[faults->count++] = f;
    return f->index;
}

void flux2_emu_faults_clear(struct emu_faults *faults)
{
    size_t i;
    for (i = 0; i < faults->count; i++)
        flux2_emu_fault_unref(faults->list[i]);
    faults->count = 0;
}

void flux2_emu_faults_free(struct emu_faults *faults)
{
    flux2_emu_faults_clear(faults);
    free(faults->list);
    faults->list = NULL;
}

void flux2_emu_fault_unref(struct emu_fault *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->references, 1, memory_order_acq_rel) > 1)
        return;
    free(f->method);
    free(f->path);
    json_decref(f->headers);
    json_decref(f->body);
    json_decref(f->garbage);
    free(f);
}

static bool is_due(const struct emu_fault *f, uint64_t *random)
{
    if (f->fired >= f->times)
        return false;
    if (f->first > 0 && (f->seen < f->first || f->seen > f->last))
        return false;
    if (f->every > 0 && fmod(f->seen, f->every) != 0)
        return false;
    return f->chance >= 1 || flux2_random_unit(random) < f->chance;
}

/* Returns whether TEXT matches PATTERN, in which '*' matches any characters. */
static bool matches(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

struct emu_fault *flux2_emu_fault_take(struct emu_faults *faults, const char *method, const char *path)
{
    struct emu_fault *taken = NULL;
    size_t i;
    for (i = 0; i < faults->count; i++) {
        struct emu_fault *f = faults->list[i];
        if ((f->method && strcmp(f->method, method)) || (f->path && !matches(f->path, path)))
            continue;
        f->seen++;
        if (taken || !is_due(f, &faults->random))
            continue;
        f->fired++;
        faults->fired++;
        atomic_fetch_add_explicit(&f->references, 1, memory_order_relaxed);
        taken = f;
    }
    return taken;
}

json_t *flux2_emu_faults_view(const struct emu_faults *faults)
{
    json_t *view = json_array();
    size_t i;
    for (i = 0; i < faults->count; i++) {
        const struct emu_fault *f = faults->list[i];
        json_array_append_new(view, json_pack("{s:i,s:f,s:f}", "index", f->index, "seen", f->seen, "fired", f->fired));
    }
    return view;
}

json_t *flux2_emu_fault_fields(void)
{
    json_t *names = json_array();
    size_t i;
    for (i = 0; i < ROWS; i++)
        json_array_append_new(names, json_string(rows[i].name));
    return names;
}
