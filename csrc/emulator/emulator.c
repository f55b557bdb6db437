/* emulator.c - one emulator: what its threads share; see emulator.h. */
#include "emulator.h"

#include "gallery.h"
#include "server.h"
#include "wire.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Everything but the server. False: out of memory or of descriptors, or a wrong setting. */
static bool prepare(struct flux2_emu *emu, const json_t *settings, char *err, size_t err_size, int *misuse)
{
    const struct emu_settings *s;
    *misuse = 1;
    emu->settings = flux2_emu_settings_patch(NULL, settings, err, err_size);
    if (!emu->settings)
        return false;
    *misuse = 0;
    s = emu->settings;
    if (pipe(emu->stop_pipe)) {
        snprintf(err, err_size, "%s", strerror(errno));
        emu->stop_pipe[0] = emu->stop_pipe[1] = -1;
        return false;
    }
    flux2_emu_wire_cloexec(emu->stop_pipe[0]);
    flux2_emu_wire_cloexec(emu->stop_pipe[1]);
    emu->gallery = flux2_emu_gallery_new((size_t)s->picture_cache_bytes);
    emu->credits = s->credits;
    emu->random = s->seed >= 0 ? (uint64_t)s->seed : flux2_emu_random_seed();
    /* Each use has a sequence of its own: what one draws does not change what the next draws. */
    emu->tasks.ids = flux2_emu_random(&emu->random);
    emu->faults.random = flux2_emu_random(&emu->random);
    if (s->seed > 0) {
        uint64_t seed = (uint64_t)s->seed;
        emu->picture_seed = flux2_emu_random(&seed);
    }
    emu->started = flux2_emu_now();
    emu->window_start = -1e12;
    snprintf(err, err_size, "out of memory");
    return emu->gallery &&
           !flux2_emu_journal_start(&emu->journal, (size_t)s->log_requests, (size_t)s->log_body_bytes);
}

