/* ca_store.h - the trusted certificates of one file, parsed once.
 *
 * libcurl parses a CA file for each multi handle, and a bundle of 140 certificates takes 25 ms or more. If libcurl uses
 * OpenSSL, its connections can share one parsed store. Owned by one thread, which calls all functions. */
#ifndef FLUX2_HTTP_CA_STORE_H
#define FLUX2_HTTP_CA_STORE_H

#include <stdbool.h>

struct flux2_ca_store {
    char *file;        /* owned; NULL: nothing is loaded */
    void *store;       /* an X509_STORE of OpenSSL, one reference */
    double expires_at; /* time at which it is loaded again, by flux2_clock_now */
};

/* Loads the certificates of FILE into STORE, which is zeroed memory or holds those of a file. Returns whether it holds
 * those of FILE. False: they are of another file, FILE cannot be loaded, or libcurl does not use OpenSSL; then libcurl
 * has to load FILE, and knows the reason of a failure. */
bool flux2_ca_store_load(struct flux2_ca_store *store, const char *file);

/* Makes CONTEXT, an SSL_CTX, trust the certificates of STORE, and no others. */
void flux2_ca_store_use(struct flux2_ca_store *store, void *context);

/* Drops the certificates. */
void flux2_ca_store_clear(struct flux2_ca_store *store);

#endif
