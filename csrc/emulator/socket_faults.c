/* socket_faults.c - see socket_faults.h. */
#include "emulator/socket_faults.h"

#include <stdio.h>

#include "platform/random.h"

void flux2_emu_send_garbage(flux2_descriptor socket, flux2_descriptor stop, const json_t *bytes)
{
    uint64_t state = 42, noise[32];
    size_t i;
    if (bytes) {
        flux2_socket_send(socket, stop, json_string_value(bytes), json_string_length(bytes));
    } else {
        for (i = 0; i < sizeof noise / sizeof noise[0]; i++)
            noise[i] = flux2_random_next(&state);
        flux2_socket_send(socket, stop, noise, sizeof noise);
    }
    flux2_socket_shutdown_output(socket);
}

void flux2_emu_send_endless_headers(flux2_descriptor socket, flux2_descriptor stop)
{
    static const char status[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    char line[1024];
    unsigned long long n = 0;
    int size;
    if (!flux2_socket_send(socket, stop, status, sizeof status - 1))
        return;
    do
        size = snprintf(line, sizeof line, "X-Filler-%llu: %0*d\r\n", n++, 900, 0);
    while (flux2_socket_send(socket, stop, line, (size_t)size));
}
