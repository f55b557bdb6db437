/* input_body.c - see input_body.h. */
#include "engine/input_body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/text_span.h"
#include "platform/file.h"

void flux2_input_images_clear(struct flux2_input_images *images)
{
    size_t i;
    for (i = 0; i < images->count; i++) {
        free(images->at[i].path);
        free(images->at[i].data);
        free(images->at[i].after);
    }
    free(images->at);
    *images = (struct flux2_input_images){0};
}

static bool copy_image(struct flux2_input_image *out, const struct flux2_input_image *image)
{
    *out = (struct flux2_input_image){.size = image->size, .limit = image->limit, .after_size = image->after_size};
    if (image->path)
        out->path = flux2_text_copy(image->path, strlen(image->path));
    else
        out->data = flux2_text_copy(image->data, image->size);
    out->after = flux2_text_copy(image->after, image->after_size);
    return (out->path || out->data) && out->after;
}

bool flux2_input_images_copy(struct flux2_input_images *out, const struct flux2_input_image *images, size_t count)
{
    bool ok = true;
    *out = (struct flux2_input_images){0};
    if (count == 0)
        return true;
    out->at = calloc(count, sizeof *out->at);
    if (!out->at)
        return false;
    for (; ok && out->count < count; out->count++)
        ok = copy_image(&out->at[out->count], &images[out->count]);
    return ok;
}

/* A growing body. */
struct text {
    char *data;
    size_t size;
};

/* Returns room for MORE bytes at the end of TEXT, or NULL if out of memory. */
static char *extend(struct text *text, size_t more)
{
    char *data = realloc(text->data, text->size + more + 1);
    if (!data)
        return NULL;
    char *room = data + text->size;
    text->data = data;
    text->size += more;
    data[text->size] = '\0';
    return room;
}

/* Appends an image and the text after it. Returns 0 or what flux2_file_read returns. */
static int append(struct text *text, const struct flux2_input_image *image)
{
    char *read = NULL, *room;
    size_t size = image->size;
    int rc = image->path ? flux2_file_read(image->path, image->limit, &read, &size) : 0;
    if (rc == 0) {
        room = extend(text, FLUX2_BASE64_SIZE(size));
        if (room)
            flux2_base64_encode(read ? read : image->data, size, room);
        rc = room ? 0 : ENOMEM;
    }
    free(read);
    if (rc != 0)
        return rc;
    room = extend(text, image->after_size);
    if (!room)
        return ENOMEM;
    memcpy(room, image->after, image->after_size);
    return 0;
}

int flux2_input_images_fill(struct flux2_input_images *images, char **body, size_t *size)
{
    struct text text = {0};
    size_t i;
    char *room = extend(&text, *size);
    int rc = room ? 0 : ENOMEM;
    if (room)
        memcpy(room, *body, *size);
    for (i = 0; rc == 0 && i < images->count; i++)
        rc = append(&text, &images->at[i]);
    if (rc != 0) {
        free(text.data);
        return rc;
    }
    free(*body);
    *body = text.data;
    *size = text.size;
    flux2_input_images_clear(images);
    return 0;
}
