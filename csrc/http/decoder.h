/* decoder.h - decompresses a body that is gzip or zlib data, and passes on any other body as it is.
 *
 * The first two bytes decide: neither JSON nor an image begins like compressed data. Content-Encoding does not, because
 * services send it wrong: "UTF-8", or "gzip" for plain text. Used by one thread at a time. */
#ifndef FLUX2_HTTP_DECODER_H
#define FLUX2_HTTP_DECODER_H

#include <stdbool.h>
#include <stddef.h>
#include <zlib.h>

struct flux2_decoder {
    z_stream stream; /* in use while `state` is COMPRESSED */
    enum {
        FLUX2_DECODER_UNDECIDED, /* fewer than two bytes have arrived */
        FLUX2_DECODER_PLAIN,
        FLUX2_DECODER_COMPRESSED,
        FLUX2_DECODER_ENDED,   /* the compressed data is complete; further bytes are ignored */
        FLUX2_DECODER_DAMAGED, /* the compressed data is invalid */
        FLUX2_DECODER_STARVED, /* out of memory */
    } state;
    unsigned char held; /* the first byte, while undecided */
    size_t held_size;   /* 1 if it has arrived */
};

/* Takes decoded bytes. Returns false to stop. */
typedef bool flux2_decoded(void *arg, const void *data, size_t size);

/* Decodes SIZE further bytes and passes the result to TAKE with ARG, at most 16 KiB at a time if they are compressed.
 * Returns false if TAKE did, or with state DAMAGED or STARVED: then the body ends. */
bool flux2_decoder_write(struct flux2_decoder *decoder, const void *data, size_t size, flux2_decoded *take, void *arg);

/* Passes on what is held back of a body that has ended. Returns false if TAKE did. */
bool flux2_decoder_finish(struct flux2_decoder *decoder, flux2_decoded *take, void *arg);

/* Frees the state of the current body: the next byte begins another one. A zeroed DECODER is valid. */
void flux2_decoder_clear(struct flux2_decoder *decoder);

#endif
