/* response_text.c - see response_text.h. */
#include "engine/response_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "base/text_span.h"

enum {
    EXCERPT_MAX = 960, /* bytes: far more than a message shows */
    PAGE_MAX = 4096,   /* bytes of a page that are searched for text */
};

/* --- HTML --------------------------------------------------------------------------------------- */

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

/* Writes the title of PAGE, or without a title its text without tags, scripts and styles, to OUT, which has room for
 * SIZE bytes. Returns the number of bytes. Takes quadratic time in the worst case. */
static size_t html_text(const char *page, size_t size, char *out)
{
    const char *end = page + size, *title = find(page, end, "<title"), *close;
    title = title ? tag_end(title, end) : NULL;
    close = title ? find(title, end, "</title") : NULL;
    return close ? extract_text(title, close, out) : extract_text(page, end, out);
}

/* --- any body ------------------------------------------------------------------------------------ */

static bool names(const char *content_type, const char *word)
{
    return content_type && flux2_find_word(content_type, strlen(content_type), word);
}

bool flux2_response_excerpt(const char *content_type, const char *body, size_t size, enum flux2_body_form *form,
                            char **excerpt)
{
    *excerpt = NULL;
    while (size > 0 && flux2_is_space(*body)) {
        body++;
        size--;
    }
    *form = FLUX2_BODY_EMPTY;
    if (size == 0)
        return false;
    if (*body != '<' && !names(content_type, "html")) {
        *form = FLUX2_BODY_TEXT;
        *excerpt = flux2_text_copy(body, size < EXCERPT_MAX ? size : EXCERPT_MAX);
        return true;
    }
    *form = names(content_type, "xml") ? FLUX2_BODY_XML : FLUX2_BODY_HTML;
    size = size < PAGE_MAX ? size : PAGE_MAX;
    *excerpt = malloc(size + 1);
    if (*excerpt)
        (*excerpt)[html_text(body, size, *excerpt)] = '\0';
    return true;
}
