/* slow_resolver.c - a resolver that never answers, for the specs: preloaded, it makes every name that ends in ".hang"
 * take for ever, as a name server does that is not there. */
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
    return real(node, service, hints, res);
}
