/* tuned.c - the lower bound: the cost of libcurl in a C program without other work.
 *
 *   tuned URL TASKS CONCURRENCY INTERVAL_MS DIRECTORY [CA_FILE]
 *
 * One thread, one multi handle. A task is a submission, polls at a fixed interval, and a download to a file that is
 * renamed when complete. Uses every optimization of libcurl: reused easy handles, a sufficient connection cache,
 * matching buffer sizes, a shared CA bundle, HTTP/2 multiplexing, and a heap that keeps freed receive buffers. It has
 * no retries, redirects, limits or error handling. */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <fcntl.h>
#include <jansson.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    RESPONSE_MAX = 4096,
    BUFFER_SMALL = 16384,
    BUFFER_LARGE = 131072,
    KEPT_HEAP = 64 << 20,       /* bytes: the buffers of all slots */
    CONNECTIONS_MAX = 32,       /* the fastest of 16, 32 and 100, with 100 concurrent tasks; ... */
    SHARED_CONNECTIONS_MAX = 4, /* ... with HTTP/2 a higher limit opens connections for excess streams */
};

enum phase { SUBMITTING, POLLING, DOWNLOADING };

struct slot {
    CURL *easy;
    enum phase phase;
    unsigned task;
    double due; /* time of the next poll */
    struct slot *next;
    char url[512], response[RESPONSE_MAX];
    size_t size; /* of the response or the file */
    int file;
};

static CURLM *multi;
static struct curl_slist *headers, *body_headers, *image_headers;
static const char *base, *directory, *ca_file;
static char submit_url[512];
static unsigned tasks, begun, done;
static double interval;
static struct slot *first_waiting, *last_waiting; /* ordered by due, since all intervals are equal */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *why)
{
    fprintf(stderr, "tuned: %s\n", why);
    exit(1);
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
    struct slot *s = arg;
    n *= one;
    if (s->phase == DOWNLOADING) {
        if (write(s->file, data, n) != (ssize_t)n)
            return 0;
    } else {
        if (s->size + n >= RESPONSE_MAX)
            return 0;
        memcpy(s->response + s->size, data, n);
    }
    s->size += n;
    return n;
}

static void prepare(struct slot *s)
{
    CURL *e = s->easy = curl_easy_init();
    curl_easy_setopt(e, CURLOPT_PRIVATE, s);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(e, CURLOPT_PIPEWAIT, 1L);
    if (ca_file) {
        curl_easy_setopt(e, CURLOPT_CAINFO, ca_file);
        curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    }
}

static void send_request(struct slot *s, enum phase phase, const char *url)
{
    static const char body[] = "{\"model\":\"flux-2\",\"prompt\":\"a red fox\",\"aspect_ratio\":\"1:1\"}";
    CURL *e = s->easy;
    s->size = 0;
    if (phase == SUBMITTING) {
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)sizeof body - 1);
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, body_headers);
        curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)BUFFER_SMALL);
    } else if (phase == DOWNLOADING) {
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, image_headers);
        curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)BUFFER_LARGE);
    } else if (s->phase != POLLING) {
        curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
    }
    s->phase = phase;
    curl_easy_setopt(e, CURLOPT_URL, url);
    if (curl_multi_add_handle(multi, e) != CURLM_OK)
        fail("cannot add a handle");
}

static bool begin_task(struct slot *s)
{
    if (begun == tasks)
        return false;
    s->task = ++begun;
    send_request(s, SUBMITTING, submit_url);
    return true;
}

static void wait_for_poll(struct slot *s, double at)
{
    s->due = at + interval;
    s->next = NULL;
    if (last_waiting)
        last_waiting->next = s;
    else
        first_waiting = s;
    last_waiting = s;
}

static void download(struct slot *s, const char *url)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%u.png.part", directory, s->task);
    s->file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (s->file < 0)
        fail("cannot create a file");
    send_request(s, DOWNLOADING, url);
}

static void on_downloaded(struct slot *s)
{
    char from[600], to[512];
    snprintf(to, sizeof to, "%s/%u.png", directory, s->task);
    snprintf(from, sizeof from, "%s.part", to);
    if (close(s->file) != 0 || rename(from, to) != 0)
        fail("cannot finish a file");
    done++;
    begin_task(s);
}

static void on_response(struct slot *s)
{
    long status = 0;
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(multi, s->easy);
    if (status != 200)
        fail("a status that is not 200");
    if (s->phase == DOWNLOADING) {
        on_downloaded(s);
        return;
    }
    json_t *root = json_loadb(s->response, s->size, 0, NULL), *data = json_object_get(root, "data");
    if (s->phase == SUBMITTING) {
        const char *id = json_string_value(json_object_get(data, "task_id"));
        if (!id)
            fail("a response without an id");
        snprintf(s->url, sizeof s->url, "%s/api/v1/tasks/%s", base, id);
        wait_for_poll(s, now());
    } else {
        const char *word = json_string_value(json_object_get(data, "status"));
        const char *url = json_string_value(json_object_get(json_object_get(data, "output"), "image_url"));
        if (word && strcmp(word, "SUCCESS") == 0 && url)
            download(s, url);
        else
            wait_for_poll(s, now());
    }
    json_decref(root);
}

static void run_once(void)
{
    int running, left;
    CURLMsg *m;
    double at = now();
    while (first_waiting && first_waiting->due <= at) {
        struct slot *s = first_waiting;
        first_waiting = s->next;
        if (!first_waiting)
            last_waiting = NULL;
        send_request(s, POLLING, s->url);
    }
    curl_multi_perform(multi, &running);
    while ((m = curl_multi_info_read(multi, &left))) {
        struct slot *s = NULL;
        if (m->data.result != CURLE_OK)
            fail(curl_easy_strerror(m->data.result));
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &s);
        on_response(s);
    }
    if (done == tasks)
        return;
    double ms = first_waiting ? (first_waiting->due - now()) * 1000 : 1000;
    curl_multi_poll(multi, NULL, 0, ms < 0 ? 0 : (int)ms + 1, NULL);
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    base = argv[1];
    tasks = (unsigned)atoi(argv[2]);
    unsigned concurrency = (unsigned)atoi(argv[3]), i;
    interval = atof(argv[4]) / 1000;
    directory = argv[5];
    ca_file = argc > 6 ? argv[6] : NULL;
    snprintf(submit_url, sizeof submit_url, "%s/api/v1/images/generations", base);
    mallopt(M_MMAP_THRESHOLD, KEPT_HEAP / 2);
    mallopt(M_TRIM_THRESHOLD, KEPT_HEAP);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)concurrency + 16);
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)(ca_file ? SHARED_CONNECTIONS_MAX : CONNECTIONS_MAX));
    headers = curl_slist_append(NULL, "Authorization: Bearer aio_bench_key");
    headers = curl_slist_append(headers, "Accept: application/json");
    body_headers = curl_slist_append(NULL, "Authorization: Bearer aio_bench_key");
    body_headers = curl_slist_append(body_headers, "Accept: application/json");
    body_headers = curl_slist_append(body_headers, "Content-Type: application/json");
    body_headers = curl_slist_append(body_headers, "Expect:");
    image_headers = curl_slist_append(NULL, "Accept: image/*");
    struct slot *slots = calloc(concurrency, sizeof *slots);
    for (i = 0; i < concurrency; i++) {
        prepare(&slots[i]);
        if (!begin_task(&slots[i]))
            break;
    }
    while (done < tasks)
        run_once();
    printf("done %u\n", done);
    for (i = 0; i < concurrency; i++)
        curl_easy_cleanup(slots[i].easy);
    curl_multi_cleanup(multi);
    return 0;
}
