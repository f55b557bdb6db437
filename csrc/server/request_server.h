/* request_server.h - an HTTP server whose requests are answered by one other thread, in any order and at any time.
 *
 * One thread serves all connections. A request that waits for its response is suspended: it costs memory, but no
 * thread. Limits bound the number of connections, in all and for each address, the size of headers and bodies, and the
 * time for which a connection may send a request or receive a response. */
#ifndef FLUX2_SERVER_REQUEST_SERVER_H
#define FLUX2_SERVER_REQUEST_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/descriptor.h"

struct flux2_request_server;
struct MHD_Connection;

/* A response without the responding thread. Its texts must live as long as the server. */
struct flux2_refusal {
    int status; /* 0: the request is not refused */
    const char *content_type, *body;
};

/* Decides from the head of a request, on the server's thread. TARGET is undecoded. */
typedef struct flux2_refusal flux2_request_check(void *context, struct MHD_Connection *connection, const char *target,
                                                 const char *method);

/* Times are seconds, sizes bytes. */
struct flux2_request_server_config {
    const char *address; /* to listen on, see flux2_socket_listen */
    int port;            /* 0: any free one */
    unsigned max_connections;
    unsigned max_per_address;       /* connections of one address that is not exempt; 0: no limit */
    const char *const *exempt;      /* addresses without that limit, ended by NULL; must live as long as the server */
    size_t max_headers, max_body;   /* of one request */
    double receive_seconds;         /* from the start of a connection, or the last response, to the end of a request */
    double send_seconds;            /* for a response */
    struct flux2_refusal too_large; /* of a body above max_body */
    const char *large_target;       /* a path whose requests may have larger bodies; must live as long as the server */
    size_t max_large_body;          /* of one of them */
    size_t max_large_bodies;        /* of all of them together, until they have their responses */
    struct flux2_refusal crowded;   /* of a body that would exceed max_large_bodies */
    void *context;                  /* of the functions, which may be NULL */
    /* Called with the port before any request. Returns 0 or an errno value, which ends the start. */
    int (*prepare)(void *context, int port);
    flux2_request_check *check;
    /* Names and values that every response has, ended by NULL; must live as long as the server. NULL: none. */
    const char *const *headers;
};

/* A request without a response. Valid until it has one or the server is freed. */
struct flux2_served_request {
    uint64_t id;
    const char *method;
    const char *target;  /* undecoded, with the query */
    const char *address; /* of the peer */
    const char *headers; /* names in lower case and values, each ended by a NUL */
    size_t headers_size;
    const char *body;
    size_t body_size;
};

struct flux2_served_response {
    int status;
    const char *headers; /* names and values, each ended by a NUL */
    size_t headers_size;
    const char *path; /* the file with the body; NULL: `body` */
    const void *body;
    size_t body_size;
};

/* Starts a server, which the caller frees. Returns NULL with the reason in ERR. */
struct flux2_request_server *flux2_request_server_start(const struct flux2_request_server_config *config, char *err,
                                                        size_t err_size);
/* Closes all connections, joins the thread and frees the server. NULL is allowed. */
void flux2_request_server_free(struct flux2_request_server *server);
/* Replaces flux2_request_server_free in a forked child, which has no server thread: closes the child's copy of the
 * listener. The memory is kept. */
void flux2_request_server_disown(struct flux2_request_server *server);
/* Returns the port. Thread-safe. */
int flux2_request_server_port(const struct flux2_request_server *server);

/* Takes no more requests, and ends the wait of the responding thread. Thread-safe. */
void flux2_request_server_close(struct flux2_request_server *server);

/* --- for the one thread that responds --- */

/* Waits until a request arrives, OTHER (below 0: none) is readable, a signal arrives or SECONDS elapse. Ends the
 * connections that have exceeded their time. Returns false after flux2_request_server_close. */
bool flux2_request_server_wait(struct flux2_request_server *server, flux2_descriptor other, double seconds);
/* Returns the oldest request that was not returned before, or NULL. Each returned request needs a response. */
const struct flux2_served_request *flux2_request_server_next(struct flux2_request_server *server);
/* Responds to the request ID with a copy of RESPONSE; ignores an unknown ID. Returns 0 or an errno value; then the
 * request still waits. */
int flux2_request_server_respond(struct flux2_request_server *server, uint64_t id,
                                 const struct flux2_served_response *response);
/* Closes the connections of all requests without a response. */
void flux2_request_server_drop(struct flux2_request_server *server);
/* Refuses new connections, and ends each present one after its response. */
void flux2_request_server_quiesce(struct flux2_request_server *server);

struct flux2_request_server_counts {
    size_t connections;
    size_t waiting; /* requests without a response */
    size_t sending; /* responses that are not sent completely */
};
struct flux2_request_server_counts flux2_request_server_count(struct flux2_request_server *server);

#endif
