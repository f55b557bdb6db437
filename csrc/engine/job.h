/* job.h - the common part of all jobs: the schedule, and one step function.
 *
 * A job states when it must be called and what it sends. It never waits, never uses a socket, and knows no other jobs.
 * The types are in poll_job.h and transfer_job.h; the timer is in job.c. Any thread creates a job; after its start only
 * the engine's thread calls it. */
#ifndef FLUX2_ENGINE_JOB_H
#define FLUX2_ENGINE_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/duration_histogram.h"
#include "engine/event.h"
#include "engine/profile.h"
#include "http/transfer.h"

enum flux2_job_phase {
    FLUX2_PHASE_READY,     /* has a request to send */
    FLUX2_PHASE_IN_FLIGHT, /* a request is in flight */
    FLUX2_PHASE_WAITING,   /* must be called at `due` */
    FLUX2_PHASE_ENDED,     /* its last event was created */
};

struct flux2_job;

enum flux2_input_kind {
    FLUX2_INPUT_BEGIN,       /* the job was started */
    FLUX2_INPUT_DUE,         /* `due` has passed; the job is WAITING */
    FLUX2_INPUT_TRANSFERRED, /* its request ended, or could not begin: out of memory */
    FLUX2_INPUT_END,         /* it must end now, because of `outcome` */
};

/* What happened to a job. */
struct flux2_input {
    enum flux2_input_kind kind;
    double now;                        /* clock.h */
    uint64_t *random;                  /* state for random.h */
    struct flux2_durations *durations; /* BEGIN: the known durations of tasks */
    /* TRANSFERRED, END: the result. A step adds slow_down and retry_after from the body. */
    struct flux2_outcome *outcome;
    struct flux2_transfer *transfer; /* TRANSFERRED: the transfer, NULL if it did not begin */
    const char *message;             /* END: the reason in words */
    bool observe;                    /* a request ended, and REQUEST events may be created */
};

/* The result of a step, owned by the caller. */
struct flux2_output {
    struct flux2_event *events; /* a list through ->next, NULL for none */
    struct flux2_job *next;     /* a job to start after the events are posted; NULL: none */
};

/* The functions of a type, called by those of the same name below. */
struct flux2_job_type {
    bool (*step)(struct flux2_job *job, const struct flux2_input *input, struct flux2_output *output);
    int (*request)(struct flux2_job *job, struct flux2_request *request); /* NULL: it sends nothing */
    void (*abandon)(struct flux2_job *job, bool sent);                    /* NULL: nothing to do */
    void (*free)(struct flux2_job *job);                                  /* frees what the type owns; NULL: nothing */
    void (*describe)(const struct flux2_job *job, struct flux2_event *e); /* sets members of an event; NULL: none */
};

/* The first member of each type's struct. */
struct flux2_job {
    const struct flux2_job_type *type;
    uint64_t id;
    enum flux2_job_phase phase;
    enum flux2_lane lane;             /* of its next request */
    enum flux2_request_kind kind;     /* the kind of its next request */
    struct flux2_profile *profile;    /* one reference; NULL for a timer */
    char *url;                        /* of its requests except a submission, owned; NULL for a timer */
    double began;                     /* time of the start */
    double due;                       /* WAITING: when it must be called */
    double expected_end;              /* estimated end of the task, which orders polls */
    bool observed;                    /* its REQUEST events contain the body; see also the profile's `observed` */
    double deadline;                  /* when it must end; INFINITY: never. Before BEGIN: a number of seconds */
    unsigned attempts;                /* sends of the current request */
    enum flux2_send_step failed_step; /* why its request is not sent */

    /* used by job_table.c and limiter.c */
    size_t heap_index;                         /* in the table's heap */
    struct flux2_job *next, *previous, *child; /* in a queue or a pairing heap */
    bool may_connect;                          /* counted: its request may need a new connection */
    bool dedicated;                            /* counted: its request is on a dedicated connection */

