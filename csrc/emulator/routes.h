/* routes.h - the HTTP API of the service: paths, authorization, rate limit, credits, submissions, polls and images.
 *
 * Runs on the connection threads and takes the emulator's lock, which is released while an image is drawn. */
#ifndef FLUX2_EMU_ROUTES_H
#define FLUX2_EMU_ROUTES_H

#include "emulator/response.h"
#include "emulator/state.h"

struct emu_http_request {
    const char *method;
    const char *path;          /* as received, with the query */
    const char *authorization; /* headers; NULL: missing */
    const char *key;           /* of the dialect "bfl" */
    const char *content_type;
    const char *body;
    size_t body_len;
    bool too_large; /* the body exceeds the limit */
    const struct emu_settings *settings;
};

/* Executes the request and sets the response. */
void flux2_emu_route(struct flux2_emu *emu, const struct emu_http_request *request, struct emu_response *out);

#endif
