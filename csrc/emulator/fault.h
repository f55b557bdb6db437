/* fault.h - what is to go wrong, and when.
 *
 * Owns: the script of faults, the counting of the requests each waits for, and the choice for one request.
 * Never: carries a fault out (reply.c and wire.c do). The caller holds the emulator's lock for everything but reading
 * a fault that was taken, which does not change. */
#ifndef FLUX2_EMU_FAULT_H
#define FLUX2_EMU_FAULT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum emu_loss { EMU_LOSS_NONE, EMU_LOSS_BEFORE, EMU_LOSS_AFTER };

struct emu_fault {
    int refs; /* atomic */
    int index;

    /* Which requests. */
    char *method, *path; /* NULL: any */
    double first, last;  /* by number of the matching request; 0: not by number */
    double every;        /* 0: not */
    double times;        /* how often at most */
    double chance;       /* 1: always */
    double seen, fired;  /* under the lock */

    /* What happens to them. */
    int status;                             /* 0: as it comes */
    json_t *headers;                        /* object of name to string, or NULL */
    json_t *body;                           /* string, or NULL */
    double delay;                           /* seconds before the answer */
    double cut;                             /* bytes of the body that are sent; below 0: all */
    double trickle_bytes, trickle_interval; /* 0 bytes: at once */
    enum emu_loss reset, close;
    bool garbage, endless, endless_headers, hang;
    json_t *garbage_bytes; /* string, or NULL: noise */
    double bomb;           /* bytes it expands to; 0: none */
    bool accept;           /* whether the request is processed, whatever is answered */
    bool answers_itself;   /* whether what is answered is not the normal answer */
};

struct emu_faults {
    struct emu_fault **list;
    size_t count;
    int last_index;
    double fired;    /* all of them together, cleared ones too */
    uint64_t random; /* for `chance` */
};

void flux2_emu_faults_free(struct emu_faults *faults);

/* Adds the fault that SPEC describes: its index, from 1, or 0 with the reason in ERR. */
int flux2_emu_fault_add(struct emu_faults *faults, const json_t *spec, char *err, size_t err_size);

void flux2_emu_faults_clear(struct emu_faults *faults);

/* Counts the request with every fault it matches, and returns the first that is due, with a reference for the caller;
 * NULL: all is well. */
struct emu_fault *flux2_emu_fault_take(struct emu_faults *faults, const char *method, const char *path);

void flux2_emu_fault_unref(struct emu_fault *fault); /* NULL is welcome */

/* How often each was seen and fired, an array. */
json_t *flux2_emu_faults_view(const struct emu_faults *faults);

/* The names of all fields, an array. */
json_t *flux2_emu_fault_fields(void);

#endif
