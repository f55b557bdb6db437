/* openai.h - converts a request of OpenAI's Images API to a request of the service.
 *
 * Handles OpenAI's fields; request.h checks the fields of the service. Stateless. */
#ifndef FLUX2_EMU_OPENAI_H
#define FLUX2_EMU_OPENAI_H

#include "emulator/request.h"
#include "emulator/settings.h"

#define EMU_MAX_IMAGES 10

/* A submission of one or more identical tasks. */
struct emu_submission {
    struct emu_request request;
    int count;    /* number of images, one task each: 1 to EMU_MAX_IMAGES */
    double price; /* in credits, of each image */
    bool b64;     /* the response contains Base64 images instead of URLs */
};

/* Parses BODY into SUBMISSION, whose request the caller frees in every case. Returns NULL, or an error message
 * (MESSAGE or a literal); then *PARAM is the name of the invalid field, or NULL. */
const char *flux2_emu_openai_read(struct emu_submission *submission, const struct emu_settings *settings,
                                  const char *body, size_t len, const char **param, char *message, size_t size);

#endif
