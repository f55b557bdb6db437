/* decoder.c - see decoder.h. */
#include "http/decoder.h"

#include <string.h>

enum { WINDOW_BITS = 15, DETECT_FORMAT = 32, CHUNK = 16384 };

/* gzip begins with 1f 8b; zlib with 78 and a byte that makes the 16-bit number divisible by 31. */
static bool is_compressed(unsigned char first, unsigned char second)
{
    return (first == 0x1f && second == 0x8b) || (first == 0x78 && (first << 8 | second) % 31 == 0);
}

static void begin_stream(struct flux2_decoder *d)
{
    memset(&d->stream, 0, sizeof d->stream);
    bool ok = inflateInit2(&d->stream, WINDOW_BITS + DETECT_FORMAT) == Z_OK;
    d->state = ok ? FLUX2_DECODER_COMPRESSED : FLUX2_DECODER_STARVED;
}

static void end_stream(struct flux2_decoder *d, int rc)
{
    inflateEnd(&d->stream);
    d->state = rc == Z_STREAM_END  ? FLUX2_DECODER_ENDED
               : rc == Z_MEM_ERROR ? FLUX2_DECODER_STARVED
                                   : FLUX2_DECODER_DAMAGED;
}

static bool decompress(struct flux2_decoder *d, const void *data, size_t size, flux2_decoded *take, void *arg)
{
    unsigned char out[CHUNK];
    int rc;
    d->stream.next_in = (unsigned char *)(size_t)data; /* zlib does not change it */
    d->stream.avail_in = (uInt)size;
    do {
        d->stream.next_out = out;
        d->stream.avail_out = sizeof out;
        rc = inflate(&d->stream, Z_NO_FLUSH);
        if (d->stream.avail_out < sizeof out && !take(arg, out, sizeof out - d->stream.avail_out))
            return false;
    } while (rc == Z_OK && d->stream.avail_out == 0);
    if (rc == Z_OK || rc == Z_BUF_ERROR) /* more input is needed */
        return true;
    end_stream(d, rc);
    return rc == Z_STREAM_END;
}

static bool feed(struct flux2_decoder *d, const void *data, size_t size, flux2_decoded *take, void *arg)
{
    switch (d->state) {
    case FLUX2_DECODER_PLAIN:
        return size == 0 || take(arg, data, size);
    case FLUX2_DECODER_COMPRESSED:
        return size == 0 || decompress(d, data, size, take, arg);
    default:
        return d->state == FLUX2_DECODER_ENDED;
    }
}

bool flux2_decoder_write(struct flux2_decoder *d, const void *data, size_t size, flux2_decoded *take, void *arg)
{
    const unsigned char *bytes = data;
    if (size == 0)
        return true;
    if (d->state != FLUX2_DECODER_UNDECIDED)
        return feed(d, data, size, take, arg);
    if (d->held_size + size < 2) {
        d->held = *bytes;
        d->held_size = 1;
        return true;
    }
    d->state = FLUX2_DECODER_PLAIN;
    if (d->held_size > 0 ? is_compressed(d->held, bytes[0]) : is_compressed(bytes[0], bytes[1]))
        begin_stream(d);
    return feed(d, &d->held, d->held_size, take, arg) && feed(d, data, size, take, arg);
}

bool flux2_decoder_finish(struct flux2_decoder *d, flux2_decoded *take, void *arg)
{
    return d->state != FLUX2_DECODER_UNDECIDED || d->held_size == 0 || take(arg, &d->held, 1);
}

void flux2_decoder_clear(struct flux2_decoder *d)
{
    if (d->state == FLUX2_DECODER_COMPRESSED)
        inflateEnd(&d->stream);
    d->state = FLUX2_DECODER_UNDECIDED;
    d->held_size = 0;
}
