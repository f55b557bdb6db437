/* sink.c - see sink.h. */
#include "http/sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/file.h"

enum {
    FIRST_CAPACITY = 1024,
    MOVED_AT_ONCE = 1 << 18, /* bytes of a file that are moved up in one step */
};

void flux2_sink_init(struct flux2_sink *s)
{
    memset(s, 0, sizeof *s);
    s->signature = FLUX2_IMAGE_SIGNATURE_UNDECIDED;
    s->file.handle = s->sidecar.handle = -1;
    flux2_image_scan_init(&s->scan);
}

static enum flux2_failure fail(struct flux2_sink *s, int error)
{
    s->error = error;
    return error == ENOMEM ? FLUX2_FAILURE_MEMORY : FLUX2_FAILURE_IO;
}

/* Checks the signature as early as possible, so that an HTML page is not downloaded completely. */
static enum flux2_failure check_head(struct flux2_sink *s, const void *data, size_t size)
{
    size_t have = s->received < sizeof s->head ? s->received : sizeof s->head;
    size_t more = sizeof s->head - have < size ? sizeof s->head - have : size;
    memcpy(s->head + have, data, more);
    if (!s->accept || s->signature != FLUX2_IMAGE_SIGNATURE_UNDECIDED)
        return FLUX2_FAILURE_NONE;
    s->signature = flux2_image_signature_match(s->accept, s->accept_count, s->head, have + more);
    return s->signature == FLUX2_IMAGE_SIGNATURE_NONE ? FLUX2_FAILURE_SIGNATURE : FLUX2_FAILURE_NONE;
}

static bool reserve(struct flux2_sink *s, size_t need, size_t expected)
{
    size_t want = s->capacity ? s->capacity : FIRST_CAPACITY;
    if (need <= s->capacity)
        return true;
    /* The announced size is only a hint and may be wrong. */
    if (expected > 0 && expected <= s->limit && need <= expected + 1)
        want = expected + 1;
    while (want < need)
        want *= 2;
    char *data = realloc(s->data, want);
    if (!data)
        return false;
    s->data = data;
    s->capacity = want;
    return true;
}

static enum flux2_failure open_file(struct flux2_sink *s)
{
    int rc = s->file.temporary ? 0 : flux2_file_open(&s->file, s->path, FLUX2_FILE_SHARED);
    return rc == 0 ? FLUX2_FAILURE_NONE : fail(s, rc);
}

enum flux2_failure flux2_sink_write(struct flux2_sink *s, const void *data, size_t size, size_t expected)
{
    if (size > s->limit - s->received)
        return FLUX2_FAILURE_TOO_LARGE;
    enum flux2_failure failure = check_head(s, data, size);
    if (failure != FLUX2_FAILURE_NONE)
        return failure;
    if (s->path) {
        failure = open_file(s);
        if (failure != FLUX2_FAILURE_NONE)
            return failure;
        int rc = flux2_file_write(&s->file, data, size);
        if (rc != 0)
            return fail(s, rc);
    } else {
        if (!reserve(s, s->received + size + 1, expected))
            return fail(s, ENOMEM);
        memcpy(s->data + s->received, data, size);
        s->data[s->received + size] = '\0';
    }
    if (s->accept || s->metadata)
        flux2_image_scan_feed(&s->scan, data, size);
    s->received += size;
    return FLUX2_FAILURE_NONE;
}

/* --- metadata --------------------------------------------------------------------------------------- */

/* Moves what FILE has from FROM to END up by SIZE bytes, the last bytes first. */
static int move_up(struct flux2_file *file, uint64_t from, uint64_t end, size_t size)
{
    int rc = 0;
    char *data = malloc(MOVED_AT_ONCE);
    if (!data)
        return ENOMEM;
    while (rc == 0 && end > from) {
        size_t n = end - from < MOVED_AT_ONCE ? (size_t)(end - from) : MOVED_AT_ONCE;
        end -= n;
        rc = flux2_file_read_at(file->handle, end, data, n);
        rc = rc ? rc : flux2_file_write_at(file, end + size, data, n);
    }
    free(data);
    return rc;
}

