/* transfer_job.h - a job with one request, sent again if it may be: a download, or one query of a task.
 *
 * A download may fail because its image is not there yet, or because its URL has expired. Before it is repeated, its
 * task is queried for a fresh URL. */
#ifndef FLUX2_ENGINE_TRANSFER_JOB_H
#define FLUX2_ENGINE_TRANSFER_JOB_H

#include "engine/job.h"

/* The request; copied. */
struct flux2_transfer_spec {
    const char *url;
    const char *body;                     /* NULL: a GET */
    size_t body_size;                     /* bytes of `body` */
    const char *path;                     /* the file for the body of a success; NULL: memory */
    struct flux2_image_metadata metadata; /* of an image in a file; its texts are borrowed */
    enum flux2_request_kind kind;         /* the kind of request */
    bool check_signature;                 /* the body must match an accepted signature */
    bool base64;                          /* return the body of a success as Base64 */
    bool patient;                         /* repeat for the profile's patience, not `max_attempts` times */
    const char *task_url;                 /* queried for a fresh URL before a repetition; NULL: none is */
    struct flux2_profile *task_profile;   /* for `task_url`; gets a reference */
    size_t image;                         /* index of the image among those of the task */
    double deadline;                      /* seconds for the whole job; 0: unlimited */
};

/* Creates a job, which the caller owns. Returns NULL if out of memory. Any thread. */
struct flux2_job *flux2_transfer_job_new(uint64_t id, struct flux2_profile *profile,
                                         const struct flux2_transfer_spec *spec);

#endif
