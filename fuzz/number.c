/* number.c - fuzzes the reading of numbers (csrc/number.c), beside the C library's.
 *
 * Input: the text, up to a NUL. */
#include <math.h>

#include "../csrc/number.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    char *text = text_copy(in), *theirs;
    const char *ours;
    double value = flux2_number_read(text, &ours);
    double wanted = strtod(text, &theirs);
    /* Of "0x1", "inf" and "nan" it takes what is decimal, if anything. */
    if (!strpbrk(text, "xXnN")) {
        PROMISE(ours == theirs);
        /* What a double holds with fewer digits, or not at all, is nobody's progress. */
        if (fabs(wanted) > 1e-280 && fabs(wanted) < 1e280)
            PROMISE(fabs(value - wanted) <= 1e-12 * fabs(wanted));
    }
    PROMISE(ours >= text && ours <= text + strlen(text) && !isnan(value));
    free(text);
    return 0;
}
