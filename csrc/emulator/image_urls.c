/* image_urls.c - see image_urls.h.
 *
 *     <image_path>/<task id>/<number>.png            the first version
 *     <image_path>/<task id>/<number>.png?fresh=2    the second version, after the first expired */
#include "emulator/image_urls.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "emulator/image_cache.h"
#include "platform/clock.h"

bool flux2_emu_image_urls_match(const struct emu_settings *s, const char *path)
{
    size_t len = strlen(s->image_path);
    return !strncmp(path, s->image_path, len) && path[len] == '/';
}

enum emu_image_state flux2_emu_image_urls_read(const struct flux2_emu *emu, const struct emu_settings *s,
                                               const char *path, struct emu_image_ref *image)
{
    const char *id = path + strlen(s->image_path) + 1;
    size_t len = strcspn(id, "/?");
    const struct emu_task *task = flux2_emu_tasks_find(&emu->tasks, id, len);
    double now = flux2_clock_now();
    unsigned version = 1;
    int number = 0, end = 0;
    if (!task || now < task->finished_at || task->outcome != EMU_SUCCEEDS)
        return EMU_IMAGE_UNKNOWN;
    if (sscanf(id + len, "/%d.png%n", &number, &end) != 1 || !end || number < 1 || number > s->images_per_task)
        return EMU_IMAGE_UNKNOWN;
    if (id[len + (size_t)end] == '?')
        sscanf(id + len + end, "?fresh=%u", &version);
    else if (id[len + (size_t)end])
        return EMU_IMAGE_UNKNOWN;
    image->task = task;
    image->number = number;
    return flux2_emu_tasks_is_url_valid(&emu->tasks, task, version, now) ? EMU_IMAGE_VALID : EMU_IMAGE_EXPIRED;
}

json_t *flux2_emu_image_urls_list(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task)
{
    const char *base = *s->image_base_url ? s->image_base_url : emu->url;
    unsigned version = flux2_emu_tasks_url_version(&emu->tasks, task, flux2_clock_now(), s->image_ttl);
    json_t *urls = json_array();
    char fresh[24] = "";
    long long i;
    if (version > 1)
        snprintf(fresh, sizeof fresh, "?fresh=%u", version);
    for (i = 1; i <= s->images_per_task; i++)
        json_array_append_new(urls, json_sprintf("%s%s/%s/%lld.png%s", base, s->image_path, task->id, i, fresh));
    return urls;
}

static bool is_cancelled(const void *emu)
{
    return flux2_emu_is_stopping(emu);
}

struct flux2_blob *flux2_emu_image_urls_draw(struct flux2_emu *emu, const struct emu_settings *s,
                                             const struct emu_image_ref *image)
{
    const struct emu_task *task = image->task;
    const struct emu_request *request = &task->request;
    int number = image->number;
    struct emu_image_spec spec = {
        .seed = number == 1 ? task->image_seed : flux2_hash(task->image_seed, &number, sizeof number),
        .width = request->width,
        .height = request->height,
        .prompt = request->prompt,
        .type = request->type,
        .resolution = request->resolution,
        .aspect_ratio = request->aspect_ratio,
        .is_cancelled = is_cancelled,
        .context = emu,
    };
    if (!request->width)
        flux2_emu_image_size(request->resolution, request->aspect_ratio, &spec.width, &spec.height);
    return flux2_emu_image_cache_get(emu->images, &spec, (size_t)s->image_bytes);
}
