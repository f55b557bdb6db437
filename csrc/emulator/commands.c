/* commands.c - see commands.h. */
#include "emulator/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"

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
    for (i = 0; i < sizeof(commands) / sizeof(commands[0]) && strcmp(name, commands[i].name); i++)
        ;
    if (i == sizeof(commands) / sizeof(commands[0])) {
        snprintf(err, err_size, "unknown command: %s", name);
        return NULL;
    }
    flux2_mutex_lock(&emu->lock);
    result = commands[i].call(emu, arg, err, err_size);
    flux2_mutex_unlock(&emu->lock);
    return result;
}
