/* response.h - an HTTP response: status, headers and body.
 *
 * The caller owns the struct, zero-initialized, and frees it with flux2_emu_response_free. Used by one thread. */
#ifndef FLUX2_EMU_RESPONSE_H
#define FLUX2_EMU_RESPONSE_H

#include <jansson.h>
#include <stdbool.h>

#include "server/bytes.h"

enum emu_dialect { EMU_FLUX2, EMU_OPENAI, EMU_BFL };

struct emu_response {
    int status;
    const char *content_type; /* literal or member of the request's settings */
    struct flux2_blob *body;  /* NULL: empty */
    char allow[32];           /* headers, empty: none */
    char retry_after[64];
    double delay;             /* seconds before sending, until the task is finished */
    char task_id[32];         /* id of the task; empty: none */
    enum emu_dialect dialect; /* the format of errors */
    const char *param;        /* literal: request field that the error refers to; NULL: none */
};

/* Sets status and JSON body. Takes ownership of DOCUMENT. */
void flux2_emu_response_json(struct emu_response *out, int status, json_t *document);

/* Sets status and error body in the format of the service or of OpenAI, whose status may differ. */
void flux2_emu_response_error(struct emu_response *out, int status, const char *type, const char *message);

/* Frees the body and empties the response. */
void flux2_emu_response_free(struct emu_response *out);

#endif
