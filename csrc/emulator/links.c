/* links.c - the addresses of the images; see links.h.
 *
 *     <image_path>/<task id>/<number>.png            as first given out
 *     <image_path>/<task id>/<number>.png?fresh=2    when the first had expired, and so on */
#include "links.h"

#include "gallery.h"
#include "util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool flux2_emu_links_is_image(const struct emu_settings *s, const char *path)
{
    size_t len = strlen(s->image_path);
    return !strncmp(path, s->image_path, len) && path[len] == '/';
}

enum emu_link_state flux2_emu_links_resolve(const struct flux2_emu *emu, const struct emu_settings *s,
                                            const char *path, struct emu_link *link)
{
    const char *id = path + strlen(s->image_path) + 1;
    size_t len = strcspn(id, "/?");
    const struct emu_task *task = flux2_emu_tasks_find(&emu->tasks, id, len);
    double now = flux2_emu_now();
    unsigned fresh = 1;
    int image = 0, end = 0;
    if (!task || now < task->finished_at || task->outcome != EMU_SUCCEEDS)
        return EMU_LINK_UNKNOWN;
    if (sscanf(id + len, "/%d.png%n", &image, &end) != 1 || !end || image < 1 || image > s->images_per_task)
        return EMU_LINK_UNKNOWN;
    if (id[len + (size_t)end] == '?')
        sscanf(id + len + end, "?fresh=%u", &fresh);
    else if (id[len + (size_t)end])
        return EMU_LINK_UNKNOWN;
    link->task = task;
    link->image = image;
    return flux2_emu_tasks_link_valid(&emu->tasks, task, fresh, now) ? EMU_LINK_VALID : EMU_LINK_EXPIRED;
}

json_t *flux2_emu_links_urls(struct flux2_emu *emu, const struct emu_settings *s, struct emu_task *task)
{
    const char *base = *s->image_base_url ? s->image_base_url : emu->url;
    unsigned fresh = flux2_emu_tasks_link(&emu->tasks, task, flux2_emu_now(), s->image_ttl);
    json_t *urls = json_array();
    long long i;
    for (i = 1; i <= s->images_per_task; i++) {
        struct emu_buf b = {0};
        flux2_emu_buf_printf(&b, "%s%s/%s/%lld.png", base, s->image_path, task->id, i);
        if (fresh > 1)
            flux2_emu_buf_printf(&b, "?fresh=%u", fresh);
        json_array_append_new(urls, json_stringn_nocheck(b.data ? b.data : "", b.len));
        flux2_emu_buf_free(&b);
    }
    return urls;
}

static int give_up(const void *cls)
{
    return flux2_emu_is_stopping(cls);
}

struct emu_blob *flux2_emu_links_picture(struct flux2_emu *emu, const struct emu_settings *s,
                                         const struct emu_link *link)
{
    const struct emu_order *order = &link->task->order;
    struct emu_sketch sketch = {0};
    int image = link->image;
    sketch.seed =
        image == 1 ? link->task->picture : flux2_emu_hash(link->task->picture, &image, sizeof(image));
    sketch.prompt = order->prompt;
    sketch.type = order->type;
    sketch.resolution = order->resolution;
    sketch.aspect_ratio = order->aspect_ratio;
    sketch.give_up = give_up;
    sketch.cls = emu;
    flux2_emu_picture_size(order->resolution, order->aspect_ratio, &sketch.width, &sketch.height);
    if (order->width) {
        sketch.width = order->width;
        sketch.height = order->height;
    }
    return flux2_emu_gallery_get(emu->gallery, &sketch, (size_t)s->image_bytes);
}
