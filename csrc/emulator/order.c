/* order.c - the rules for what a submission may ask; see order.h. */
#include "order.h"

#include "util.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MIN_PROMPT 3
#define MAX_PROMPT 5000
#define MAX_INPUTS 8

static const char *check_model(const char *text)
{
    return strcmp(text, "flux-2") ? "model must be \"flux-2\"" : NULL;
}

static const char *check_prompt(const char *text)
{
    size_t length = flux2_emu_utf8_length(text);
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

/* Up to four digits, not all of them zero: where they end, or NULL. */
static const char *skip_number(const char *p)
{
    const char *start = p;
    int n = 0;
    while (isdigit((unsigned char)*p))
        n = n * 10 + (*p++ - '0');
    return p > start && p - start <= 4 && n > 0 ? p : NULL;
}

static const char *check_aspect_ratio(const char *text)
{
    const char *p = skip_number(text);
    p = p && *p == ':' ? skip_number(p + 1) : NULL;
    return p && !*p ? NULL : "aspect_ratio must be W:H with whole numbers, like 16:9";
}

/* The string fields in the order in which they are checked. */
static const struct rule {
    const char *name;
    size_t offset;
    const char *missing; /* the value if it is not there; NULL: it must be */
    const char *(*check)(const char *text);
} rules[] = {
    {"model", offsetof(struct emu_order, model), NULL, check_model},
    {"prompt", offsetof(struct emu_order, prompt), NULL, check_prompt},
    {"aspect_ratio", offsetof(struct emu_order, aspect_ratio), "1:1", check_aspect_ratio},
    {"type", offsetof(struct emu_order, type), "pro", check_type},
    {"resolution", offsetof(struct emu_order, resolution), "1K", check_resolution},
};

static const char *read_text(struct emu_order *order, const struct rule *rule, const json_t *request,
                             char *complaint, size_t size)
{
    const json_t *value = json_object_get(request, rule->name);
    const char *text = value ? json_string_value(value) : rule->missing;
    const char *wrong;
    char *copy;
    if (!text) {
        snprintf(complaint, size, value ? "%s must be a string" : "%s is required", rule->name);
        return complaint;
    }
    wrong = rule->check(text);
    if (wrong)
        return wrong;
    copy = strdup(text);
    *(char **)((char *)order + rule->offset) = copy;
    return copy ? NULL : "out of memory";
}

static bool is_web_url(const char *text)
{
    size_t scheme = !strncasecmp(text, "http://", 7) ? 7 : !strncasecmp(text, "https://", 8) ? 8 : 0;
    return scheme && text[scheme] && !strchr("/?#", text[scheme]) && !strpbrk(text, " \t\r\n");
}

static const char *read_inputs(struct emu_order *order, const json_t *request)
{
    json_t *urls = json_object_get(request, "input_urls"), *url;
    size_t i;
    if (!urls)
        return NULL;
    if (!json_is_array(urls))
        return "input_urls must be an array of URLs";
    if (json_array_size(urls) > MAX_INPUTS)
        return "input_urls must hold at most 8 URLs";
    json_array_foreach(urls, i, url)
    {
        if (!json_is_string(url) || !is_web_url(json_string_value(url)))
            return "input_urls must hold http or https URLs only";
    }
    order->input_urls = json_deep_copy(urls);
    return order->input_urls ? NULL : "out of memory";
}

const char *flux2_emu_order_take(struct emu_order *order, const json_t *request, const char **field,
                                 char *complaint, size_t size)
{
    const char *wrong = NULL;
    size_t i;
    *field = NULL;
    if (!json_is_object(request))
        return "the body must be a JSON object";
    for (i = 0; !wrong && i < sizeof(rules) / sizeof(rules[0]); i++) {
        *field = rules[i].name;
        wrong = read_text(order, &rules[i], request, complaint, size);
    }
    if (wrong)
        return wrong;
    *field = "input_urls";
    return read_inputs(order, request);
}

const char *flux2_emu_order_read(struct emu_order *order, const char *body, size_t len, char *complaint,
                                 size_t size)
{
    json_error_t error;
    json_t *request = json_loadb(body ? body : "", len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    const char *field, *wrong;
    memset(order, 0, sizeof(*order));
    if (!request) {
        snprintf(complaint, size, "the body is not JSON: %s", error.text);
        return complaint;
    }
    wrong = flux2_emu_order_take(order, request, &field, complaint, size);
    json_decref(request);
    return wrong;
}

bool flux2_emu_order_copy(struct emu_order *copy, const struct emu_order *order)
{
    bool ok = true;
    size_t i;
    memset(copy, 0, sizeof(*copy));
    for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const char *text = *(char *const *)((const char *)order + rules[i].offset);
        char **slot = (char **)((char *)copy + rules[i].offset);
        *slot = text ? strdup(text) : NULL;
        ok = ok && (*slot || !text);
    }
    copy->input_urls = json_incref(order->input_urls);
    copy->width = order->width;
    copy->height = order->height;
    return ok;
}

double flux2_emu_order_price(const struct emu_order *order, double flex_2k)
{
    bool large = !strcmp(order->resolution, "2K");
    if (!strcmp(order->type, "flex"))
        return large ? flex_2k : 6;
    return large ? 20 : 10;
}

/* With the NUL, so that "ab","c" is not "a","bc". */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    return flux2_emu_hash(hash, text, strlen(text) + 1);
}

uint64_t flux2_emu_order_hash(const struct emu_order *order)
{
    uint64_t hash = FLUX2_EMU_HASH_START;
    json_t *url;
    size_t i;
    hash = hash_text(hash, order->prompt);
    hash = hash_text(hash, order->type);
    hash = hash_text(hash, order->resolution);
    hash = hash_text(hash, order->aspect_ratio);
    json_array_foreach(order->input_urls, i, url) hash = hash_text(hash, json_string_value(url));
    if (order->width) {
        hash = flux2_emu_hash(hash, &order->width, sizeof(order->width));
        hash = flux2_emu_hash(hash, &order->height, sizeof(order->height));
    }
    return hash;
}
