/* record.h - what is on disk about a request that must not be forgotten.
 *
 * Owns: one file, from before the request leaves until whoever asked for it takes the file away. It is there while the
 * request may be at the server, and holds the id of what the server made of it before anybody is told that id, or the
 * answer itself where that is all there will be. Never: knows what its text says, beyond the places of these two. */
#ifndef FLUX2_RECORD_H
#define FLUX2_RECORD_H

#include <stdbool.h>

/* One that is all zero keeps nothing, and all that is done with it succeeds. */
struct flux2_record {
    char *path; /* NULL: nothing is kept */
    char *
        text; /* the first "{id}" in it stands for the id, inside the quotes of a JSON string; the first "{answer}"
                 * after it for an answer, where a JSON value may stand */
    bool kept;  /* a file may be there */
    char *owed; /* an id that could not be written yet */
};

/* Takes copies. False without memory; flux2_record_free is due all the same. */
bool flux2_record_init(struct flux2_record *record, const char *path, const char *text);
/* Leaves the file alone. */
void flux2_record_free(struct flux2_record *record);

/* Writes the file, whole or not at all, so that it outlives a power cut. ID is "" while there is none; ANSWER is JSON, or
 * NULL for none. Returns 0 or an errno value; a file that was there before is there still. */
int flux2_record_write(struct flux2_record *record, const char *id, const char *answer);
/* Tries again to write an id that could not be written, if there is one: what stood in the way may be gone. */
void flux2_record_catch_up(struct flux2_record *record);
/* The request is certainly not at the server: there is nothing to remember. */
void flux2_record_remove(struct flux2_record *record);

#endif
