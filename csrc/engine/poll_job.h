/* poll_job.h - a job that polls a task until it has ended. It may begin with the submission. */
#ifndef FLUX2_ENGINE_POLL_JOB_H
#define FLUX2_ENGINE_POLL_JOB_H

#include "engine/input_body.h"
#include "engine/job.h"

/* The parameters of a poll job; copied. */
struct flux2_poll_spec {
    /* The poll URL; "{id}" in it is replaced by the id in the submission's response. A poll URL in that response has
     * priority if it has one of the profile's origins. NULL: only such a URL is used. */
    const char *url;
    const char *submission;                 /* URL of the submission; NULL: the task exists */
    const char *body;                       /* body of the submission */
    size_t body_size;                       /* bytes of `body` */
    const struct flux2_input_image *images; /* local images: `body` is the text before the first one */
    size_t image_count;                     /* of `images` */
    const char *idempotency; /* a header line for which the service accepts the submission once, however often it is
                              * sent; NULL: it is sent at most once */
    bool resumed;            /* an earlier process may have sent the submission with this header */
    double deadline;         /* seconds for the whole job; 0: unlimited */
    const char *durations;   /* kind of the task, see duration_histogram.h; NULL: unknown */
    const char *record_path; /* file of the spool record, see spool_record.h; NULL: none */
    const char *record_text; /* template of the spool record */
    bool observed;           /* create a REQUEST event with the body for each request */
    /* If the task ends with an image URL, a transfer job downloads the first image with this profile, this id and the
     * rest of the deadline; NULL: no download. */
    struct flux2_profile *fetch_profile;
    uint64_t fetch_id; /* id of the download */
    const char *path;  /* of the download: the file for the body, checked before the submission; NULL: memory */
    /* of the download, borrowed: the first "{id}" in each text is replaced by the task id */
    struct flux2_image_metadata metadata;
    bool check_signature; /* of the download: the body must match an accepted signature */
};

/* Creates a job, which the caller owns. Returns NULL if out of memory. Any thread. */
struct flux2_job *flux2_poll_job_new(uint64_t id, struct flux2_profile *profile, const struct flux2_poll_spec *spec);

#endif
