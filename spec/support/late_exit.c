/* late_exit.c - preloaded: the last exit handler takes half a second, in which threads run after the exit handlers of
 * other libraries, OpenSSL among them. */
#include <stdlib.h>
#include <unistd.h>

static void linger(void)
{
    usleep(500000);
}

/* Registered first, so run last. */
__attribute__((constructor)) static void begin(void)
{
    atexit(linger);
}
