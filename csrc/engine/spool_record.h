/* spool_record.h - the file that records a submission, so that a paid task is not lost.
 *
 * The file is written before the request is sent, and remains until the host removes it or the request certainly was
 * not processed. It contains the task id before the host gets it, or the whole response if there will be no other. One
 * thread at a time. */
#ifndef FLUX2_ENGINE_SPOOL_RECORD_H
#define FLUX2_ENGINE_SPOOL_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/file.h"

/* A zeroed record writes no file, and all functions succeed. */
struct flux2_spool_record {
    char *path; /* of the file, owned; NULL: there is no file */
    /* The template, owned. The first "{id}" in it is replaced by the id, inside of a JSON string. After it the first
     * "{poll_url}" and then the first "{answer}" are replaced by the poll URL and the response body, as JSON values. */
    char *text;
    char *poll_url;            /* the poll URL, owned; NULL: JSON null */
    bool kept;                 /* the file may exist */
    char *owed;                /* an id that could not be written yet, owned */
    struct flux2_file reserve; /* a file beside the record that reserves space for the id */
};

/* Copies PATH and TEXT; NULL: no file. EXISTS: an earlier process wrote the file. Returns false if out of memory; the
 * caller frees the record in either case. */
bool flux2_spool_record_init(struct flux2_spool_record *record, const char *path, const char *text, bool exists);
/* Copies the poll URL for later writes. Returns false if out of memory. */
bool flux2_spool_record_note_url(struct flux2_spool_record *record, const char *url);
/* Frees the record. The file stays; the reserved file is removed. */
void flux2_spool_record_free(struct flux2_spool_record *record);

/* Writes the file, whole or not at all, and flushes it to disk. ID is "" before there is one; BODY is the body of a
 * response, any bytes, or NULL. The first write also reserves space for the id, if there is some. Returns 0 or an error
 * of flux2_file_open; a previous version of the file then remains. */
int flux2_spool_record_write(struct flux2_spool_record *record, const char *id, const char *body, size_t body_size);
/* Writes an id again that could not be written before, if there is one. */
void flux2_spool_record_catch_up(struct flux2_spool_record *record);
/* Removes the file: the request was certainly not processed. */
void flux2_spool_record_remove(struct flux2_spool_record *record);

#endif
