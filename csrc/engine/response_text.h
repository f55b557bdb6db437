/* response_text.h - an excerpt of a body that is not JSON, for an error message. */
#ifndef FLUX2_ENGINE_RESPONSE_TEXT_H
#define FLUX2_ENGINE_RESPONSE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/response.h"

/* Sets *FORM to the format of BODY, and *EXCERPT to a copy of its first words, which the caller frees and which may
 * contain any bytes. Returns false if there are no words. *EXCERPT is NULL then, and if out of memory. Any thread. */
bool flux2_response_excerpt(const char *content_type, const char *body, size_t size, enum flux2_body_form *form,
                            char **excerpt);

#endif
