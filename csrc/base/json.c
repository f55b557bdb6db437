/* json.c - see json.h. */
#include "base/json.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/parse_number.h"
#include "base/utf8.h"

enum { FIRST_CAPACITY = 64 }; /* values: enough for a response without images */

/* A string with escapes or invalid UTF-8, decoded. */
struct flux2_json_string {
    struct flux2_json_string *next;
    char text[];
};

struct reader {
    struct flux2_json *document;
    const char *at, *end;
    enum flux2_json_error error;
};

static bool read_value(struct reader *r, size_t index, unsigned depth);

static bool fail(struct reader *r, enum flux2_json_error error)
{
    r->error = error;
    return false;
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

/* Skips white space, then C if it is the next character. */
static bool accept(struct reader *r, char c)
{
    skip_blanks(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* Appends a value. Invalidates pointers to values. */
static bool new_value(struct reader *r, size_t *index)
{
    struct flux2_json *d = r->document;
    if (d->count == FLUX2_JSON_VALUES_MAX)
        return fail(r, FLUX2_JSON_TOO_MANY_VALUES);
    if (d->count == d->capacity) {
        size_t capacity = d->capacity ? d->capacity * 4 : FIRST_CAPACITY;
        struct flux2_json_value *more = realloc(d->values, capacity * sizeof *more);
        if (!more)
            return fail(r, FLUX2_JSON_NO_MEMORY);
        d->values = more;
        d->capacity = capacity;
    }
    *index = d->count++;
    d->values[*index] = (struct flux2_json_value){.type = FLUX2_JSON_NULL};
    return true;
}

/* --- strings ------------------------------------------------------------------------------------ */

/* Reads four hexadecimal digits. Returns -1 if there are fewer before END. */
static long read_hex(const char *text, const char *end)
{
    long code = 0;
    int i;
    if (end - text < 4)
        return -1;
    for (i = 0; i < 4; i++) {
        int digit = flux2_hex_value(text[i]);
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

/* Decodes "\uXXXX" or a surrogate pair. *AT is after the first "u". */
static bool decode_unicode(const char **at, const char *end, char **out)
{
    long code = read_hex(*at, end), low;
    if (code < 0)
        return false;
    *at += 4;
    if (code >= 0xD800 && code <= 0xDBFF && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        low = read_hex(*at + 2, end);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            *at += 6;
        }
    }
    if (code >= 0xD800 && code <= 0xDFFF)
        code = 0xFFFD;
    *out += flux2_utf8_encode((unsigned long)code, *out);
    return true;
}

/* Decodes an escape sequence. *AT is after the backslash. */
static bool decode_escape(const char **at, const char *end, char **out)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char c = *at < end ? *(*at)++ : '\0';
    if (c == 'u')
        return decode_unicode(at, end, out);
    const char *found = c ? strchr(names, c) : NULL;
    if (found)
        *(*out)++ = meanings[found - names];
    return found != NULL;
}

/* Copies one code point; replaces a run of invalid bytes by U+FFFD. */
static void decode_bytes(const char **at, const char *end, char **out)
{
    size_t n = flux2_utf8_length(*at, (size_t)(end - *at));
    const char *from = n > 0 ? *at : FLUX2_UTF8_REPLACEMENT;
    *at += n;
    while (n == 0 && *at < end && flux2_utf8_length(*at, (size_t)(end - *at)) == 0)
        ++*at;
    n = n > 0 ? n : strlen(FLUX2_UTF8_REPLACEMENT);
    memcpy(*out, from, n);
    *out += n;
}

/* Decodes the characters from AT to END. HIGH is the number of non-ASCII bytes, each of which may become three
 * bytes. */
static bool decode_string(struct reader *r, const char *at, const char *end, size_t high, size_t *size,
                          const char **text)
{
    struct flux2_json_string *s = malloc(sizeof *s + (size_t)(end - at) + 2 * high + 1);
    if (!s)
        return fail(r, FLUX2_JSON_NO_MEMORY);
    s->next = r->document->strings;
    r->document->strings = s;
    char *out = s->text;
    while (at < end) {
        if (*at == '\\') {
            at++;
            if (!decode_escape(&at, end, &out))
                return fail(r, FLUX2_JSON_MALFORMED);
        } else {
            decode_bytes(&at, end, &out);
        }
    }
    *out = '\0'; /* terminates numbers that are read from strings */
    *text = s->text;
    *size = (size_t)(out - s->text);
    return true;
}

/* Reads a string; R->at is after the opening quote. Only a string that needs decoding is copied. */
static bool read_string(struct reader *r, const char **text, size_t *size)
{
    const char *from = r->at, *s = r->at;
    bool is_plain = true;
    size_t high = 0, n;
    for (; s < r->end && *s != '"'; s++) {
        if (*s == '\\') {
            is_plain = false;
            s++;
        } else if ((unsigned char)*s >= 0x80) {
            n = flux2_utf8_length(s, (size_t)(r->end - s));
            is_plain = is_plain && n > 0;
            high += n > 0 ? n : 1;
            s += n > 0 ? n - 1 : 0;
        }
    }
    if (s >= r->end)
        return fail(r, FLUX2_JSON_MALFORMED);
    r->at = s + 1;
    if (!is_plain)
        return decode_string(r, from, s, high, size, text);
    *text = from;
    *size = (size_t)(s - from);
    return true;
}

/* --- values ------------------------------------------------------------------------------------- */

static bool accept_word(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0)
        return false;
    r->at += n;
    return true;
}

static bool read_number(struct reader *r, struct flux2_json_value *v)
{
    const char *s = r->at;
    while (s < r->end && (flux2_is_digit(*s) || *s == '-' || *s == '+' || *s == '.' || *s == 'e' || *s == 'E'))
        s++;
    v->type = FLUX2_JSON_NUMBER;
    v->text = r->at;
    v->size = (size_t)(s - r->at);
    r->at = s;
    size_t first = v->size > 0 && v->text[0] == '-';
    if (v->size == first || !flux2_is_digit(v->text[first]))
        return fail(r, FLUX2_JSON_MALFORMED);
    /* A number at the very end of the text is the whole document, which no caller uses. flux2_parse_number would
     * read beyond its end. */
    if (s == r->end)
        v->type = FLUX2_JSON_NULL;
    return true;
}

/* Reads a literal or a number. */
static bool read_word(struct reader *r, struct flux2_json_value *v)
{
    static const struct {
        const char *word;
        enum flux2_json_type type;
    } words[] = {
        {"null", FLUX2_JSON_NULL}, {"true", FLUX2_JSON_TRUE},     {"false", FLUX2_JSON_FALSE},
        {"NaN", FLUX2_JSON_NULL},  {"Infinity", FLUX2_JSON_NULL}, {"-Infinity", FLUX2_JSON_NULL},
    };
    size_t i;
    for (i = 0; i < sizeof words / sizeof *words; i++) {
        if (accept_word(r, words[i].word)) {
            v->type = words[i].type;
            return true;
        }
    }
    return read_number(r, v);
}

/* Reads one member, with its name if NAMED. */
static bool read_member(struct reader *r, bool named, unsigned depth, size_t *index)
{
    const char *key = NULL;
    size_t key_size = 0;
    if (named && (!accept(r, '"') || !read_string(r, &key, &key_size) || !accept(r, ':')))
        return fail(r, r->error ? r->error : FLUX2_JSON_MALFORMED);
    if (!new_value(r, index))
        return false;
    r->document->values[*index].key = key;
    r->document->values[*index].key_size = key_size;
    return read_value(r, *index, depth);
}

/* Reads the members of an array or object, up to CLOSE. */
static bool read_members(struct reader *r, size_t parent, char close, unsigned depth)
{
    size_t previous = 0, index, count = 0;
    if (depth == FLUX2_JSON_DEPTH_MAX)
        return fail(r, FLUX2_JSON_TOO_MANY_VALUES);
    if (accept(r, close))
        return true;
    do {
        if (!read_member(r, close == '}', depth + 1, &index))
            return false;
        if (previous > 0)
            r->document->values[previous].next = index - previous;
        previous = index;
        count++;
    } while (accept(r, ','));
    r->document->values[parent].count = count;
    return accept(r, close) || fail(r, FLUX2_JSON_MALFORMED);
}

static bool read_value(struct reader *r, size_t index, unsigned depth)
{
    struct flux2_json_value *v = &r->document->values[index];
    if (accept(r, '"')) {
        v->type = FLUX2_JSON_STRING;
        return read_string(r, &v->text, &v->size);
    }
    if (accept(r, '{')) {
        v->type = FLUX2_JSON_OBJECT;
        return read_members(r, index, '}', depth);
    }
    if (accept(r, '[')) {
        v->type = FLUX2_JSON_ARRAY;
        return read_members(r, index, ']', depth);
    }
    return read_word(r, v);
}

enum flux2_json_error flux2_json_read(struct flux2_json *document, const char *text, size_t size)
{
    size_t root;
    struct reader r = {.document = document, .at = text ? text : "", .error = FLUX2_JSON_OK};
    r.end = r.at + size;
    *document = (struct flux2_json){0};
    accept_word(&r, "\xEF\xBB\xBF");
    if (!new_value(&r, &root) || !read_value(&r, root, 0))
        document->count = 0;
    document->is_followed = accept(&r, '{') || accept(&r, '[');
    return r.error;
}

void flux2_json_free(struct flux2_json *document)
{
    while (document->strings) {
        struct flux2_json_string *next = document->strings->next;
        free(document->strings);
        document->strings = next;
    }
    free(document->values);
    *document = (struct flux2_json){0};
}

/* --- access -------------------------------------------------------------------------------------- */

const struct flux2_json_value *flux2_json_root(const struct flux2_json *document)
{
    return document->count > 0 ? document->values : NULL;
}

const struct flux2_json_value *flux2_json_first(const struct flux2_json_value *parent)
{
    return parent && parent->count > 0 ? parent + 1 : NULL;
}

const struct flux2_json_value *flux2_json_next(const struct flux2_json_value *member)
{
    return member->next > 0 ? member + member->next : NULL;
}

const struct flux2_json_value *flux2_json_member(const struct flux2_json_value *object, const char *name,
                                                 size_t name_size)
{
    const struct flux2_json_value *m, *found = NULL;
    if (!object || object->type != FLUX2_JSON_OBJECT)
        return NULL;
    for (m = flux2_json_first(object); m; m = flux2_json_next(m))
        if (m->key_size == name_size && memcmp(m->key, name, name_size) == 0 && (!found || m->type != FLUX2_JSON_NULL))
            found = m;
    return found;
}

bool flux2_json_number(const struct flux2_json_value *value, double *out)
{
    const char *end;
    if (!value || value->type != FLUX2_JSON_NUMBER)
        return false;
    *out = flux2_parse_number(value->text, &end);
    return end == value->text + value->size && isfinite(*out);
}

bool flux2_json_is_truthy(const struct flux2_json_value *value)
{
    double number;
    switch (value ? value->type : FLUX2_JSON_NULL) {
    case FLUX2_JSON_NULL:
    case FLUX2_JSON_FALSE:
        return false;
    case FLUX2_JSON_NUMBER:
        return !flux2_json_number(value, &number) || number != 0;
    case FLUX2_JSON_STRING:
        return value->size > 0;
    case FLUX2_JSON_ARRAY:
    case FLUX2_JSON_OBJECT:
        return value->count > 0;
    default:
        return true;
    }
}
