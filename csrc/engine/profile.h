/* profile.h - the options that requests of one kind share: headers, limits, time-outs, response schema.
 *
 * Owns its strings and lists. Filled by one thread, then read-only and shared between threads by reference count,
 * except `limits`, which belongs to the engine's thread. */
#ifndef FLUX2_ENGINE_PROFILE_H
#define FLUX2_ENGINE_PROFILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/response_schema.h"
#include "engine/schedule.h"
#include "http/http_config.h"

struct flux2_job;

/* A queue of jobs, linked by ->next and ->previous. Polls are a heap, with its root at `first`. */
struct flux2_queue {
    struct flux2_job *first, *last;
};

/* The limiter's queue for a request of a job. The queues take turns. */
enum flux2_lane { FLUX2_LANE_SUBMISSIONS, FLUX2_LANE_POLLS, FLUX2_LANE_OTHERS, FLUX2_LANES };

/* The limits of one origin and key, shared by its profiles. */
struct flux2_limit_group {
    struct flux2_limit_group *next; /* in the limiter's list */
    char *name;                     /* owned; NULL: the group of a single profile */
    unsigned max_in_flight;         /* maximum of its profiles; 0: it has none yet */
    double rates[FLUX2_LANES];      /* maximum of its profiles */
    double next_turns[FLUX2_LANES]; /* the time of the next request at exactly this rate */
    unsigned in_flight;             /* requests in flight */
    unsigned dedicated;             /* requests in flight on dedicated connections */
    bool is_known;                  /* `multiplexed` is known */
    bool multiplexed;               /* the origin uses HTTP/2: requests share connections */
    double window;                  /* concurrent requests after "too many requests"; below 1: unlimited */
    double not_before;              /* no request before this time, as the service asked */
};

struct flux2_profile {
    atomic_uint references; /* freed at 0 */

    struct flux2_http_config *http; /* owned */

    unsigned max_attempts; /* sends of one request, including the first */
    double patience;       /* seconds for which polls, or attempts of a patient download, may fail after the first */
    struct flux2_poll_policy poll_policy;
    struct flux2_response_schema *schema; /* one reference */

    double rates[FLUX2_LANES]; /* requests per second of all jobs together; 0: unlimited */
    unsigned max_in_flight;    /* concurrent requests: one connection each, unless they can share one */
    size_t max_queued;         /* bytes of events that the host has not taken: beyond this nothing is sent */

    bool observed; /* each request creates a REQUEST event */

    struct flux2_string_list origins; /* allowed origins of a poll URL in a response, see flux2_is_of_origin */

    char *limit_group; /* the name of its limit group: one origin and key; NULL: not shared */

    /* used by the limiter, on the engine's thread */
    struct {
        struct flux2_queue ready[FLUX2_LANES]; /* ready jobs */
        unsigned turn;                         /* the lane that is served next */
        double next_turns[FLUX2_LANES];        /* as in the group */
        unsigned in_flight;                    /* requests in flight */
        struct flux2_profile *next;            /* in the limiter's list */
        struct flux2_limit_group *group;       /* NULL: no job yet */
        struct flux2_limit_group own;          /* the group if it is not shared */
    } limits;
};

/* Creates a profile with the defaults and one reference. Returns NULL if out of memory. */
struct flux2_profile *flux2_profile_new(void);
/* Adds a reference. Any thread. */
struct flux2_profile *flux2_profile_hold(struct flux2_profile *profile);
/* Returns whether URL (NULL: none) may be polled: polls carry the key, so only allowed origins may get them. */
bool flux2_profile_may_poll_at(const struct flux2_profile *profile, const char *url);
/* Drops a reference; the last one frees the profile. NULL is allowed. Any thread. */
void flux2_profile_release(struct flux2_profile *profile);

#endif
