/* terminal.h - the standard streams, the terminal and Ctrl-C, for the command line. Any thread may call these functions
 * unless stated otherwise. */
#ifndef FLUX2_PLATFORM_TERMINAL_H
#define FLUX2_PLATFORM_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* Returns whether the standard stream FD (0 to 2) is a terminal. */
bool flux2_terminal_is_attached(int fd);
/* Returns the terminal's width in columns; 0 if it is unknown. */
unsigned flux2_terminal_columns(int fd);

/* Opens the null device for each closed descriptor from 0 to 2, so that no other file gets its number. It is opened in
 * the opposite direction: reading 0 and writing 1 or 2 fail as before. A write to a broken pipe then fails instead of
 * ending the process; child processes keep the default disposition. Only for flux2's own programs. Main thread. */
void flux2_terminal_claim_streams(void);
/* Returns whether the standard stream FD (0 to 2) is open for writing. */
bool flux2_terminal_is_writable(int fd);

/* Writes to the standard output without the C library, which adds carriage returns on Windows. Returns 0 or an errno
 * value. */
int flux2_terminal_write(const void *data, size_t size);

/* Counts SIGINT from now on instead of ending the process; blocking calls fail with EINTR. The fourth SIGINT ends the
 * process. Only for flux2's own programs, because it replaces a handler of the host. */
void flux2_terminal_count_interrupts(void);
/* Returns the number of SIGINTs since then. */
unsigned flux2_terminal_interrupts(void);
/* The same for SIGTERM, not on Windows. */
void flux2_terminal_count_terminations(void);
unsigned flux2_terminal_terminations(void);

#endif
