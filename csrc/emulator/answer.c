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

/* The service's type of error, and what OpenAI's API says in its place. */
static const struct wording {
    const char *theirs;
    int status; /* 0: as it is */
    const char *type, *code;
} wordings[] = {
    {"authentication_error", 0, "invalid_request_error", "invalid_api_key"},
    {"rate_limit_error", 0, "requests", "rate_limit_exceeded"},
    {"insufficient_credits", 429, "insufficient_quota", "insufficient_quota"},
    {"rejected", 400, "invalid_request_error", "content_policy_violation"},
    {"moderated", 0, "image_generation_user_error", "moderation_blocked"},
    {"task_failed", 0, "image_generation_user_error", "image_generation_failed"},
    {"server_error", 0, "server_error", NULL},
};

static void answer_openai_error(struct emu_answer *a, int status, const char *type, const char *message)
{
    static const struct wording other = {NULL, 0, "invalid_request_error", NULL};
    const struct wording *w = &other;
    size_t i;
    for (i = 0; i < sizeof(wordings) / sizeof(wordings[0]); i++) {
        if (!strcmp(type, wordings[i].theirs))
            w = &wordings[i];
    }
    flux2_emu_answer_json(a, w->status ? w->status : status,
                          json_pack("{s:{s:s,s:s,s:s?,s:s?}}", "error", "message", message, "type", w->type,
                                    "param", a->param, "code", w->code));
}

void flux2_emu_answer_error(struct emu_answer *a, int status, const char *type, const char *message)
{
    if (a->openai) {
        answer_openai_error(a, status, type, message);
        return;
    }
    flux2_emu_answer_json(
        a, status, json_pack("{s:{s:i,s:s,s:s}}", "error", "code", status, "message", message, "type", type));
}

void flux2_emu_answer_free(struct emu_answer *a)
{
    flux2_emu_blob_unref(a->body);
    memset(a, 0, sizeof(*a));
}
