/* tasks.c - see tasks.h. */
#include "emulator/tasks.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "platform/clock.h"
#include "platform/random.h"

static void free_task(struct emu_task *task)
{
    if (!task)
        return;
    flux2_emu_request_free(&task->request);
    free(task->body);
    free(task->reason);
    free(task);
}

void flux2_emu_tasks_free(struct emu_tasks *store)
{
    size_t i;
    for (i = 0; i < store->count; i++)
        free_task(store->all[i]);
    free(store->all);
    free(store->table);
    memset(store, 0, sizeof(*store));
}

/* Returns the slot of ID, or the empty slot for it. */
static size_t slot_of(const struct emu_tasks *store, const char *id, size_t len)
{
    size_t i = flux2_hash(FLUX2_HASH_START, id, len) & (store->slots - 1);
    while (store->table[i] && (strncmp(store->table[i]->id, id, len) || store->table[i]->id[len]))
        i = (i + 1) & (store->slots - 1);
    return i;
}

struct emu_task *flux2_emu_tasks_find(const struct emu_tasks *store, const char *id, size_t len)
{
    if (!store->slots || !len || len >= sizeof(store->all[0]->id))
        return NULL;
    return store->table[slot_of(store, id, len)];
}

size_t flux2_emu_tasks_active(const struct emu_tasks *store, double now)
{
    size_t i, active = 0;
    for (i = 0; i < store->count; i++)
        active += now < store->all[i]->finished_at;
    return active;
}

static bool make_room(struct emu_tasks *store)
{
    size_t i, capacity = store->capacity ? store->capacity * 2 : 64;
    struct emu_task **all, **table;
    if (store->count < store->capacity)
        return true;
    all = realloc(store->all, capacity * sizeof(*all));
    if (!all)
        return false;
    store->all = all;
    table = calloc(capacity * 2, sizeof(*table));
    if (!table)
        return false;
    free(store->table);
    store->table = table;
    store->slots = capacity * 2;
    store->capacity = capacity;
    for (i = 0; i < store->count; i++)
        table[slot_of(store, all[i]->id, strlen(all[i]->id))] = all[i];
    return true;
}

/* "n41", 13 digits of base 36, "_flux2". The generator does not repeat numbers, so ids are unique. */
static void new_id(struct emu_tasks *store, char *id)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint64_t n = flux2_random_next(&store->ids);
    int i;
    memcpy(id, "n41", 3);
    for (i = 0; i < 13; i++, n /= 36)
        id[3 + i] = digits[n % 36];
    memcpy(id + 16, "_flux2", sizeof("_flux2"));
}

struct emu_task *flux2_emu_tasks_accept(struct emu_tasks *store, struct emu_request *request, const char *body,
                                        size_t body_len)
{
    struct emu_task *task = make_room(store) ? calloc(1, sizeof(*task)) : NULL;
    if (!task)
        return NULL;
    task->body = malloc(body_len + 1);
    if (!task->body) {
        free(task);
        return NULL;
    }
    if (body_len)
        memcpy(task->body, body, body_len);
    task->body_len = body_len;
    task->request = *request;
    memset(request, 0, sizeof *request);
    new_id(store, task->id);
    store->all[store->count++] = task;
    store->table[slot_of(store, task->id, strlen(task->id))] = task;
    return task;
}

bool flux2_emu_tasks_is_url_valid(const struct emu_tasks *store, const struct emu_task *task, unsigned version,
                                  double now)
{
    return version && version == task->url_version && task->url_epoch == store->epoch &&
           (!(task->url_expires > 0) || now < task->url_expires);
}

unsigned flux2_emu_tasks_url_version(struct emu_tasks *store, struct emu_task *task, double now, double ttl)
{
    if (!flux2_emu_tasks_is_url_valid(store, task, task->url_version, now)) {
        task->url_version++;
        task->url_epoch = store->epoch;
        task->url_expires = ttl > 0 ? now + ttl : 0;
    }
    return task->url_version;
}

static void set_text(json_t *object, const char *name, const char *text)
{
    if (text)
        json_object_set_new_nocheck(object, name, json_string_nocheck(text));
}

json_t *flux2_emu_tasks_view(const struct emu_task *task, double start, double now)
{
    static const char *const ends[] = {"succeeded", "failed", "failed"};
    json_t *view = json_object();
    set_text(view, "task_id", task->id);
    set_text(view, "model", task->request.model);
    set_text(view, "prompt", task->request.prompt);
    set_text(view, "type", task->request.type);
    set_text(view, "resolution", task->request.resolution);
    set_text(view, "aspect_ratio", task->request.aspect_ratio);
    if (task->request.input_urls)
        json_object_set_new_nocheck(view, "input_urls", json_deep_copy(task->request.input_urls));
    json_object_set_new_nocheck(view, "credits", json_real(task->credits));
    json_object_set_new_nocheck(view, "at", json_real(task->accepted_at - start));
    json_object_set_new_nocheck(view, "body", json_stringn_nocheck(task->body, task->body_len));
    set_text(view, "state", now < task->finished_at ? "running" : ends[task->outcome]);
    if (now >= task->finished_at)
        set_text(view, "reason", task->reason);
    json_object_set_new_nocheck(view, "duration", json_real(task->finished_at - task->accepted_at));
    json_object_set_new_nocheck(view, "polls", json_integer((json_int_t)task->polls));
    return view;
}

json_t *flux2_emu_tasks_ledger(const struct emu_tasks *store, double start)
{
    json_t *ledger = json_array();
    size_t i;
    for (i = 0; i < store->count; i++)
        json_array_append_new(ledger, flux2_emu_tasks_view(store->all[i], start, flux2_clock_now()));
    return ledger;
}
