/* answer.h - an answer before it is sent.
 *
 * Owns: status, headers and body of one answer.
 * Never: sends it (reply.c does). */
#ifndef FLUX2_EMU_ANSWER_H
#define FLUX2_EMU_ANSWER_H

#include "util.h"

#include <jansson.h>
#include <stdbool.h>

struct emu_answer {
    int status;
    const char *content_type; /* valid as long as the request's settings are */
    struct emu_blob *body;    /* NULL: empty */
    char allow[32];           /* the header of that name; empty: none */
    char retry_after[64];
    double hold;       /* seconds until it may be sent, on the service's own account */
    char task_id[32];  /* of the task it speaks of; empty: none */
    bool openai;       /* errors are to be worded as OpenAI's are */
    const char *param; /* what of the request an error is about, a literal; NULL: nothing in particular */
};

/* Sets status and a JSON body; takes over DOCUMENT. */
void flux2_emu_answer_json(struct emu_answer *a, int status, json_t *document);

/* Sets the service's error body, or OpenAI's, which may come with another status. */
void flux2_emu_answer_error(struct emu_answer *a, int status, const char *type, const char *message);

void flux2_emu_answer_free(struct emu_answer *a);

#endif