struct flux2_emu *flux2_emu_start(const json_t *settings, char *err, size_t err_size, int *misuse)
{
    struct flux2_emu *emu = calloc(1, sizeof(*emu));
    *misuse = 0;
    if (!emu) {
        snprintf(err, err_size, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&emu->lock, NULL);
    emu->stop_pipe[0] = emu->stop_pipe[1] = -1;
    emu->pid = getpid();
    if (prepare(emu, settings, err, err_size, misuse) &&
        flux2_emu_server_start(emu, (int)emu->settings->port, err, err_size))
        return emu;
    flux2_emu_free(emu);
    return NULL;
}

int flux2_emu_is_stopping(const struct flux2_emu *emu)
{
    return __atomic_load_n(&emu->stopping, __ATOMIC_RELAXED);
}

static bool is_foreign(const struct flux2_emu *emu)
{
    return emu->pid != getpid();
}

void flux2_emu_stop(struct flux2_emu *emu)
{
    if (__atomic_exchange_n(&emu->stopping, 1, __ATOMIC_RELAXED))
        return;
    if (is_foreign(emu)) {
        flux2_emu_server_disown(emu);
        return;
    }
    /* All who wait see the read end hang up. */
    if (emu->stop_pipe[1] >= 0)
        close(emu->stop_pipe[1]);
    flux2_emu_server_stop(emu);
    if (emu->stop_pipe[0] >= 0)
        close(emu->stop_pipe[0]);
    emu->stop_pipe[0] = emu->stop_pipe[1] = -1;
}

bool flux2_emu_wait(struct flux2_emu *emu, double seconds, double requests)
{
    double end = flux2_emu_now() + seconds, left;
    bool reached;
    int slice, n = 0;
    for (;;) {
        pthread_mutex_lock(&emu->lock);
        reached = requests >= 0 && (double)emu->journal.requests >= requests;
        pthread_mutex_unlock(&emu->lock);
        left = end - flux2_emu_now();
        if (reached || n < 0 || !(left > 0))
            return reached;
        slice = requests >= 0 ? 2 : 500;
        n = poll(NULL, 0, (int)fmin(ceil(left * 1000), slice));
    }
}

void flux2_emu_free(struct flux2_emu *emu)
{
    static struct flux2_emu *forsaken; /* what threads of the parent may have been changing when it forked */
    if (!emu)
        return;
    flux2_emu_stop(emu);
    if (is_foreign(emu)) {
        emu->forsaken = forsaken;
        forsaken = emu;
        return;
    }
    flux2_emu_gallery_free(emu->gallery);
    flux2_emu_settings_unref(emu->settings);
    flux2_emu_tasks_free(&emu->tasks);
    flux2_emu_faults_free(&emu->faults);
    flux2_emu_journal_free(&emu->journal);
    free(emu->fail_reason);
    pthread_mutex_destroy(&emu->lock);
    free(emu);
}

/* --- the verbs, each called with the lock ------------------------------------------------------ */

typedef json_t *verb(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size);

static json_t *do_stats(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    json_t *stats = flux2_emu_journal_stats(&emu->journal);
    (void)arg, (void)err, (void)err_size;
    json_object_set_new(stats, "credits_left", json_real(emu->credits));
    json_object_set_new(stats, "faults_fired", json_real(emu->faults.fired));
    return stats;
}

static json_t *do_requests(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    (void)arg, (void)err, (void)err_size;
    return flux2_emu_journal_requests(&emu->journal);
}

static json_t *do_ledger(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    (void)arg, (void)err, (void)err_size;
    return flux2_emu_tasks_ledger(&emu->tasks, 0, emu->started);
}

static json_t *do_set(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    struct emu_settings *s = flux2_emu_settings_patch(emu->settings, arg, err, err_size);
    if (!s)
        return NULL;
    flux2_emu_settings_unref(emu->settings);
    emu->settings = s;
    if (json_object_get(arg, "credits"))
        emu->credits = s->credits;
    if (json_object_get(arg, "rate_limit"))
        emu->window_start = -1e12;
    return json_true();
}

static json_t *do_fault(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    int index = flux2_emu_fault_add(&emu->faults, arg, err, err_size);
    return index ? json_integer(index) : NULL;
}

static json_t *do_faults(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    (void)arg, (void)err, (void)err_size;
    return flux2_emu_faults_view(&emu->faults);
}

static json_t *do_clear_faults(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    (void)arg, (void)err, (void)err_size;
    flux2_emu_faults_clear(&emu->faults);
    return json_true();
}

static json_t *do_expire_images(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    (void)arg, (void)err, (void)err_size;
    emu->tasks.epoch++;
    return json_true();
}

/* One task, or all: how many were running. */
static json_t *do_finish(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    double now = flux2_emu_now();
    const char *id = json_string_value(arg);
    struct emu_task *one = id ? flux2_emu_tasks_find(&emu->tasks, id, strlen(id)) : NULL;
    size_t i, n = 0;
    if (id && !one) {
        snprintf(err, err_size, "there is no task %s", id);
        return NULL;
    }
    for (i = 0; i < emu->tasks.count; i++) {
        struct emu_task *task = emu->tasks.all[i];
        if ((one && task != one) || task->finished_at <= now)
            continue;
        task->finished_at = now;
        n++;
    }
    return json_integer((json_int_t)n);
}

static json_t *do_task(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    const char *id = json_string_value(arg);
    const struct emu_task *task = id ? flux2_emu_tasks_find(&emu->tasks, id, strlen(id)) : NULL;
    (void)err, (void)err_size;
    return task ? flux2_emu_tasks_view(task, emu->started, flux2_emu_now()) : json_null();
}

static json_t *do_fail_next(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    const json_t *reason = json_object_get(arg, "reason");
    (void)err, (void)err_size;
    emu->fail_next = json_number_value(json_object_get(arg, "count"));
    free(emu->fail_reason);
    emu->fail_reason = json_is_string(reason) ? strdup(json_string_value(reason)) : NULL;
    return json_true();
}

static const struct {
    const char *name;
    verb *call;
} verbs[] = {
    {"clear_faults", do_clear_faults},
    {"expire_images", do_expire_images},
    {"fail_next", do_fail_next},
    {"fault", do_fault},
    {"faults", do_faults},
    {"finish", do_finish},
    {"ledger", do_ledger},
    {"requests", do_requests},
    {"set", do_set},
    {"stats", do_stats},
    {"task", do_task},
};

json_t *flux2_emu_call(struct flux2_emu *emu, const char *name, const json_t *arg, char *err, size_t err_size)
{
    json_t *result;
    size_t i;
    for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]) && strcmp(name, verbs[i].name); i++)
        ;
    if (i == sizeof(verbs) / sizeof(verbs[0])) {
        snprintf(err, err_size, "the emulator knows no %s", name);
        return NULL;
    }
    pthread_mutex_lock(&emu->lock);
    result = verbs[i].call(emu, arg, err, err_size);
    pthread_mutex_unlock(&emu->lock);
    return result;
}
