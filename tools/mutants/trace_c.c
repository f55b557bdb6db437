/* trace_c.c - records which basic blocks ran. Linked into each module of a build with -fsanitize-coverage=trace-pc.
 *
 * The trace file has the name of the module, with '%' for '/'. Byte N is 1 if the block at offset N ran. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>

#include "trace.h"

enum { BYTES = 1 << 20 }; /* more than any module has code */

static unsigned char *blocks;
static uintptr_t base;

/* Returns the module's path from the folder of its Lua on, "5.4/flux2/core.so", which is the same for an installed
 * copy. */
static const char *module_name(const char *path)
{
    const char *name = path;
    for (const char *at = strstr(path, "/flux2/"); at; at = strstr(at + 1, "/flux2/"))
        name = at;
    while (name > path && name[-1] != '/')
        name--;
    return name;
}

__attribute__((constructor)) static void start(void)
{
    Dl_info info;
    char name[256];
    int saved = errno;
    if (dladdr((void *)start, &info) &&
        (size_t)snprintf(name, sizeof name, "%s", module_name(info.dli_fname)) < sizeof name) {
        for (char *at = strchr(name, '/'); at; at = strchr(at, '/'))
            *at = '%';
        base = (uintptr_t)info.dli_fbase;
        blocks = trace_open(name, BYTES);
    }
    errno = saved;
}

__attribute__((visibility("hidden"))) void __sanitizer_cov_trace_pc(void);

void __sanitizer_cov_trace_pc(void)
{
    uintptr_t offset = (uintptr_t)__builtin_return_address(0) - base;
    if (blocks && offset < BYTES)
        blocks[offset] = 1;
}
