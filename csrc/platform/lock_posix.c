/* lock_posix.c - see lock.h. */
#define _GNU_SOURCE
#include "platform/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- locks and forks ------------------------------------------------------------------------------- */

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static struct flux2_lock *held; /* under the guard */

static void before_fork(void)
{
    pthread_mutex_lock(&guard);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&guard);
}

/* Without this a child would keep its parent's locks after the parent has ended. */
static void in_child(void)
{
    for (; held; held = held->next) {
        close((int)held->handle);
        held->handle = -1;
    }
    pthread_mutex_unlock(&guard);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}

/* --- files ------------------------------------------------------------------------------------------- */

static int lock_file(int fd, int operation)
{
    int rc;
    do
        rc = flock(fd, operation | LOCK_NB) == 0 ? 0 : errno;
    while (rc == EINTR);
    return rc;
}

static bool is_unsupported(int rc)
{
    return rc == ENOLCK || rc == ENOSYS || rc == EOPNOTSUPP || rc == EINVAL;
}

/* Opens and locks PATH. Returns 0 or an errno value; *FD is open only if 0 is returned. */
static int open_locked(const char *path, enum flux2_lock_mode mode, int *fd)
{
    struct stat st;
    bool own = mode == FLUX2_LOCK_OWN || mode == FLUX2_LOCK_CLAIM;
    int creation = own ? O_CREAT | O_EXCL : mode == FLUX2_LOCK_KEEP ? O_CREAT : 0;
    *fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | creation, 0600);
    if (*fd < 0)
        return errno;
    int rc = lock_file(*fd, mode == FLUX2_LOCK_TRY ? LOCK_SH : LOCK_EX);
    if (mode == FLUX2_LOCK_CLAIM && is_unsupported(rc))
        rc = 0;
    /* Another process may have removed the file between open and flock. */
    if (rc == 0 && own && (fstat(*fd, &st) != 0 || st.st_nlink == 0))
        rc = EWOULDBLOCK;
    if (rc == 0)
        return 0;
    /* If the file is locked, the other process removes it. */
    if (own && rc != EWOULDBLOCK)
        unlink(path);
    close(*fd);
    return rc;
}

/* Under the guard, so that a child forked by another thread finds each open lock in the list. */
int flux2_lock_acquire(const char *path, enum flux2_lock_mode mode, struct flux2_lock *lock)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int fd;
    *lock = (struct flux2_lock){.handle = -1};
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&guard);
    int rc = open_locked(path, mode, &fd);
    if (rc == 0) {
        *lock = (struct flux2_lock){.handle = fd, .next = held};
        held = lock;
    }
    pthread_mutex_unlock(&guard);
    return rc;
}

void flux2_lock_release(struct flux2_lock *lock, const char *path)
{
    struct flux2_lock **link;
    if (lock->handle < 0)
        return;
    if (path)
        unlink(path);
    pthread_mutex_lock(&guard);
    for (link = &held; *link != lock; link = &(*link)->next)
        ;
    *link = lock->next;
    close((int)lock->handle);
    lock->handle = -1;
    pthread_mutex_unlock(&guard);
}
