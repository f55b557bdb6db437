/* platform.h - what differs between systems: clock, threads, the wake-up descriptor, the module pin, files.
 *
 * Owns: every direct use of POSIX outside libcurl. Never: knows what a job, an event or HTTP is. */
#ifndef FLUX2_PLATFORM_H
#define FLUX2_PLATFORM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Seconds on a clock that never goes back; only differences mean anything. */
double flux2_platform_now(void);

/* Returns after SECONDS, or earlier if a signal came. */
void flux2_platform_pause(double seconds);

/* A seed that differs between processes, threads and moments. Not for secrets. */
uint64_t flux2_platform_seed(void);

/* Starts FN(ARG) on a joinable thread that receives no signal: the host's handlers stay the host's.
 * Returns 0 or an errno value. */
int flux2_platform_thread(pthread_t *thread, void *(*fn)(void *), void *arg);

/* The calling thread will not take the processor from another one at the moment when it is woken: on a machine that has
 * no core to spare the host would lose its turn, some milliseconds, for having asked for something. */
void flux2_platform_stand_back(void);

/* Waits for COND for at most SECONDS (MUTEX is held). COND must come from flux2_platform_cond_init.
 * Returns false once the time is over. */
bool flux2_platform_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, double seconds);
void flux2_platform_cond_init(pthread_cond_t *cond);

/* Keeps this module in memory until the process ends, whoever calls dlclose on it. Lua closes C modules after
 * the last __gc; a thread that still runs, or a resolver thread of libcurl, would lose its code.
 * Returns false where the system refuses. */
bool flux2_platform_pin_module(void);

/* Counts the forks between this process and the one that loaded the module: what was made under another count
 * belongs to the parent. Costs one load. */
unsigned flux2_platform_forks(void);

/* A descriptor that is readable while it is signalled. Not thread-safe by itself: signal and drain are called
 * under the lock of whatever it announces, which makes it exact. */
struct flux2_wake {
    int read_fd;
    int write_fd;
};
/* Returns 0 or an errno value; non-blocking, close-on-exec. */
int flux2_platform_wake_open(struct flux2_wake *wake);
void flux2_platform_wake_signal(struct flux2_wake *wake);
void flux2_platform_wake_drain(struct flux2_wake *wake);
void flux2_platform_wake_close(struct flux2_wake *wake);
/* Waits for FD to become readable for at most SECONDS. 1: readable, 0: time over, -1: a signal came. */
int flux2_platform_wait_readable(int fd, double seconds);

/* A socket that no program which the host starts inherits. 0 or an errno value. */
int flux2_platform_socket(int family, int type, int protocol, int *fd);

/* A file that is being written beside its target. */
struct flux2_file {
    int fd;          /* -1: not open */
    char *temporary; /* its name until it is whole */
    char *target;
};
/* Creates the temporary file with MODE, as the umask allows, exclusively and without following a link. Returns 0 or an
 * errno value. */
int flux2_platform_file_open(struct flux2_file *file, const char *target, unsigned mode);
int flux2_platform_file_write(struct flux2_file *file, const void *data, size_t size);
/* Gives the file its name; with DURABLE it outlives a power cut. On failure nothing is left. */
int flux2_platform_file_commit(struct flux2_file *file, bool durable);
/* Removes what was written. Does nothing on a file that is not open. */
void flux2_platform_file_discard(struct flux2_file *file);

/* Writes over the beginning of a file that is there, in place: not whole if it is interrupted. 0 or an errno value. */
int flux2_platform_file_overwrite(const char *path, const void *data, size_t size);
void flux2_platform_file_remove(const char *path);

/* True if PATH can be read as a regular file. */
bool flux2_platform_file_readable(const char *path);
/* Says whether TARGET could be written: creates and removes a temporary file beside it. Not again within a second in a
 * directory that looks as it did: who saves a hundred files would make two hundred. 0 or an errno value. */
int flux2_platform_file_try(const char *target);

/* Makes the directory PATH, for its owner only, unless it is there. Returns 0 or an errno value. */
int flux2_platform_directory(const char *path);
/* The names in a directory without "." and "..", each ended by a NUL, in *NAMES, which the caller frees (NULL for none).
 * Returns 0 or an errno value. */
int flux2_platform_list(const char *path, char **names, size_t *size);

/* A lock that the system lets go of when this process ends, however it ends. */
enum flux2_lock_mode {
    FLUX2_LOCK_OWN, /* makes the file, which must not be there */
    FLUX2_LOCK_TRY, /* the file must be there; several may try at the same time */
};
/* Returns 0 with a descriptor in *FD, EWOULDBLOCK if somebody owns the file (or, for an owner, tries it), or another
 * errno value. */
int flux2_platform_lock(const char *path, enum flux2_lock_mode mode, int *fd);
/* Lets go of FD (-1: nothing), and first removes the file PATH unless it is NULL. */
void flux2_platform_unlock(int fd, const char *path);

/* Whether a person may be sitting at the other end of FD. */
bool flux2_platform_is_terminal(int fd);
/* How many columns the terminal FD has; 0 where that is not known. */
unsigned flux2_platform_columns(int fd);

/* From now on SIGINT is counted instead of ending the process, and ends blocking calls with EINTR; the fourth one ends it
 * after all. For programs of ours: a host's handler would be lost. */
void flux2_platform_count_interrupts(void);
/* How many came since then. */
unsigned flux2_platform_interrupts(void);

#endif
