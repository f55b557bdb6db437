/* reply.c - sending an answer; see reply.h. */
#include "reply.h"

#include "bomb.h"
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 16384

/* A body on its way. */
struct stream {
    struct emu_blob *body; /* NULL: empty */
    struct emu_line line;
    double cut; /* below 0: no */
    size_t trickle_bytes;
    double trickle_interval;
    bool endless;
};

static void count_out(const struct emu_line *line, size_t bytes)
{
    __atomic_add_fetch(line->bytes_out, bytes, __ATOMIC_RELAXED);
}

/* How much goes out next, or a code that ends the body. */
static ssize_t next_bytes(const struct stream *s, uint64_t pos, size_t max)
{
    size_t len = s->body ? s->body->len : 0;
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

static ssize_t read_body(void *cls, uint64_t pos, char *out, size_t max)
{
    struct stream *s = cls;
    ssize_t n = next_bytes(s, pos, max);
    size_t len = s->body ? s->body->len : 0;
    if (n < 0)
        return n;
    if (s->trickle_bytes && pos && !flux2_emu_wire_wait(s->line.fd, s->line.stop_fd, s->trickle_interval))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (s->endless && !flux2_emu_wire_wait(s->line.fd, s->line.stop_fd, 0.0001))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (pos < len)
        memcpy(out, s->body->data + pos, (size_t)n);
    else
        memset(out, 'x', (size_t)n);
    count_out(&s->line, (size_t)n);
    return n;
}

static void free_stream(void *cls)
{
    struct stream *s = cls;
    flux2_emu_blob_unref(s->body);
    free(s);
}

static void free_blob(void *cls)
{
    flux2_emu_blob_unref(cls);
}

/* A body that goes out as it is. */
static struct MHD_Response *plain_response(const struct emu_answer *a, const struct emu_line *line)
{
    if (!a->body)
        return MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    count_out(line, a->body->len);
    return MHD_create_response_from_buffer_with_free_callback_cls(a->body->len, a->body->data, free_blob,
                                                                  flux2_emu_blob_ref(a->body));
}

/* A body that a fault spoils on its way. */
static struct MHD_Response *spoilt_response(const struct emu_answer *a, const struct emu_fault *f,
                                            const struct emu_line *line)
{
    struct stream *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->body = a->body ? flux2_emu_blob_ref(a->body) : NULL;
    s->line = *line;
    s->cut = f->cut;
    s->trickle_bytes = (size_t)f->trickle_bytes;
    s->trickle_interval = f->trickle_interval;
    s->endless = f->endless;
    return MHD_create_response_from_callback(f->endless ? MHD_SIZE_UNKNOWN
                                             : s->body  ? s->body->len
                                                        : 0,
                                             BLOCK, read_body, s, free_stream);
}

/* Copies TEXT, and VALUE wherever it says MARK. */
static void expand(struct emu_buf *out, const char *text, size_t len, const char *url, const char *task_id)
{
    size_t i = 0;
    while (i < len) {
        if (len - i >= 9 && !memcmp(text + i, "{task_id}", 9)) {
            flux2_emu_buf_text(out, task_id);
            i += 9;
        } else if (len - i >= 5 && !memcmp(text + i, "{url}", 5)) {
            flux2_emu_buf_text(out, url);
            i += 5;
        } else {
            flux2_emu_buf_append(out, text + i++, 1);
        }
    }
}

void flux2_emu_reply_spoil(struct emu_answer *a, const struct emu_fault *f, const char *url)
{
    if (!f->answers_itself)
        return;
    flux2_emu_blob_unref(a->body);
    a->body = NULL;
    a->retry_after[0] = a->allow[0] = '\0';
    a->status = f->status ? f->status : 200;
    a->content_type = "application/json";
    if (f->bomb > 0) {
        a->body = flux2_emu_bomb_make((uint64_t)f->bomb);
    } else if (f->body) {
        struct emu_buf b = {0};
        expand(&b, json_string_value(f->body), json_string_length(f->body), url, a->task_id);
        a->body = flux2_emu_blob_adopt(&b);
    }
}

static void add_headers(struct MHD_Response *response, const struct emu_answer *a, const struct emu_fault *f)
{
    const char *name;
    json_t *value;
    bool typed = f && json_object_get(f->headers, "Content-Type");
    if (a->content_type && a->body && !typed)
        MHD_add_response_header(response, "Content-Type", a->content_type);
    if (a->allow[0])
        MHD_add_response_header(response, "Allow", a->allow);
    if (a->retry_after[0])
        MHD_add_response_header(response, "Retry-After", a->retry_after);
    if (a->status == 401)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (f && f->bomb > 0)
        MHD_add_response_header(response, "Content-Encoding", "gzip");
    if (!f || !f->headers)
        return;
    json_object_foreach(f->headers, name, value)
        MHD_add_response_header(response, name, json_string_value(value));
}

enum MHD_Result flux2_emu_reply_send(struct MHD_Connection *connection, const struct emu_answer *a,
                                     const struct emu_fault *f, const struct emu_line *line, bool last)
{
    bool spoilt = f && (f->cut >= 0 || f->trickle_bytes > 0 || f->endless);
    struct MHD_Response *response = spoilt ? spoilt_response(a, f, line) : plain_response(a, line);
    enum MHD_Result result;
    if (!response)
        return MHD_NO;
    add_headers(response, a, f);
    if (last)
        MHD_add_response_header(response, "Connection", "close");
    result = MHD_queue_response(connection, (unsigned)a->status, response);
    MHD_destroy_response(response);
    return result;
}
