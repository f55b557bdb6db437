/* settings.h - how the emulator is to behave.
 *
 * Owns: the list of settings with their types, ranges and defaults, and the reading of a patch.
 * Never: acts on a setting. A set of settings does not change once others can see it: a change makes a new one,
 * so that a request that began under the old settings ends under them. */
#ifndef FLUX2_EMU_SETTINGS_H
#define FLUX2_EMU_SETTINGS_H

#include <jansson.h>
#include <stddef.h>

struct emu_settings {
    int refs; /* atomic */

    /* Fixed at the start. */
    long long port;
    long long log_requests;        /* how many requests the log remembers */
    long long log_body_bytes;      /* how much of each body log and ledger remember */
    long long picture_cache_bytes; /* drawn pictures kept in memory */
    double seed;                   /* of everything random; below 0: of the clock */

    /* Money and admission. */
    char *api_key;
    double credits;
    double flex_2k_credits;
    double rate_requests, rate_seconds; /* 0 requests: no limit */
    int rate_submissions_only;
    char *retry_after_format;
    long long max_body_bytes;
    char *rejection_word;

    /* What becomes of a task. */
    double duration[2];
    double failure_rate;
    char *failure_word, *failure_reason;
    char *moderation_word, *moderation_reason;

    /* How it is told. */
    json_t *shape, *failure_shape;
    char *word_running, *word_succeeded, *word_failed, *word_moderated;
    char *progress;
    char *sync;
    char *dialect;
    double latency[2];

    /* Pictures. */
    long long image_bytes; /* 0: drawn in full */
    long long images_per_task;
    double image_ttl; /* 0: for ever */
    long long image_expired_status;
    char *image_path, *image_base_url, *image_content_type;

    /* Connections. */
    long long max_requests_per_connection;
    double idle_close;
};

/* A new set: OLD (the defaults if NULL) changed by PATCH, an object of name to value where `false` means the default.
 * One reference. NULL with the reason in ERR if a name is unknown, a type or a range wrong, or, when OLD is given, if
 * the setting can only be given at the start. */
struct emu_settings *flux2_emu_settings_patch(const struct emu_settings *old, const json_t *patch, char *err,
                                              size_t err_size);
struct emu_settings *flux2_emu_settings_ref(struct emu_settings *s);
void flux2_emu_settings_unref(struct emu_settings *s);

/* The names of all settings, an array. */
json_t *flux2_emu_settings_names(void);

#endif
