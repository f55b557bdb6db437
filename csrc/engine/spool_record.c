/* spool_record.c - see spool_record.h. */
#include "engine/spool_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/template.h"

enum { RESERVE = 4096 }; /* bytes: more than an id and a URL */

bool flux2_spool_record_init(struct flux2_spool_record *r, const char *path, const char *text, bool exists)
{
    r->reserve = (struct flux2_file){.handle = -1};
    r->kept = exists;
    if (!path || !text)
        return true;
    r->path = strdup(path);
    r->text = strdup(text);
    return r->path && r->text;
}

bool flux2_spool_record_note_url(struct flux2_spool_record *r, const char *url)
{
    if (!r->path)
        return true;
    free(r->poll_url);
    r->poll_url = strdup(url);
    return r->poll_url != NULL;
}

void flux2_spool_record_free(struct flux2_spool_record *r)
{
    flux2_file_discard(&r->reserve);
    free(r->path);
    free(r->text);
    free(r->poll_url);
    free(r->owed);
    r->path = r->text = r->poll_url = r->owed = NULL;
}

static int write_whole(const char *path, const char *text)
{
    struct flux2_file file;
    int rc = flux2_file_open(&file, path, FLUX2_FILE_PRIVATE);
    if (rc == 0)
        rc = flux2_file_write(&file, text, strlen(text));
    if (rc == 0)
        rc = flux2_file_commit(&file, true);
    flux2_file_discard(&file);
    return rc;
}

/* Reserves disk space for the record with its id. Without the reserve the id is written to a new file. */
static void make_reserve(struct flux2_spool_record *r, const char *text)
{
    if (r->reserve.temporary)
        return;
    int rc = flux2_file_open(&r->reserve, r->path, FLUX2_FILE_PRIVATE);
    rc = rc ? rc : flux2_file_write(&r->reserve, text, strlen(text));
    rc = rc ? rc : flux2_file_reserve(&r->reserve, RESERVE);
    if (rc != 0)
        flux2_file_discard(&r->reserve);
}

/* Writes TEXT to the reserve and renames that to the record. Returns an error if there is no reserve. */
static int use_reserve(struct flux2_spool_record *r, const char *text)
{
    if (!r->reserve.temporary)
        return ENOENT;
    int rc = flux2_file_refill(&r->reserve, text, strlen(text));
    rc = rc ? rc : flux2_file_commit(&r->reserve, true);
    flux2_file_discard(&r->reserve);
    return rc;
}

static int write_text(struct flux2_spool_record *r, const char *text, bool has_id, bool has_body)
{
    if (has_id && !has_body && use_reserve(r, text) == 0)
        return 0;
    int rc = write_whole(r->path, text);
    if (rc == 0 && has_body)
        flux2_file_discard(&r->reserve);
    else if (rc == 0 && !has_id)
        make_reserve(r, text);
    return rc;
}

int flux2_spool_record_write(struct flux2_spool_record *r, const char *id, const char *body, size_t body_size)
{
    if (!r->path)
        return 0;
    bool again = r->kept;
    const struct flux2_template_value values[] = {
        {.mark = "{id}", .text = id, .size = strlen(id)},
        {.mark = "{poll_url}", .text = r->poll_url, .size = r->poll_url ? strlen(r->poll_url) : 0, .quoted = true},
        {.mark = "{answer}", .text = body, .size = body_size, .quoted = true},
    };
    char *text = flux2_template_fill(r->text, values, sizeof values / sizeof *values);
    if (!text)
        return ENOMEM;
    int rc = write_text(r, text, *id != '\0', body != NULL);
    free(text);
    r->kept = true; /* after a failed directory sync the file exists */
    if (rc != 0 && !again)
        flux2_spool_record_remove(r);
    if (rc != 0 && *id && !r->owed)
        r->owed = strdup(id);
    return rc;
}

void flux2_spool_record_catch_up(struct flux2_spool_record *r)
{
    /* A missing file was removed by the host: it is not written again. */
    if (!r->owed || !flux2_file_is_readable(r->path) || flux2_spool_record_write(r, r->owed, NULL, 0) != 0)
        return;
    free(r->owed);
    r->owed = NULL;
}

void flux2_spool_record_remove(struct flux2_spool_record *r)
{
    flux2_file_discard(&r->reserve);
    if (r->path && r->kept)
        flux2_file_remove(r->path);
    r->kept = false;
}
