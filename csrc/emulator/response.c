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

/* The service's error types and their OpenAI counterparts. */
static const struct openai_error {
    const char *service_type;
    int status; /* 0: unchanged */
    const char *type, *code;
} openai_errors[] = {
    {"authentication_error", 0, "invalid_request_error", "invalid_api_key"},
    {"rate_limit_error", 0, "requests", "rate_limit_exceeded"},
    {"insufficient_credits", 429, "insufficient_quota", "insufficient_quota"},
    {"rejected", 400, "invalid_request_error", "content_policy_violation"},
    {"moderated", 0, "image_generation_user_error", "moderation_blocked"},
    {"task_failed", 0, "image_generation_user_error", "image_generation_failed"},
    {"server_error", 0, "server_error", NULL},
};

static void set_openai_error(struct emu_response *out, int status, const char *type, const char *message)
{
    static const struct openai_error other = {NULL, 0, "invalid_request_error", NULL};
    const struct openai_error *w = &other;
    size_t i;
    for (i = 0; i < sizeof(openai_errors) / sizeof(openai_errors[0]); i++) {
        if (!strcmp(type, openai_errors[i].service_type))
            w = &openai_errors[i];
    }
    flux2_emu_response_json(out, w->status ? w->status : status,
                            json_pack("{s:{s:s,s:s,s:s?,s:s?}}", "error", "message", message, "type", w->type, "param",
                                      out->param, "code", w->code));
}

/* The service's error types and the counterparts of Black Forest Labs: {"error": code, "message": ...}. */
static const struct bfl_error {
    const char *service_type, *code;
} bfl_errors[] = {
    {"insufficient_credits", "insufficient_credits"},
    {"rate_limit_error", "rate_limit_exceeded"},
    {"rejected", "content_policy_violation"},
};

static json_t *bfl_validation_error(const char *param, const char *message)
{
    json_t *place = param ? json_pack("[s,s]", "body", param) : json_pack("[s]", "body");
    return json_pack("{s:[{s:o,s:s,s:s}]}", "detail", "loc", place, "msg", message, "type", "value_error");
}

static void set_bfl_error(struct emu_response *out, int status, const char *type, const char *message)
{
    size_t i;
    if (!strcmp(type, "invalid_request")) {
        flux2_emu_response_json(out, 422, bfl_validation_error(out->param, message));
        return;
    }
    for (i = 0; i < sizeof(bfl_errors) / sizeof(bfl_errors[0]); i++) {
        if (strcmp(type, bfl_errors[i].service_type))
            continue;
        flux2_emu_response_json(out, status, json_pack("{s:s,s:s}", "error", bfl_errors[i].code, "message", message));
        return;
    }
    if (!strcmp(type, "authentication_error"))
        flux2_emu_response_json(out, 403, json_pack("{s:s}", "detail", "Not authenticated"));
    else
        flux2_emu_response_json(out, status, json_pack("{s:s}", "detail", message));
}

void flux2_emu_response_error(struct emu_response *out, int status, const char *type, const char *message)
{
    if (out->dialect == EMU_OPENAI)
        set_openai_error(out, status, type, message);
    else if (out->dialect == EMU_BFL)
        set_bfl_error(out, status, type, message);
    else
        flux2_emu_response_json(
            out, status, json_pack("{s:{s:i,s:s,s:s}}", "error", "code", status, "message", message, "type", type));
}

void flux2_emu_response_free(struct emu_response *out)
{
    flux2_blob_unref(out->body);
    memset(out, 0, sizeof(*out));
}
