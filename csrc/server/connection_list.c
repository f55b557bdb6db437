/* connection_list.c - see connection_list.h. */
#include "server/connection_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"

static void append(struct flux2_connection_list *list, struct flux2_connection *c)
{
    c->next = NULL;
    c->previous = list->last;
    if (list->last)
        list->last->next = c;
    else
        list->first = c;
    list->last = c;
    list->count++;
}

static void unlink_connection(struct flux2_connection_list *list, struct flux2_connection *c)
{
    if (c->previous)
        c->previous->next = c->next;
    else
        list->first = c->next;
    if (c->next)
        c->next->previous = c->previous;
    else
        list->last = c->previous;
    list->count--;
}

static void end(struct flux2_connection *c)
{
    c->is_closed = true;
    flux2_socket_shutdown(c->socket);
}

static void end_idle(struct flux2_connection_list *list)
{
    struct flux2_connection *c = list->first;
    while (c && (c->state != FLUX2_CONNECTION_RECEIVING || c->is_closed))
        c = c->next;
    if (c)
        end(c);
}

struct flux2_connection *flux2_connection_add(struct flux2_connection_list *list, flux2_descriptor socket,
                                              const char *address, size_t most)
{
    struct flux2_connection *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->socket = socket;
    c->since = flux2_clock_now();
    snprintf(c->address, sizeof c->address, "%s", address);
    append(list, c);
    if (list->count > most)
        end_idle(list);
    return c;
}

void flux2_connection_remove(struct flux2_connection_list *list, struct flux2_connection *connection)
{
    unlink_connection(list, connection);
    free(connection);
}

void flux2_connection_use(struct flux2_connection_list *list, struct flux2_connection *connection,
                          enum flux2_connection_state state)
{
    unlink_connection(list, connection);
    append(list, connection);
    connection->state = state;
    connection->since = flux2_clock_now();
}

/* The list is in the order of `since`. */
void flux2_connection_expire(struct flux2_connection_list *list, enum flux2_connection_state state, double seconds)
{
    double before = flux2_clock_now() - seconds;
    struct flux2_connection *c;
    for (c = list->first; c && c->since < before; c = c->next)
        if (c->state == state && !c->is_closed)
            end(c);
}

bool flux2_connection_is_allowed(const struct flux2_connection_list *list, const char *address, size_t most,
                                 const char *const *exempt)
{
    size_t n = 0;
    const struct flux2_connection *c;
    for (; exempt && *exempt; exempt++)
        if (!strcmp(*exempt, address))
            return true;
    for (c = list->first; c; c = c->next)
        n += !strcmp(c->address, address);
    return most == 0 || n < most;
}

size_t flux2_connection_count_in(const struct flux2_connection_list *list, enum flux2_connection_state state)
{
    size_t n = 0;
    const struct flux2_connection *c;
    for (c = list->first; c; c = c->next)
        n += c->state == state;
    return n;
}
