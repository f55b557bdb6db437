/* openai.c - see openai.h. */
#include "emulator/openai.h"

#include <stdio.h>
#include <string.h>

/* The sizes of OpenAI's models in pixels, with the service's aspect ratios. */
static const struct size {
    const char *name;
    int width, height;
    const char *aspect_ratio;
} sizes[] = {
    {"auto", 0, 0, "1:1"},
    {"256x256", 256, 256, "1:1"},
    {"512x512", 512, 512, "1:1"},
    {"1024x1024", 1024, 1024, "1:1"},
    {"1536x1024", 1536, 1024, "3:2"},
    {"1024x1536", 1024, 1536, "2:3"},
    {"1792x1024", 1792, 1024, "7:4"},
    {"1024x1792", 1024, 1792, "4:7"},
};

static const struct quality {
    const char *name, *type;
} qualities[] = {
    {"auto", "pro"}, {"high", "pro"}, {"hd", "pro"}, {"low", "flex"}, {"standard", "flex"}, {"medium", "flex"},
};

#define COUNT(array) (sizeof(array) / sizeof(array[0]))

/* OpenAI's fields, and the service's fields, which request.c checks. */
static const char *const openai_fields[] = {"n", "quality", "response_format", "size", "stream", "user"};
static const char *const service_fields[] = {"aspect_ratio", "input_urls", "model", "prompt", "resolution", "type"};

static const char *find(const char *const *names, size_t count, const char *name)
{
    size_t i;
    for (i = 0; i < count; i++) {
        if (!strcmp(names[i], name))
            return names[i];
    }
    return NULL;
}

/* State of the reader. */
struct reader {
    const json_t *request;
    const char **param;
};

static const char *check_names(const struct reader *in, char *message, size_t size)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)in->request, name, value)
    {
        if (find(openai_fields, COUNT(openai_fields), name) || find(service_fields, COUNT(service_fields), name))
            continue;
        *in->param = NULL;
        snprintf(message, size, "Unknown parameter: '%.60s'.", name);
        return message;
    }
    return NULL;
}

static const char *read_count(const struct reader *in, struct emu_submission *submission)
{
    const json_t *n = flux2_emu_request_get(in->request, in->param, "n");
    submission->count = 1;
    if (!n)
        return NULL;
    if (!json_is_integer(n) || json_integer_value(n) < 1 || json_integer_value(n) > EMU_MAX_IMAGES)
        return "n must be a whole number from 1 to 10";
    submission->count = (int)json_integer_value(n);
    return NULL;
}

static const char *read_format(const struct reader *in, const char *sync, struct emu_submission *submission)
{
    const json_t *format = flux2_emu_request_get(in->request, in->param, "response_format");
    const char *text = format ? json_string_value(format) : !strcmp(sync, "b64_json") ? sync : "url";
    if (!text || (strcmp(text, "url") && strcmp(text, "b64_json")))
        return "response_format must be 'url' or 'b64_json'";
    submission->b64 = !strcmp(text, "b64_json");
    return NULL;
}

static const char *check_user_and_stream(const struct reader *in)
{
    const json_t *user = flux2_emu_request_get(in->request, in->param, "user"), *stream;
    if (user && !json_is_string(user))
        return "user must be a string";
    stream = flux2_emu_request_get(in->request, in->param, "stream");
    return !stream || json_is_false(stream) ? NULL : "images cannot be streamed";
}

/* Sets NAME to TEXT in the service request. Fails if the service field is given as well. */
static const char *translate(json_t *service_request, const char *name, const char *text)
{
    if (json_object_get(service_request, name))
        return "the value is given twice: in OpenAI's field and in the service's field";
    json_object_set_new(service_request, name, json_string(text));
    return NULL;
}

static const char *read_size(const struct reader *in, struct emu_submission *submission, json_t *service_request)
{
    const json_t *value = flux2_emu_request_get(in->request, in->param, "size");
    const char *text = json_string_value(value);
    size_t i;
    if (!value)
        return NULL;
    for (i = 0; text && i < COUNT(sizes); i++) {
        if (strcmp(text, sizes[i].name))
            continue;
        submission->request.width = sizes[i].width;
        submission->request.height = sizes[i].height;
        return sizes[i].width ? translate(service_request, "aspect_ratio", sizes[i].aspect_ratio) : NULL;
    }
    return "size must be 'auto', '256x256', '512x512', '1024x1024', '1536x1024', '1024x1536', '1792x1024' or "
           "'1024x1792'";
}

static const char *read_quality(const struct reader *in, json_t *service_request)
{
    const json_t *value = flux2_emu_request_get(in->request, in->param, "quality");
    const char *text = json_string_value(value);
    size_t i;
    if (!value)
        return NULL;
    for (i = 0; text && i < COUNT(qualities); i++) {
        if (!strcmp(text, qualities[i].name))
            return translate(service_request, "type", qualities[i].type);
    }
    return "quality must be 'auto', 'high', 'hd', 'medium', 'standard' or 'low'";
}

/* Copies the service fields of REQUEST unchanged. */
static json_t *copy_service_fields(const json_t *request)
{
    json_t *service_request = json_object();
    size_t i;
    for (i = 0; i < COUNT(service_fields); i++) {
        json_t *value = json_object_get(request, service_fields[i]);
        if (value && !json_is_null(value))
            json_object_set(service_request, service_fields[i], value);
    }
    return service_request;
}

static const char *read_object(struct emu_submission *submission, const struct emu_settings *s, const struct reader *in,
                               char *message, size_t size)
{
    json_t *service_request = copy_service_fields(in->request);
    const char *wrong = check_names(in, message, size);
    int width, height;
    wrong = wrong ? wrong : read_count(in, submission);
    wrong = wrong ? wrong : read_format(in, s->sync, submission);
    wrong = wrong ? wrong : check_user_and_stream(in);
    wrong = wrong ? wrong : read_size(in, submission, service_request);
    wrong = wrong ? wrong : read_quality(in, service_request);
    width = submission->request.width;
    height = submission->request.height;
    if (width && json_object_get(service_request, "resolution")) {
        *in->param = "resolution";
        wrong = wrong ? wrong : "size and resolution cannot be combined";
    }
    wrong = wrong ? wrong : flux2_emu_request_take(&submission->request, service_request, in->param, message, size);
    submission->request.width = width;
    submission->request.height = height;
    json_decref(service_request);
    return wrong;
}

const char *flux2_emu_openai_read(struct emu_submission *submission, const struct emu_settings *settings,
                                  const char *body, size_t len, const char **param, char *message, size_t size)
{
    json_error_t error;
    json_t *request = json_loadb(body ? body : "", len, JSON_REJECT_DUPLICATES, &error);
    const struct reader in = {request, param};
    const char *wrong;
    memset(submission, 0, sizeof(*submission));
    *param = NULL;
    if (!json_is_object(request)) {
        snprintf(message, size, "We could not parse the JSON body of your request: %s",
                 request ? "it is not an object" : error.text);
        wrong = message;
    } else {
        wrong = read_object(submission, settings, &in, message, size);
    }
    json_decref(request);
    if (!wrong)
        *param = NULL;
    return wrong;
}
