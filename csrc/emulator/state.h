/* state.h - the shared state of an emulator.
 *
 * emulator.h creates and frees it; the connection threads use it. The members from the lock on are guarded by the
 * lock. */
#ifndef FLUX2_EMU_STATE_H
#define FLUX2_EMU_STATE_H

#include <stdatomic.h>

#include "emulator/fault.h"
#include "emulator/request_log.h"
#include "emulator/settings.h"
#include "emulator/tasks.h"
#include "platform/thread.h"
#include "platform/wakeup.h"
#include "server/http_server.h"

struct emu_image_cache;

#define EMU_LONG_AGO (-1e12) /* earlier than any monotonic time */

struct flux2_emu {
    /* Constant while the emulator runs. */
    double started; /* monotonic time */
    char url[64];
    int port;
    uint64_t image_seed;
    struct emu_image_cache *images; /* has its own lock */
    struct flux2_server server;
    struct flux2_wakeup stop; /* readable after the emulator stops */
    atomic_bool is_stopping;
    unsigned forks;                  /* flux2_process_forks() of the process that has the threads */
    struct flux2_emu *next_retained; /* list of emulators that a forked child cannot free */

    struct flux2_mutex lock;
    struct emu_settings *settings;
    struct emu_tasks tasks;
    struct emu_faults faults;
    struct emu_request_log log;
    double credits;
    double fail_next; /* number of next submissions that fail */
    char *fail_reason;
    double window_start, window_requests; /* of the rate limit */
    uint64_t random;                      /* state of the random generator */
};

/* Returns whether the emulator stops; long operations check it regularly. Thread-safe. */
static inline bool flux2_emu_is_stopping(const struct flux2_emu *emu)
{
    return atomic_load_explicit(&emu->is_stopping, memory_order_relaxed);
}

#endif
