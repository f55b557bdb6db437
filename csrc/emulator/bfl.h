/* bfl.h - the API of Black Forest Labs: requests, prices and responses. Sources: lua/flux2/provider/bfl.lua. */
#ifndef FLUX2_EMU_BFL_H
#define FLUX2_EMU_BFL_H

#include "emulator/openai.h"
#include "emulator/response.h"
#include "emulator/state.h"

#define EMU_BFL_RESULT_PATH "/v1/get_result"

/* Returns the type of the model in PATH without query, such as "pro" in "/v1/flux-2-pro" (a literal), or NULL. */
const char *flux2_emu_bfl_type(const char *path, size_t len);

/* Parses BODY, a request of the model TYPE, into SUBMISSION, whose request the caller frees in every case. Returns
 * NULL, or an error message (MESSAGE or a literal); then *PARAM is the name of the invalid field, or NULL. */
const char *flux2_emu_bfl_read(struct emu_submission *submission, const char *type, const char *body, size_t len,
                               const char **param, char *message, size_t size);

/* Returns the id in the query of PATH, not terminated, and its length, which is 0 if there is none. */
const char *flux2_emu_bfl_id(const char *path, size_t *len);

/* Sets the response to an accepted submission. */
void flux2_emu_bfl_respond_accepted(const struct flux2_emu *emu, const struct emu_task *task, struct emu_response *out);

/* Sets the response to a poll of an unknown task. */
void flux2_emu_bfl_respond_unknown(const char *id, size_t len, struct emu_response *out);

#endif
