/* journal.c - what was asked of the emulator; see journal.h. */
#include "journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int flux2_emu_journal_start(struct emu_journal *j, size_t room, size_t body_limit)
{
    j->ring = calloc(room ? room : 1, sizeof(*j->ring));
    j->room = room;
    j->body_limit = body_limit;
    return j->ring ? 0 : -1;
}

void flux2_emu_journal_entry_free(struct emu_entry *entry)
{
    free(entry->path);
    flux2_emu_buf_free(&entry->headers);
    flux2_emu_buf_free(&entry->body);
    memset(entry, 0, sizeof(*entry));
}

void flux2_emu_journal_free(struct emu_journal *j)
{
    size_t i;
    for (i = 0; j->ring && i < j->count; i++)
        flux2_emu_journal_entry_free(&j->ring[i]);
    free(j->ring);
    j->ring = NULL;
}

void flux2_emu_journal_add(struct emu_journal *j, struct emu_entry *entry)
{
    j->requests++;
    j->by_status[entry->status >= 0 && entry->status < 1000 ? entry->status : 0]++;
    if (!j->room) {
        flux2_emu_journal_entry_free(entry);
        return;
    }
    if (j->count == j->room)
        flux2_emu_journal_entry_free(&j->ring[j->next]);
    else
        j->count++;
    j->ring[j->next] = *entry;
    j->next = (j->next + 1) % j->room;
    memset(entry, 0, sizeof(*entry));
}

static json_t *headers_view(const struct emu_buf *headers)
{
    json_t *view = json_object();
    const char *p = headers->data, *end = headers->data + headers->len;
    while (p < end) {
        const char *value = p + strlen(p) + 1;
        json_object_set_new_nocheck(view, p, json_stringn_nocheck(value, strlen(value)));
        p = value + strlen(value) + 1;
    }
    return view;
}

static json_t *entry_view(const struct emu_entry *e, size_t body_limit)
{
    json_t *view = json_object();
    size_t body = e->body.len < body_limit ? e->body.len : body_limit;
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

json_t *flux2_emu_journal_requests(const struct emu_journal *j)
{
    json_t *log = json_array();
    size_t i;
    for (i = 0; i < j->count; i++) {
        size_t at = (j->next + j->room - j->count + i) % j->room;
        json_array_append_new(log, entry_view(&j->ring[at], j->body_limit));
    }
    return log;
}

json_t *flux2_emu_journal_stats(const struct emu_journal *j)
{
    json_t *stats = json_object(), *by_status = json_object();
    char name[16];
    int i;
    for (i = 0; i < 1000; i++) {
        if (!j->by_status[i])
            continue;
        snprintf(name, sizeof(name), "%d", i);
        json_object_set_new(by_status, name, json_integer((json_int_t)j->by_status[i]));
    }
    json_object_set_new(stats, "requests", json_integer((json_int_t)j->requests));
    json_object_set_new(stats, "submissions", json_integer((json_int_t)j->submissions));
    json_object_set_new(stats, "polls", json_integer((json_int_t)j->polls));
    json_object_set_new(stats, "downloads", json_integer((json_int_t)j->downloads));
    json_object_set_new(stats, "connections", json_integer((json_int_t)j->connections));
    json_object_set_new(stats, "open_connections", json_integer((json_int_t)j->open_connections));
    json_object_set_new(stats, "bytes_out",
                        json_integer((json_int_t)__atomic_load_n(&j->bytes_out, __ATOMIC_RELAXED)));
    json_object_set_new(stats, "by_status", by_status);
    return stats;
}
