/* redact.h - takes secrets out of text. */
#ifndef FLUX2_BASE_REDACT_H
#define FLUX2_BASE_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/string_list.h"

/* A shorter one may be a word of the text by chance. */
enum { FLUX2_SECRET_MIN = 8 };

/* The texts to remove. Empty if zero-initialized; owns its members. */
struct flux2_secrets {
    struct flux2_string_list forms; /* each secret as it is, in hex, and in Base64 */
    bool begins[256];               /* whether a form may begin with this byte */
};

/* Adds SECRET, unless it has less than FLUX2_SECRET_MIN bytes. Returns false if out of memory. */
bool flux2_secrets_add(struct flux2_secrets *secrets, const char *secret);
/* Frees the members; SECRETS is empty then. */
void flux2_secrets_clear(struct flux2_secrets *secrets);

/* Copies TEXT with "[key]" in the place of each of SECRETS: as it is, in hex, in Base64 of either alphabet, alone or as
 * a part of a longer text, and where characters of these forms are escaped as in JSON or in a URL. Writes at most ROOM
 * bytes, no NUL, and never a part of a secret that TEXT holds whole. OUT may be TEXT. Returns how many bytes there
 * are. */
size_t flux2_redact(char *out, size_t room, const char *text, size_t size, const struct flux2_secrets *secrets);

#endif
