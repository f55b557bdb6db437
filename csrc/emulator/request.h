/* request.h - parses and checks the service's submission body, and computes its price. Stateless. */
#ifndef FLUX2_EMU_REQUEST_H
#define FLUX2_EMU_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A checked request with defaults filled in. Owns its strings; zero-initialized if empty. */
struct emu_request {
    char *model, *prompt, *type, *resolution, *aspect_ratio;
    json_t *input_urls; /* array or NULL */
    int width, height;  /* in pixels if the request sets them; 0: derived from resolution and aspect ratio */
};

/* Parses BODY into REQUEST, which the caller frees in every case. Returns NULL, or an error message (MESSAGE or a
 * literal). */
const char *flux2_emu_request_read(struct emu_request *request, const char *body, size_t len, char *message,
                                   size_t size);

/* Like flux2_emu_request_read for a parsed body. *FIELD is the name of the invalid field, or NULL. */
const char *flux2_emu_request_take(struct emu_request *request, const json_t *body, const char **field, char *message,
                                   size_t size);

/* Copies all members. Returns false if out of memory; the caller frees COPY in every case. */
bool flux2_emu_request_copy(struct emu_request *copy, const struct emu_request *request);

/* Frees the members and empties the request. */
void flux2_emu_request_free(struct emu_request *request);

/* Returns the number of characters of valid UTF-8. */
size_t flux2_emu_request_length(const char *text);

/* Returns the price in credits. FLEX_2K is the price of flex at 2K, which the service does not publish. */
double flux2_emu_request_price(const struct emu_request *request, double flex_2k);

/* Returns a hash of everything that affects the image. */
uint64_t flux2_emu_request_hash(const struct emu_request *request);

/* Returns the field NAME of BODY, and sets *PARAM to NAME. NULL: it is missing, or null, which other services take for
 * that. */
const json_t *flux2_emu_request_get(const json_t *body, const char **param, const char *name);

#endif
