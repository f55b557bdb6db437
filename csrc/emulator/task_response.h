/* task_response.h - responses to submissions and polls, in the configured format.
 *
 * Runs on the connection threads and takes the emulator's lock, which is released while an image is drawn. */
#ifndef FLUX2_EMU_TASK_RESPONSE_H
#define FLUX2_EMU_TASK_RESPONSE_H

#include "emulator/response.h"
#include "emulator/state.h"

/* Responds to an accepted submission. */
void flux2_emu_respond_accepted(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task,
                                struct emu_response *out);

/* Responds to a submission synchronously, as OpenAI does, after all images are finished: with their URLs, or with
 * B64 the images. If a task fails, responds with its error. */
void flux2_emu_respond_finished(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task **tasks,
                                size_t count, bool b64, struct emu_response *out);

/* Responds to a poll. */
void flux2_emu_respond_status(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task,
                              struct emu_response *out);

#endif
