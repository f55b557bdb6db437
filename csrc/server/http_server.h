/* http_server.h - an HTTP server on this machine (libmicrohttpd): with one thread per connection, or with one thread
 * for all, whose handlers must not wait and may suspend their connection.
 *
 * The caller owns the struct, zero-initialized before flux2_server_listen. One thread starts and stops the server;
 * the handlers run on its threads, which block all signals. */
#ifndef FLUX2_SERVER_HTTP_SERVER_H
#define FLUX2_SERVER_HTTP_SERVER_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

#include "platform/socket.h"
#include "server/bytes.h"

struct flux2_server {
    struct MHD_Daemon *daemon; /* NULL: not running */
    flux2_descriptor listener; /* closed by the daemon */
    int port;                  /* 0: not listening */
};

struct flux2_server_config {
    unsigned max_connections;
    unsigned idle_seconds; /* timeout of an idle connection; 0: none */
    bool may_suspend;      /* one thread for all connections */
    size_t stack_bytes;    /* stack size of a connection thread */
    size_t memory_bytes;   /* memory of a connection, which limits the size of its headers; 0: 32 KiB */
    void *context;         /* first argument of all handlers */
    /* Called with the undecoded request target. Returns the *CONTEXT of the other handlers. */
    void *(*on_request_line)(void *context, const char *uri, struct MHD_Connection *connection);
    MHD_AccessHandlerCallback on_request;
    MHD_RequestCompletedCallback on_completed;
    MHD_NotifyConnectionCallback on_connection; /* may be NULL */
    MHD_AcceptPolicyCallback on_accept;         /* may be NULL */
};

/* Binds PORT (0: any free port) of ADDRESS (NULL: 127.0.0.1), see flux2_socket_listen, and sets server->port. The
 * kernel queues connections until flux2_server_run. Returns 0 or an errno value. */
int flux2_server_listen(struct flux2_server *server, const char *address, int port);

/* Starts the server threads. Returns 0 or an errno value. */
int flux2_server_run(struct flux2_server *server, const struct flux2_server_config *config);

/* Closes the listener: new connections are refused, and the present ones continue. */
void flux2_server_quiesce(struct flux2_server *server);

/* Closes the listener and all connections, and joins their threads: the caller first wakes handlers that wait. Does
 * nothing if the server does not listen. */
void flux2_server_stop(struct flux2_server *server);

/* Replaces flux2_server_stop in a forked child, which has no server threads: closes the child's copy of the
 * listener. The struct must stay in memory. */
void flux2_server_disown(struct flux2_server *server);

/* Appends the headers of a request to OUT: names in lower case and values, each ended by a NUL. */
void flux2_server_copy_headers(struct MHD_Connection *connection, struct flux2_bytes *out);

/* Whether HEADERS, as copied, have more than one Content-Length or Transfer-Encoding. A proxy may believe the other
 * one, and take the rest of the body for the request of another client. */
bool flux2_server_has_two_lengths(const struct flux2_bytes *headers);

#endif
