/* gate.h - who may send now: jobs that are ready queue here, those of one profile in their order. Openings and polls
 * queue apart, each within the rate that is allowed; of those who poll, who most likely has an end to tell is in front.
 *
 * Owns: how many exchanges of a profile are under way at once, and the pause that a service asked for. It opens
 * slowly and closes fast: one more for each success, half for each "too many". It is shut while the host leaves too
 * many bytes of events lying. Never: sends anything. */
#ifndef FLUX2_GATE_H
#define FLUX2_GATE_H

#include <stdbool.h>

#include "job.h"

struct flux2_gate {
    struct flux2_profile *first; /* profiles with someone ready */
    unsigned alone;              /* exchanges under way that may need a connection for themselves */
    size_t queued; /* bytes of events that the host has not taken; whoever asks keeps it up to date */
};

/* JOB is READY and queues behind the others of its profile. */
void flux2_gate_push(struct flux2_gate *gate, struct flux2_job *job);
/* JOB leaves the queue without a turn. */
void flux2_gate_withdraw(struct flux2_gate *gate, struct flux2_job *job);
/* The next job that may send, out of the queue and counted as under way; NULL if none may. */
struct flux2_job *flux2_gate_admit(struct flux2_gate *gate, double now);
/* The earliest moment at which a pause ends for somebody who queues; INFINITY if only an answer or the host can help. */
double flux2_gate_opens(const struct flux2_gate *gate, double now);
/* Somebody queues who may not send before the host has taken events. */
bool flux2_gate_awaits_host(const struct flux2_gate *gate);
/* The exchange of JOB, which was admitted, is over. PAUSE: what to wait before the next if the service said "too many".
 * MULTIPLEXED: whether it shared its connection; below 0: it was not to. */
void flux2_gate_returned(struct flux2_gate *gate, struct flux2_job *job, const struct flux2_outcome *outcome,
                         int multiplexed, double pause, double now);

#endif
