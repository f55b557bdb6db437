/* ca_store.h - the trusted certificates of one file, parsed once.
 *
 * libcurl parses a CA file for each multi handle, and a bundle of 140 certificates takes 25 ms or more. If libcurl uses
 * OpenSSL, its connections can share one parsed store. Owned by one thread, which calls all functions. */
#ifndef FLUX2_HTTP_CA_STORE_H
#define FLUX2_HTTP_CA_STORE_H

#include <stdbool.h>

struct flux2_ca_store {
    char *file;        /* owned; NULL: of no file yet */
    void *store;       /* an X509_STORE of OpenSSL, one reference; NULL: not read yet */
    double expires_at; /* time at which it is read again, by flux2_clock_now */
};

/* Makes STORE, which is zeroed memory or claimed, the store for FILE, without reading it. Returns false if it is for
 * another file, or if libcurl does not use OpenSSL: then libcurl has to read FILE. */
bool flux2_ca_store_claim(struct flux2_ca_store *store, const char *file);

/* Makes CONTEXT, an SSL_CTX, trust the certificates of STORE's file, and no others. The first call reads the file, so a
 * program that ends before any connection does not wait for that. Returns false if the file has no certificates. */
bool flux2_ca_store_use(struct flux2_ca_store *store, void *context);

/* Drops the certificates. */
void flux2_ca_store_clear(struct flux2_ca_store *store);

#endif
