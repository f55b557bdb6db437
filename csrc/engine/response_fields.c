/* response_fields.c - see response_fields.h. */
#include "engine/response_fields.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/http_url.h"
#include "base/json_path.h"
#include "base/parse_number.h"
#include "base/text_span.h"
#include "base/utf8.h"
#include "engine/response.h"

enum {
    SENTENCE_MAX = 3200, /* bytes of a text: eight times as many as a message shows */
    CODE_DIGITS_MAX = 9, /* digits of a code in a string */
    PROGRESS_DIGITS_MAX = 20,
    PROBLEMS_MAX = 3,
    PLACES_MAX = 5,
    MEANINGFUL_DEPTH = 3,
};

static bool is_text(const struct flux2_json_value *v)
{
    return v && v->type == FLUX2_JSON_STRING && v->size > 0;
}

static bool is_blank(char c)
{
    return (unsigned char)c <= ' ' || c == 0x7F;
}

/* --- status, id ----------------------------------------------------------------------------------- */

const char *flux2_field_status(const struct flux2_json_value *root, const struct flux2_string_list *paths, char *out)
{
    const struct flux2_json_value *v = NULL;
    size_t i, size;
    out[0] = '\0';
    for (i = 0; i < paths->count && !is_text(v); i++)
        v = flux2_json_path(root, paths->at[i]);
    if (!is_text(v))
        return NULL;
    size = flux2_utf8_cut(v->text, v->size, FLUX2_STATUS_MAX - 1);
    memcpy(out, v->text, size);
    out[size] = '\0';
    for (; *out; out++)
        if ((unsigned char)*out < ' ' || *out == 0x7F)
            *out = '?';
    return paths->at[i - 1];
}

bool flux2_field_status_number(const struct flux2_response_schema *schema, const struct flux2_json_value *root,
                               char *out)
{
    const struct flux2_string_list *words = &schema->number_words;
    double number;
    if (!flux2_field_amount(root, &schema->status_number, &number) || number != floor(number) ||
        number >= (double)words->count)
        return false;
    snprintf(out, FLUX2_STATUS_MAX, "%s", words->at[(size_t)number]);
    return true;
}

/* Returns the number of digits of a positive integer, which may end in ".0"; 0 if TEXT is none. */
static size_t whole_digits(const char *text, size_t size)
{
    size_t digits = 0, i;
    while (digits < size && flux2_is_digit(text[digits]))
        digits++;
    for (i = digits; i < size; i++)
        if (text[i] != (i == digits ? '.' : '0'))
            return 0;
    return text[0] == '0' ? 0 : digits;
}

/* Returns the number of bytes of the id in V; 0 if V is no id. */
static size_t id_size(const struct flux2_json_value *v)
{
    size_t size = 0;
    if (is_text(v))
        size = memchr(v->text, '\0', v->size) ? 0 : v->size;
    else if (v && v->type == FLUX2_JSON_NUMBER)
        size = whole_digits(v->text, v->size);
    return size <= FLUX2_ID_MAX ? size : 0;
}

bool flux2_field_id(const struct flux2_json_value *root, const struct flux2_string_list *paths, char **out)
{
    size_t i;
    for (i = 0; i < paths->count; i++) {
        const struct flux2_json_value *v = flux2_json_path(root, paths->at[i]);
        size_t size = id_size(v);
        if (size > 0) {
            *out = flux2_text_copy(v->text, size);
            return true;
        }
    }
    return false;
}

bool flux2_field_url(const struct flux2_json_value *root, const struct flux2_string_list *paths, const char *base,
                     char **out)
{
    size_t i;
    for (i = 0; i < paths->count; i++) {
        const struct flux2_json_value *v = flux2_json_path(root, paths->at[i]);
        if (!is_text(v) || !flux2_http_url_resolve(base, v->text, v->size, out))
            continue;
        if (!*out || strlen(*out) <= FLUX2_POLL_URL_MAX)
            return true;
        free(*out);
        *out = NULL;
    }
    return false;
}

/* --- numbers -------------------------------------------------------------------------------------- */

/* Reads a number, or a string with nothing but a number. */
static bool read_number(const struct flux2_json_value *v, double *out)
{
    const char *end;
    if (!is_text(v))
        return flux2_json_number(v, out);
    *out = flux2_parse_number(v->text, &end);
    return end == v->text + v->size && isfinite(*out);
}

