/* number.c - fuzzes the number parser (csrc/base/parse_number.c) against strtod.
 *
 * Input: the text, up to a NUL. */
#include <math.h>

#include "base/parse_number.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    char *text = text_copy(in), *theirs;
    const char *ours;
    double value = flux2_parse_number(text, &ours);
    double wanted = strtod(text, &theirs);
    /* The parser does not accept hexadecimal numbers, "inf" and "nan". */
    if (!strpbrk(text, "xXnN")) {
        CHECK(ours == theirs);
        /* Excludes denormal and near-infinite values. */
        if (fabs(wanted) > 1e-280 && fabs(wanted) < 1e280)
            CHECK(fabs(value - wanted) <= 1e-12 * fabs(wanted));
    }
    CHECK(ours >= text && ours <= text + strlen(text) && !isnan(value));
    free(text);
    return 0;
}
