/* curl_memory.c - see curl_memory.h. */
#include "http/curl_memory.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { UNAMBIGUOUS = 0x080600 }; /* the first version with CURLE_TOO_LARGE */

static atomic_uint failures;
static atomic_bool is_watched;

static void *watch(void *block)
{
    if (!block)
        atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed);
    return block;
}

static void *allocate(size_t size)
{
    return watch(malloc(size));
}

static void *allocate_zeroed(size_t n, size_t size)
{
    return watch(calloc(n, size));
}

static void *resize(void *block, size_t size)
{
    return watch(realloc(block, size));
}

static char *duplicate(const char *text)
{
    atomic_store_explicit(&is_watched, true, memory_order_relaxed);
    return watch(strdup(text));
}

bool flux2_curl_memory_init(void)
{
    if (curl_version_info(CURLVERSION_NOW)->version_num >= UNAMBIGUOUS)
        return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, allocate, free, resize, duplicate, allocate_zeroed) != CURLE_OK)
        return false;
    /* libcurl ignores the functions if it is initialized already; otherwise this calls `duplicate`. */
    curl_slist_free_all(curl_slist_append(NULL, "x"));
    return true;
}

bool flux2_curl_memory_is_watched(void)
{
    return atomic_load_explicit(&is_watched, memory_order_relaxed);
}

unsigned flux2_curl_memory_failures(void)
{
    return atomic_load_explicit(&failures, memory_order_relaxed);
}
