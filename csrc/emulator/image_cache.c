/* image_cache.c - see image_cache.h. */
#include "emulator/image_cache.h"

#include <stdlib.h>

#include "platform/thread.h"

/* An image in the list, which is ordered by last use. */
struct entry {
    struct entry *newer, *older;
    uint64_t key;
    struct flux2_blob *blob; /* NULL while being drawn */
};

struct emu_image_cache {
    struct flux2_mutex lock;
    struct flux2_cond drawn; /* signalled when an entry is filled or removed */
    struct entry *newest, *oldest;
    size_t bytes, max_bytes;
    bool is_drawing;
};

struct emu_image_cache *flux2_emu_image_cache_new(size_t max_bytes)
{
    struct emu_image_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return NULL;
    flux2_mutex_init(&cache->lock);
    flux2_cond_init(&cache->drawn);
    cache->max_bytes = max_bytes;
    return cache;
}

static void unlink_entry(struct emu_image_cache *cache, struct entry *e)
{
    *(e->newer ? &e->newer->older : &cache->newest) = e->older;
    *(e->older ? &e->older->newer : &cache->oldest) = e->newer;
    e->newer = e->older = NULL;
}

static void prepend(struct emu_image_cache *cache, struct entry *e)
{
    e->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = e;
    cache->newest = e;
}

static void drop(struct emu_image_cache *cache, struct entry *e)
{
    unlink_entry(cache, e);
    if (e->blob)
        cache->bytes -= e->blob->size;
    flux2_blob_unref(e->blob);
    free(e);
}

void flux2_emu_image_cache_free(struct emu_image_cache *cache)
{
    if (!cache)
        return;
    while (cache->newest)
        drop(cache, cache->newest);
    flux2_cond_destroy(&cache->drawn);
    flux2_mutex_destroy(&cache->lock);
    free(cache);
}

/* A linear search: the cache holds few entries. */
static struct entry *find(struct emu_image_cache *cache, uint64_t key)
{
    struct entry *e = cache->newest;
    while (e && e->key != key)
        e = e->older;
    return e;
}

static void make_room(struct emu_image_cache *cache)
{
    struct entry *e = cache->oldest;
    while (e && cache->bytes > cache->max_bytes) {
        struct entry *newer = e->newer;
        if (e->blob)
            drop(cache, e);
        e = newer;
    }
}

/* Draws the image of E, which is already in the list so that other threads wait for it. Called with the lock held;
 * releases it while drawing. One thread draws at a time, because drawing uses a core and up to 16 MB for about a
 * second. */
static struct flux2_blob *draw(struct emu_image_cache *cache, struct entry *e, const struct emu_image_spec *spec)
{
    struct flux2_blob *blob = NULL;
    while (cache->is_drawing && !spec->is_cancelled(spec->context))
        flux2_cond_wait(&cache->drawn, &cache->lock);
    cache->is_drawing = true;
    flux2_mutex_unlock(&cache->lock);
    if (!spec->is_cancelled(spec->context))
        blob = flux2_emu_image_draw(spec);
    flux2_mutex_lock(&cache->lock);
    cache->is_drawing = false;
    e->blob = blob ? flux2_blob_ref(blob) : NULL;
    if (blob)
        cache->bytes += blob->size;
    else
        drop(cache, e);
    make_room(cache);
    flux2_cond_broadcast(&cache->drawn);
    return blob;
}

struct flux2_blob *flux2_emu_image_cache_get(struct emu_image_cache *cache, const struct emu_image_spec *spec,
                                             size_t size)
{
    struct flux2_blob *blob = NULL;
    struct entry *e;
    if (size)
        return flux2_emu_image_padded(spec->seed, size);
    flux2_mutex_lock(&cache->lock);
    while ((e = find(cache, spec->seed)) && !e->blob)
        flux2_cond_wait(&cache->drawn, &cache->lock);
    if (e) {
        unlink_entry(cache, e);
        prepend(cache, e);
        blob = flux2_blob_ref(e->blob);
    } else if ((e = calloc(1, sizeof *e))) {
        e->key = spec->seed;
        prepend(cache, e);
        blob = draw(cache, e, spec);
    }
    flux2_mutex_unlock(&cache->lock);
    return blob;
}
