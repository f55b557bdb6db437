/* unpreload.c - loaded after a sanitizer's library by LD_PRELOAD: takes the variable out of the environment.
 *
 * An uninstrumented interpreter needs the library preloaded. The programs that specs start do not, and some (curl, ps) hang
 * with it. */
#include <stdlib.h>

__attribute__((constructor)) static void unpreload(void)
{
    unsetenv("LD_PRELOAD");
}
