/* process.h - what is done once for a process, and what must happen before it exits.
 *
 * Owns: the pin of the module, libcurl's global state, the handler at exit and its list of members. Never: knows
 * what a member is. */
#ifndef FLUX2_PROCESS_H
#define FLUX2_PROCESS_H

#include <stdbool.h>

/* Someone with a running thread; embedded in its owner. */
struct flux2_member {
    struct flux2_member *next;
    void (*stop)(struct flux2_member *member);                /* asks the thread to end; returns at once */
    bool (*await)(struct flux2_member *member, double until); /* waits for that until then (platform clock) */
};

/* The first call readies the process. Any thread. False if libcurl refuses to start. */
bool flux2_process_ready(void);

/* From here until flux2_process_leave, MEMBER is stopped when the process exits: os.exit() in Lua runs no __gc, and
 * OpenSSL takes itself down at exit while the thread may be using it. */
void flux2_process_enter(struct flux2_member *member);
void flux2_process_leave(struct flux2_member *member);

/* How long a thread is waited for when it has to end, in seconds. */
#define FLUX2_PATIENCE 0.08

#endif
