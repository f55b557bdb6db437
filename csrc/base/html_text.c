/* html_text.c - see html_text.h. */
#include "base/html_text.h"

#include <stdbool.h>
#include <string.h>

#include "base/text_span.h"

static bool is_at(const char *at, const char *end, const char *word)
{
    return flux2_begins_with(at, (size_t)(end - at), word);
}

static const char *find(const char *at, const char *end, const char *word)
{
    return flux2_find_word(at, (size_t)(end - at), word);
}

/* Returns the position after the tag at AT, or NULL. */
static const char *tag_end(const char *at, const char *end)
{
    const char *close = memchr(at, '>', (size_t)(end - at));
    return close ? close + 1 : NULL;
}

/* Returns the position after the element at AT if its content is not text, else AT. */
static const char *skip_hidden(const char *at, const char *end)
{
    static const char *const tags[][2] = {{"<script", "</script"}, {"<style", "</style"}, {"<head", "</head"}};
    size_t i;
    for (i = 0; i < sizeof tags / sizeof *tags; i++) {
        const char *close = is_at(at, end, tags[i][0]) ? find(at, end, tags[i][1]) : NULL;
        if (close)
            return tag_end(close, end);
    }
    return at;
}

/* Decodes one character or entity and advances *AT. */
static char decode_character(const char **at, const char *end)
{
    static const char *const names[] = {"&nbsp;", "&lt;", "&gt;", "&quot;", "&#39;", "&amp;"};
    static const char meanings[] = " <>\"'&";
    size_t i;
    for (i = 0; **at == '&' && i < sizeof names / sizeof *names; i++) {
        if (is_at(*at, end, names[i])) {
            *at += strlen(names[i]);
            return meanings[i];
        }
    }
    return *(*at)++;
}

static size_t extract_text(const char *at, const char *end, char *out)
{
    size_t n = 0;
    while (at < end) {
        const char *next = *at == '<' ? skip_hidden(at, end) : at;
        if (next == at && *at == '<')
            next = tag_end(at, end);
        if (next == at || !next) {
            out[n++] = decode_character(&at, end);
        } else {
            out[n++] = ' ';
            at = next;
        }
    }
    return n;
}

size_t flux2_html_text(const char *page, size_t size, char *out)
{
    const char *end = page + size, *title = find(page, end, "<title"), *close;
    title = title ? tag_end(title, end) : NULL;
    close = title ? find(title, end, "</title") : NULL;
    return close ? extract_text(title, close, out) : extract_text(page, end, out);
}
