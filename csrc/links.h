/* links.h - the pictures of a finished task, where the answer names them by plain links.
 *
 * Owns: reading them on the engine's thread, so that it costs no host a frame. flux2.pictures, in Lua, reads answers of
 * every kind; this room reads the usual ones, the same way, and leaves the rest to it. Where to look is data. */
#ifndef FLUX2_LINKS_H
#define FLUX2_LINKS_H

#include <stdbool.h>

#include "path.h"

/* Where pictures lie, as in flux2.shapes. */
struct flux2_places {
    struct flux2_words packed; /* paths: a text there is JSON in itself */
    struct flux2_words places; /* paths: the first that holds any picture gives all of them */
    struct flux2_words keys;   /* members of an object there that hold pictures; the first that does counts */
    struct flux2_words bytes;  /* members that hold the picture itself */
    struct flux2_words types;  /* members that tell its media type */
    struct flux2_words credits; /* paths: what it cost */
};
void flux2_places_free(struct flux2_places *places);

struct flux2_link {
    const char *url;
    const char *type; /* media type in lower case, NULL: not told */
};

/* In one block, with its texts: for free(). */
struct flux2_links {
    bool has_credits;
    double credits;
    size_t count; /* at least 1 */
    struct flux2_link at[];
};

/* All pictures of an answer, in order, each once. NULL: there are none, or not all of them are beyond doubt plain links,
 * or there is no memory; then somebody else has to look. */
struct flux2_links *flux2_links_read(const struct flux2_places *places, const json_t *root);

#endif
