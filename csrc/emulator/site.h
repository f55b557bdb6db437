/* site.h - a page for this machine's browser: guarded HTTP, and the calls on their way to whoever answers them.
 *
 * Owns: a listener of its own on 127.0.0.1, the rules that a request must keep before anybody hears of it, the headers
 * that keep the page's browser strict, and the calls that wait for an answer. Its address is its own so that nothing
 * the emulator sends, faults included, ever shares the page's origin.
 * Never: knows what a path means, or Lua. */
#ifndef FLUX2_EMU_SITE_H
#define FLUX2_EMU_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct emu_site;

/* A request that kept the rules; valid until it was answered or the site was freed. */
struct emu_call {
    uint64_t id;
    const char *method; /* "GET" or "POST" */
    const char *path;   /* behind the token, with the query: "/", "/tasks/1?after=3" */
    const char *body;   /* of a POST: what says it is JSON, unread */
    size_t body_len;
};

/* Serves on 127.0.0.1:PORT (0: the kernel picks), under a path that nobody can guess. NULL with the reason in ERR. Its
 * threads take no signals. */
struct emu_site *flux2_emu_site_start(int port, char *err, size_t err_size);

/* From here on no call comes and no answer is awaited; who waits in flux2_emu_site_wait returns. Any thread. */
void flux2_emu_site_close(struct emu_site *site);

/* Closes it, ends every connection and thread, and frees it. Nobody may wait in it any more. */
void flux2_emu_site_free(struct emu_site *site);

/* For a forked child, which has none of the threads: closes its copy of the listener and leaves the rest alone. */
void flux2_emu_site_disown(struct emu_site *site);

/* Where the page is: "http://127.0.0.1:PORT/TOKEN/". */
const char *flux2_emu_site_url(const struct emu_site *site);
int flux2_emu_site_port(const struct emu_site *site);

/* --- one thread only: the one that answers --- */

/* Waits until a call came, OTHER_FD (-1: none) is readable or SECONDS passed. False once the site is closed. */
bool flux2_emu_site_wait(struct emu_site *site, int other_fd, double seconds);

/* The next call, which whoever took it has to answer; NULL when none waits. */
const struct emu_call *flux2_emu_site_next(struct emu_site *site);

/* Answers the call ID with a copy of BODY. An id that nobody waits for any more is ignored. CONTENT_TYPE must be a
 * header's value. False: out of memory, and the call remains. */
bool flux2_emu_site_answer(struct emu_site *site, uint64_t id, int status, const char *content_type,
                           const void *body, size_t len);

#endif
