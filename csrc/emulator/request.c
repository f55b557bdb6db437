/* request.c - see request.h. */
#include "emulator/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/hash.h"
#include "base/http_url.h"

#define MIN_PROMPT 3
#define MAX_PROMPT 5000
#define MAX_INPUTS 8
#define MAX_URL 8192 /* bytes: the ledger keeps them */

const json_t *flux2_emu_request_get(const json_t *body, const char **param, const char *name)
{
    const json_t *value = json_object_get(body, name);
    *param = name;
    return json_is_null(value) ? NULL : value;
}

static const char *check_model(const char *text)
{
    return strcmp(text, "flux-2") ? "model must be \"flux-2\"" : NULL;
}

size_t flux2_emu_request_length(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static const char *check_prompt(const char *text)
{
    size_t length = flux2_emu_request_length(text);
    return length < MIN_PROMPT || length > MAX_PROMPT ? "prompt must be 3 to 5000 characters" : NULL;
}

static const char *check_type(const char *text)
{
    return strcmp(text, "pro") && strcmp(text, "flex") ? "type must be \"pro\" or \"flex\"" : NULL;
}

static const char *check_resolution(const char *text)
{
    return strcmp(text, "1K") && strcmp(text, "2K") ? "resolution must be \"1K\" or \"2K\"" : NULL;
}

/* Returns the position after a number from 1 to 9999, or NULL. */
static const char *skip_number(const char *p)
{
    const char *start = p;
    int n = 0;
    while (flux2_is_digit(*p))
        n = n * 10 + (*p++ - '0');
    return p > start && p - start <= 4 && n > 0 ? p : NULL;
}

static const char *check_aspect_ratio(const char *text)
{
    const char *p = skip_number(text);
    p = p && *p == ':' ? skip_number(p + 1) : NULL;
    return (p && !*p) || !strcmp(text, "auto") ? NULL : "aspect_ratio must be W:H with whole numbers, like 16:9";
}

/* The string fields in the order of the checks. */
static const struct rule {
    const char *name;
    size_t offset;
    const char *missing; /* default; NULL: required */
    const char *(*check)(const char *text);
} rules[] = {
    {"model", offsetof(struct emu_request, model), NULL, check_model},
    {"prompt", offsetof(struct emu_request, prompt), NULL, check_prompt},
    {"aspect_ratio", offsetof(struct emu_request, aspect_ratio), "1:1", check_aspect_ratio},
    {"type", offsetof(struct emu_request, type), "pro", check_type},
    {"resolution", offsetof(struct emu_request, resolution), "1K", check_resolution},
};
#define RULES (sizeof rules / sizeof *rules)

static char **member(const struct emu_request *request, const struct rule *rule)
{
    return (char **)((char *)(uintptr_t)request + rule->offset);
}

static const char *read_text(struct emu_request *request, const struct rule *rule, const json_t *body, char *message,
                             size_t size)
{
    const json_t *value = json_object_get(body, rule->name);
    const char *text = value ? json_string_value(value) : rule->missing;
    const char *wrong;
    if (!text) {
        snprintf(message, size, value ? "%s must be a string" : "%s is required", rule->name);
        return message;
    }
    wrong = rule->check(text);
    if (wrong)
        return wrong;
    *member(request, rule) = strdup(text);
    return *member(request, rule) ? NULL : "out of memory";
}

static const char *read_inputs(struct emu_request *request, const json_t *body)
{
    json_t *urls = json_object_get(body, "input_urls"), *url;
    size_t i;
    if (!urls)
        return NULL;
    if (!json_is_array(urls))
        return "input_urls must be an array of URLs";
    if (json_array_size(urls) > MAX_INPUTS)
        return "input_urls must hold at most 8 URLs";
    json_array_foreach(urls, i, url)
    {
        if (!json_is_string(url) || !flux2_is_http_url(json_string_value(url), json_string_length(url)))
            return "input_urls must hold http or https URLs only";
        if (json_string_length(url) > MAX_URL)
            return "input_urls must hold URLs of at most 8192 bytes";
    }
    request->input_urls = json_deep_copy(urls);
    return request->input_urls ? NULL : "out of memory";
}

const char *flux2_emu_request_take(struct emu_request *request, const json_t *body, const char **field, char *message,
                                   size_t size)
{
    const char *wrong = NULL;
    size_t i;
    *field = NULL;
    if (!json_is_object(body))
        return "the body must be a JSON object";
    for (i = 0; !wrong && i < RULES; i++) {
        *field = rules[i].name;
        wrong = read_text(request, &rules[i], body, message, size);
    }
    if (wrong)
        return wrong;
    *field = "input_urls";
    wrong = read_inputs(request, body);
    if (wrong || strcmp(request->aspect_ratio, "auto") || json_array_size(request->input_urls) > 0)
        return wrong;
    *field = "aspect_ratio";
    return "aspect_ratio \"auto\" needs input_urls";
}

const char *flux2_emu_request_read(struct emu_request *request, const char *body, size_t len, char *message,
                                   size_t size)
{
    json_error_t error;
    json_t *parsed = json_loadb(body ? body : "", len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    const char *field, *wrong;
    memset(request, 0, sizeof *request);
    if (!parsed) {
        snprintf(message, size, "the body is not JSON: %s", error.text);
        return message;
    }
    wrong = flux2_emu_request_take(request, parsed, &field, message, size);
    json_decref(parsed);
    return wrong;
}

bool flux2_emu_request_copy(struct emu_request *copy, const struct emu_request *request)
{
    bool ok = true;
    size_t i;
    memset(copy, 0, sizeof(*copy));
    for (i = 0; i < RULES; i++) {
        const char *text = *member(request, &rules[i]);
        *member(copy, &rules[i]) = text ? strdup(text) : NULL;
        ok = ok && (*member(copy, &rules[i]) || !text);
    }
    copy->input_urls = json_incref(request->input_urls);
    copy->width = request->width;
    copy->height = request->height;
    return ok;
}

void flux2_emu_request_free(struct emu_request *request)
{
    size_t i;
    for (i = 0; i < RULES; i++)
        free(*member(request, &rules[i]));
    json_decref(request->input_urls);
    memset(request, 0, sizeof *request);
}

double flux2_emu_request_price(const struct emu_request *request, double flex_2k)
{
    bool large = !strcmp(request->resolution, "2K");
    if (!strcmp(request->type, "flex"))
        return large ? flex_2k : 6;
    return large ? 20 : 10;
}

/* Includes the NUL: "ab","c" differs from "a","bc". */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    return flux2_hash(hash, text, strlen(text) + 1);
}

uint64_t flux2_emu_request_hash(const struct emu_request *request)
{
    uint64_t hash = FLUX2_HASH_START;
    json_t *url;
    size_t i;
    hash = hash_text(hash, request->prompt);
    hash = hash_text(hash, request->type);
    hash = hash_text(hash, request->resolution);
    hash = hash_text(hash, request->aspect_ratio);
    json_array_foreach(request->input_urls, i, url) hash = hash_text(hash, json_string_value(url));
    if (request->width) {
        hash = flux2_hash(hash, &request->width, sizeof(request->width));
        hash = flux2_hash(hash, &request->height, sizeof(request->height));
    }
    return hash;
}
