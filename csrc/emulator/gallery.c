/* gallery.c - the pictures that were drawn; see gallery.h. */
#include "gallery.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* In a list from the latest used to the one that goes first. */
struct frame {
    struct frame *newer, *older;
    uint64_t key;
    struct emu_blob *blob; /* NULL while it is drawn */
};

struct emu_gallery {
    pthread_mutex_t lock;
    pthread_cond_t drawn; /* a frame was filled or taken away */
    struct frame *newest, *oldest;
    size_t bytes, max_bytes;
    bool drawing;
};

struct emu_gallery *flux2_emu_gallery_new(size_t max_bytes)
{
    struct emu_gallery *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->drawn, NULL);
    g->max_bytes = max_bytes;
    return g;
}

static void take_out(struct emu_gallery *g, struct frame *f)
{
    *(f->newer ? &f->newer->older : &g->newest) = f->older;
    *(f->older ? &f->older->newer : &g->oldest) = f->newer;
    f->newer = f->older = NULL;
}

static void put_first(struct emu_gallery *g, struct frame *f)
{
    f->older = g->newest;
    *(g->newest ? &g->newest->newer : &g->oldest) = f;
    g->newest = f;
}

static void forget(struct emu_gallery *g, struct frame *f)
{
    take_out(g, f);
    if (f->blob)
        g->bytes -= f->blob->len;
    flux2_emu_blob_unref(f->blob);
    free(f);
}

void flux2_emu_gallery_free(struct emu_gallery *g)
{
    if (!g)
        return;
    while (g->newest)
        forget(g, g->newest);
    pthread_cond_destroy(&g->drawn);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

/* The memory holds few enough for a list. */
static struct frame *find(struct emu_gallery *g, uint64_t key)
{
    struct frame *f = g->newest;
    while (f && f->key != key)
        f = f->older;
    return f;
}

static void make_room(struct emu_gallery *g)
{
    struct frame *f = g->oldest;
    while (f && g->bytes > g->max_bytes) {
        struct frame *newer = f->newer;
        if (f->blob)
            forget(g, f);
        f = newer;
    }
}

/* Draws into FRAME, which stands in the list without a picture: others wait for it. Called and left with the lock.
 * One thread draws at a time: it takes a core and up to 16 MB for a second, and the host is a game perhaps. */
static struct emu_blob *draw(struct emu_gallery *g, struct frame *f, const struct emu_sketch *sketch)
{
    struct emu_blob *blob = NULL;
    while (g->drawing && !sketch->give_up(sketch->cls))
        pthread_cond_wait(&g->drawn, &g->lock);
    g->drawing = true;
    pthread_mutex_unlock(&g->lock);
    if (!sketch->give_up(sketch->cls))
        blob = flux2_emu_picture_draw(sketch);
    pthread_mutex_lock(&g->lock);
    g->drawing = false;
    f->blob = blob ? flux2_emu_blob_ref(blob) : NULL;
    if (blob)
        g->bytes += blob->len;
    else
        forget(g, f);
    make_room(g);
    pthread_cond_broadcast(&g->drawn);
    return blob;
}

struct emu_blob *flux2_emu_gallery_get(struct emu_gallery *g, const struct emu_sketch *sketch, size_t size)
{
    struct emu_blob *blob = NULL;
    struct frame *f;
    if (size)
        return flux2_emu_picture_padded(sketch->seed, size);
    pthread_mutex_lock(&g->lock);
    while ((f = find(g, sketch->seed)) && !f->blob)
        pthread_cond_wait(&g->drawn, &g->lock);
    if (f) {
        take_out(g, f);
        put_first(g, f);
        blob = flux2_emu_blob_ref(f->blob);
    } else if ((f = calloc(1, sizeof(*f)))) {
        f->key = sketch->seed;
        put_first(g, f);
        blob = draw(g, f, sketch);
    }
    pthread_mutex_unlock(&g->lock);
    return blob;
}
