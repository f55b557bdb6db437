/* base64.c - fuzzes the Base64 decoder (csrc/base/base64.c): accepted text equals the re-encoded bytes.
 *
 * Input: the text. */
#include "base/base64.h"
#include "fuzz.h"

/* Normalizes the text to the encoder's alphabet, without padding and white space. */
static size_t plain(const char *text, size_t size, char *out)
{
    size_t i, n = 0;
    for (i = 0; i < size; i++) {
        char c = text[i];
        if (strchr(" \t\r\n=", c) && c)
            continue;
        out[n++] = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = exact_copy((struct input){data, size});
    unsigned char *bytes = malloc(size ? size : 1);
    char *again = malloc(FLUX2_BASE64_SIZE(size) + 1), *wanted = malloc(size + 1);
    size_t made;
    if (!bytes || !again || !wanted)
        abort();
    enum flux2_base64_error fault = flux2_base64_decode(text, size, bytes, &made);
    CHECK(made <= size);
    if (fault == FLUX2_BASE64_OK) {
        flux2_base64_encode(bytes, made, again);
        size_t n = plain(text, size, wanted), whole = FLUX2_BASE64_SIZE(made);
        CHECK(n <= whole && whole - n < 3 && memcmp(again, wanted, n) == 0);
    } else if (fault == FLUX2_BASE64_CHARACTER) {
        CHECK(made > 0);
    }
    /* The decoder restores any encoded bytes. */
    flux2_base64_encode(data, size, again);
    unsigned char *back = malloc(FLUX2_BASE64_SIZE(size) + 1);
    if (!back)
        abort();
    CHECK(flux2_base64_decode(again, FLUX2_BASE64_SIZE(size), back, &made) == FLUX2_BASE64_OK);
    CHECK(made == size && (size == 0 || memcmp(back, data, size) == 0));
    free(back);
    free(wanted);
    free(again);
    free(bytes);
    free(text);
    return 0;
}
