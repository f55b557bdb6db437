/* ca_store.c - see ca_store.h.
 *
 * flux2 does not link to OpenSSL: libcurl may use another library. The functions are looked up at run time. */
#include "http/ca_store.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/process.h"

static const double KEPT = 24 * 3600;               /* seconds, as in libcurl: then the file is read again */
static const unsigned long PARTIAL_CHAIN = 0x80000; /* X509_V_FLAG_PARTIAL_CHAIN, as libcurl sets it */

/* The functions of OpenSSL, by their names without prefix. */
struct openssl {
    void *(*store_new)(void);
    int (*store_load)(void *store, const char *file, const char *directory);
    int (*store_set_flags)(void *store, unsigned long flags);
    void (*store_free)(void *store);
    void (*context_set1)(void *context, void *store);
};

#define FIND(pointer, name) ((pointer) = (__typeof__(pointer))flux2_process_function(name))

/* Returns whether the OpenSSL that this module finds is the one that libcurl uses: there may be two in a process. */
static bool is_of_libcurl(void)
{
    static const char prefix[] = "OpenSSL/";
    const char *used = curl_version_info(CURLVERSION_NOW)->ssl_version;
    const char *(*version)(int what);
    if (!FIND(version, "OpenSSL_version") || !used || strncmp(used, prefix, sizeof prefix - 1) != 0)
        return false;
    const char *number = used + sizeof prefix - 1, *found = strchr(version(0), ' '); /* "OpenSSL 3.0.17 1 Jul 2025" */
    return found && strncmp(found + 1, number, strlen(number)) == 0;
}

static bool find_functions(struct openssl *o)
{
    return is_of_libcurl() && FIND(o->store_new, "X509_STORE_new") &&
           FIND(o->store_load, "X509_STORE_load_locations") && FIND(o->store_set_flags, "X509_STORE_set_flags") &&
           FIND(o->store_free, "X509_STORE_free") && FIND(o->context_set1, "SSL_CTX_set1_cert_store");
}

/* Returns a store with the certificates of FILE; NULL if it cannot be loaded. */
static void *read_file(const struct openssl *o, const char *file)
{
    void *store = o->store_new();
    if (!store)
        return NULL;
    o->store_set_flags(store, PARTIAL_CHAIN);
    if (o->store_load(store, file, NULL) == 1)
        return store;
    o->store_free(store);
    return NULL;
}

bool flux2_ca_store_claim(struct flux2_ca_store *s, const char *file)
{
    struct openssl o;
    if (!s->file && find_functions(&o))
        s->file = strdup(file);
    return s->file && strcmp(s->file, file) == 0;
}

/* Reads the file. If that fails the old certificates remain. */
static void load(const struct openssl *o, struct flux2_ca_store *s)
{
    void *fresh = read_file(o, s->file);
    if (!fresh)
        return;
    if (s->store)
        o->store_free(s->store);
    s->store = fresh;
    s->expires_at = flux2_clock_now() + KEPT;
}

bool flux2_ca_store_use(struct flux2_ca_store *s, void *context)
{
    struct openssl o;
    if (!find_functions(&o))
        return false;
    if (flux2_clock_now() >= s->expires_at)
        load(&o, s);
    if (s->store)
        o.context_set1(context, s->store);
    return s->store;
}

void flux2_ca_store_clear(struct flux2_ca_store *s)
{
    struct openssl o;
    if (s->store && find_functions(&o))
        o.store_free(s->store);
    free(s->file);
    *s = (struct flux2_ca_store){.file = NULL};
}
