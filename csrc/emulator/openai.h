/* openai.h - the dialect of OpenAI's Images API: what its SDK asks, in the service's terms.
 *
 * Owns: the names and values of OpenAI's fields, and what each becomes.
 * Never: state, answers. A leaf beside order.h, whose rules decide about all that is not OpenAI's own. */
#ifndef FLUX2_EMU_OPENAI_H
#define FLUX2_EMU_OPENAI_H

#include "order.h"
#include "settings.h"

#define EMU_MAX_ASKED 10

/* What a request asks for. */
struct emu_ask {
    struct emu_order order;
    int count; /* how many pictures, each a task: 1 to EMU_MAX_ASKED */
    bool b64;  /* they come in the answer itself, not as links */
};

/* Reads BODY into ASK, whose order is to be freed in any case. NULL if all is well; else what is wrong, for people, and
 * *PARAM is the field that it is about, a literal, or NULL. */
const char *flux2_emu_openai_read(struct emu_ask *ask, const struct emu_settings *settings, const char *body,
                                  size_t len, const char **param, char *complaint, size_t size);

#endif
