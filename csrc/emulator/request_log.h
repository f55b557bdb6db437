/* request_log.h - a ring buffer of the latest requests, and counters of all requests.
 *
 * The caller holds the emulator's lock, except for bytes_out. */
#ifndef FLUX2_EMU_REQUEST_LOG_H
#define FLUX2_EMU_REQUEST_LOG_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

#include "server/bytes.h"

struct emu_log_entry {
    char method[16];
    char *path;                 /* as received, with the query */
    struct flux2_bytes headers; /* name NUL value NUL, names in lower case */
    struct flux2_bytes body;
    double at; /* seconds since the start */
    uint64_t connection;
    int status; /* 0: no response */
    int fault;  /* index; 0: none */
};

struct emu_request_log {
    struct emu_log_entry *ring;
    size_t capacity, count, next;
    size_t body_limit;

    uint64_t requests, submissions, polls, downloads;
    uint64_t connections, open_connections;
    atomic_uint_fast64_t bytes_out; /* response body bytes */
    uint64_t by_status[1000];
};

/* Returns false if out of memory. */
bool flux2_emu_log_start(struct emu_request_log *log, size_t capacity, size_t body_limit);
void flux2_emu_log_free(struct emu_request_log *log);

/* Logs and counts a request. Takes ownership of ENTRY's members. */
void flux2_emu_log_add(struct emu_request_log *log, struct emu_log_entry *entry);

/* Return the log, oldest first, as a new array, and the counters as a new object. */
json_t *flux2_emu_log_requests(const struct emu_request_log *log);
json_t *flux2_emu_log_stats(const struct emu_request_log *log);

#endif
