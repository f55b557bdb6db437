/* openai.c - the dialect of OpenAI's Images API; see openai.h. */
#include "openai.h"

#include <stdio.h>
#include <string.h>

/* The sizes of OpenAI's models, drawn to the dot, and what the service's own fields say in their place. */
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
    {"auto", "pro"}, {"high", "pro"},      {"hd", "pro"},
    {"low", "flex"}, {"standard", "flex"}, {"medium", "flex"},
};

#define COUNT(array) (sizeof(array) / sizeof(array[0]))

/* What there is beside the fields of the service, which order.c reads. */
static const char *const own_fields[] = {"n", "quality", "response_format", "size", "stream", "user"};
static const char *const service_fields[] = {"aspect_ratio", "input_urls", "model",
                                             "prompt",       "resolution", "type"};

static const char *find(const char *const *names, size_t count, const char *name)
{
    size_t i;
    for (i = 0; i < count; i++) {
        if (!strcmp(names[i], name))
            return names[i];
    }
    return NULL;
}

/* A request as it is read: null is as good as nothing there, as it is with OpenAI. */
struct reading {
    const json_t *request;
    const char **param;
};

static const json_t *get(const struct reading *in, const char *name)
{
    const json_t *value = json_object_get(in->request, name);
    *in->param = name;
    return json_is_null(value) ? NULL : value;
}

static const char *check_names(const struct reading *in, char *complaint, size_t size)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)in->request, name, value)
    {
        if (find(own_fields, COUNT(own_fields), name) || find(service_fields, COUNT(service_fields), name))
            continue;
        *in->param = NULL;
        snprintf(complaint, size, "Unknown parameter: '%.60s'.", name);
        return complaint;
    }
    return NULL;
}

static const char *read_count(const struct reading *in, struct emu_ask *ask)
{
    const json_t *n = get(in, "n");
    ask->count = 1;
    if (!n)
        return NULL;
    if (!json_is_integer(n) || json_integer_value(n) < 1 || json_integer_value(n) > EMU_MAX_ASKED)
        return "n must be a whole number from 1 to 10";
    ask->count = (int)json_integer_value(n);
    return NULL;
}

static const char *read_format(const struct reading *in, const char *sync, struct emu_ask *ask)
{
    const json_t *format = get(in, "response_format");
    const char *text = format ? json_string_value(format) : !strcmp(sync, "b64_json") ? sync : "url";
    if (!text || (strcmp(text, "url") && strcmp(text, "b64_json")))
        return "response_format must be 'url' or 'b64_json'";
    ask->b64 = !strcmp(text, "b64_json");
    return NULL;
}

static const char *read_rest(const struct reading *in)
{
    const json_t *user = get(in, "user"), *stream;
    if (user && !json_is_string(user))
        return "user must be a string";
    stream = get(in, "stream");
    return !stream || json_is_false(stream) ? NULL : "pictures cannot be streamed";
}

/* Puts NAME = TEXT into what the service would be asked; both say it: that is a mistake. */
static const char *translate(json_t *plain, const char *name, const char *text)
{
    if (json_object_get(plain, name))
        return "the same is said twice: in OpenAI's field and in the service's own";
    json_object_set_new(plain, name, json_string(text));
    return NULL;
}

static const char *read_size(const struct reading *in, struct emu_ask *ask, json_t *plain)
{
    const json_t *value = get(in, "size");
    const char *text = json_string_value(value);
    size_t i;
    if (!value)
        return NULL;
    for (i = 0; text && i < COUNT(sizes); i++) {
        if (strcmp(text, sizes[i].name))
            continue;
        ask->order.width = sizes[i].width;
        ask->order.height = sizes[i].height;
        return sizes[i].width ? translate(plain, "aspect_ratio", sizes[i].aspect_ratio) : NULL;
    }
    return "size must be 'auto', '256x256', '512x512', '1024x1024', '1536x1024', '1024x1536', '1792x1024' or "
           "'1024x1792'";
}

static const char *read_quality(const struct reading *in, json_t *plain)
{
    const json_t *value = get(in, "quality");
    const char *text = json_string_value(value);
    size_t i;
    if (!value)
        return NULL;
    for (i = 0; text && i < COUNT(qualities); i++) {
        if (!strcmp(text, qualities[i].name))
            return translate(plain, "type", qualities[i].type);
    }
    return "quality must be 'auto', 'high', 'hd', 'medium', 'standard' or 'low'";
}

/* The fields of the service that are there, as they are. */
static json_t *service_part(const json_t *request)
{
    json_t *plain = json_object();
    size_t i;
    for (i = 0; i < COUNT(service_fields); i++) {
        json_t *value = json_object_get(request, service_fields[i]);
        if (value && !json_is_null(value))
            json_object_set(plain, service_fields[i], value);
    }
    return plain;
}

static const char *read_object(struct emu_ask *ask, const struct emu_settings *s, const struct reading *in,
                               char *complaint, size_t size)
{
    json_t *plain = service_part(in->request);
    const char *wrong = check_names(in, complaint, size);
    int width, height;
    wrong = wrong ? wrong : read_count(in, ask);
    wrong = wrong ? wrong : read_format(in, s->sync, ask);
    wrong = wrong ? wrong : read_rest(in);
    wrong = wrong ? wrong : read_size(in, ask, plain);
    wrong = wrong ? wrong : read_quality(in, plain);
    width = ask->order.width;
    height = ask->order.height;
    if (width && json_object_get(plain, "resolution")) {
        *in->param = "resolution";
        wrong = wrong ? wrong : "the same is said twice: in size and in resolution";
    }
    wrong = wrong ? wrong : flux2_emu_order_take(&ask->order, plain, in->param, complaint, size);
    ask->order.width = width;
    ask->order.height = height;
    json_decref(plain);
    return wrong;
}

const char *flux2_emu_openai_read(struct emu_ask *ask, const struct emu_settings *settings, const char *body,
                                  size_t len, const char **param, char *complaint, size_t size)
{
    json_error_t error;
    json_t *request = json_loadb(body ? body : "", len, JSON_REJECT_DUPLICATES, &error);
    const struct reading in = {request, param};
    const char *wrong;
    memset(ask, 0, sizeof(*ask));
    *param = NULL;
    if (!json_is_object(request)) {
        snprintf(complaint, size, "We could not parse the JSON body of your request: %s",
                 request ? "it is no object" : error.text);
        wrong = complaint;
    } else {
        wrong = read_object(ask, settings, &in, complaint, size);
    }
    json_decref(request);
    if (!wrong)
        *param = NULL;
    return wrong;
}
