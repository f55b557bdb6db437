/* process.h - state of the whole process: the count of forks, and pinning the module in memory. Any thread may call
 * these functions. */
#ifndef FLUX2_PLATFORM_PROCESS_H
#define FLUX2_PLATFORM_PROCESS_H

#include <stdbool.h>

/* Keeps this module loaded until the process ends, even after dlclose. lua_close unloads C modules after the last __gc,
 * while the worker thread or a resolver thread of libcurl may still run. */
void flux2_process_pin_module(void);

/* Returns the function NAME of any loaded library; NULL if there is none. */
void (*flux2_process_function(const char *name))(void);

/* Calls FN when the process exits, in the reverse order of these calls, while its threads run. Not on Windows, which
 * ends the threads first: a lock that one of them held is never released. */
void flux2_process_at_exit(void (*fn)(void));

/* On Windows the environment variable NAME, and an argument of the command line, counted from its end from 0, in UTF-8.
 * The caller frees them. NULL if there is none, if out of memory, and on other systems. */
char *flux2_process_getenv(const char *name);
char *flux2_process_argument(unsigned from_end);

/* Holds LOCK, which must stay initialized, during each fork of this process, so that no other thread holds it then: the
 * child finds what LOCK guards as it was between two uses, and LOCK open. Does nothing on Windows. */
struct flux2_mutex;
void flux2_process_hold_in_forks(struct flux2_mutex *lock);

/* Returns the number of forks between the process that loaded the module and this one. Objects that were created under
 * another count belong to a parent process. Costs one load. Always 0 on Windows. */
unsigned flux2_process_forks(void);

#endif
