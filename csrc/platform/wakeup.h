/* wakeup.h - a descriptor that an event loop can poll. */
#ifndef FLUX2_PLATFORM_WAKEUP_H
#define FLUX2_PLATFORM_WAKEUP_H

#include "platform/descriptor.h"

/* A descriptor that is readable while it is signalled. Owned by its caller. Signal and drain are called under the lock
 * of the announced data, which keeps both in step. */
struct flux2_wakeup {
    flux2_descriptor read_end, write_end; /* one eventfd, or a pipe */
};

/* Opens WAKEUP, non-blocking and close-on-exec. Returns 0 or an errno value. */
int flux2_wakeup_open(struct flux2_wakeup *wakeup);
/* Makes the descriptor readable. */
void flux2_wakeup_signal(struct flux2_wakeup *wakeup);
/* Makes the descriptor unreadable. */
void flux2_wakeup_drain(struct flux2_wakeup *wakeup);
/* Closes WAKEUP. Closing it twice is allowed. */
void flux2_wakeup_close(struct flux2_wakeup *wakeup);

/* Waits until one of two descriptors is readable, for at most SECONDS; SECOND may be below 0 for none. Returns 1 if one
 * is readable, 0 after a timeout, -1 after a signal. Any thread. */
int flux2_wait_readable(flux2_descriptor first, flux2_descriptor second, double seconds);

#endif
