/* report.h - what the service says about a task.
 *
 * Owns: the answer to an accepted submission and to a poll, from the task as it stands and the shape of the settings.
 * Never: changes a task, but for its image links. Takes the emulator's lock itself, and never while it draws. */
#ifndef FLUX2_EMU_REPORT_H
#define FLUX2_EMU_REPORT_H

#include "answer.h"
#include "emulator.h"

void flux2_emu_report_accepted(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task,
                               struct emu_answer *a);
/* The OpenAI way: the answer to a submission waits until all its pictures are there, and holds them: their links, or
 * with B64 the pictures themselves. One that fails is the answer to all. */
void flux2_emu_report_at_once(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task **tasks,
                              size_t count, bool b64, struct emu_answer *a);
void flux2_emu_report_task(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task,
                           struct emu_answer *a);

#endif
