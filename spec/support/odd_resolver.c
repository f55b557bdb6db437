/* odd_resolver.c - preloaded by a spec: names that end in ".hang" never resolve, as with an unreachable name server;
 * localhost is another address. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    size_t n = node ? strlen(node) : 0;
    while (n > 5 && strcmp(node + n - 5, ".hang") == 0)
        sleep(60);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(node && strcmp(node, "localhost") == 0 ? "127.0.0.9" : node, service, hints, res);
}
