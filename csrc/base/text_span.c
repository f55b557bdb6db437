/* text_span.c - see text_span.h. */
#include "base/text_span.h"

#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"

bool flux2_begins_with(const char *text, size_t size, const char *word)
{
    size_t i;
    for (i = 0; word[i]; i++)
        if (i == size || flux2_lower(text[i]) != word[i])
            return false;
    return true;
}

const char *flux2_find_word(const char *text, size_t size, const char *word)
{
    for (; size > 0; text++, size--)
        if (flux2_begins_with(text, size, word))
            return text;
    return NULL;
}

char *flux2_text_copy(const char *text, size_t size)
{
    char *copy = malloc(size + 1);
    if (!copy)
        return NULL;
    if (size > 0)
        memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

char *flux2_lower_copy(const char *text, size_t size)
{
    char *copy = flux2_text_copy(text, size);
    size_t i;
    for (i = 0; copy && i < size; i++)
        copy[i] = flux2_lower(copy[i]);
    return copy;
}
