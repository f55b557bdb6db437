/* template.c - see template.h. */
#include "base/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool needs_number(char c, bool for_xml)
{
    return (unsigned char)c < 0x20 || c == 0x7f || (for_xml && (c == '<' || c == '>' || c == '&'));
}

static bool needs_backslash(char c)
{
    return c == '"' || c == '\\';
}

/* Returns the size of the text inside of a JSON string. */
static size_t escaped_size(const struct flux2_template_value *v)
{
    size_t i, n = v->size;
    for (i = 0; i < v->size; i++)
        n += needs_number(v->text[i], v->for_xml) ? 5 : needs_backslash(v->text[i]);
    return n;
}

/* Appends the text, escaped. Returns the new end. */
static char *put_escaped(char *out, const struct flux2_template_value *v)
{
    size_t i;
    for (i = 0; i < v->size; i++) {
        if (needs_number(v->text[i], v->for_xml)) {
            out += sprintf(out, "\\u%04x", (unsigned char)v->text[i]);
            continue;
        }
        if (needs_backslash(v->text[i]))
            *out++ = '\\';
        *out++ = v->text[i];
    }
    return out;
}

static char *put(char *out, const char *from, size_t size)
{
    if (size > 0)
        memcpy(out, from, size);
    return out + size;
}

static size_t value_size(const struct flux2_template_value *v)
{
    return v->text ? escaped_size(v) + 2 : strlen("null");
}

static char *put_value(char *end, const struct flux2_template_value *v)
{
    if (!v->text)
        return put(end, "null", strlen("null"));
    end = put(end, "\"", v->quoted);
    return put(put_escaped(end, v), "\"", v->quoted);
}

char *flux2_template_fill(const char *text, const struct flux2_template_value *values, size_t count)
{
    size_t i, size = strlen(text) + 1;
    for (i = 0; i < count; i++)
        size += value_size(&values[i]);
    char *out = malloc(size), *end = out;
    if (!out)
        return NULL;
    for (i = 0; i < count; i++) {
        const char *place = strstr(text, values[i].mark);
        if (!place)
            continue;
        end = put_value(put(end, text, (size_t)(place - text)), &values[i]);
        text = place + strlen(values[i].mark);
    }
    strcpy(end, text);
    return out;
}
