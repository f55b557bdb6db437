/* contract.h - the service: what it answers to a request.
 *
 * Owns: routes, authorisation, rate limit, credits, submissions, polls and image links.
 * Never: sockets and faults. Takes the emulator's lock itself, and never while it draws. */
#ifndef FLUX2_EMU_CONTRACT_H
#define FLUX2_EMU_CONTRACT_H

#include "answer.h"
#include "emulator.h"

struct emu_request {
    const char *method;
    const char *path;          /* as it came, with the query */
    const char *authorization; /* headers; NULL: not there */
    const char *content_type;
    const char *body;
    size_t body_len;
    bool too_large; /* the body was longer than the settings allow */
    const struct emu_settings *settings;
};

/* Processes the request, with all that it changes, and sets the answer. */
void flux2_emu_contract_answer(struct flux2_emu *emu, const struct emu_request *request,
                               struct emu_answer *answer);

#endif
