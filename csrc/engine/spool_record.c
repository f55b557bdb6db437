/* spool_record.c - see spool_record.h. */
#include "engine/spool_record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RESERVE = 4096 }; /* bytes: more than an id and a URL */

bool flux2_spool_record_init(struct flux2_spool_record *r, const char *path, const char *text)
{
    r->reserve = (struct flux2_file){.handle = -1};
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

static bool needs_number(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool needs_backslash(char c)
{
    return c == '"' || c == '\\';
}

/* Returns the size of TEXT inside of a JSON string. */
static size_t escaped_size(const char *text, size_t size)
{
    size_t i, n = size;
    for (i = 0; i < size; i++)
        n += needs_number(text[i]) ? 5 : needs_backslash(text[i]);
    return n;
}

/* Appends TEXT, escaped. Returns the new end. */
static char *put_escaped(char *out, const char *text, size_t size)
{
    size_t i;
    for (i = 0; i < size; i++) {
        if (needs_number(text[i])) {
            out += sprintf(out, "\\u%04x", (unsigned char)text[i]);
            continue;
        }
        if (needs_backslash(text[i]))
            *out++ = '\\';
        *out++ = text[i];
    }
    return out;
}

static char *put(char *out, const char *from, size_t size)
{
    if (size > 0)
        memcpy(out, from, size);
    return out + size;
}

/* A replacement for a mark in the template. */
struct replacement {
    const char *mark, *text; /* text NULL: JSON null */
    size_t size;
    bool quoted; /* it is a JSON value, not part of a string */
};

static size_t replacement_size(const struct replacement *f)
{
    return f->text ? escaped_size(f->text, f->size) + 2 : strlen("null");
}

static char *put_replacement(char *end, const struct replacement *f)
{
    if (!f->text)
        return put(end, "null", strlen("null"));
    end = put(end, "\"", f->quoted);
    return put(put_escaped(end, f->text, f->size), "\"", f->quoted);
}

/* Returns TEXT with all replacements, which the caller frees; NULL if out of memory. The marks must occur in this
 * order. */
static char *replace_marks(const char *text, const struct replacement *replacements, size_t count)
{
    size_t i, size = strlen(text) + 1;
    for (i = 0; i < count; i++)
        size += replacement_size(&replacements[i]);
    char *out = malloc(size), *end = out;
    if (!out)
        return NULL;
    for (i = 0; i < count; i++) {
        const char *place = strstr(text, replacements[i].mark);
        if (!place)
            continue;
        end = put_replacement(put(end, text, (size_t)(place - text)), &replacements[i]);
        text = place + strlen(replacements[i].mark);
    }
    strcpy(end, text);
    return out;
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
    const struct replacement replacements[] = {
        {"{id}", id, strlen(id), false},
        {"{poll_url}", r->poll_url, r->poll_url ? strlen(r->poll_url) : 0, true},
        {"{answer}", body, body_size, true},
    };
    char *text = replace_marks(r->text, replacements, sizeof replacements / sizeof *replacements);
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
