/* json_path.c - see json_path.h. */
#include "base/json_path.h"

#include "base/ascii.h"

/* Returns the array index that STEP spells, or -1 if STEP is a name. SIZE is at least 1. */
static long array_index(const char *step, size_t size)
{
    long index = 0;
    size_t i;
    for (i = 0; i < size; i++) {
        if (!flux2_is_digit(step[i]) || index > FLUX2_JSON_VALUES_MAX)
            return -1;
        index = index * 10 + (step[i] - '0');
    }
    return index;
}

static const struct flux2_json_value *element(const struct flux2_json_value *array, long index)
{
    const struct flux2_json_value *v = array->type == FLUX2_JSON_ARRAY ? flux2_json_first(array) : NULL;
    while (v && index-- > 0)
        v = flux2_json_next(v);
    return v;
}

const struct flux2_json_value *flux2_json_path(const struct flux2_json_value *at, const char *path)
{
    while (at && *path) {
        size_t n = 0;
        while (path[n] && path[n] != '.')
            n++;
        if (n == 0)
            return NULL;
        long index = array_index(path, n);
        at = index >= 0 ? element(at, index) : flux2_json_member(at, path, n);
        path += n + (path[n] == '.');
    }
    return at && at->type == FLUX2_JSON_NULL ? NULL : at;
}
