/* short_heap.c - preloaded by a spec: one allocation on the engine's thread fails, in any library. For Lua
 * (package.loadlib), fail_at(n): the n-th from now on, 0 for none. Returns the number of allocations since the last
 * call. The engine's thread is the one that calls curl_multi_poll. Not for sanitizers, which have their own heap. */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

int fail_at(lua_State *L);

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static __thread bool is_engine __attribute__((tls_model("initial-exec")));
static atomic_long count, victim;

static bool strikes(void)
{
    if (!is_engine || atomic_fetch_add(&count, 1) + 1 != atomic_load(&victim))
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return strikes() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return strikes() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *block, size_t size)
{
    return strikes() ? NULL : __libc_realloc(block, size);
}

CURLMcode curl_multi_poll(CURLM *multi, struct curl_waitfd *more, unsigned n, int ms, int *ready)
{
    static CURLMcode (*next)(CURLM *, struct curl_waitfd *, unsigned, int, int *);
    if (!next)
        *(void **)&next = dlsym(dlopen("libcurl.so.4", RTLD_LAZY | RTLD_NOLOAD), "curl_multi_poll");
    is_engine = true;
    return next(multi, more, n, ms, ready);
}

int fail_at(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)atomic_load(&count));
    atomic_store(&victim, 0);
    atomic_store(&count, 0);
    atomic_store(&victim, (long)luaL_checknumber(L, 1));
    return 1;
}
