/* response_writer.c - see response_writer.h. */
#include "emulator/response_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "platform/socket.h"

#define BLOCK 16384
#define ENDLESS_INTERVAL 0.0001 /* seconds between blocks of an endless body */

/* A body that is sent in blocks. */
struct stream {
    struct flux2_blob *body; /* NULL: empty */
    struct emu_output output;
    double cut; /* negative: no limit */
    size_t trickle_bytes;
    double trickle_interval;
    bool endless;
};

static void count_bytes(const struct emu_output *output, size_t bytes)
{
    atomic_fetch_add_explicit(output->bytes_out, bytes, memory_order_relaxed);
}

/* Returns the size of the next block, or an MHD_CONTENT_READER_END code. */
static ssize_t next_bytes(const struct stream *s, uint64_t pos, size_t max)
{
    size_t len = s->body ? s->body->size : 0;
    uint64_t left = s->endless ? BLOCK : len - pos;
    if (s->endless && pos < len)
        left = len - pos;
    if (s->cut >= 0 && (double)pos >= s->cut)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (!left)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (s->cut >= 0 && (double)left > s->cut - (double)pos)
        left = (uint64_t)(s->cut - (double)pos);
    if (s->trickle_bytes && left > s->trickle_bytes)
        left = s->trickle_bytes;
    if (left > max)
        left = max;
    return left ? (ssize_t)left : MHD_CONTENT_READER_END_WITH_ERROR;
}

/* Returns false if the client disconnects or the emulator stops. */
static bool pause_output(const struct stream *s, double seconds)
{
    return flux2_socket_wait(s->output.socket, s->output.stop, seconds);
}

static ssize_t read_body(void *cls, uint64_t pos, char *out, size_t max)
{
    struct stream *s = cls;
    ssize_t n = next_bytes(s, pos, max);
    size_t len = s->body ? s->body->size : 0;
    if (n < 0)
        return n;
    if (s->trickle_bytes && pos && !pause_output(s, s->trickle_interval))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (s->endless && !pause_output(s, ENDLESS_INTERVAL))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (pos < len)
        memcpy(out, s->body->data + pos, (size_t)n);
    else
        memset(out, 'x', (size_t)n);
    count_bytes(&s->output, (size_t)n);
    return n;
}

static void free_stream(void *cls)
{
    struct stream *s = cls;
    flux2_blob_unref(s->body);
    free(s);
}

static void free_blob(void *cls)
{
    flux2_blob_unref(cls);
}

/* Creates a response with the unchanged body. */
static struct MHD_Response *whole_response(const struct emu_response *out, const struct emu_output *output)
{
    if (!out->body)
        return MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    count_bytes(output, out->body->size);
    return MHD_create_response_from_buffer_with_free_callback_cls(out->body->size, out->body->data, free_blob,
                                                                  flux2_blob_ref(out->body));
}

/* Creates a response whose body is truncated, delayed or endless. */
static struct MHD_Response *faulty_response(const struct emu_response *out, const struct emu_fault *f,
                                            const struct emu_output *output)
{
    struct stream *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->body = out->body ? flux2_blob_ref(out->body) : NULL;
    s->output = *output;
    s->cut = f->cut;
    s->trickle_bytes = (size_t)f->trickle_bytes;
    s->trickle_interval = f->trickle_interval;
    s->endless = f->endless;
    return MHD_create_response_from_callback(f->endless ? MHD_SIZE_UNKNOWN
                                             : s->body  ? s->body->size
                                                        : 0,
                                             BLOCK, read_body, s, free_stream);
}

/* Returns gzip data that expands to SIZE spaces, or NULL if out of memory. */
static struct flux2_blob *make_bomb(uint64_t size)
{
    enum { GZIP = 16 };
    unsigned char spaces[BLOCK], packed[1024];
    struct flux2_bytes b = {0};
    z_stream z = {0};
    int rc = deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + GZIP, MAX_MEM_LEVEL, Z_RLE);
    memset(spaces, ' ', sizeof spaces);
    while (rc == Z_OK && !b.failed) {
        if (z.avail_in == 0) {
            z.next_in = spaces;
            z.avail_in = (uInt)(size < BLOCK ? size : BLOCK);
            size -= z.avail_in;
        }
        z.next_out = packed;
        z.avail_out = sizeof packed;
        rc = deflate(&z, size > 0 ? Z_NO_FLUSH : Z_FINISH);
        flux2_bytes_append(&b, packed, sizeof packed - z.avail_out);
    }
    b.failed = b.failed || rc != Z_STREAM_END;
    deflateEnd(&z);
    return flux2_blob_adopt(&b);
}

/* Appends TEXT with {url} and {task_id} replaced. */
static void expand_placeholders(struct flux2_bytes *b, const char *text, size_t len, const char *url,
                                const char *task_id)
{
    size_t i = 0;
    while (i < len) {
        if (len - i >= 9 && !memcmp(text + i, "{task_id}", 9)) {
            flux2_bytes_append(b, task_id, strlen(task_id));
            i += 9;
        } else if (len - i >= 5 && !memcmp(text + i, "{url}", 5)) {
            flux2_bytes_append(b, url, strlen(url));
            i += 5;
        } else {
            flux2_bytes_append(b, text + i++, 1);
        }
    }
}

void flux2_emu_response_apply_fault(struct emu_response *out, const struct emu_fault *f, const char *url)
{
    if (!f->responds)
        return;
    flux2_blob_unref(out->body);
    out->body = NULL;
    out->retry_after[0] = out->allow[0] = '\0';
    out->status = f->status ? f->status : 200;
    out->content_type = "application/json";
    if (f->bomb > 0) {
        out->body = make_bomb((uint64_t)f->bomb);
    } else if (f->body) {
        struct flux2_bytes b = {0};
        expand_placeholders(&b, json_string_value(f->body), json_string_length(f->body), url, out->task_id);
        out->body = flux2_blob_adopt(&b);
    }
}

static void add_headers(struct MHD_Response *response, const struct emu_response *out, const struct emu_fault *f)
{
    const char *name;
    json_t *value;
    bool typed = f && json_object_get(f->headers, "Content-Type");
    if (out->content_type && out->body && !typed)
        MHD_add_response_header(response, "Content-Type", out->content_type);
    if (out->allow[0])
        MHD_add_response_header(response, "Allow", out->allow);
    if (out->retry_after[0])
        MHD_add_response_header(response, "Retry-After", out->retry_after);
    if (out->status == 401)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (f && f->bomb > 0)
        MHD_add_response_header(response, "Content-Encoding", "gzip");
    if (!f || !f->headers)
        return;
    json_object_foreach(f->headers, name, value) MHD_add_response_header(response, name, json_string_value(value));
}

enum MHD_Result flux2_emu_response_send(struct MHD_Connection *connection, const struct emu_response *out,
                                        const struct emu_fault *f, const struct emu_output *output, bool last)
{
    bool is_faulty = f && (f->cut >= 0 || f->trickle_bytes > 0 || f->endless);
    struct MHD_Response *response = is_faulty ? faulty_response(out, f, output) : whole_response(out, output);
    enum MHD_Result result;
    if (!response)
        return MHD_NO;
    add_headers(response, out, f);
    if (last)
        MHD_add_response_header(response, "Connection", "close");
    result = MHD_queue_response(connection, (unsigned)out->status, response);
    MHD_destroy_response(response);
    return result;
}
