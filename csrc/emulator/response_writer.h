/* response_writer.h - sends a response through libmicrohttpd and applies a fault to status, headers and body.
 *
 * Runs on the connection thread without the lock. */
#ifndef FLUX2_EMU_RESPONSE_WRITER_H
#define FLUX2_EMU_RESPONSE_WRITER_H

#include <microhttpd.h>
#include <stdatomic.h>

#include "emulator/fault.h"
#include "emulator/response.h"
#include "platform/wakeup.h"

/* The destination of a body. */
struct emu_output {
    flux2_descriptor socket;
    flux2_descriptor stop;           /* readable when the emulator stops */
    atomic_uint_fast64_t *bytes_out; /* counter of body bytes */
};

/* Applies FAULT to status and body. In a body URL replaces {url} and the task id replaces {task_id}. */
void flux2_emu_response_apply_fault(struct emu_response *out, const struct emu_fault *fault, const char *url);

/* Queues the response. FAULT may be NULL; LAST adds "Connection: close". */
enum MHD_Result flux2_emu_response_send(struct MHD_Connection *connection, const struct emu_response *out,
                                        const struct emu_fault *fault, const struct emu_output *output, bool last);

#endif
