/* headers.c - fuzzes the parser of response headers (csrc/http/headers.c).
 *
 * Input: header lines of one or more responses, each with a line feed, as libcurl delivers them. */
#include <math.h>

#include "fuzz.h"
#include "http/headers.h"

static char *names[] = {(char *)"x-request-id", (char *)"request-id", (char *)"x-trace-id", (char *)"cf-ray"};
static const char key[] = "aio_0123";
enum { TRACES = sizeof names / sizeof *names };
static const struct flux2_string_list traces = {names, TRACES};
static struct flux2_secrets secrets;

static void check_value(const char *value, size_t size)
{
    CHECK(memchr(value, '\0', size) != NULL);
    CHECK(value[0] != ' ' && value[0] != '\t');
    CHECK(!strstr(value, key));
}

static void check(const struct flux2_headers *h)
{
    check_value(h->retry_after, sizeof h->retry_after);
    check_value(h->date, sizeof h->date);
    check_value(h->content_type, sizeof h->content_type);
    check_value(h->location, sizeof h->location);
    check_value(h->trace, sizeof h->trace);
    CHECK(h->trace_rank < TRACES || (h->trace_rank == (size_t)-1 && h->trace[0] == '\0'));
    double seconds = flux2_headers_retry_after(h, 1700000000);
    CHECK(seconds == -1 || (isfinite(seconds) && seconds >= 0));
    CHECK(h->retry_after[0] || seconds == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct flux2_headers headers;
    size_t bytes = 0;
    if (secrets.forms.count == 0 && !flux2_secrets_add(&secrets, key))
        abort();
    flux2_headers_clear(&headers);
    while (in.size > 0) {
        struct input line = take_until(&in, '\n');
        char *copy = exact_copy(line);
        flux2_headers_read(&headers, &traces, &secrets, copy, line.size);
        free(copy);
        bytes += line.size;
        check(&headers);
        CHECK(headers.bytes == bytes);
        if (line.size >= 5 && memcmp(line.at, "HTTP/", 5) == 0)
            CHECK(!headers.retry_after[0] && !headers.location[0] && !headers.trace[0]);
    }
    return 0;
}
