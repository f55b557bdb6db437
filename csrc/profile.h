/* profile.h - what the requests of one kind have in common: headers, limits, deadlines, and what to look for.
 *
 * Owns: its strings and lists. A profile is filled by one thread, then only read, and shared by count. The one
 * exception is `worker`, which belongs to the engine's thread. Never: holds anything of a single request. */
#ifndef FLUX2_PROFILE_H
#define FLUX2_PROFILE_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "probe.h"
#include "schedule.h"
#include "signature.h"

enum { FLUX2_ACCEPT_MAX = 16 };

struct flux2_job;

/* Jobs in the order in which they came, by ->next and ->previous. */
struct flux2_queue {
    struct flux2_job *first, *last;
};

struct flux2_profile {
    atomic_uint references;

    struct curl_slist *headers;      /* of requests without a body */
    struct curl_slist *body_headers; /* of requests with one */
    char *user_agent;
    char *proxy;               /* NULL: as the environment says */
    char *ca_file;             /* NULL: as libcurl was built */
    struct flux2_words traces; /* headers whose value names the request at the service, best first */

    double connect_timeout;  /* seconds for name, connection and handshake */
    double silence_timeout;  /* seconds without a byte */
    double exchange_timeout; /* seconds for one exchange; 0: none */
    size_t max_body;         /* bytes, after decompression */
    size_t max_headers;      /* bytes, all headers of one answer together */
    long max_redirects;      /* 0: none is followed */
    bool compressed;         /* offer compression */
    bool direct;  /* no proxy is set, nor does the environment name one; see flux2_profile_complete */
    bool durable; /* files must outlive a power cut */

    unsigned max_attempts;  /* of one request, the first included */
    unsigned poll_failures; /* how many polls in a row may fail */
    struct flux2_backoff backoff;
    struct flux2_cadence cadence;
    struct flux2_watch watch;
    struct flux2_signature accept[FLUX2_ACCEPT_MAX];
    size_t accept_count;

    double opening_rate;    /* openings per second, of all jobs together; 0: no limit */
    double poll_rate;       /* polls per second, likewise */
    unsigned max_in_flight; /* exchanges at once: one connection each, unless they can share one */
    size_t max_queued;      /* bytes of events that the host has not taken: beyond it nothing more is sent */

    /* How the service copes with us; gate.c reads and writes it. */
    struct {
        struct flux2_queue openings, others; /* who wants an exchange, but for those who poll */
        struct flux2_job *polls;             /* a heap of those: who most likely has an end to tell */
        unsigned turn;                       /* which of the three may go first */
        double next_opening, next_poll;      /* when, if all came at the rate that is allowed */
        struct flux2_profile *next;          /* in the engine's list of those with someone ready */
        unsigned in_flight;
        unsigned apart;    /* of those, on connections apart */
        bool is_known;     /* whether it shares connections */
        double window;     /* exchanges at once that the service can take */
        bool multiplexed;  /* it shares connections (HTTP/2) */
        double not_before; /* it asked all of us to wait until then */
    } worker;
};

/* A profile with the defaults, held once; NULL without memory. */
struct flux2_profile *flux2_profile_new(void);
/* Once it is filled, and before its first use: works out what follows. The environment is read here, on the host's
 * thread: another thread must not, because the host may be changing it. False without memory. */
bool flux2_profile_complete(struct flux2_profile *profile);
struct flux2_profile *flux2_profile_hold(struct flux2_profile *profile);
/* Gives up one hold; the last one frees it. NULL is allowed. */
void flux2_profile_release(struct flux2_profile *profile);

#endif
