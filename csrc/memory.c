/* memory.c - see memory.h.
 *
 * The file is text, a line for each kind: its name, a tab, and "bin:mass" in millionths of a lesson, because a decimal
 * point is not one in every locale. The first line says what it is, the last one that it is whole. */
#include "memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ascii.h"
#include "platform.h"

static const char HEAD[] = "flux2-durations 1\n";
static const char TAIL[] = "end\n";
static const double UNIT = 1e6;      /* of a mass in the file */
static const double WRITE_PAUSE = 2; /* seconds between two times that the file is written */
enum { FILE_MODE = 0600, KINDS_MAX = 256, LONGEST_NAME = 512, ENTRY_MAX = 24 };

struct flux2_kind {
    struct flux2_memory *memory;
    struct flux2_kind *next;
    char *name;
    struct flux2_sketch sketch;
};

struct flux2_memory {
    atomic_uint references;
    unsigned forks;       /* the process that it belongs to: in a child nobody may ever unlock it */
    pthread_mutex_t lock; /* over all that follows */
    char *path;           /* NULL: it is kept nowhere */
    struct flux2_kind *first;
    bool changed; /* since it was written */
    bool written; /* at `written_at` */
    double written_at;
};

/* --- life ------------------------------------------------------------------------------------------- */

static void free_kinds(struct flux2_kind *k)
{
    while (k) {
        struct flux2_kind *next = k->next;
        free(k->name);
        free(k);
        k = next;
    }
}

struct flux2_memory *flux2_memory_new(const char *path)
{
    struct flux2_memory *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->path = path ? strdup(path) : NULL;
    if (path && !m->path) {
        free(m);
        return NULL;
    }
    atomic_init(&m->references, 1);
    m->forks = flux2_platform_forks();
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

struct flux2_memory *flux2_memory_hold(struct flux2_memory *m)
{
    atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed);
    return m;
}

static void write_file(const char *path, const char *text)
{
    struct flux2_file file;
    int rc = flux2_platform_file_open(&file, path, FILE_MODE);
    if (rc == 0)
        rc = flux2_platform_file_write(&file, text, strlen(text));
    if (rc == 0)
        flux2_platform_file_commit(&file, false);
    flux2_platform_file_discard(&file);
}

void flux2_memory_release(struct flux2_memory *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) != 1)
        return;
    if (m->forks == flux2_platform_forks()) {
        char *text = m->path && m->changed ? flux2_memory_text(m) : NULL;
        if (text)
            write_file(m->path, text);
        free(text);
        pthread_mutex_destroy(&m->lock);
    }
    free_kinds(m->first);
    free(m->path);
    free(m);
}

/* --- kinds -------------------------------------------------------------------------------------------- */

/* The kind called by the first SIZE bytes of NAME in a list, added to it if need be. */
static struct flux2_kind *find(struct flux2_kind **list, const char *name, size_t size)
{
    struct flux2_kind *k;
    for (k = *list; k; k = k->next)
        if (strlen(k->name) == size && memcmp(k->name, name, size) == 0)
            return k;
    k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->name = calloc(size + 1, 1);
    if (!k->name) {
        free(k);
        return NULL;
    }
    memcpy(k->name, name, size); /* which may be a piece of something longer that does not end in a NUL */
    k->next = *list;
    *list = k;
    return k;
}

struct flux2_kind *flux2_memory_kind(struct flux2_memory *m, const char *name)
{
    if (m->forks != flux2_platform_forks())
        return NULL;
    pthread_mutex_lock(&m->lock);
    struct flux2_kind *k = find(&m->first, name, strlen(name));
    if (k)
        k->memory = m;
    pthread_mutex_unlock(&m->lock);
    return k;
}

struct flux2_kind *flux2_kind_hold(struct flux2_kind *k)
{
    flux2_memory_hold(k->memory);
    return k;
}

void flux2_kind_release(struct flux2_kind *k)
{
    if (k)
        flux2_memory_release(k->memory);
}

const struct flux2_sketch *flux2_kind_borrow(struct flux2_kind *k)
{
    pthread_mutex_lock(&k->memory->lock);
    return &k->sketch;
}

void flux2_kind_give_back(struct flux2_kind *k)
{
    pthread_mutex_unlock(&k->memory->lock);
}

