/* response_schema.h - the paths and words of a service's responses: data for the response reader.
 *
 * Owns its strings and lists. Filled by one thread, then read-only and shared between threads by reference count. Paths
 * are dotted (json_path.h); of a list of paths the first with a usable value counts. Words are in lower case. */
#ifndef FLUX2_ENGINE_RESPONSE_SCHEMA_H
#define FLUX2_ENGINE_RESPONSE_SCHEMA_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/string_list.h"
#include "engine/error_kind.h"

/* The lists of strings, with the names of the table from Lua. */
#define FLUX2_SCHEMA_LISTS(X)                                                                                          \
    X(task_id)         /* paths: the id of the task, a string or an integer */                                         \
    X(poll_url)        /* paths: the URL at which the task is polled; of a submission */                               \
    X(status)          /* paths: a string */                                                                           \
    X(status_number)   /* paths: an index of number_words */                                                           \
    X(number_words)    /* words of a status that is a number, from 0 */                                                \
    X(progress)        /* paths: a number from 0 to 100, or a string such as "50%" */                                  \
    X(packed_places)   /* paths: a string of JSON that contains the images */                                          \
    X(image_places)    /* paths: the first that holds any image gives all of them */                                   \
    X(image_keys)      /* members of an object there: the first with an image counts */                                \
    X(bytes_keys)      /* members that contain the image in Base64 */                                                  \
    X(media_type_keys) /* members that contain its media type */                                                       \
    X(refused)         /* paths: any value means that the request was refused */                                       \
    X(code)            /* paths: so does a number that is not in code_ok */                                            \
    X(reason)          /* paths: why a task failed */                                                                  \
    X(reason_code)                                                                                                     \
    X(reason_type)                                                                                                     \
    X(moderation) /* paths: any value means that the request or its result was moderated */                            \
    X(error_text) /* paths: why a request was refused */                                                               \
    X(error_code)                                                                                                      \
    X(error_type)                                                                                                      \
    X(error_list)  /* paths: a list of what is wrong with a request: members "loc" and "msg" */                        \
    X(request_id)  /* paths: the service's id of the request */                                                        \
    X(retry_after) /* paths: seconds that the service asks to wait */                                                  \
    X(empty_words) /* texts without a meaning */                                                                       \
    X(credits)     /* paths: what the task cost */                                                                     \
    X(running)     /* words of a status; a blank stands for a blank, a dash, an underscore or nothing */               \
    X(succeeded)                                                                                                       \
    X(failed)                                                                                                          \
    X(moderated)                                                                                                       \
    X(rejected)                                                                                                        \
    X(missing) /* the same as the HTTP status 404 */

/* Words in the text of a refusal that determine the kind of error. */
struct flux2_hint {
    enum flux2_error_kind kind;
    struct flux2_string_list words;
};

struct flux2_hint_list {
    struct flux2_hint *at;
    size_t count;
};

struct flux2_response_schema {
    atomic_uint references; /* freed at 0 */
#define X(name) struct flux2_string_list name;
    FLUX2_SCHEMA_LISTS(X)
#undef X
    double *code_ok;                   /* codes that mean success, owned */
    size_t code_ok_count;              /* codes in `code_ok` */
    struct flux2_hint_list hints;      /* searched in the code, the type and the message */
    struct flux2_hint_list type_hints; /* searched in the code and the type, if the code is no number */
};

/* Creates an empty schema with one reference. Returns NULL if out of memory. Any thread. */
struct flux2_response_schema *flux2_response_schema_new(void);
/* Adds a reference. Any thread. */
struct flux2_response_schema *flux2_response_schema_hold(struct flux2_response_schema *schema);
/* Drops a reference; the last one frees the schema. NULL is allowed. Any thread. */
void flux2_response_schema_release(struct flux2_response_schema *schema);

#endif
