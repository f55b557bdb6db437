/* request_guard.h - accepts only well-formed HTTP requests of the tester's own page that carry its token.
 *
 * Immutable after initialization. Thread-safe. */
#ifndef FLUX2_TESTER_REQUEST_GUARD_H
#define FLUX2_TESTER_REQUEST_GUARD_H

#include "server/request_server.h"

#define FLUX2_TOKEN_BYTES 16
#define FLUX2_TOKEN_CHARS (2 * FLUX2_TOKEN_BYTES)
#define FLUX2_GUARD_TYPE "text/plain; charset=utf-8" /* of its refusals */

struct flux2_guard {
    char address[32]; /* "127.0.0.1:PORT", the expected Host header */
    char name[32];    /* "localhost:PORT", which is accepted as well */
    char token[FLUX2_TOKEN_CHARS + 1];
};

/* Initializes the guard with a random token. Returns 0 or an errno value. */
int flux2_guard_init(struct flux2_guard *guard, int port);

/* Checks the headers of a request. URI is the undecoded request target. */
struct flux2_refusal flux2_guard_check(const struct flux2_guard *guard, struct MHD_Connection *connection,
                                       const char *uri, const char *method);

/* Returns the part of an accepted URI after the token: "/", "/tasks/1?after=3". */
const char *flux2_guard_path(const char *uri);

#endif
