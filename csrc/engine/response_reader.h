/* response_reader.h - parses an HTTP response into a struct flux2_response. Bodies are parsed only here.
 *
 * The schema describes the paths and words of the service. Accepts any bytes: results, memory and time are limited. Any
 * thread. */
#ifndef FLUX2_ENGINE_RESPONSE_READER_H
#define FLUX2_ENGINE_RESPONSE_READER_H

#include "engine/response.h"
#include "engine/response_schema.h"
#include "http/outcome.h"

/* The response to parse; borrowed during the call. */
struct flux2_response_source {
    enum flux2_request_kind kind;        /* of the request */
    const struct flux2_outcome *outcome; /* with an HTTP status */
    const char *url;                     /* of the request, to resolve relative links; NULL: unknown */
    const char *content_type;            /* NULL: none */
    const char *body;                    /* NULL: none */
    size_t size;                         /* bytes of `body` */
};

/* Parses SOURCE into RESPONSE, which the caller frees by flux2_response_clear. Returns false if out of memory: then
 * RESPONSE is empty, and the call may be repeated. */
bool flux2_response_read(const struct flux2_response_schema *schema, const struct flux2_response_source *source,
                         struct flux2_response *response);

#endif
