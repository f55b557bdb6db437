/* memory.c - fuzzes the reading of a file of polling durations (csrc/memory.c), which anybody may have written.
 *
 * Input: a byte (1: the first line is put before it; 2: the last one behind it), then the text. */
#include <math.h>

#include "../csrc/memory.h"
#include "fuzz.h"

static const char HEAD[] = "flux2-durations 1\n";
static const char TAIL[] = "end\n";
static const char KNOWN[] = "a kind that was known before";

static char *compose(struct input in, uint8_t how, size_t *size)
{
    size_t head = how & 1 ? strlen(HEAD) : 0, tail = how & 2 ? strlen(TAIL) : 0;
    *size = head + in.size + tail;
    /* Exactly its size, so that a read beyond its end is seen. */
    char *text = malloc(*size ? *size : 1);
    if (!text)
        abort();
    memcpy(text, HEAD, head);
    if (in.size)
        memcpy(text + head, in.at, in.size);
    memcpy(text + head + in.size, TAIL, tail);
    return text;
}

static char *text_of(struct flux2_memory *memory)
{
    char *text = flux2_memory_text(memory);
    if (!text)
        abort();
    return text;
}

/* What was taken over can be used to poll by. */
static void use(struct flux2_memory *memory, const char *name)
{
    struct flux2_kind *kind = flux2_memory_kind(memory, name);
    if (!kind)
        abort();
    const struct flux2_sketch *sketch = flux2_kind_borrow(kind);
    bool knows = sketch->lessons > 0;
    PROMISE(isfinite(sketch->lessons) && sketch->lessons >= 0);
    PROMISE(!knows || (isfinite(sketch->typical) && sketch->typical > 0));
    PROMISE(!knows || (flux2_sketch_gap(sketch, 0, 0.1) >= 0 && flux2_sketch_likely(sketch, 1) >= 1));
    flux2_kind_give_back(kind);
    if (!knows)
        return;
    flux2_kind_learn(kind, 3, 4, 0);
    sketch = flux2_kind_borrow(kind);
    PROMISE(isfinite(sketch->lessons) && isfinite(sketch->typical));
    flux2_kind_give_back(kind);
}

static void use_all(struct flux2_memory *memory, const char *text)
{
    const char *line = strchr(text, '\n') + 1;
    for (; strcmp(line, TAIL) != 0; line = strchr(line, '\n') + 1) {
        struct input name = {(const uint8_t *)line, strcspn(line, "\t")};
        char *copy = text_copy(name);
        use(memory, copy);
        free(copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    const char *reason = NULL;
    size_t length;
    uint8_t how = take_byte(&in);
    char *text = compose(in, how, &length);
    struct flux2_memory *memory = flux2_memory_new(NULL), *other = flux2_memory_new(NULL);
    flux2_kind_learn(flux2_memory_kind(memory, KNOWN), 1, 2, 0);
    char *before = text_of(memory);
    bool ok = flux2_memory_load(memory, text, length, &reason);
    char *after = text_of(memory);
    PROMISE(ok || (reason && strcmp(before, after) == 0));
    if (ok) {
        /* What it writes it can read, and it is the same. */
        PROMISE(flux2_memory_load(other, after, strlen(after), &reason));
        char *again = text_of(other);
        PROMISE(strlen(again) == strlen(after));
        free(again);
        use_all(memory, after);
    }
    free(after);
    free(before);
    flux2_memory_release(memory);
    flux2_memory_release(other);
    free(text);
    return 0;
}
