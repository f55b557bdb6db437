/* path.h - dotted paths into a JSON value, such as "data.output.0.url". A leaf over jansson.
 *
 * Owns: what a path means. Never: knows what lies at the end of one, or who asks. */
#ifndef FLUX2_PATH_H
#define FLUX2_PATH_H

#include <jansson.h>
#include <stddef.h>

/* A list of strings; an empty one is all zero. */
struct flux2_words {
    char **at;
    size_t count;
};
void flux2_words_free(struct flux2_words *words);

/* The value at PATH below ROOT, which may be NULL: names of members, and numbers for places in an array. "" is ROOT
 * itself. NULL where there is nothing. */
const json_t *flux2_path_follow(const json_t *root, const char *path);

#endif