bool flux2_field_amount(const struct flux2_json_value *root, const struct flux2_string_list *paths, double *out)
{
    double number;
    size_t i;
    for (i = 0; i < paths->count; i++) {
        if (!read_number(flux2_json_path(root, paths->at[i]), &number) || number < 0 || number >= 0x1p53)
            continue;
        *out = number;
        return true;
    }
    return false;
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && flux2_is_space(*at))
        at++;
    return at;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && flux2_is_digit(*at))
        at++;
    return at;
}

/* Reads digits with an optional decimal point and an optional percent sign. */
static bool read_percentage(const char *text, size_t size, double *out, bool *is_percent)
{
    const char *end = text + size, *from = skip_blanks(text, end), *at = skip_digits(from, end), *number_end;
    if (at < end && *at == '.')
        at = skip_digits(at + 1, end);
    if (at == from || at - from > PROGRESS_DIGITS_MAX)
        return false;
    *out = flux2_parse_number(from, &number_end);
    if (number_end != at)
        return false;
    at = skip_blanks(at, end);
    *is_percent = at < end && *at == '%';
    return skip_blanks(at + *is_percent, end) == end;
}

static bool read_progress(const struct flux2_json_value *v, double *out)
{
    bool is_percent = false;
    bool is_number = is_text(v) ? read_percentage(v->text, v->size, out, &is_percent) : flux2_json_number(v, out);
    if (!is_number || !(*out >= 0 && *out <= 100))
        return false;
    if (is_percent || *out >= 1)
        *out /= 100;
    return true;
}

bool flux2_field_progress(const struct flux2_json_value *root, const struct flux2_string_list *paths, double *out)
{
    size_t i;
    for (i = 0; i < paths->count; i++)
        if (read_progress(flux2_json_path(root, paths->at[i]), out))
            return true;
    return false;
}

/* --- texts ---------------------------------------------------------------------------------------- */

/* Returns whether the text is one of the empty words; case is ignored. */
static bool is_empty_word(const struct flux2_response_schema *schema, const char *text, size_t size)
{
    size_t i;
    for (i = 0; i < schema->empty_words.count; i++) {
        const char *word = schema->empty_words.at[i];
        if (strlen(word) == size && flux2_begins_with(text, size, word))
            return true;
    }
    return size == 0;
}

static bool is_sentence(const struct flux2_response_schema *schema, const struct flux2_json_value *v, const char **text,
                        size_t *size)
{
    if (!is_text(v))
        return false;
    *text = v->text;
    *size = flux2_utf8_cut(v->text, v->size, SENTENCE_MAX);
    while (*size > 0 && is_blank(**text)) {
        ++*text;
        --*size;
    }
    while (*size > 0 && is_blank((*text)[*size - 1]))
        --*size;
    return !is_empty_word(schema, *text, *size);
}

bool flux2_field_sentence(const struct flux2_response_schema *schema, const struct flux2_json_value *root,
                          const struct flux2_string_list *paths, char **out)
{
    const char *text;
    size_t i, size;
    for (i = 0; i < paths->count; i++) {
        if (is_sentence(schema, flux2_json_path(root, paths->at[i]), &text, &size)) {
            *out = flux2_text_copy(text, size);
            return true;
        }
    }
    return false;
}

/* --- codes ---------------------------------------------------------------------------------------- */

/* Reads a number, or a short string of digits. */
static bool read_code_number(const struct flux2_json_value *v, double *out)
{
    if (is_text(v)) {
        size_t sign = v->text[0] == '-';
        const char *end = v->text + v->size;
        if (v->size > CODE_DIGITS_MAX || v->size == sign || skip_digits(v->text + sign, end) != end)
            return false;
    }
    return read_number(v, out) && fabs(*out) <= 0x1p53;
}

static bool means_success(const struct flux2_response_schema *schema, double code)
{
    size_t i;
    for (i = 0; i < schema->code_ok_count; i++)
        if (code == schema->code_ok[i])
            return true;
    return false;
}

