/* bfl.c - see bfl.h. */
#include "emulator/bfl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/ascii.h"
#include "base/http_url.h"

#define MEGAPIXEL (1024.0 * 1024.0)
#define MAX_MEGAPIXELS 4
#define MIN_SIDE 64
#define STEP 16
#define MAX_PROMPT 128000
#define MAX_INPUTS 8
#define DEFAULT_SIDE 1024

/* The models with their prices in credits: of the first megapixel, and of each further one. */
static const struct model {
    const char *path, *type;
    double first, further;
    int inputs; /* maximum number of input images */
} models[] = {
    {"/v1/flux-2-pro", "pro", 3, 1.5, MAX_INPUTS},    {"/v1/flux-2-flex", "flex", 5, 5, MAX_INPUTS},
    {"/v1/flux-2-max", "max", 7, 3, MAX_INPUTS},      {"/v1/flux-2-klein-4b", "klein-4b", 1.4, 0.1, 4},
    {"/v1/flux-2-klein-9b", "klein-9b", 1.5, 0.2, 4},
};

static const char *const input_names[MAX_INPUTS] = {
    "input_image",   "input_image_2", "input_image_3", "input_image_4",
    "input_image_5", "input_image_6", "input_image_7", "input_image_8",
};

const char *flux2_emu_bfl_type(const char *path, size_t len)
{
    size_t i;
    for (i = 0; i < sizeof models / sizeof *models; i++)
        if (strlen(models[i].path) == len && !strncmp(path, models[i].path, len))
            return models[i].type;
    return NULL;
}

static const struct model *find_model(const char *type)
{
    const struct model *m = models;
    while (strcmp(m->type, type))
        m++;
    return m;
}

/* --- requests ------------------------------------------------------------------------------------- */

/* State of the reader. */
struct reader {
    const json_t *body;
    const struct model *model;
    const char **param;
    struct emu_submission *out;
};

static const char *read_prompt(const struct reader *in)
{
    const json_t *prompt = flux2_emu_request_get(in->body, in->param, "prompt");
    const char *text = json_string_value(prompt);
    size_t length = text ? flux2_emu_request_length(text) : 0;
    if (!prompt)
        return "Field required";
    if (!text || length < 1 || length > MAX_PROMPT)
        return "Input should be a valid string";
    in->out->request.prompt = strdup(text);
    return in->out->request.prompt ? NULL : "out of memory";
}

static const char *read_side(const struct reader *in, const char *name, int *side)
{
    const json_t *value = flux2_emu_request_get(in->body, in->param, name);
    json_int_t n = json_integer_value(value);
    *side = DEFAULT_SIDE;
    if (!value || (json_is_integer(value) && n == 0))
        return NULL;
    if (!json_is_integer(value) || n < MIN_SIDE || n > 65536)
        return "Input should be greater than or equal to 64";
    *side = (int)n;
    return n % STEP ? "Must be a multiple of 16" : NULL;
}

static const char *read_size(const struct reader *in)
{
    struct emu_request *request = &in->out->request;
    const char *wrong = read_side(in, "width", &request->width);
    if (!wrong)
        wrong = read_side(in, "height", &request->height);
    if (!wrong && (double)request->width * request->height > MAX_MEGAPIXELS * MEGAPIXEL)
        wrong = "The total number of pixels exceeds 4MP";
    return wrong;
}

static bool is_base64(const char *text)
{
    for (; *text; text++)
        if (!flux2_is_alphanumeric(*text) && !strchr("+/=", *text))
            return false;
    return true;
}

static const char *read_inputs(const struct reader *in)
{
    int i;
    for (i = 0; i < MAX_INPUTS; i++) {
        const json_t *value = flux2_emu_request_get(in->body, in->param, input_names[i]);
        const char *text = json_string_value(value);
        if (!value)
            continue;
        if (i >= in->model->inputs)
            return "Extra inputs are not permitted";
        if (!text || !*text || (!flux2_is_http_url(text, strlen(text)) && !is_base64(text)))
            return "Input should be a URL or an image in Base64";
        if (!in->out->request.input_urls)
            in->out->request.input_urls = json_array();
        json_array_append(in->out->request.input_urls, (json_t *)value);
    }
    return NULL;
}

