/* tester_server.h - the server of the tester's page on 127.0.0.1.
 *
 * Uses its own port and thus its own origin, separate from an emulator, under a path with a random token. Requests that
 * the guard rejects are not passed on. Every response carries the security headers. */
#ifndef FLUX2_TESTER_TESTER_SERVER_H
#define FLUX2_TESTER_TESTER_SERVER_H

#include "server/request_server.h"
#include "tester/request_guard.h"

struct flux2_tester_server {
    struct flux2_request_server *requests; /* NULL: not started */
    struct flux2_guard guard;
    char url[96]; /* "http://127.0.0.1:PORT/TOKEN/" */
};

/* Serves 127.0.0.1:PORT (0: any free port). SERVER is the caller's, who later frees `requests`. Returns false with the
 * reason in ERR. */
bool flux2_tester_server_start(struct flux2_tester_server *server, int port, char *err, size_t err_size);

#endif
