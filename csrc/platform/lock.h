/* lock.h - a file lock that the system releases when this process ends, however it ends. Any thread may call these
 * functions. */
#ifndef FLUX2_PLATFORM_LOCK_H
#define FLUX2_PLATFORM_LOCK_H

#include <stdint.h>

enum flux2_lock_mode {
    FLUX2_LOCK_OWN,   /* creates the file, which must not exist */
    FLUX2_LOCK_CLAIM, /* the same; on a file system without locks the file itself is the lock */
    FLUX2_LOCK_KEEP,  /* creates the file unless it exists, for a file that is never removed */
    FLUX2_LOCK_TRY,   /* the file must exist; several processes may hold this lock at the same time */
};

/* A lock, owned by its caller. While it is held it is linked into a list and must not move in memory. A forked child
 * does not hold it. */
struct flux2_lock {
    intptr_t handle;         /* below 0: not held */
    struct flux2_lock *next; /* in the list of held locks */
};

/* Locks PATH without waiting. Returns 0; EWOULDBLOCK if another process holds a conflicting lock; EEXIST if OWN or
 * CLAIM finds an existing file; or another errno value. LOCK is held only if 0 is returned. */
int flux2_lock_acquire(const char *path, enum flux2_lock_mode mode, struct flux2_lock *lock);
/* Releases LOCK if it is held. Removes the file PATH before that, unless PATH is NULL. */
void flux2_lock_release(struct flux2_lock *lock, const char *path);

#endif
