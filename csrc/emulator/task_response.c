/* task_response.c - see task_response.h. */
#include "emulator/task_response.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base64.h"
#include "emulator/image_urls.h"
#include "emulator/response_template.h"
#include "platform/clock.h"

static json_t *base64(const struct flux2_blob *blob)
{
    size_t size = FLUX2_BASE64_SIZE(blob->size);
    char *text = malloc(size + 1);
    if (!text)
        return NULL;
    flux2_base64_encode(blob->data, blob->size, text);
    json_t *value = json_stringn_nocheck(text, size);
    free(text);
    return value;
}

/* Returns all images of the task as a new array of Base64 strings. */
static json_t *draw_images(struct flux2_emu *emu, const struct emu_settings *s, const struct emu_task *task)
{
    json_t *array = json_array();
    int i;
    for (i = 1; i <= s->images_per_task; i++) {
        struct emu_image_ref image = {task, i};
        struct flux2_blob *blob = flux2_emu_image_urls_draw(emu, s, &image);
        if (blob)
            json_array_append_new(array, base64(blob));
        flux2_blob_unref(blob);
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

/* Returns the progress of a task at NOW, 0 to 1. */
static double fraction_done(const struct emu_task *task, double now)
{
    double all = task->finished_at - task->accepted_at;
    if (now >= task->finished_at || !(all > 0))
        return 1;
    return fmin(fmax((now - task->accepted_at) / all, 0), 0.99);
}

/* Sets the template values of a task at NOW, except Base64 images. */
static void collect(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task, double now,
                    struct emu_template_values *values, char *reason, size_t size)
{
    memset(values, 0, sizeof(*values));
    values->task_id = task->id;
    values->created = (long long)time(NULL);
    flux2_mutex_lock(&emu->lock);
    values->progress = progress(s->progress, fraction_done(task, now));
    if (now < task->finished_at) {
        values->status = s->word_running;
    } else if (task->outcome == EMU_SUCCEEDS) {
        values->status = s->word_succeeded;
        values->urls = flux2_emu_image_urls_list(emu, s, task);
    } else {
        values->status = task->outcome == EMU_MODERATED ? s->word_moderated : s->word_failed;
        snprintf(reason, size, "%s", task->reason ? task->reason : "");
        values->reason = reason;
    }
    flux2_mutex_unlock(&emu->lock);
}

static void drop(struct emu_template_values *values)
{
    json_decref(values->progress);
    json_decref(values->urls);
    json_decref(values->b64);
}

void flux2_emu_respond_status(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task,
                              struct emu_response *out)
{
    char reason[512];
    struct emu_template_values values;
    json_t *document, *failure;
    collect(emu, s, task, flux2_clock_now(), &values, reason, sizeof(reason));
    if (values.urls && flux2_emu_template_uses_b64(s->shape))
        values.b64 = draw_images(emu, s, task);
    document = flux2_emu_template_render(s->shape, &values);
    if (values.reason) {
        bool is_moderated = task->outcome == EMU_MODERATED && json_object_size(s->moderation_shape) > 0;
        failure = flux2_emu_template_render(is_moderated ? s->moderation_shape : s->failure_shape, &values);
        flux2_emu_template_merge(document, failure);
        json_decref(failure);
    }
    drop(&values);
    snprintf(out->task_id, sizeof(out->task_id), "%s", task->id);
    flux2_emu_response_json(out, 200, document);
}

/* Appends the images of TASK, as if it had finished, to DATA. Returns false with the error response set if the task
 * fails. */
static bool add_images(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task, bool b64,
                       json_t *data, struct emu_response *out)
{
    char reason[512];
    struct emu_template_values values;
    json_t *value;
    bool failed;
    size_t i;
    collect(emu, s, task, INFINITY, &values, reason, sizeof(reason));
    if (values.urls && b64)
        values.b64 = draw_images(emu, s, task);
    json_array_foreach(b64 ? values.b64 : values.urls, i, value)
        json_array_append_new(data, json_pack("{s:O}", b64 ? "b64_json" : "url", value));
    failed = values.reason != NULL;
    drop(&values);
    if (failed)
        flux2_emu_response_error(out, 400, task->outcome == EMU_MODERATED ? "moderated" : "task_failed", reason);
    return !failed;
}

void flux2_emu_respond_finished(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task **tasks,
                                size_t count, bool b64, struct emu_response *out)
{
    json_t *data = json_array();
    double end = 0;
    bool ok = true;
    size_t i;
    flux2_mutex_lock(&emu->lock);
    for (i = 0; i < count; i++)
        end = fmax(end, tasks[i]->finished_at);
    flux2_mutex_unlock(&emu->lock);
    for (i = 0; ok && i < count; i++)
        ok = add_images(emu, s, tasks[i], b64, data, out);
    if (ok)
        flux2_emu_response_json(out, 200, json_pack("{s:I,s:O}", "created", (json_int_t)time(NULL), "data", data));
    json_decref(data);
    snprintf(out->task_id, sizeof(out->task_id), "%s", tasks[0]->id);
    out->delay = fmax(0, end - flux2_clock_now());
}

void flux2_emu_respond_accepted(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task,
                                struct emu_response *out)
{
    if (strcmp(s->sync, "none")) {
        flux2_emu_respond_finished(emu, s, &task, 1, !strcmp(s->sync, "b64_json"), out);
        return;
    }
    snprintf(out->task_id, sizeof(out->task_id), "%s", task->id);
    flux2_emu_response_json(out, 200,
                            json_pack("{s:i,s:s,s:{s:s,s:s}}", "code", 200, "message", "success", "data", "task_id",
                                      task->id, "status", s->word_running));
}
