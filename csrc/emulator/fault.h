/* fault.h - parses faults and selects the fault for each request; response_writer.h and connection.h apply it.
 *
 * The caller holds the emulator's lock, except to read and release a fault that it holds a reference to. */
#ifndef FLUX2_EMU_FAULT_H
#define FLUX2_EMU_FAULT_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum emu_disconnect { EMU_DISCONNECT_NONE, EMU_DISCONNECT_BEFORE, EMU_DISCONNECT_AFTER };

struct emu_fault {
    atomic_int references;
    int index;

    /* Which requests match. */
    char *method, *path; /* NULL: any */
    double first, last;  /* range of matching requests, from 1; 0: any */
    double every;        /* each N-th matching request; 0: any */
    double times;        /* maximum number of applications */
    double chance;       /* probability, 0 to 1 */
    double seen, fired;  /* requests matched, faults applied; guarded by the lock */

    /* How the response changes. */
    int status;                             /* HTTP status; 0: unchanged */
    json_t *headers;                        /* object of strings, or NULL */
    json_t *body;                           /* string, or NULL */
    double delay;                           /* seconds before the response */
    double cut;                             /* body bytes before the connection closes; negative: no limit */
    double trickle_bytes, trickle_interval; /* chunk size (0: whole body) and pause in seconds */
    enum emu_disconnect reset, close;
    bool endless, endless_headers, hang;
    json_t *garbage; /* string that is sent instead of HTTP, or NULL */
    double bomb;     /* decompressed size of a gzip bomb; 0: none */
    bool accept;     /* the request is processed although the response is replaced */
    bool responds;   /* the fault replaces the response */
};

struct emu_faults {
    struct emu_fault **list;
    size_t count;
    int last_index;
    double fired;    /* by all faults, including cleared ones */
    uint64_t random; /* state of the random generator for `chance` */
};

void flux2_emu_faults_free(struct emu_faults *faults);

/* Adds the fault SPEC. Returns its index, from 1, or 0 with the reason in ERR. */
int flux2_emu_fault_add(struct emu_faults *faults, const json_t *spec, char *err, size_t err_size);

void flux2_emu_faults_clear(struct emu_faults *faults);

/* Counts the request for each fault that matches. Returns the first fault to apply, with a reference for the caller,
 * or NULL. */
struct emu_fault *flux2_emu_fault_take(struct emu_faults *faults, const char *method, const char *path);

/* Accepts NULL. */
void flux2_emu_fault_unref(struct emu_fault *fault);

/* Returns the counters of each fault as a new array. */
json_t *flux2_emu_faults_view(const struct emu_faults *faults);

/* Returns the names of all fault fields as a new array. */
json_t *flux2_emu_fault_fields(void);

#endif