    /* used by worker.c */
    struct flux2_transfer *transfer;   /* IN_FLIGHT */
    struct flux2_event *queued_change; /* its CHANGED event that is not taken yet */
    double sent_at;                    /* when its last request began */
};

/* Creates a job that ends after SECONDS. The caller owns it. Returns NULL if out of memory. Any thread. */
struct flux2_job *flux2_timer_new(uint64_t id, double seconds);

/* Frees a job of any type, which is in no queue. NULL is allowed. Any thread, while the engine does not own JOB. */
void flux2_job_free(struct flux2_job *job);

/* Passes INPUT to JOB and sets OUTPUT, with the REQUEST event of an observed request first. Returns false if out of
 * memory: then nothing has changed, and the caller repeats the call. That happens only if the input cannot be had
 * again; otherwise the job treats the response as lost and sends the request again. */
bool flux2_job_step(struct flux2_job *job, const struct flux2_input *input, struct flux2_output *output);

/* Sets REQUEST, which points into the job, to the next request of a READY job. Counts as an attempt. Returns 0, or an
 * errno value if the request must not be sent: then JOB's `failed_step` is set. */
int flux2_job_request(struct flux2_job *job, struct flux2_request *request);

/* Ends JOB without an event; SENT tells whether a request in flight may have been sent. */
void flux2_job_abandon(struct flux2_job *job, bool sent);

/* --- for the types ------------------------------------------------------------------------------ */

/* Allocates SIZE zeroed bytes that begin with a job of TYPE. SECONDS is the deadline of the whole job, 0: unlimited.
 * Copies URL and adds a reference to PROFILE; both may be NULL. Returns NULL if out of memory. Any thread. */
void *flux2_job_new(size_t size, const struct flux2_job_type *type, uint64_t id, struct flux2_profile *profile,
                    const char *url, double seconds);

/* Sets *OUT to a copy of TEXT (NULL: NULL), which the caller frees. Returns false if out of memory. */
bool flux2_job_copy(char **out, const char *text);
/* Sets *OUT to a copy of SIZE bytes with a NUL added, which the caller frees; DATA may be NULL. Returns false if out of
 * memory. */
bool flux2_job_copy_body(char **out, const char *data, size_t size);

/* Starts JOB at NOW: it becomes READY, and its deadline begins to count. */
void flux2_job_begin(struct flux2_job *job, double now);
/* Seconds: with less left of the patience a request is not repeated. */
#define FLUX2_PATIENCE_MIN 0.001

/* Makes JOB wait until WHEN. */
void flux2_job_wait_until(struct flux2_job *job, double when);
/* Makes JOB wait for the back-off before the next attempt: until UNTIL at most, unless the service asks for more. */
void flux2_job_back_off(struct flux2_job *job, const struct flux2_input *input, double until);

/* Creates an event of JOB, which the caller owns. Returns NULL if out of memory. */
struct flux2_event *flux2_job_event(struct flux2_job *job, enum flux2_event_kind kind,
                                    const struct flux2_event_texts *texts, const struct flux2_input *input);

/* Reads the response of INPUT if its body matters, and completes INPUT's outcome. The caller clears RESPONSE. Returns
 * false if out of memory. */
bool flux2_job_read(const struct flux2_job *job, const struct flux2_input *input, struct flux2_response *response);

/* Ends JOB: creates its ENDED event from INPUT and RESPONSE, which is empty then. Returns false if out of memory. */
bool flux2_job_end(struct flux2_job *job, const struct flux2_input *input, struct flux2_response *response,
                   struct flux2_output *output);

/* Ends JOB like that, without a response: by the failure in the outcome of INPUT. */
bool flux2_job_fail(struct flux2_job *job, const struct flux2_input *input, struct flux2_output *output);

/* Returns whether there is an HTTP response with a 2xx status. */
static inline bool flux2_outcome_is_success(const struct flux2_outcome *o)
{
    return o->failure == FLUX2_FAILURE_NONE && flux2_is_success_status(o->status);
}

#endif
