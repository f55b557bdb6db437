/* reply.h - sending an answer.
 *
 * Owns: making the HTTP server's response of an answer, with what a fault does to its status, headers and body.
 * Never: decides what is answered, or touches the emulator's state. */
#ifndef FLUX2_EMU_REPLY_H
#define FLUX2_EMU_REPLY_H

#include "answer.h"
#include "fault.h"

#include <microhttpd.h>

/* What a body is sent with. */
struct emu_line {
    int fd, stop_fd;
    uint64_t *bytes_out; /* atomic: counts what bodies were sent */
};

/* Changes the answer as the fault says: status, body. URL and the answer's task id fill {url} and {task_id} in a body. */
void flux2_emu_reply_spoil(struct emu_answer *a, const struct emu_fault *fault, const char *url);

/* Queues the answer; FAULT may be NULL, LAST asks the client to close. */
enum MHD_Result flux2_emu_reply_send(struct MHD_Connection *connection, const struct emu_answer *a,
                                     const struct emu_fault *fault, const struct emu_line *line, bool last);

#endif
