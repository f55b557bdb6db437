/* response.c - see response.h. */
#include "emulator/response.h"

#include <string.h>

static int append(const char *data, size_t len, void *cls)
{
    struct flux2_bytes *b = cls;
    flux2_bytes_append(b, data, len);
    return b->failed ? -1 : 0;
}

void flux2_emu_response_json(struct emu_response *out, int status, json_t *document)
{
    struct flux2_bytes b = {0};
    json_dump_callback(document, append, &b, JSON_COMPACT);
    json_decref(document);
    flux2_blob_unref(out->body);
    out->body = flux2_blob_adopt(&b);
    out->status = status;
    out->content_type = "application/json";
}

/* The service's error types with their counterparts in the other dialects. */
static const struct error {
    const char *type;  /* NULL: any other */
    int openai_status; /* 0: unchanged */
    const char *openai_type, *openai_code;
    const char *bfl_code; /* NULL: the response is {"detail": ...} */
} errors[] = {
    {"authentication_error", 0, "invalid_request_error", "invalid_api_key", NULL},
    {"rate_limit_error", 0, "requests", "rate_limit_exceeded", "rate_limit_exceeded"},
    {"insufficient_credits", 429, "insufficient_quota", "insufficient_quota", "insufficient_credits"},
    {"rejected", 400, "invalid_request_error", "content_policy_violation", "content_policy_violation"},
    {"moderated", 0, "image_generation_user_error", "moderation_blocked", NULL},
    {"task_failed", 0, "image_generation_user_error", "image_generation_failed", NULL},
    {"server_error", 0, "server_error", NULL, NULL},
    {NULL, 0, "invalid_request_error", NULL, NULL},
};

static void set_openai_error(struct emu_response *out, int status, const struct error *e, const char *message)
{
    flux2_emu_response_json(out, e->openai_status ? e->openai_status : status,
                            json_pack("{s:{s:s,s:s,s:s?,s:s?}}", "error", "message", message, "type", e->openai_type,
                                      "param", out->param, "code", e->openai_code));
}

static void set_bfl_error(struct emu_response *out, int status, const char *type, const struct error *e,
                          const char *message)
{
    json_t *place;
    if (!strcmp(type, "invalid_request")) {
        place = out->param ? json_pack("[s,s]", "body", out->param) : json_pack("[s]", "body");
        flux2_emu_response_json(
            out, 422, json_pack("{s:[{s:o,s:s,s:s}]}", "detail", "loc", place, "msg", message, "type", "value_error"));
    } else if (!strcmp(type, "authentication_error")) {
        flux2_emu_response_json(out, 403, json_pack("{s:s}", "detail", "Not authenticated"));
    } else if (e->bfl_code) {
        flux2_emu_response_json(out, status, json_pack("{s:s,s:s}", "error", e->bfl_code, "message", message));
    } else {
        flux2_emu_response_json(out, status, json_pack("{s:s}", "detail", message));
    }
}

void flux2_emu_response_error(struct emu_response *out, int status, const char *type, const char *message)
{
    const struct error *e = errors;
    while (e->type && strcmp(e->type, type))
        e++;
    if (out->dialect == EMU_OPENAI)
        set_openai_error(out, status, e, message);
    else if (out->dialect == EMU_BFL)
        set_bfl_error(out, status, type, e, message);
    else
        flux2_emu_response_json(
            out, status, json_pack("{s:{s:i,s:s,s:s}}", "error", "code", status, "message", message, "type", type));
}

void flux2_emu_response_free(struct emu_response *out)
{
    flux2_blob_unref(out->body);
    memset(out, 0, sizeof(*out));
}
