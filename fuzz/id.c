/* id.c - fuzzes the escaping of task ids (csrc/base/url_escape.c): an escaped id is one path segment and unescapes to
 * the id.
 *
 * Input: the id. */
#include <curl/curl.h>

#include "base/url_escape.h"
#include "fuzz.h"

#define PREFIX "http://127.0.0.1:8080/api/v1/tasks/"
#define PATH "/api/v1/tasks/"

static void check_url(const char *escaped)
{
    char *url = malloc(strlen(escaped) + sizeof PREFIX), *path = NULL, *host = NULL, *query = NULL;
    CURLU *parsed = curl_url();
    if (!url || !parsed)
        abort();
    memcpy(url, PREFIX, sizeof PREFIX);
    strcat(url, escaped);
    CHECK(curl_url_set(parsed, CURLUPART_URL, url, CURLU_PATH_AS_IS) == CURLUE_OK);
    CHECK(curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK && strcmp(host, "127.0.0.1") == 0);
    CHECK(curl_url_get(parsed, CURLUPART_PATH, &path, 0) == CURLUE_OK);
    CHECK(strncmp(path, PATH, sizeof PATH - 1) == 0 && strcmp(path + sizeof PATH - 1, escaped) == 0);
    CHECK(curl_url_get(parsed, CURLUPART_QUERY, &query, 0) == CURLUE_NO_QUERY);
    CHECK(curl_url_get(parsed, CURLUPART_FRAGMENT, &query, 0) == CURLUE_NO_FRAGMENT);
    curl_free(host);
    curl_free(path);
    curl_url_cleanup(parsed);
    free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    char *id = exact_copy(in), *escaped = malloc(FLUX2_URL_ESCAPED_SIZE(size));
    int back = 0;
    if (!escaped)
        abort();
    flux2_url_escape(id, size, escaped);
    size_t n = strlen(escaped);
    CHECK(n >= size && n < FLUX2_URL_ESCAPED_SIZE(size));
    CHECK(strspn(escaped, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~.%") == n);
    CHECK(strspn(escaped, ".") < n || n == 0);
    if (n > 0) { /* libcurl treats length 0 as strlen() */
        char *plain = curl_easy_unescape(NULL, escaped, (int)n, &back);
        CHECK(plain && (size_t)back == size && memcmp(plain, id, size) == 0);
        curl_free(plain);
    }
    check_url(escaped);
    free(escaped);
    free(id);
    return 0;
}
