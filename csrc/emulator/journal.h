/* journal.h - what was asked of the emulator.
 *
 * Owns: the log of the last requests and the counters.
 * Never: decides anything. The caller holds the emulator's lock. */
#ifndef FLUX2_EMU_JOURNAL_H
#define FLUX2_EMU_JOURNAL_H

#include "util.h"

#include <jansson.h>

struct emu_entry {
    char method[16];
    char *path;             /* as it came, with the query */
    struct emu_buf headers; /* name NUL value NUL, names in lower case */
    struct emu_buf body;
    double at; /* seconds since the start */
    uint64_t connection;
    int status; /* 0: no answer was given */
    int fault;  /* index, 0: none */
};

struct emu_journal {
    struct emu_entry *ring;
    size_t room, count, next;
    size_t body_limit;

    uint64_t requests, submissions, polls, downloads;
    uint64_t connections, open_connections;
    uint64_t bytes_out; /* atomic: counted while bodies are sent */
    uint64_t by_status[1000];
};

/* 0, or -1: out of memory. */
int flux2_emu_journal_start(struct emu_journal *j, size_t room, size_t body_limit);
void flux2_emu_journal_free(struct emu_journal *j);

/* Logs and counts a request. Takes over what ENTRY owns. */
void flux2_emu_journal_add(struct emu_journal *j, struct emu_entry *entry);
void flux2_emu_journal_entry_free(struct emu_entry *entry);

/* The log, oldest first, and the counters. */
json_t *flux2_emu_journal_requests(const struct emu_journal *j);
json_t *flux2_emu_journal_stats(const struct emu_journal *j);

#endif
