/* report.c - what the service says about a task; see report.h. */
#include "report.h"

#include "links.h"
#include "shapes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static json_t *base64(const struct emu_blob *blob)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t i, n = 0;
    char *text = malloc((blob->len + 2) / 3 * 4 + 1);
    json_t *value;
    if (!text)
        return NULL;
    for (i = 0; i < blob->len; i += 3) {
        size_t left = blob->len - i;
        unsigned v = (unsigned)blob->data[i] << 16;
        v |= left > 1 ? (unsigned)blob->data[i + 1] << 8 : 0;
        v |= left > 2 ? blob->data[i + 2] : 0;
        text[n++] = digits[v >> 18];
        text[n++] = digits[v >> 12 & 63];
        text[n++] = left > 1 ? digits[v >> 6 & 63] : '=';
        text[n++] = left > 2 ? digits[v & 63] : '=';
    }
    value = json_stringn_nocheck(text, n);
    free(text);
    return value;
}

static json_t *pictures(struct flux2_emu *emu, const struct emu_settings *s, const struct emu_task *task)
{
    json_t *array = json_array();
    int i;
    for (i = 1; i <= s->images_per_task; i++) {
        struct emu_link link = {task, i};
        struct emu_blob *blob = flux2_emu_links_picture(emu, s, &link);
        if (blob)
            json_array_append_new(array, base64(blob));
        flux2_emu_blob_unref(blob);
    }
    return array;
}

static json_t *progress(const char *as, double fraction)
{
    char text[16];
    double percent = floor(fraction * 100);
    if (!strcmp(as, "percent"))
        return json_integer((json_int_t)percent);
    if (!strcmp(as, "fraction"))
        return json_real(percent / 100);
    if (strcmp(as, "string"))
        return NULL;
    snprintf(text, sizeof(text), "%.0f%%", percent);
    return json_string(text);
}

/* How far a task is at NOW, 0 to 1. */
static double fraction_done(const struct emu_task *task, double now)
{
    double all = task->finished_at - task->accepted_at;
    if (now >= task->finished_at || !(all > 0))
        return 1;
    return fmin(fmax((now - task->accepted_at) / all, 0), 0.99);
}

/* What can be said at NOW, but for the pictures. */
static void collect(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task, double now,
                    struct emu_facts *facts, char *reason, size_t size)
{
    memset(facts, 0, sizeof(*facts));
    facts->task_id = task->id;
    facts->created = (long long)time(NULL);
    pthread_mutex_lock(&emu->lock);
    facts->progress = progress(s->progress, fraction_done(task, now));
    if (now < task->finished_at) {
        facts->status = s->word_running;
    } else if (task->outcome == EMU_SUCCEEDS) {
        facts->status = s->word_succeeded;
        facts->urls = flux2_emu_links_urls(emu, s, task);
    } else {
        facts->status = task->outcome == EMU_MODERATED ? s->word_moderated : s->word_failed;
        snprintf(reason, size, "%s", task->reason ? task->reason : "");
        facts->reason = reason;
    }
    pthread_mutex_unlock(&emu->lock);
}

static void drop(struct emu_facts *facts)
{
    json_decref(facts->progress);
    json_decref(facts->urls);
    json_decref(facts->b64);
}

void flux2_emu_report_task(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task,
                           struct emu_answer *a)
{
    char reason[512];
    struct emu_facts facts;
    json_t *document, *failure;
    collect(emu, s, task, flux2_emu_now(), &facts, reason, sizeof(reason));
    if (facts.urls && flux2_emu_shapes_wants_b64(s->shape))
        facts.b64 = pictures(emu, s, task);
    document = flux2_emu_shapes_fill(s->shape, &facts);
    if (facts.reason) {
        failure = flux2_emu_shapes_fill(s->failure_shape, &facts);
        flux2_emu_shapes_merge(document, failure);
        json_decref(failure);
    }
    drop(&facts);
    snprintf(a->task_id, sizeof(a->task_id), "%s", task->id);
    flux2_emu_answer_json(a, 200, document);
}

/* Adds the pictures of TASK, as it will have ended, to DATA. False with the error set if it fails. */
static bool add_pictures(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task, bool b64,
                         json_t *data, struct emu_answer *a)
{
    char reason[512];
    struct emu_facts facts;
    json_t *value;
    bool failed;
    size_t i;
    collect(emu, s, task, INFINITY, &facts, reason, sizeof(reason));
    if (facts.urls && b64)
        facts.b64 = pictures(emu, s, task);
    json_array_foreach(b64 ? facts.b64 : facts.urls, i, value)
        json_array_append_new(data, json_pack("{s:O}", b64 ? "b64_json" : "url", value));
    failed = facts.reason != NULL;
    drop(&facts);
    if (failed)
        flux2_emu_answer_error(a, 400, task->outcome == EMU_MODERATED ? "moderated" : "task_failed", reason);
    return !failed;
}

void flux2_emu_report_at_once(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task **tasks,
                              size_t count, bool b64, struct emu_answer *a)
{
    json_t *data = json_array();
    double end = 0;
    bool ok = true;
    size_t i;
    pthread_mutex_lock(&emu->lock);
    for (i = 0; i < count; i++)
        end = fmax(end, tasks[i]->finished_at);
    pthread_mutex_unlock(&emu->lock);
    for (i = 0; ok && i < count; i++)
        ok = add_pictures(emu, s, tasks[i], b64, data, a);
    if (ok)
        flux2_emu_answer_json(a, 200,
                              json_pack("{s:I,s:O}", "created", (json_int_t)time(NULL), "data", data));
    json_decref(data);
    snprintf(a->task_id, sizeof(a->task_id), "%s", tasks[0]->id);
    a->hold = fmax(0, end - flux2_emu_now());
}

void flux2_emu_report_accepted(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task,
                               struct emu_answer *a)
{
    if (strcmp(s->sync, "none")) {
        flux2_emu_report_at_once(emu, s, &task, 1, !strcmp(s->sync, "b64_json"), a);
        return;
    }
    snprintf(a->task_id, sizeof(a->task_id), "%s", task->id);
    flux2_emu_answer_json(a, 200,
                          json_pack("{s:i,s:s,s:{s:s,s:s}}", "code", 200, "message", "success", "data",
                                    "task_id", task->id, "status", s->word_running));
}
