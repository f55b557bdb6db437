/* response_text.c - see response_text.h. */
#include "engine/response_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/html_text.h"
#include "base/text_span.h"

enum {
    EXCERPT_MAX = 960, /* bytes: far more than a message shows */
    PAGE_MAX = 4096,   /* bytes of a page that are searched for text */
};

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool names(const char *content_type, const char *word)
{
    return content_type && flux2_find_word(content_type, strlen(content_type), word);
}

bool flux2_response_excerpt(const char *content_type, const char *body, size_t size, enum flux2_body_form *form,
                            char **excerpt)
{
    *excerpt = NULL;
    while (size > 0 && is_blank(*body)) {
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
        (*excerpt)[flux2_html_text(body, size, *excerpt)] = '\0';
    return true;
}
