/* record.c - see record.h. */
#include "record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

enum { PRIVATE_MODE = 0600 };

bool flux2_record_init(struct flux2_record *r, const char *path, const char *text)
{
    if (!path || !text)
        return true;
    r->path = strdup(path);
    r->text = strdup(text);
    return r->path && r->text;
}

void flux2_record_free(struct flux2_record *r)
{
    free(r->path);
    free(r->text);
    free(r->owed);
    r->path = r->text = r->owed = NULL;
}

/* Appends TEXT as the inside of a JSON string. Returns the new end. */
static char *put_escaped(char *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f) {
            out += sprintf(out, "\\u%04x", c);
            continue;
        }
        if (c == '"' || c == '\\')
            *out++ = '\\';
        *out++ = (char)c;
    }
    return out;
}

static char *put(char *out, const char *from, size_t size)
{
    memcpy(out, from, size);
    return out + size;
}

/* The text with id and answer in their places; NULL without memory. */
static char *fill_in(const char *text, const char *id, const char *answer)
{
    static const char id_mark[] = "{id}", answer_mark[] = "{answer}";
    const char *place = strstr(text, id_mark);
    char *out = malloc(strlen(text) + 6 * strlen(id) + strlen(answer) + 1), *end = out;
    if (!out)
        return NULL;
    if (place) {
        end = put_escaped(put(end, text, (size_t)(place - text)), id);
        text = place + strlen(id_mark);
        place = strstr(text, answer_mark);
    }
    if (place) {
        end = put(put(end, text, (size_t)(place - text)), answer, strlen(answer));
        text = place + strlen(answer_mark);
    }
    strcpy(end, text);
    return out;
}

static int write_whole(const char *path, const char *text)
{
    struct flux2_file file;
    int rc = flux2_platform_file_open(&file, path, PRIVATE_MODE);
    if (rc == 0)
        rc = flux2_platform_file_write(&file, text, strlen(text));
    if (rc == 0)
        rc = flux2_platform_file_commit(&file, true);
    flux2_platform_file_discard(&file);
    return rc;
}

int flux2_record_write(struct flux2_record *r, const char *id, const char *answer)
{
    if (!r->path)
        return 0;
    bool again = r->kept;
    char *text = fill_in(r->text, id, answer ? answer : "null");
    if (!text)
        return ENOMEM;
    int rc = write_whole(r->path, text);
    /* A disk that is full has no room for a second file, but the blocks of the first one are ours: enough for an id. */
    if (rc != 0 && again && !answer)
        rc = flux2_platform_file_overwrite(r->path, text, strlen(text)) == 0 ? 0 : rc;
    free(text);
    r->kept = true; /* a failure to make the name durable leaves the file */
    if (rc != 0 && !again)
        flux2_record_remove(r);
    if (rc != 0 && *id && !r->owed)
        r->owed = strdup(id);
    return rc;
}

void flux2_record_catch_up(struct flux2_record *r)
{
    /* What is gone was taken away by somebody who does not want it any more, or will be back. */
    if (!r->owed || !flux2_platform_file_readable(r->path) || flux2_record_write(r, r->owed, NULL) != 0)
        return;
    free(r->owed);
    r->owed = NULL;
}

void flux2_record_remove(struct flux2_record *r)
{
    if (r->path && r->kept)
        flux2_platform_file_remove(r->path);
    r->kept = false;
}
