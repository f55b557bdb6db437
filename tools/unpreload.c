/* unpreload.c - removes LD_PRELOAD from the environment. Preloaded after a sanitizer's library.
 *
 * Only the uninstrumented interpreter needs the sanitizer's library; some programs that specs start (curl, ps) hang
 * with it. */
#include <stdlib.h>

__attribute__((constructor)) static void unpreload(void)
{
    unsetenv("LD_PRELOAD");
}
