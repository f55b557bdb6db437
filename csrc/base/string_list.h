/* string_list.h - a list that owns its strings. */
#ifndef FLUX2_BASE_STRING_LIST_H
#define FLUX2_BASE_STRING_LIST_H

#include <stddef.h>

/* An empty list is zero-initialized. */
struct flux2_string_list {
    char **at;
    size_t count;
};

/* Frees the strings and empties the list. */
void flux2_string_list_free(struct flux2_string_list *list);

#endif
