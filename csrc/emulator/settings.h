/* settings.h - the emulator's settings: types, ranges, defaults and parsing.
 *
 * Immutable and reference-counted: a change creates a new struct, and requests in progress keep the old one.
 * References are thread-safe. */
#ifndef FLUX2_EMU_SETTINGS_H
#define FLUX2_EMU_SETTINGS_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct emu_settings {
    atomic_int references;

    /* Set at the start only. */
    long long port;
    long long log_requests;      /* number of requests in the log */
    long long log_body_bytes;    /* maximum per body in log and ledger */
    long long image_cache_bytes; /* size of the image cache */
    double seed;                 /* of all random sequences; negative: from the clock */

    /* Credits and admission. */
    char *api_key;
    double credits;
    double flex_2k_credits;
    double rate_requests, rate_seconds; /* 0 requests: no limit */
    bool rate_submissions_only;
    long long max_active_tasks; /* 0: no limit */
    char *retry_after_format;
    long long max_body_bytes;
    char *rejection_word;

    /* Duration and outcome of a task. */
    double duration[2];
    double failure_rate;
    char *failure_word, *failure_reason;
    char *moderation_word, *moderation_reason;

    /* Responses. */
    json_t *shape, *failure_shape;
    json_t *moderation_shape; /* empty: failure_shape */
    char *word_running, *word_succeeded, *word_failed, *word_moderated;
    char *progress;
    char *sync;
    char *dialect;
    double latency[2];

    /* Images. */
    long long image_bytes; /* 0: drawn images */
    long long images_per_task;
    double image_ttl; /* seconds; 0: no expiry */
    long long image_expired_status;
    char *image_path, *image_base_url, *image_content_type;

    /* Connections. */
    long long max_requests_per_connection;
    double idle_close;
};

/* Creates settings with one reference: OLD (NULL: the defaults) with the changes of PATCH, an object in which
 * `false` means the default. Returns NULL with the reason in ERR if a name is unknown, a value is invalid, or OLD is
 * given and a setting can be set at the start only. */
struct emu_settings *flux2_emu_settings_patch(const struct emu_settings *old, const json_t *patch, char *err,
                                              size_t err_size);
struct emu_settings *flux2_emu_settings_ref(struct emu_settings *s);
/* Accepts NULL. */
void flux2_emu_settings_unref(struct emu_settings *s);

/* Returns the names of all settings as a new array. */
json_t *flux2_emu_settings_names(void);

#endif
