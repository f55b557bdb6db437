/* response_fields.h - single fields of a response: the first usable value of a list of paths. ROOT may be NULL.
 *
 * Functions with a text as OUT return whether there is a usable value; *OUT is then a copy that the caller frees, or
 * NULL if out of memory. Without a usable value nothing is set. Any thread. */
#ifndef FLUX2_ENGINE_RESPONSE_FIELDS_H
#define FLUX2_ENGINE_RESPONSE_FIELDS_H

#include <stdbool.h>

#include "base/json.h"
#include "engine/response_schema.h"

/* Copies the status to OUT, which has room for FLUX2_STATUS_MAX bytes; "" if there is none. Returns the path of the
 * status, an element of PATHS, or NULL. */
const char *flux2_field_status(const struct flux2_json_value *root, const struct flux2_string_list *paths, char *out);

/* Copies the word of the status that is a number, as above. Returns whether there is one. */
bool flux2_field_status_number(const struct flux2_response_schema *schema, const struct flux2_json_value *root,
                               char *out);

/* Reads progress and converts it to 0 to 1. Accepts 0 to 100, 0 to 1, "50%" and "0.5". 1 means one percent: a task at
 * 100 percent is not running. Returns whether there is one. */
bool flux2_field_progress(const struct flux2_json_value *root, const struct flux2_string_list *paths, double *out);

/* Reads a non-negative number, also from a string: credits, seconds. Returns whether there is one. */
bool flux2_field_amount(const struct flux2_json_value *root, const struct flux2_string_list *paths, double *out);

/* Reads an id: a string, or a positive integer of any length. */
bool flux2_field_id(const struct flux2_json_value *root, const struct flux2_string_list *paths, char **out);

/* Reads a URL of at most FLUX2_POLL_URL_MAX bytes, relative to BASE (NULL: absolute only). */
bool flux2_field_url(const struct flux2_json_value *root, const struct flux2_string_list *paths, const char *base,
                     char **out);

/* Reads a text that is not one of the schema's empty words. */
bool flux2_field_sentence(const struct flux2_response_schema *schema, const struct flux2_json_value *root,
                          const struct flux2_string_list *paths, char **out);

/* Reads an error code: a number or a text; codes that mean success are skipped. A number sets *HAS_NUMBER and *NUMBER
 * and returns false. */
bool flux2_field_code(const struct flux2_response_schema *schema, const struct flux2_json_value *root,
                      const struct flux2_string_list *paths, bool *has_number, double *number, char **out);

/* Reads a list of validation errors as one text: "body.prompt: field required; ...". */
bool flux2_field_problems(const struct flux2_response_schema *schema, const struct flux2_json_value *root, char **out);

/* Returns whether one of PATHS has a meaningful value: not an empty word, not a code that means success, and not an
 * object or array of only such values. */
bool flux2_field_any(const struct flux2_response_schema *schema, const struct flux2_json_value *root,
                     const struct flux2_string_list *paths);

/* Reads the first number, also from a string of digits. Returns whether there is one. */
bool flux2_field_code_number(const struct flux2_json_value *root, const struct flux2_string_list *paths, double *out);

/* Returns whether there is a number and the first one is no code that means success. */
bool flux2_field_is_bad_code(const struct flux2_response_schema *schema, const struct flux2_json_value *root,
                             const struct flux2_string_list *paths);

#endif
