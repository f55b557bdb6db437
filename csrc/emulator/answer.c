/* answer.c - an answer before it is sent; see answer.h. */
#include "answer.h"

#include <string.h>

static int append(const char *data, size_t len, void *cls)
{
    struct emu_buf *b = cls;
    flux2_emu_buf_append(b, data, len);
    return b->failed ? -1 : 0;
}

void flux2_emu_answer_json(struct emu_answer *a, int status, json_t *document)
{
    struct emu_buf b = {0};
    json_dump_callback(document, append, &b, JSON_COMPACT);
    json_decref(document);
    flux2_emu_blob_unref(a->body);
    a->body = flux2_emu_blob_adopt(&b);
    a->status = status;
    a->content_type = "application/json";
}

void flux2_emu_answer_error(struct emu_answer *a, int status, const char *type, const char *message)
{
    flux2_emu_answer_json(
        a, status, json_pack("{s:{s:i,s:s,s:s}}", "error", "code", status, "message", message, "type", type));
}

void flux2_emu_answer_free(struct emu_answer *a)
{
    flux2_emu_blob_unref(a->body);
    memset(a, 0, sizeof(*a));
}
