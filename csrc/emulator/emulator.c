/* emulator.c - see emulator.h. */
#include "emulator/emulator.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulator/connection.h"
#include "emulator/image_cache.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "platform/random.h"

/* Each use has its own random sequence, so that one use does not change the numbers of another. */
static void seed(struct flux2_emu *emu, double chosen)
{
    emu->random = chosen >= 0 ? (uint64_t)chosen : flux2_random_seed();
    emu->tasks.ids = flux2_random_next(&emu->random);
    emu->faults.random = flux2_random_next(&emu->random);
    if (chosen > 0) {
        uint64_t state = (uint64_t)chosen;
        emu->image_seed = flux2_random_next(&state);
    }
}

/* Initializes everything except the server. Returns false with the reason in ERR. */
static bool prepare(struct flux2_emu *emu, const json_t *settings, char *err, size_t err_size, bool *misuse)
{
    const struct emu_settings *s = emu->settings = flux2_emu_settings_patch(NULL, settings, err, err_size);
    *misuse = s == NULL;
    if (!s)
        return false;
    int rc = flux2_wakeup_open(&emu->stop);
    if (rc != 0) {
        snprintf(err, err_size, "%s", strerror(rc));
        return false;
    }
    seed(emu, s->seed);
    emu->credits = s->credits;
    emu->started = flux2_clock_now();
    emu->window_start = EMU_LONG_AGO;
    emu->images = flux2_emu_image_cache_new((size_t)s->image_cache_bytes);
    snprintf(err, err_size, "out of memory");
    return emu->images && flux2_emu_log_start(&emu->log, (size_t)s->log_requests, (size_t)s->log_body_bytes);
}

static bool start_server(struct flux2_emu *emu, char *err, size_t err_size)
{
    int port = (int)emu->settings->port, rc = flux2_server_listen(&emu->server, NULL, port);
    if (rc != 0) {
        snprintf(err, err_size, "127.0.0.1:%d: %s", port, strerror(rc));
        return false;
    }
    emu->port = emu->server.port;
    snprintf(emu->url, sizeof emu->url, "http://127.0.0.1:%d", emu->port);
    rc = flux2_emu_connections_serve(emu);
    snprintf(err, err_size, "cannot start the HTTP server: %s", strerror(rc));
    return rc == 0;
}

struct flux2_emu *flux2_emu_start(const json_t *settings, char *err, size_t err_size, bool *misuse)
{
    struct flux2_emu *emu = calloc(1, sizeof *emu);
    *misuse = false;
    if (!emu) {
        snprintf(err, err_size, "out of memory");
        return NULL;
    }
    flux2_mutex_init(&emu->lock);
    emu->stop = (struct flux2_wakeup){-1, -1};
    emu->forks = flux2_process_forks();
    if (prepare(emu, settings, err, err_size, misuse) && start_server(emu, err, err_size))
        return emu;
    flux2_emu_free(emu);
    return NULL;
}

static bool is_forked_child(const struct flux2_emu *emu)
{
    return emu->forks != flux2_process_forks();
}

void flux2_emu_stop(struct flux2_emu *emu)
{
    if (atomic_exchange(&emu->is_stopping, true))
        return;
    if (is_forked_child(emu)) {
        flux2_server_disown(&emu->server);
        return;
    }
    if (emu->stop.write_end >= 0)
        flux2_wakeup_signal(&emu->stop);
    flux2_server_stop(&emu->server);
    flux2_wakeup_close(&emu->stop);
}

bool flux2_emu_wait(struct flux2_emu *emu, double seconds, double requests)
{
    double end = flux2_clock_now() + seconds, slice = requests >= 0 ? 0.002 : 0.5, left;
    bool is_reached, is_interrupted = false;
    for (;;) {
        flux2_mutex_lock(&emu->lock);
        is_reached = requests >= 0 && (double)emu->log.requests >= requests;
        flux2_mutex_unlock(&emu->lock);
        left = end - flux2_clock_now();
        if (is_reached || is_interrupted || !(left > 0))
            return is_reached;
        is_interrupted = !flux2_clock_pause(fmin(left, slice));
    }
}

/* Keeps the memory reachable for leak checkers. */
static void retain(struct flux2_emu *emu)
{
    static struct flux2_emu *list;
    emu->next_retained = list;
    list = emu;
}

void flux2_emu_free(struct flux2_emu *emu)
{
    if (!emu)
        return;
    flux2_emu_stop(emu);
    if (is_forked_child(emu)) {
        retain(emu);
        return;
    }
    flux2_emu_image_cache_free(emu->images);
    flux2_emu_settings_unref(emu->settings);
    flux2_emu_tasks_free(&emu->tasks);
    flux2_emu_faults_free(&emu->faults);
    flux2_emu_log_free(&emu->log);
    free(emu->fail_reason);
    flux2_mutex_destroy(&emu->lock);
    free(emu);
}

/* --- commands ------------------------------------------------------------------------------------- */

/* Called with the lock held. */
typedef json_t *command(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size);

static json_t *do_stats(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    json_t *stats = flux2_emu_log_stats(&emu->log);
    (void)arg, (void)err, (void)err_size;
    json_object_set_new(stats, "credits_left", json_real(emu->credits));
    json_object_set_new(stats, "faults_fired", json_real(emu->faults.fired));
    return stats;
}

static json_t *do_requests(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    (void)arg, (void)err, (void)err_size;
    return flux2_emu_log_requests(&emu->log);
}

static json_t *do_ledger(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    (void)arg, (void)err, (void)err_size;
    return flux2_emu_tasks_ledger(&emu->tasks, emu->started);
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
        emu->window_start = EMU_LONG_AGO;
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

/* Ends one task, or all. Returns the number of tasks that were running. */
static json_t *do_finish(struct flux2_emu *emu, const json_t *arg, char *err, size_t err_size)
{
    double now = flux2_clock_now();
    const char *id = json_string_value(arg);
    struct emu_task *one = id ? flux2_emu_tasks_find(&emu->tasks, id, strlen(id)) : NULL;
    size_t i, n = 0;
    if (id && !one) {
        snprintf(err, err_size, "unknown task id: %s", id);
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
    return task ? flux2_emu_tasks_view(task, emu->started, flux2_clock_now()) : json_null();
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
    command *call;
} commands[] = {
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
    for (i = 0; i < sizeof commands / sizeof *commands && strcmp(name, commands[i].name); i++)
        ;
    if (i == sizeof commands / sizeof *commands) {
        snprintf(err, err_size, "unknown command: %s", name);
        return NULL;
    }
    flux2_mutex_lock(&emu->lock);
    result = commands[i].call(emu, arg, err, err_size);
    flux2_mutex_unlock(&emu->lock);
    return result;
}
