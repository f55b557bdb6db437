/* limiter.h - the concurrency and rate limits: selects the ready job that may send next.
 *
 * Jobs of one profile are queued by lane: submissions and others in order, polls by estimated completion time. Limits
 * belong to an origin and key, shared by all of its profiles. The concurrency limit adapts: it rises by one for each
 * success and is halved by each "too many requests". Nothing is admitted while the host has too many bytes of events to
 * take. One thread, the engine's. */
#ifndef FLUX2_ENGINE_LIMITER_H
#define FLUX2_ENGINE_LIMITER_H

#include <stdbool.h>

#include "engine/job.h"

/* A zeroed limiter is empty. */
struct flux2_limiter {
    struct flux2_profile *first, *last; /* profiles with ready jobs, the one that waits longest first */
    struct flux2_limit_group *groups;   /* groups with a name, owned until the limiter is closed */
    unsigned may_connect;               /* requests in flight that may need a new connection */
    size_t queued;                      /* bytes of events that the host has not taken; set by the worker */
};

/* Frees the groups. No job may be queued. */
void flux2_limiter_close(struct flux2_limiter *limiter);

/* Queues JOB, which is READY. The limiter does not own it. */
void flux2_limiter_push(struct flux2_limiter *limiter, struct flux2_job *job);
/* Removes JOB from its queue. */
void flux2_limiter_withdraw(struct flux2_limiter *limiter, struct flux2_job *job);
/* Returns for how many seconds after NOW the service asked not to send requests like those of JOB, which was pushed
 * before; below 0: it did not. */
double flux2_limiter_pause(const struct flux2_job *job, double now);
/* Removes the next job that may send from its queue and counts it as in flight. Returns NULL if none may send. */
struct flux2_job *flux2_limiter_admit(struct flux2_limiter *limiter, double now);
/* Returns the earliest time at which a queued job may send; INFINITY if only a response or the host can allow it. */
double flux2_limiter_opens(const struct flux2_limiter *limiter, double now);
/* Returns whether a queued job waits for the host to take events. */
bool flux2_limiter_awaits_host(const struct flux2_limiter *limiter);
/* Ends the request of JOB, which was admitted. PAUSE: seconds to wait after "too many requests". MULTIPLEXED: whether
 * the connection was HTTP/2; below 0: it was dedicated. */
void flux2_limiter_returned(struct flux2_limiter *limiter, struct flux2_job *job, const struct flux2_outcome *outcome,
                            int multiplexed, double pause, double now);

#endif
