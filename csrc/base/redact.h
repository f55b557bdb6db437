/* redact.h - takes secrets out of text. */
#ifndef FLUX2_BASE_REDACT_H
#define FLUX2_BASE_REDACT_H

#include <stddef.h>

#include "base/string_list.h"

/* A shorter one may be a word of the text by chance. */
enum { FLUX2_SECRET_MIN = 8 };

/* Copies TEXT with "[key]" in the place of each of SECRETS that has FLUX2_SECRET_MIN bytes or more, also where some
 * of its characters are escaped as in JSON or in a URL. Writes at most ROOM bytes, no NUL, and never a part of a
 * secret that TEXT holds whole. OUT may be TEXT. Returns how many bytes there are. */
size_t flux2_redact(char *out, size_t room, const char *text, size_t size, const struct flux2_string_list *secrets);

#endif
