/* connection_list.h - the connections that are open, so that idle ones keep no other out and none lasts for ever.
 *
 * The caller owns the list and holds its lock round every call. Connections are ended by a shutdown of their sockets;
 * libmicrohttpd then removes them. */
#ifndef FLUX2_SERVER_CONNECTION_LIST_H
#define FLUX2_SERVER_CONNECTION_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/socket.h"

enum flux2_connection_state {
    FLUX2_CONNECTION_RECEIVING, /* idle, or a part of a request has arrived */
    FLUX2_CONNECTION_HANDLING,  /* a request waits for its response */
    FLUX2_CONNECTION_SENDING,   /* a response is being sent */
};

struct flux2_connection {
    struct flux2_connection *next, *previous;
    flux2_descriptor socket;
    char address[FLUX2_ADDRESS_SIZE]; /* of the peer */
    enum flux2_connection_state state;
    double since;   /* when `state` began, see platform/clock.h */
    bool is_closed; /* it was told to end, and is still there */
};

/* An empty list is all zero. The connection whose state changed last is the last one. */
struct flux2_connection_list {
    struct flux2_connection *first, *last;
    size_t count;
};

/* Adds a connection of ADDRESS. With more than MOST of them the one that was idle for longest is
 * shut down. Returns NULL if out of memory. */
struct flux2_connection *flux2_connection_add(struct flux2_connection_list *list, flux2_descriptor socket,
                                              const char *address, size_t most);
/* Its socket must be open still. */
void flux2_connection_remove(struct flux2_connection_list *list, struct flux2_connection *connection);
/* A new state begins. */
void flux2_connection_use(struct flux2_connection_list *list, struct flux2_connection *connection,
                          enum flux2_connection_state state);
/* Shuts down the connections that have been in STATE for more than SECONDS. */
void flux2_connection_expire(struct flux2_connection_list *list, enum flux2_connection_state state, double seconds);
/* Returns whether ADDRESS may have one more connection: it has less than MOST (0: no limit), or is one of EXEMPT, which
 * ends with NULL (NULL: none). */
bool flux2_connection_is_allowed(const struct flux2_connection_list *list, const char *address, size_t most,
                                 const char *const *exempt);
/* Returns how many are in STATE. */
size_t flux2_connection_count_in(const struct flux2_connection_list *list, enum flux2_connection_state state);

#endif
