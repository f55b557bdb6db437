/* tester_server.h - the server of the tester's page on 127.0.0.1.
 *
 * Uses its own port and thus its own origin, separate from an emulator, under a path with a random token. Only
 * well-formed requests of the tester's own page that carry the token are passed on. Every response carries the security
 * headers. */
#ifndef FLUX2_TESTER_TESTER_SERVER_H
#define FLUX2_TESTER_TESTER_SERVER_H

#include "server/request_server.h"

#define FLUX2_TESTER_TOKEN_CHARS 32

/* Constant after the start, except for `requests`. */
struct flux2_tester_server {
    struct flux2_request_server *requests; /* NULL: not started */
    char address[32];                      /* "127.0.0.1:PORT", the expected Host header */
    char name[32];                         /* "localhost:PORT", which is accepted as well */
    char token[FLUX2_TESTER_TOKEN_CHARS + 1];
    char url[96]; /* "http://127.0.0.1:PORT/TOKEN/" */
};

/* Serves 127.0.0.1:PORT (0: any free port). SERVER is the caller's, who later frees `requests`. Returns false with the
 * reason in ERR. */
bool flux2_tester_server_start(struct flux2_tester_server *server, int port, char *err, size_t err_size);

/* Returns the part of an accepted request's target after the token: "/", "/tasks/1?after=3". */
const char *flux2_tester_path(const char *target);

#endif