/* Returns whether PATH is a file that is no sidecar of flux2. */
static bool is_foreign(const char *path)
{
    static const char own[] = "{\"task_id\":"; /* see lua/flux2/metadata.lua */
    char head[sizeof own - 1];
    size_t got;
    uint64_t size;
    return flux2_file_head(path, head, sizeof head, &got, &size) == 0 &&
           (got < sizeof head || memcmp(head, own, sizeof head) != 0);
}

/* Opens and writes the file beside the image, unless another program's is there. */
static int write_sidecar(struct flux2_sink *s)
{
    size_t size = strlen(s->path) + sizeof ".json";
    char *path = malloc(size);
    if (!path)
        return ENOMEM;
    snprintf(path, size, "%s.json", s->path);
    bool foreign = is_foreign(path);
    int rc = foreign ? 0 : flux2_file_open(&s->sidecar, path, FLUX2_FILE_SHARED);
    free(path);
    if (foreign)
        return 0;
    rc = rc ? rc : flux2_file_write(&s->sidecar, s->metadata->json, strlen(s->metadata->json));
    return rc ? rc : flux2_file_write(&s->sidecar, "\n", 1);
}

static int add_metadata(struct flux2_sink *s)
{
    char *block;
    size_t size;
    uint64_t place = s->scan.place;
    int rc = flux2_image_metadata_block(s->metadata, &s->scan, &block, &size);
    if (rc == 0 && !block)
        return write_sidecar(s);
    rc = rc ? rc : move_up(&s->file, place, s->received, size);
    rc = rc ? rc : flux2_file_write_at(&s->file, place, block, size);
    free(block);
    return rc;
}

/* --- the end of a body ------------------------------------------------------------------------------ */

/* Gives the files their names, the image first: without the other file it is complete too. */
static int commit(struct flux2_sink *s)
{
    int rc = s->metadata ? add_metadata(s) : 0;
    rc = rc ? rc : flux2_file_commit(&s->file, s->durable);
    return rc == 0 && s->sidecar.temporary ? flux2_file_commit(&s->sidecar, s->durable) : rc;
}

enum flux2_failure flux2_sink_finish(struct flux2_sink *s)
{
    if (s->accept && s->signature < 0)
        return FLUX2_FAILURE_SIGNATURE;
    if (s->accept && !flux2_image_scan_is_whole(&s->scan))
        return FLUX2_FAILURE_TRUNCATED;
    if (!s->path)
        return FLUX2_FAILURE_NONE;
    enum flux2_failure failure = open_file(s);
    if (failure != FLUX2_FAILURE_NONE)
        return failure;
    int rc = commit(s);
    return rc == 0 ? FLUX2_FAILURE_NONE : fail(s, rc);
}

char *flux2_sink_take(struct flux2_sink *s, size_t *size)
{
    char *data = s->data;
    *size = data ? s->received : 0;
    /* The memory may be kept for long: unused capacity is returned. */
    if (data && s->capacity - s->received > FIRST_CAPACITY / 2) {
        char *smaller = realloc(data, s->received + 1);
        if (smaller)
            data = smaller;
    }
    s->data = NULL;
    s->capacity = 0;
    return data;
}

void flux2_sink_clear(struct flux2_sink *s)
{
    flux2_file_discard(&s->file);
    if (s->sidecar.temporary)
        flux2_file_discard(&s->sidecar);
    free(s->data);
    s->data = NULL;
    s->capacity = 0;
    s->received = 0;
    s->error = 0;
    s->signature = FLUX2_IMAGE_SIGNATURE_UNDECIDED;
    if (s->scan.at > 0)
        flux2_image_scan_init(&s->scan);
}
