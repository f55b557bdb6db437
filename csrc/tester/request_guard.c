/* request_guard.c - see request_guard.h. */
#include "tester/request_guard.h"

#include <microhttpd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/ascii.h"
#include "platform/random.h"

int flux2_guard_init(struct flux2_guard *guard, int port)
{
    unsigned char bytes[FLUX2_TOKEN_BYTES];
    size_t i;
    int rc = flux2_random_secret(bytes, sizeof bytes);
    for (i = 0; i < sizeof bytes; i++)
        snprintf(guard->token + 2 * i, 3, "%02x", bytes[i]);
    snprintf(guard->address, sizeof guard->address, "127.0.0.1:%d", port);
    snprintf(guard->name, sizeof guard->name, "localhost:%d", port);
    return rc;
}

/* --- headers -------------------------------------------------------------------------------------- */

/* A header to find: number of occurrences and last value. */
struct header {
    const char *name, *value;
    unsigned count;
};

static enum MHD_Result match_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct header *h = cls;
    (void)kind;
    if (flux2_equals_ignoring_case(name, h->name)) {
        h->count++;
        h->value = value ? value : "";
    }
    return MHD_YES;
}

static struct header find_header(struct MHD_Connection *connection, const char *name)
{
    struct header h = {name, "", 0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, match_header, &h);
    return h;
}

/* --- the rules ------------------------------------------------------------------------------------ */

/* Prevents DNS rebinding: a host name of another site that resolves to this computer is rejected. */
static bool is_own_host(const struct flux2_guard *guard, const struct header *host)
{
    return host->count == 1 && (flux2_equals_ignoring_case(host->value, guard->address) ||
                                flux2_equals_ignoring_case(host->value, guard->name));
}

static bool is_own_origin(const struct header *origin, const struct header *host)
{
    static const char scheme[] = "http://";
    return origin->count == 1 && !strncmp(origin->value, scheme, sizeof scheme - 1) &&
           flux2_equals_ignoring_case(origin->value + sizeof scheme - 1, host->value);
}

/* Compares in constant time. */
static bool has_token(const struct flux2_guard *guard, const char *uri)
{
    unsigned char difference = 0;
    size_t i;
    if (strnlen(uri, FLUX2_TOKEN_CHARS + 2) < FLUX2_TOKEN_CHARS + 2)
        return false;
    for (i = 0; i < FLUX2_TOKEN_CHARS; i++)
        difference |= (unsigned char)(uri[i + 1] ^ guard->token[i]);
    return uri[0] == '/' && !difference && uri[FLUX2_TOKEN_CHARS + 1] == '/';
}

/* Returns whether another site sends the request. Following a link from another site is allowed: the link contains
 * the token, and the other site cannot read the response. */
static bool is_cross_site(struct MHD_Connection *connection, const struct header *host, bool is_post)
{
    struct header origin = find_header(connection, "Origin");
    struct header site = find_header(connection, "Sec-Fetch-Site");
    struct header mode = find_header(connection, "Sec-Fetch-Mode");
    bool is_link = !is_post && mode.count && !strcmp(mode.value, "navigate");
    if (is_post && !origin.count)
        return true;
    if (origin.count && !is_own_origin(&origin, host))
        return true;
    return site.count && strcmp(site.value, "same-origin") != 0 && !is_link &&
           (is_post || strcmp(site.value, "none") != 0);
}

static const struct flux2_refusal ACCEPTED;

static struct flux2_refusal refusal(int status, const char *reason)
{
    return (struct flux2_refusal){status, FLUX2_GUARD_TYPE, reason};
}

static struct flux2_refusal check_post(struct MHD_Connection *connection)
{
    struct header type = find_header(connection, "Content-Type");
    const char *rest = type.count == 1 ? flux2_skip_prefix(type.value, "application/json") : NULL;
    if (!rest || (*rest && *rest != ';' && *rest != ' '))
        return refusal(MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json\n");
    return ACCEPTED;
}

struct flux2_refusal flux2_guard_check(const struct flux2_guard *guard, struct MHD_Connection *connection,
                                       const char *uri, const char *method)
{
    struct header host = find_header(connection, "Host");
    bool is_post = !strcmp(method, "POST");
    if (!is_own_host(guard, &host))
        return refusal(MHD_HTTP_MISDIRECTED_REQUEST, "unknown host name\n");
    if (!is_post && strcmp(method, "GET") != 0)
        return refusal(MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and POST are allowed\n");
    if (!has_token(guard, uri))
        return refusal(MHD_HTTP_FORBIDDEN, "the URL has no valid token: open the URL that the program printed\n");
    if (is_cross_site(connection, &host, is_post))
        return refusal(MHD_HTTP_FORBIDDEN, "the request comes from another site\n");
    return is_post ? check_post(connection) : ACCEPTED;
}

const char *flux2_guard_path(const char *uri)
{
    return uri + FLUX2_TOKEN_CHARS + 1;
}