void flux2_kind_learn(struct flux2_kind *k, double low, double high, double now)
{
    struct flux2_memory *m = k->memory;
    pthread_mutex_lock(&m->lock);
    flux2_sketch_learn(&k->sketch, low, high);
    m->changed = true;
    /* The first lesson at once: a program that makes one picture may end in any way after it. */
    bool due = m->path && (!m->written || now - m->written_at >= WRITE_PAUSE);
    char *path = due ? strdup(m->path) : NULL;
    pthread_mutex_unlock(&m->lock);
    char *text = path ? flux2_memory_text(m) : NULL;
    if (text) {
        pthread_mutex_lock(&m->lock);
        m->changed = false;
        m->written = true;
        m->written_at = now;
        pthread_mutex_unlock(&m->lock);
        write_file(path, text);
    }
    free(text);
    free(path);
}

/* --- the file ------------------------------------------------------------------------------------------- */

/* Room for KIND's line. */
static size_t line_size(const struct flux2_kind *k)
{
    return strlen(k->name) + 2 + (size_t)FLUX2_SKETCH_BINS * ENTRY_MAX;
}

static char *put_kind(char *out, const struct flux2_kind *k)
{
    int i;
    out += sprintf(out, "%s\t", k->name);
    for (i = 0; i < FLUX2_SKETCH_BINS; i++) {
        long mass = (long)((double)k->sketch.mass[i] * UNIT + 0.5);
        if (mass > 0)
            out += sprintf(out, " %d:%ld", i, mass);
    }
    *out++ = '\n';
    return out;
}

char *flux2_memory_text(struct flux2_memory *m)
{
    size_t size = sizeof HEAD + sizeof TAIL;
    const struct flux2_kind *k;
    pthread_mutex_lock(&m->lock);
    for (k = m->first; k; k = k->next)
        size += line_size(k);
    char *text = malloc(size), *out = text;
    if (text) {
        out += sprintf(out, "%s", HEAD);
        for (k = m->first; k; k = k->next)
            if (k->sketch.lessons > 0)
                out = put_kind(out, k);
        sprintf(out, "%s", TAIL);
    }
    pthread_mutex_unlock(&m->lock);
    return text;
}

/* Digits at *AT up to MOST; false if there are none or too many. */
static bool read_number(const char **at, const char *end, long most, long *out)
{
    const char *p = *at;
    long n = 0;
    for (; p < end && flux2_is_digit(*p); p++) {
        n = n * 10 + (*p - '0');
        if (n > most)
            return false;
    }
    if (p == *at)
        return false;
    *at = p;
    *out = n;
    return true;
}

static bool read_masses(struct flux2_sketch *s, const char *at, const char *end)
{
    long bin, mass;
    while (at < end) {
        if (*at++ != ' ' || !read_number(&at, end, FLUX2_SKETCH_BINS - 1, &bin) || at == end ||
            *at++ != ':' || !read_number(&at, end, (long)(1000 * UNIT), &mass))
            return false;
        s->mass[bin] = (float)((double)mass / UNIT);
    }
    flux2_sketch_sum(s);
    return s->lessons > 0;
}

/* The kinds that TEXT tells of, as a list; false if it is damaged. */
static bool read_kinds(struct flux2_kind **list, const char *at, const char *end)
{
    int count = 0;
    while (at < end && end[-1] == '\n') {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop + 1 == end)
            return (size_t)(stop - at) == strlen("end") && memcmp(at, "end", strlen("end")) == 0;
        const char *tab = memchr(at, '\t', (size_t)(stop - at));
        if (!tab || tab == at || tab - at > LONGEST_NAME || ++count > KINDS_MAX)
            return false;
        struct flux2_kind *k = find(list, at, (size_t)(tab - at));
        if (!k || !read_masses(&k->sketch, tab + 1, stop))
            return false;
        at = stop + 1;
    }
    return false;
}

void flux2_memory_detach(struct flux2_memory *m)
{
    pthread_mutex_lock(&m->lock);
    free(m->path);
    m->path = NULL;
    pthread_mutex_unlock(&m->lock);
}

bool flux2_memory_load(struct flux2_memory *m, const char *text, size_t size, const char **reason)
{
    struct flux2_kind *list = NULL, *from, *to;
    size_t head = strlen(HEAD);
    *reason = "it is not a file of polling durations";
    if (size < head || size > FLUX2_MEMORY_TEXT_MAX || memchr(text, '\0', size) ||
        memcmp(text, HEAD, head) != 0) {
        flux2_memory_detach(m);
        return false;
    }
    *reason = "it is damaged";
    bool ok = read_kinds(&list, text + head, text + size);
    pthread_mutex_lock(&m->lock);
    for (from = ok ? list : NULL; from; from = from->next) {
        to = find(&m->first, from->name, strlen(from->name));
        if (!to)
            continue;
        to->memory = m;
        to->sketch = from->sketch;
    }
    pthread_mutex_unlock(&m->lock);
    free_kinds(list);
    return ok;
}
