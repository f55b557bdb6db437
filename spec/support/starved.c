/* starved.c - preloaded by a spec: libcurl runs out of memory a given number of times. For Lua (package.loadlib),
 * starve(what, times): "handle", no handle is created; "proxy", no proxy is set; "begin", a transfer cannot start;
 * "end", a transfer fails later; "sleep", the engine cannot wait for events. Returns the remaining number of the last
 * call. */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <dlfcn.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>

int starve(lua_State *L);

enum what { HANDLE, PROXY, BEGIN, END, SLEEP };

static atomic_int starving, times;

static bool strikes(enum what what)
{
    if (atomic_load(&starving) != (int)what || atomic_load(&times) <= 0)
        return false;
    atomic_fetch_sub(&times, 1);
    return true;
}

/* The module loads libcurl with its own scope, which RTLD_NEXT does not search. */
static void *real(const char *name)
{
    void *library = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_NOLOAD);
    return dlsym(library ? library : RTLD_NEXT, name);
}

CURL *curl_easy_init(void)
{
    static CURL *(*next)(void);
    if (!next)
        *(void **)&next = real("curl_easy_init");
    return strikes(HANDLE) ? NULL : next();
}

#undef curl_easy_setopt
CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    static CURLcode (*next)(CURL *, CURLoption, ...);
    va_list list;
    va_start(list, option);
    void *value = va_arg(list, void *); /* as wide as any option's value */
    va_end(list);
    if (!next)
        *(void **)&next = real("curl_easy_setopt");
    return option == CURLOPT_PROXY && strikes(PROXY) ? CURLE_OUT_OF_MEMORY : next(easy, option, value);
}

CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy)
{
    static CURLMcode (*next)(CURLM *, CURL *);
    if (!next)
        *(void **)&next = real("curl_multi_add_handle");
    return strikes(BEGIN) ? CURLM_OUT_OF_MEMORY : next(multi, easy);
}

CURLMsg *curl_multi_info_read(CURLM *multi, int *left)
{
    static CURLMsg *(*next)(CURLM *, int *);
    if (!next)
        *(void **)&next = real("curl_multi_info_read");
    CURLMsg *message = next(multi, left);
    if (message && message->msg == CURLMSG_DONE && strikes(END))
        message->data.result = CURLE_OUT_OF_MEMORY;
    return message;
}

CURLMcode curl_multi_poll(CURLM *multi, struct curl_waitfd *more, unsigned count, int ms, int *ready)
{
    static CURLMcode (*next)(CURLM *, struct curl_waitfd *, unsigned, int, int *);
    if (!next)
        *(void **)&next = real("curl_multi_poll");
    return strikes(SLEEP) ? CURLM_OUT_OF_MEMORY : next(multi, more, count, ms, ready);
}

int starve(lua_State *L)
{
    static const char *const names[] = {"handle", "proxy", "begin", "end", "sleep", NULL};
    int left = atomic_load(&times);
    atomic_store(&times, 0);
    atomic_store(&starving, luaL_checkoption(L, 1, "handle", names));
    atomic_store(&times, (int)luaL_optnumber(L, 2, 0));
    lua_pushnumber(L, left);
    return 1;
}