bool flux2_field_code(const struct flux2_response_schema *schema, const struct flux2_json_value *root,
                      const struct flux2_string_list *paths, bool *has_number, double *number, char **out)
{
    const char *text;
    size_t i, size;
    for (i = 0; i < paths->count; i++) {
        const struct flux2_json_value *v = flux2_json_path(root, paths->at[i]);
        double code;
        if (read_code_number(v, &code)) {
            if (means_success(schema, code))
                continue;
            *has_number = true;
            *number = code;
            return false;
        }
        if (is_sentence(schema, v, &text, &size)) {
            *out = flux2_text_copy(text, size);
            return true;
        }
    }
    return false;
}

/* Returns whether V is meaningful: {"code":null,"message":""} is not. Values below DEPTH count as meaningful. */
static bool is_meaningful(const struct flux2_response_schema *schema, const struct flux2_json_value *v, int depth)
{
    const char *text;
    double code;
    size_t size;
    if (!flux2_json_is_truthy(v) || (read_code_number(v, &code) && means_success(schema, code)))
        return false;
    if (is_text(v))
        return is_sentence(schema, v, &text, &size);
    if ((v->type != FLUX2_JSON_OBJECT && v->type != FLUX2_JSON_ARRAY) || depth == 0)
        return true;
    for (v = flux2_json_first(v); v; v = flux2_json_next(v))
        if (is_meaningful(schema, v, depth - 1))
            return true;
    return false;
}

bool flux2_field_any(const struct flux2_response_schema *schema, const struct flux2_json_value *root,
                     const struct flux2_string_list *paths)
{
    size_t i;
    for (i = 0; i < paths->count; i++)
        if (is_meaningful(schema, flux2_json_path(root, paths->at[i]), MEANINGFUL_DEPTH))
            return true;
    return false;
}

bool flux2_field_code_number(const struct flux2_json_value *root, const struct flux2_string_list *paths, double *out)
{
    size_t i;
    for (i = 0; i < paths->count; i++)
        if (read_code_number(flux2_json_path(root, paths->at[i]), out))
            return true;
    return false;
}

bool flux2_field_is_bad_code(const struct flux2_response_schema *schema, const struct flux2_json_value *root,
                             const struct flux2_string_list *paths)
{
    double code;
    return flux2_field_code_number(root, paths, &code) && !means_success(schema, code);
}

/* --- lists of problems ---------------------------------------------------------------------------- */

struct line {
    char text[1024];
    size_t size;
};

static void append(struct line *l, const char *text, size_t size)
{
    size = flux2_utf8_cut(text, size, sizeof l->text - 1 - l->size);
    memcpy(l->text + l->size, text, size);
    l->size += size;
}

/* Appends a location such as "body.prompt.0: ". */
static void append_place(struct line *l, const struct flux2_json_value *loc)
{
    const struct flux2_json_value *step = loc && loc->type == FLUX2_JSON_ARRAY ? flux2_json_first(loc) : NULL;
    size_t before = l->size;
    int i;
    for (i = 0; step && i < PLACES_MAX; i++, step = flux2_json_next(step)) {
        if (!is_text(step) && step->type != FLUX2_JSON_NUMBER)
            continue;
        append(l, ".", l->size > before);
        append(l, step->text, step->size);
    }
    append(l, ": ", l->size > before ? 2 : 0);
}

static void append_problem(const struct flux2_response_schema *schema, struct line *l,
                           const struct flux2_json_value *problem)
{
    const char *text;
    size_t size;
    const struct flux2_json_value *message = flux2_json_path(problem, "msg");
    if (!is_sentence(schema, message ? message : problem, &text, &size))
        return;
    append(l, "; ", l->size > 0 ? 2 : 0);
    append_place(l, flux2_json_path(problem, "loc"));
    append(l, text, size);
}

bool flux2_field_problems(const struct flux2_response_schema *schema, const struct flux2_json_value *root, char **out)
{
    struct line line = {.size = 0};
    size_t i;
    int n;
    for (i = 0; i < schema->error_list.count && line.size == 0; i++) {
        const struct flux2_json_value *list = flux2_json_path(root, schema->error_list.at[i]);
        const struct flux2_json_value *v = list && list->type == FLUX2_JSON_ARRAY ? flux2_json_first(list) : NULL;
        for (n = 0; v && n < PROBLEMS_MAX; n++, v = flux2_json_next(v))
            append_problem(schema, &line, v);
    }
    if (line.size == 0)
        return false;
    *out = flux2_text_copy(line.text, line.size);
    return true;
}
