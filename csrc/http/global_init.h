/* global_init.h - initialization once per process, and stopping threads before the process exits.
 *
 * Owns libcurl's global state, the atexit handler and its list of members. */
#ifndef FLUX2_HTTP_GLOBAL_INIT_H
#define FLUX2_HTTP_GLOBAL_INIT_H

#include <stdbool.h>

/* A thread to stop before the process exits. Embedded in a struct of its owner, who fills in the functions. */
struct flux2_member {
    struct flux2_member *next;                 /* in the list of members */
    void (*stop)(struct flux2_member *member); /* asks the thread to end; does not wait */
    bool (*await)(struct flux2_member *member,
                  double until); /* waits for its end until UNTIL (clock.h); false: timeout */
};

/* Pins the module in memory and prepares the list of members, on the first call, which comes before all others. Any
 * thread. */
void flux2_global_prepare(void);

/* Returns whether flux2_global_init may run on another thread while the host may use libcurl, too: libcurl was built
 * with CURL_VERSION_THREADSAFE. */
bool flux2_global_init_is_thread_safe(void);

/* Initializes libcurl and its TLS library on the first call, which takes 1 to 10 ms; a fork of the process waits so
 * long. Returns false if libcurl fails; the next call tries again. Any thread. */
bool flux2_global_init(void);

/* Adds MEMBER, which remains the caller's, to the threads that are stopped when the process exits: os.exit() in Lua
 * runs no __gc, and OpenSSL frees its tables at exit while a thread may use them. Any thread. */
void flux2_global_enter(struct flux2_member *member);
/* Removes MEMBER from the list. Does nothing if it is not in it. Any thread. */
void flux2_global_leave(struct flux2_member *member);

/* The time in seconds that is granted to a thread to end. */
#define FLUX2_STOP_TIMEOUT 0.08

#endif
