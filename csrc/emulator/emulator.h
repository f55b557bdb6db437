/* emulator.h - one emulator: what its threads share.
 *
 * Owns: the state, its lock, its start and its end, and the verbs by which the host asks and commands.
 * Never: a lua_State. Everything goes in and out as JSON values, so that what holds the state knows no Lua. */
#ifndef FLUX2_EMU_EMULATOR_H
#define FLUX2_EMU_EMULATOR_H

#include "fault.h"
#include "journal.h"
#include "settings.h"
#include "tasks.h"

#include <pthread.h>
#include <sys/types.h>

struct emu_server;
struct emu_gallery;

struct flux2_emu {
    /* Fixed once it runs. */
    double started; /* monotonic */
    char url[64];
    int port;
    uint64_t picture_seed;
    struct emu_server *server;   /* NULL once stopped */
    struct emu_gallery *gallery; /* has its own lock */
    pid_t pid;                   /* of the process that has the threads */
    struct flux2_emu *forsaken;  /* in a forked child: the one before it, see flux2_emu_free */
    int stop_pipe[2];            /* the read end becomes readable for ever when the emulator stops */
    int stopping;                /* atomic */

    /* Under the lock. */
    pthread_mutex_t lock;
    struct emu_settings *settings;
    struct emu_tasks tasks;
    struct emu_faults faults;
    struct emu_journal journal;
    double credits;
    double fail_next; /* how many submissions from now on fail */
    char *fail_reason;
    double window_start, window_requests; /* of the rate limit */
    uint64_t random;
};

/* A running emulator, or NULL with the reason in ERR. *MISUSE tells whether the reason is a wrong setting. */
struct flux2_emu *flux2_emu_start(const json_t *settings, char *err, size_t err_size, int *misuse);

/* Ends all connections and threads. What it knows stays until flux2_emu_free; twice does nothing. In a forked child,
 * which has none of the threads, it only lets go of the port. */
void flux2_emu_stop(struct flux2_emu *emu);
void flux2_emu_free(struct flux2_emu *emu); /* stops it, if need be */

/* Does VERB ("stats", "set", ...) with ARG, NULL where it takes none. A new value, or NULL with the reason in ERR:
 * always a mistake of the caller. Works on a stopped emulator as well. */
json_t *flux2_emu_call(struct flux2_emu *emu, const char *verb, const json_t *arg, char *err,
                       size_t err_size);

/* Waits until REQUESTS have been logged since the start (below 0: never), SECONDS passed or a signal came, which Lua's
 * own handler then sees to. True: they have. */
bool flux2_emu_wait(struct flux2_emu *emu, double seconds, double requests);

/* Whether the emulator is about to stop: long work asks now and then. */
int flux2_emu_is_stopping(const struct flux2_emu *emu);

#endif
