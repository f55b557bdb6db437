/* string_list.c - see string_list.h. */
#include "base/string_list.h"

#include <stdlib.h>

void flux2_string_list_free(struct flux2_string_list *list)
{
    size_t i;
    for (i = 0; i < list->count; i++)
        free(list->at[i]);
    free(list->at);
    *list = (struct flux2_string_list){0};
}
