/* json.h - a tolerant JSON reader.
 *
 * Also accepts what JSON parsers of other languages accept: a byte order mark, NaN and Infinity (read as null),
 * unpaired surrogates and invalid UTF-8 (read as U+FFFD), control characters in strings, numbers of any length (kept as
 * text), and bytes after the value. Memory and time are bounded by the size of the text, FLUX2_JSON_VALUES_MAX and
 * FLUX2_JSON_DEPTH_MAX. Does not depend on the locale.
 *
 * A document is used by one thread at a time. Its values point into the document and the text; the text must outlive
 * the document. */
#ifndef FLUX2_BASE_JSON_H
#define FLUX2_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

enum {
    FLUX2_JSON_VALUES_MAX = 100000, /* per document; a typical response has a few dozen */
    FLUX2_JSON_DEPTH_MAX = 100,
};

enum flux2_json_type {
    FLUX2_JSON_NULL,
    FLUX2_JSON_FALSE,
    FLUX2_JSON_TRUE,
    FLUX2_JSON_NUMBER,
    FLUX2_JSON_STRING,
    FLUX2_JSON_ARRAY,
    FLUX2_JSON_OBJECT,
};

struct flux2_json_value {
    enum flux2_json_type type;
    size_t count;    /* ARRAY, OBJECT: number of members; the first member is the next array element */
    size_t next;     /* offset of the next member of the same parent; 0: last member */
    const char *key; /* name of an object member, valid UTF-8 */
    size_t key_size;
    const char *text; /* STRING: decoded, valid UTF-8; NUMBER: digits as received */
    size_t size;
};

enum flux2_json_error {
    FLUX2_JSON_OK,
    FLUX2_JSON_MALFORMED,       /* not JSON, or truncated */
    FLUX2_JSON_TOO_MANY_VALUES, /* or nested too deeply */
    FLUX2_JSON_NO_MEMORY,
};

struct flux2_json {
    struct flux2_json_value *values; /* values[0] is the root */
    size_t count, capacity;
    struct flux2_json_string *strings; /* decoded strings */
    bool is_followed;                  /* another object or array follows the value */
};

/* Parses TEXT, which may be NULL if SIZE is 0. The caller calls flux2_json_free in every case. */
enum flux2_json_error flux2_json_read(struct flux2_json *document, const char *text, size_t size);
void flux2_json_free(struct flux2_json *document);

/* Returns the root, or NULL if parsing failed. */
const struct flux2_json_value *flux2_json_root(const struct flux2_json *document);

/* Iterate over the members of an array or object. Return NULL after the last member and for other types. */
const struct flux2_json_value *flux2_json_first(const struct flux2_json_value *parent);
const struct flux2_json_value *flux2_json_next(const struct flux2_json_value *member);

/* Returns the member NAME; if the name is repeated, the last one that is not null. Returns NULL if it is missing or
 * OBJECT is not an object (or NULL). */
const struct flux2_json_value *flux2_json_member(const struct flux2_json_value *object, const char *name,
                                                 size_t name_size);

/* Reads a finite number. Returns false for other values and for NULL. */
bool flux2_json_number(const struct flux2_json_value *value, double *out);

/* Returns false for NULL, null, false, 0, "", [] and {}. */
bool flux2_json_is_truthy(const struct flux2_json_value *value);

#endif
