/* input_body.c - see input_body.h. */
#include "engine/input_body.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/text_span.h"
#include "platform/file.h"

enum {
    READ_AT_ONCE = 12 * 1024, /* bytes of an image, a multiple of 3 */
    SHOWN_PATH = 160,         /* bytes of a path in an error: its end */
};

struct flux2_input_body {
    struct flux2_body_reader reader;
    const char *text; /* before the first image, borrowed */
    size_t text_size;
    struct flux2_input_image *images; /* owned, with their members */
    size_t count;

    /* the place in the body */
    size_t image;     /* the number of images that are encoded completely, and whose text follows */
    size_t encoded;   /* bytes of the next image that are encoded */
    const char *next; /* what can be given now: a text, or `piece` */
    size_t left;      /* bytes of `next` */
    char piece[FLUX2_BASE64_SIZE(READ_AT_ONCE)];
};

/* --- reading ------------------------------------------------------------------------------------ */

static struct flux2_input_body *self(struct flux2_body_reader *reader)
{
    return (struct flux2_input_body *)(void *)reader;
}

static void rewind_body(struct flux2_body_reader *reader)
{
    struct flux2_input_body *b = self(reader);
    b->image = b->encoded = 0;
    b->next = b->text;
    b->left = b->text_size;
}

/* Encodes the next bytes of IMAGE into `piece`. Returns 0 or what flux2_file_read_at returns. */
static int encode(struct flux2_input_body *b, const struct flux2_input_image *image)
{
    char raw[READ_AT_ONCE];
    size_t n = image->size - b->encoded < sizeof raw ? image->size - b->encoded : sizeof raw;
    int rc = image->path ? flux2_file_read_at(image->handle, b->encoded, raw, n) : 0;
    if (rc != 0)
        return rc;
    flux2_base64_encode(image->path ? raw : image->data + b->encoded, n, b->piece);
    b->encoded += n;
    b->next = b->piece;
    b->left = FLUX2_BASE64_SIZE(n);
    return 0;
}

/* Sets `next` to what follows. Returns 0 or what flux2_file_read_at returns. */
static int advance(struct flux2_input_body *b)
{
    const struct flux2_input_image *image = &b->images[b->image];
    if (b->encoded < image->size)
        return encode(b, image);
    b->image++;
    b->encoded = 0;
    b->next = image->after;
    b->left = image->after_size;
    return 0;
}

/* Sets the error of the reader: the file, and the reason RC. */
static void set_error(struct flux2_input_body *b, int rc)
{
    const char *path = b->images[b->image].path;
    size_t n = strlen(path), hidden = n > SHOWN_PATH ? n - SHOWN_PATH : 0;
    snprintf(b->reader.error, sizeof b->reader.error, "%s%s: %s", hidden > 0 ? "..." : "", path + hidden,
             flux2_file_reason(rc));
}

static size_t read_body(struct flux2_body_reader *reader, char *out, size_t room)
{
    struct flux2_input_body *b = self(reader);
    size_t given = 0;
    while (given < room && (b->left > 0 || b->image < b->count)) {
        int rc = b->left == 0 ? advance(b) : 0;
        if (rc != 0) {
            set_error(b, rc);
            return 0;
        }
        size_t n = b->left < room - given ? b->left : room - given;
        memcpy(out + given, b->next, n);
        b->next += n;
        b->left -= n;
        given += n;
    }
    return given;
}

/* --- the files ---------------------------------------------------------------------------------- */

void flux2_input_body_close(struct flux2_input_body *b)
{
    size_t i;
    for (i = 0; b && i < b->count; i++) {
        if (b->images[i].handle >= 0)
            flux2_file_close(b->images[i].handle);
        b->images[i].handle = -1;
    }
}

static int open_file(struct flux2_input_image *image)
{
    uint64_t size;
    int rc = flux2_file_open_regular(image->path, &image->handle, &size);
    if (rc != 0)
        return rc;
    image->size = (size_t)size;
    return size > image->limit ? EFBIG : 0;
}

int flux2_input_body_open(struct flux2_input_body *b, struct flux2_body_reader **reader)
{
    size_t i;
    int rc = 0;
    b->reader.size = b->text_size;
    for (i = 0; rc == 0 && i < b->count; i++) {
        struct flux2_input_image *image = &b->images[i];
        rc = image->path ? open_file(image) : 0;
        b->reader.size += FLUX2_BASE64_SIZE((uint64_t)image->size) + image->after_size;
    }
    rewind_body(&b->reader);
    *reader = rc == 0 ? &b->reader : NULL;
    return rc;
}

/* --- making and freeing ------------------------------------------------------------------------- */

static bool copy_image(struct flux2_input_image *out, const struct flux2_input_image *image)
{
    *out = *image;
    out->handle = -1;
    out->path = image->path ? flux2_text_copy(image->path, strlen(image->path)) : NULL;
    out->data = image->path ? NULL : flux2_text_copy(image->data, image->size);
    out->after = flux2_text_copy(image->after, image->after_size);
    return (out->path || out->data) && out->after;
}

struct flux2_input_body *flux2_input_body_new(const char *text, size_t size, const struct flux2_input_image *images,
                                              size_t count)
{
    struct flux2_input_body *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->reader.read = read_body;
    b->reader.rewind = rewind_body;
    b->text = text;
    b->text_size = size;
    b->images = calloc(count, sizeof *b->images);
    bool ok = b->images != NULL;
    for (; ok && b->count < count; b->count++)
        ok = copy_image(&b->images[b->count], &images[b->count]);
    if (ok)
        return b;
    flux2_input_body_free(b);
    return NULL;
}

void flux2_input_body_free(struct flux2_input_body *b)
{
    size_t i;
    if (!b)
        return;
    flux2_input_body_close(b);
    for (i = 0; i < b->count; i++) {
        free(b->images[i].path);
        free(b->images[i].data);
        free(b->images[i].after);
    }
    free(b->images);
    free(b);
}
