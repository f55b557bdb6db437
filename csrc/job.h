/* job.h - a job's life: attempts, polling, deadline, cancellation.
 *
 * Owns: what one job asks for, how far it is, and what happens next. A job says when it wants to be called and what
 * it wants to send; it never waits, touches a socket, or knows of other jobs. Only the engine's thread calls it
 * once it is started. */
#ifndef FLUX2_JOB_H
#define FLUX2_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "memory.h"
#include "profile.h"
#include "record.h"
#include "transfer.h"

enum flux2_job_kind {
    FLUX2_JOB_TRANSFER, /* one exchange, with attempts */
    FLUX2_JOB_POLL,     /* a GET on a schedule until the answer is terminal; may begin with another request */
    FLUX2_JOB_TIMER,    /* nothing but a moment in time */
};

enum flux2_job_phase {
    FLUX2_PHASE_READY,     /* wants an exchange now */
    FLUX2_PHASE_IN_FLIGHT, /* has one */
    FLUX2_PHASE_WAITING,   /* wants to be called at `due` */
    FLUX2_PHASE_ENDED,     /* its last event is out */
};

/* What a job is to do; copied by flux2_job_new. */
struct flux2_job_spec {
    enum flux2_job_kind kind;
    const char *url;     /* of the transfer, or of the polls; "{id}" in it stands for the id of the opening */
    const char *opening; /* POLL: URL of the request that begins it, NULL for none */
    const char *body;    /* of the transfer or of the opening; NULL: none */
    size_t body_size;
    const char *path; /* of the transfer, or of the fetch: the file that takes the body; NULL: memory */
    enum flux2_nature nature; /* of the transfer; an opening is always FLUX2_ONCE */
    bool
        check_signature; /* the body of the transfer or the fetch must match one of the profile's signatures */
    bool base64;         /* TRANSFER into memory: the body of a good answer is handed over as Base64 */
    double deadline;     /* seconds for the whole job, 0: none; TIMER: its time */
    /* POLL that begins with its task: how long such tasks take; NULL: unknown */
    struct flux2_kind *durations;
    const char *record_path; /* POLL: where to keep a record of the opening, see record.h; NULL: nowhere */
    const char *record_text;
    bool observed; /* POLL: an event for each exchange, beside those that say what came of it */
    /* POLL: the first link of an end that has any is fetched at once, by a transfer with this profile and this id, and
     * with what is left of the deadline; NULL: that is the host's affair */
    struct flux2_profile *fetch_profile;
    uint64_t fetch_id;
};

struct flux2_job {
    uint64_t id;
    enum flux2_job_kind kind;
    enum flux2_job_phase phase;
    double due;      /* WAITING: when to call flux2_job_wake */
    double likely;   /* POLL: when it will more likely than not have an end to tell */
    double deadline; /* when to end it, INFINITY: never */

    /* the engine's, for its own books */
    size_t heap_index;
    struct flux2_job *next, *previous, *child;
    struct flux2_transfer *transfer;
    bool alone; /* counted by the gate as one that may need a connection for itself */
    bool apart; /* counted by the gate as one that has its connection apart from the shared ones */
    struct flux2_event *queued_change;
    double asked_at; /* when its last exchange began */

    /* what it is to do */
    struct flux2_profile *profile;
    char *url;
    char *opening; /* freed once it was answered */
    char *body;
    size_t body_size;
    char *path;
    enum flux2_nature nature;
    bool check_signature;
    bool base64;
    bool observed;
    bool opened; /* it began with an opening, which was accepted */
    struct flux2_profile *fetch_profile;
    uint64_t fetch_id;
    struct flux2_record record; /* of the opening */

    /* how far it is */
    double began;
    double polling_since;
    struct flux2_kind *durations; /* of its kind; NULL: unknown */
    double alive_at;              /* when it was last seen to run */
    struct flux2_trend trend;     /* of its progress */
    unsigned attempts;            /* of the request at hand */
    unsigned failures;            /* polls in a row */
    unsigned polls;
    uint64_t
        answer; /* digest of the last poll's, if that said nothing but "still running"; 0: read the next */
    bool has_progress;
    double progress;
    char status[FLUX2_STATUS_MAX];
    struct flux2_job *fetch; /* the job that is to follow this one, until flux2_job_take_fetch; NULL: none */
};

/* A job that has not begun. NULL without memory. Any thread. */
struct flux2_job *flux2_job_new(uint64_t id, struct flux2_profile *profile,
                                const struct flux2_job_spec *spec);
void flux2_job_free(struct flux2_job *job);

/* The job begins. */
void flux2_job_begin(struct flux2_job *job, double now);

/* Whether its next request is a poll. */
bool flux2_job_is_polling(const struct flux2_job *job);

/* What a READY job wants to send; it points into the job. Counts as an attempt. Returns 0, or an errno value when the
 * record of it could not be written: then it must not leave. */
int flux2_job_request(struct flux2_job *job, struct flux2_request *request);

/* Its exchange ended. Returns a list of events (through ->next), NULL for none; of a job that has ENDED that is want of
 * memory, and then flux2_job_end_answered is due. */
struct flux2_event *flux2_job_answered(struct flux2_job *job, struct flux2_transfer *transfer,
                                       const struct flux2_outcome *outcome, double now, uint64_t *random);

/* Ends it with OUTCOME, and with all that TRANSFER still holds. NULL without memory: nothing is lost yet, try again. */
struct flux2_event *flux2_job_end_answered(struct flux2_job *job, struct flux2_transfer *transfer,
                                           const struct flux2_outcome *outcome, double now);

/* Its exchange did not begin, for want of memory; nothing was sent. Returns as flux2_job_answered. */
struct flux2_event *flux2_job_starved(struct flux2_job *job, double now, uint64_t *random);

/* What an observer is told of the exchange that ended, NULL for a job that is not observed. Called before _answered,
 * which may take the body away; flux2_job_conclude adds afterwards what became of the job. */
struct flux2_event *flux2_job_observe(struct flux2_job *job, struct flux2_transfer *transfer,
                                      const struct flux2_outcome *outcome, double now);
void flux2_job_conclude(const struct flux2_job *job, struct flux2_event *observed, double now);

/* The job is given up without an event; SENT says whether a request that is under way may have left. */
void flux2_job_drop(struct flux2_job *job, bool sent);

/* Its time has come: WAITING becomes READY, or a timer ends. */
struct flux2_event *flux2_job_wake(struct flux2_job *job, double now);

/* Ends it from outside, with OUTCOME as the reason. NULL without memory: may be called again. */
struct flux2_event *flux2_job_end(struct flux2_job *job, const struct flux2_outcome *outcome,
                                  const char *message, double now);

/* The job that goes on where one that has ENDED left off, and is the caller's from then on; NULL: there is none. The last
 * event names it, so it begins after that event is on its way. */
struct flux2_job *flux2_job_take_fetch(struct flux2_job *job);

#endif
