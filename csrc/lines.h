/* lines.h - the connections to servers, as two multi handles that are driven as one.
 *
 * Owns: the shared connections, which many requests use at once where a server speaks HTTP/2, and beside them those for
 * what must leave at most once. A server that closes a shared connection (nginx: after 1,000 requests) does not always let
 * libcurl tell which of the requests on it it has not looked at, and a submission among them would be of unknown outcome.
 * By HTTP/1.1 a server says before its last answer that it is the last. Never: knows a job. */
#ifndef FLUX2_LINES_H
#define FLUX2_LINES_H

#include <curl/curl.h>
#include <stdbool.h>

struct flux2_lines {
    CURLM *shared, *single;
    unsigned singles; /* handles in `single` */
    long limit;       /* shared connections to one host; 0: none */
};

/* Makes zeroed memory ready. Returns 0 or an errno value, and then nothing is to be closed. */
int flux2_lines_open(struct flux2_lines *lines);
void flux2_lines_close(struct flux2_lines *lines);

/* Takes EASY up, on a connection that it shares or, APART, on one that it does not. False without memory. */
bool flux2_lines_add(struct flux2_lines *lines, CURL *easy, bool apart);
/* Whether it has ended or not; APART as it was added. */
void flux2_lines_remove(struct flux2_lines *lines, CURL *easy, bool apart);

/* How many shared connections there may be to one host; 0: any number. */
void flux2_lines_limit(struct flux2_lines *lines, long limit);

/* Does what can be done now. */
void flux2_lines_perform(struct flux2_lines *lines);
/* What has ended since, one after the other; NULL: no more. */
CURLMsg *flux2_lines_next(struct flux2_lines *lines);
/* Sleeps for so many milliseconds, or until something can be done or flux2_lines_wake ends it. */
void flux2_lines_sleep(struct flux2_lines *lines, int ms);
/* Any thread. */
void flux2_lines_wake(struct flux2_lines *lines);

#endif