static const char *check_options(const struct reader *in)
{
    const json_t *value = flux2_emu_request_get(in->body, in->param, "seed");
    if (value && !json_is_integer(value))
        return "Input should be a valid integer";
    value = flux2_emu_request_get(in->body, in->param, "safety_tolerance");
    if (value && (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > 5))
        return "Input should be from 0 to 5";
    value = flux2_emu_request_get(in->body, in->param, "output_format");
    const char *format = json_string_value(value);
    if (value && (!format || (strcmp(format, "jpeg") && strcmp(format, "png") && strcmp(format, "webp"))))
        return "Input should be 'jpeg', 'png' or 'webp'";
    return NULL;
}

/* Returns the number of megapixels that are charged for PIXELS. */
static double charged(double pixels)
{
    return fmax(ceil(pixels / MEGAPIXEL), 1);
}

static double price(const struct reader *in)
{
    const struct emu_request *r = &in->out->request;
    double inputs = (double)json_array_size(r->input_urls); /* each counts as one megapixel */
    return in->model->first + in->model->further * (charged((double)r->width * r->height) - 1 + inputs);
}

/* The fields of the service that the image is drawn from. */
static const char *complete(struct emu_request *r, const char *type)
{
    r->model = strdup("flux-2");
    r->type = strdup(type);
    r->resolution = strdup((double)r->width * r->height > 2 * MEGAPIXEL ? "2K" : "1K");
    r->aspect_ratio = strdup("1:1");
    return r->model && r->type && r->resolution && r->aspect_ratio ? NULL : "out of memory";
}

const char *flux2_emu_bfl_read(struct emu_submission *submission, const char *type, const char *body, size_t len,
                               const char **param, char *message, size_t size)
{
    json_error_t error;
    json_t *parsed = json_loadb(body ? body : "", len, 0, &error);
    struct reader in = {parsed, find_model(type), param, submission};
    const char *wrong;
    memset(submission, 0, sizeof *submission);
    *param = NULL;
    if (!json_is_object(parsed)) {
        snprintf(message, size, "JSON decode error: %s", parsed ? "not an object" : error.text);
        json_decref(parsed);
        return message;
    }
    wrong = read_prompt(&in);
    wrong = wrong ? wrong : read_inputs(&in);
    wrong = wrong ? wrong : read_size(&in);
    wrong = wrong ? wrong : check_options(&in);
    wrong = wrong ? wrong : complete(&submission->request, type);
    submission->count = 1;
    submission->price = price(&in);
    json_decref(parsed);
    return wrong;
}

/* --- responses ------------------------------------------------------------------------------------ */

const char *flux2_emu_bfl_id(const char *path, size_t *len)
{
    const char *id = strstr(path, "?id=");
    *len = id ? strcspn(id + 4, "&") : 0;
    return id ? id + 4 : "";
}

void flux2_emu_bfl_respond_accepted(const struct flux2_emu *emu, const struct emu_task *task, struct emu_response *out)
{
    const struct emu_request *r = &task->request;
    char url[160];
    snprintf(url, sizeof url, "%s" EMU_BFL_RESULT_PATH "?id=%s", emu->url, task->id);
    snprintf(out->task_id, sizeof(out->task_id), "%s", task->id);
    flux2_emu_response_json(out, 200,
                            json_pack("{s:s,s:s,s:f,s:f,s:f}", "id", task->id, "polling_url", url, "cost",
                                      task->credits, "input_mp", (double)json_array_size(r->input_urls), "output_mp",
                                      round((double)r->width * r->height / MEGAPIXEL * 100) / 100));
}

void flux2_emu_bfl_respond_unknown(const char *id, size_t len, struct emu_response *out)
{
    flux2_emu_response_json(out, 200,
                            json_pack("{s:o?,s:s,s:n,s:n,s:n}", "id", json_stringn(id, len), "status", "Task not found",
                                      "result", "progress", "details"));
}
