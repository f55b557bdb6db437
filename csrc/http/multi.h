/* multi.h - the connections to servers: two curl multi handles with one interface.
 *
 * `shared` has the connections that many requests use at once if the server supports HTTP/2. `dedicated` has those for
 * non-idempotent requests. If a server closes a shared connection (nginx does so after 1,000 requests), libcurl cannot
 * always tell which of the requests on it were processed, so a submission among them would have an unknown outcome.
 * With HTTP/1.1 the server announces the close in its last response.
 *
 * Owned by one thread, which calls all functions except flux2_multi_wake. */
#ifndef FLUX2_HTTP_MULTI_H
#define FLUX2_HTTP_MULTI_H

#include <curl/curl.h>
#include <stdbool.h>

#include "http/ca_store.h"

struct flux2_multi {
    CURLM *shared, *dedicated; /* owned */
    unsigned dedicated_count;  /* easy handles in `dedicated` */
    long limit;                /* maximum of shared connections per host; 0: unlimited */
    unsigned turn;             /* number of calls of flux2_multi_perform */
    struct flux2_ca_store ca;  /* the trusted certificates of both */
};

/* Opens MULTI, which is zeroed memory. Returns 0 or an errno value; after a failure nothing is open. */
int flux2_multi_open(struct flux2_multi *multi);
/* Closes all connections and frees both handles. No easy handle may be added any more. */
void flux2_multi_close(struct flux2_multi *multi);

/* Adds EASY, which remains the caller's, to `dedicated` or `shared`. Returns false if out of memory. */
bool flux2_multi_add(struct flux2_multi *multi, CURL *easy, bool is_dedicated);
/* Removes EASY, finished or not. IS_DEDICATED is the same as in flux2_multi_add. */
void flux2_multi_remove(struct flux2_multi *multi, CURL *easy, bool is_dedicated);

/* Limits the shared connections per host; 0: unlimited. */
void flux2_multi_limit(struct flux2_multi *multi, long limit);

/* Sends and receives without blocking. */
void flux2_multi_perform(struct flux2_multi *multi);
/* Returns the message of the next finished transfer, valid until the next call; NULL: no more. */
CURLMsg *flux2_multi_next(struct flux2_multi *multi);
/* Sleeps for MS milliseconds, or until a socket is ready or flux2_multi_wake is called. Returns by how many seconds it
 * overslept: more than a few hundredths mean that the process was stopped or the machine is overloaded. */
double flux2_multi_sleep(struct flux2_multi *multi, int ms);
/* Ends flux2_multi_sleep. Any thread. */
void flux2_multi_wake(struct flux2_multi *multi);

#endif
