/* redact.c - fuzzes the removal of secrets (csrc/base/redact.c): no part of a secret is left in the text.
 *
 * Input: a byte (how much room there is), a line with a secret, and the text. */
#include "base/redact.h"
#include "fuzz.h"

static int holds(const char *text, size_t size, const char *secret)
{
    size_t i, n = strlen(secret);
    for (i = 0; i + n <= size; i++)
        if (memcmp(text + i, secret, n) == 0)
            return 1;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    size_t i, room = (size_t)take_byte(&in) * 16;
    char *secret = text_copy(take_until(&in, '\n')), *text = exact_copy(in), *out = malloc(room ? room : 1);
    struct flux2_secrets secrets = {.forms = {NULL, 0}};
    if (!out || !flux2_secrets_add(&secrets, secret))
        abort();
    size_t made = flux2_redact(out, room, text, in.size, &secrets);
    CHECK(made <= room);
    size_t whole = flux2_redact(text, in.size, text, in.size, &secrets);
    CHECK(whole <= in.size && made <= whole && memcmp(out, text, made) == 0);
    /* What is left of two halves may meet: of a mark, for instance. */
    CHECK(strlen(secret) < FLUX2_SECRET_MIN || strpbrk(secret, "aio_*\\%") || !holds(text, whole, secret));
    /* The other forms have no characters of the mark. */
    for (i = 1; i < secrets.forms.count; i++)
        CHECK(!holds(text, whole, secrets.forms.at[i]));
    flux2_secrets_clear(&secrets);
    free(secret);
    free(text);
    free(out);
    return 0;
}
