/* request_log.c - see request_log.h. */
#include "emulator/request_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool flux2_emu_log_start(struct emu_request_log *log, size_t capacity, size_t body_limit)
{
    log->ring = calloc(capacity ? capacity : 1, sizeof(*log->ring));
    log->capacity = capacity;
    log->body_limit = body_limit;
    return log->ring != NULL;
}

static void free_entry(struct emu_log_entry *entry)
{
    free(entry->path);
    flux2_bytes_free(&entry->headers);
    flux2_bytes_free(&entry->body);
    memset(entry, 0, sizeof(*entry));
}

void flux2_emu_log_free(struct emu_request_log *log)
{
    size_t i;
    for (i = 0; log->ring && i < log->count; i++)
        free_entry(&log->ring[i]);
    free(log->ring);
    log->ring = NULL;
}

void flux2_emu_log_add(struct emu_request_log *log, struct emu_log_entry *entry)
{
    log->requests++;
    log->by_status[entry->status >= 0 && entry->status < 1000 ? entry->status : 0]++;
    if (!log->capacity) {
        free_entry(entry);
        return;
    }
    if (log->count == log->capacity)
        free_entry(&log->ring[log->next]);
    else
        log->count++;
    log->ring[log->next] = *entry;
    log->next = (log->next + 1) % log->capacity;
    memset(entry, 0, sizeof(*entry));
}

static json_t *headers_view(const struct flux2_bytes *headers)
{
    json_t *view = json_object();
    const char *at = headers->data, *end = headers->data + headers->size, *name, *value;
    while (flux2_pair_next(&at, end, &name, &value))
        json_object_set_new_nocheck(view, name, json_stringn_nocheck(value, strlen(value)));
    return view;
}

static json_t *entry_view(const struct emu_log_entry *e, uint64_t number, size_t body_limit)
{
    json_t *view = json_object();
    size_t body = e->body.size < body_limit ? e->body.size : body_limit;
    json_object_set_new_nocheck(view, "number", json_integer((json_int_t)number));
    json_object_set_new_nocheck(view, "method", json_string_nocheck(e->method));
    json_object_set_new_nocheck(view, "path", json_string_nocheck(e->path ? e->path : ""));
    json_object_set_new_nocheck(view, "status", json_integer(e->status));
    json_object_set_new_nocheck(view, "at", json_real(e->at));
    json_object_set_new_nocheck(view, "connection", json_integer((json_int_t)e->connection));
    json_object_set_new_nocheck(view, "headers", headers_view(&e->headers));
    json_object_set_new_nocheck(view, "body", json_stringn_nocheck(e->body.data ? e->body.data : "", body));
    if (e->fault)
        json_object_set_new_nocheck(view, "fault", json_integer(e->fault));
    return view;
}

json_t *flux2_emu_log_requests(const struct emu_request_log *log)
{
    json_t *list = json_array();
    size_t i;
    for (i = 0; i < log->count; i++) {
        size_t at = (log->next + log->capacity - log->count + i) % log->capacity;
        uint64_t number = log->requests - log->count + i + 1;
        json_array_append_new(list, entry_view(&log->ring[at], number, log->body_limit));
    }
    return list;
}

json_t *flux2_emu_log_stats(const struct emu_request_log *log)
{
    json_t *by_status = json_object();
    char name[16];
    int i;
    for (i = 0; i < 1000; i++) {
        if (!log->by_status[i])
            continue;
        snprintf(name, sizeof(name), "%d", i);
        json_object_set_new(by_status, name, json_integer((json_int_t)log->by_status[i]));
    }
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "requests", (json_int_t)log->requests, "submissions",
                     (json_int_t)log->submissions, "polls", (json_int_t)log->polls, "downloads",
                     (json_int_t)log->downloads, "connections", (json_int_t)log->connections, "open_connections",
                     (json_int_t)log->open_connections, "bytes_out",
                     (json_int_t)atomic_load_explicit(&log->bytes_out, memory_order_relaxed), "by_status", by_status);
}
