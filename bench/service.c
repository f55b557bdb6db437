/* service.c - a fast HTTP service with the API for the benchmarks.
 *
 *   service [PORT]           prints its port, then serves 127.0.0.1 until POST /end
 *
 * One thread with epoll. A task ends after a number of polls or a time; an image is a PNG file of a given size with one
 * chunk of random bytes. The clients are verified against its counters. It does not check request fields.
 *
 *   POST /reset?polls=6&min_ms=0&max_ms=0&bytes=102400   resets tasks and counters
 *   GET  /stats                                          counters, detection delays, CPU time
 *   POST /end                                            ends the program */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    REQUEST_MAX = 64 * 1024,
    HEAD_MAX = 1024,
    CONNECTIONS_MAX = 16384,
    TASKS_MAX = 200000,
    IMAGE_MIN = 32, /* without random bytes */
    IMAGE_MAX = 64 * 1024 * 1024,
    EVENTS = 256,
};

struct task {
    int64_t began, ends; /* microseconds */
    int64_t detected;    /* time of the first poll that reported the end; 0: none yet */
    unsigned polls;
};

struct connection {
    int fd;
    size_t have; /* bytes of `in` */
    char *in;
    char head[HEAD_MAX]; /* output: first the headers ... */
    size_t head_size, head_sent;
    size_t body_size, body_sent; /* ... then the image */
};

static struct {
    unsigned polls;
    int64_t least, most; /* duration of a task in microseconds if `polls` is 0 */
    size_t bytes;
} settings = {.polls = 6, .bytes = 102400};

static struct {
    uint64_t requests, submissions, polls, images, image_bytes, connections, errors;
    struct rusage began;
} count;

static struct connection *connections[CONNECTIONS_MAX];
static struct task *tasks;
static unsigned task_count;
static char *image;
static int poller;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* --- responses ------------------------------------------------------------------------------------------ */

static void send_response(struct connection *c, int status, const char *type, const char *body, size_t size)
{
    int n = snprintf(c->head, sizeof c->head, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                     status, status == 200 ? "OK" : "Error", type, size);
    c->head_size = (size_t)n;
    c->head_sent = c->body_sent = c->body_size = 0;
    if (!body) {
        c->body_size = size;
        return;
    }
    if (c->head_size + size > sizeof c->head)
        abort();
    memcpy(c->head + c->head_size, body, size);
    c->head_size += size;
}

static void send_json(struct connection *c, int status, const char *text)
{
    send_response(c, status, "application/json", text, strlen(text));
}

static void not_found(struct connection *c)
{
    count.errors++;
    send_json(c, 404, "{\"error\":{\"code\":404,\"message\":\"not found\"}}");
}

static void submit(struct connection *c)
{
    char text[160];
    if (task_count == TASKS_MAX) {
        not_found(c);
        return;
    }
    unsigned i = task_count++;
    struct task *t = &tasks[i];
    int64_t span = settings.most - settings.least;
    *t = (struct task){.began = now_us()};
    /* Reproducible durations: multiples of the golden ratio, which are evenly distributed. */
    double part = (double)i * 0.6180339887498949;
    t->ends = t->began + settings.least + (int64_t)((double)span * (part - (double)(int64_t)part));
    count.submissions++;
    snprintf(text, sizeof text,
             "{\"code\":200,\"message\":\"success\",\"data\":{\"task_id\":\"t%07u\",\"status\":\"IN_PROGRESS\"}}", i);
    send_json(c, 200, text);
}

static void poll_task(struct connection *c, const char *id, const char *scheme, const char *host)
{
    char text[512];
    unsigned i;
    if (sscanf(id, "t%7u", &i) != 1 || i >= task_count) {
        not_found(c);
        return;
    }
    struct task *t = &tasks[i];
    count.polls++;
    t->polls++;
    int64_t now = now_us();
    bool over = settings.polls > 0 ? t->polls >= settings.polls : now >= t->ends;
    if (over) {
        if (!t->detected)
            t->detected = now;
        snprintf(text, sizeof text,
                 "{\"code\":200,\"message\":\"success\",\"data\":{\"task_id\":\"t%07u\",\"status\":\"SUCCESS\","
                 "\"progress\":100,\"output\":{\"image_url\":\"%s://%s/images/t%07u.png\"}}}",
                 i, scheme, host, i);
    } else {
        snprintf(text, sizeof text,
                 "{\"code\":200,\"message\":\"success\",\"data\":{\"task_id\":\"t%07u\",\"status\":\"IN_PROGRESS\","
                 "\"progress\":50}}",
                 i);
    }
    send_json(c, 200, text);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Returns the quantile Q of the delays, in milliseconds, between the end of a task and the poll that reported it. */
static double delay_at(const int64_t *sorted, unsigned n, double q)
{
    if (n == 0)
        return 0;
    unsigned at = (unsigned)(q * (double)(n - 1) + 0.5);
    return (double)sorted[at] / 1000;
}

static double seconds(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static void stats(struct connection *c)
{
    char text[700];
    struct rusage now;
    int64_t *delays = malloc((task_count + 1) * sizeof *delays);
    unsigned i, finished = 0;
    for (i = 0; delays && i < task_count; i++)
        if (tasks[i].detected)
            delays[finished++] = tasks[i].detected - tasks[i].ends;
    if (delays)
        qsort(delays, finished, sizeof *delays, by_size);
    getrusage(RUSAGE_SELF, &now);
    snprintf(text, sizeof text,
             "{\"submissions\":%llu,\"finished\":%u,\"polls\":%llu,\"images\":%llu,\"image_bytes\":%llu,"
             "\"requests\":%llu,\"connections\":%llu,\"errors\":%llu,\"delay_p50_ms\":%.3f,\"delay_p99_ms\":%.3f,"
             "\"cpu_seconds\":%.6f}",
             (unsigned long long)count.submissions, finished, (unsigned long long)count.polls,
             (unsigned long long)count.images, (unsigned long long)count.image_bytes,
             (unsigned long long)count.requests, (unsigned long long)count.connections,
             (unsigned long long)count.errors, delay_at(delays, finished, 0.5), delay_at(delays, finished, 0.99),
             seconds(&now.ru_utime) + seconds(&now.ru_stime) - seconds(&count.began.ru_utime) -
                 seconds(&count.began.ru_stime));
    free(delays);
    send_json(c, 200, text);
}

static double parameter(const char *query, const char *name, double otherwise)
{
    const char *at = strstr(query, name);
    return at ? strtod(at + strlen(name), NULL) : otherwise;
}

/* Makes the first SIZE bytes of `image` a complete PNG file: signature, a chunk of random bytes, the end. */
static void shape_image(size_t size)
{
    static const char start[] = "\x89PNG\r\n\x1a\n\0\0\0\0noIz", end[] = "\0\0\0\0IEND\xae\x42\x60\x82";
    uint32_t length = htonl((uint32_t)(size - IMAGE_MIN));
    memcpy(image, start, sizeof start - 1);
    memcpy(image + 8, &length, sizeof length);
    memcpy(image + size - (sizeof end - 1), end, sizeof end - 1);
}

static void reset(struct connection *c, const char *query)
{
    settings.polls = (unsigned)parameter(query, "polls=", 6);
    settings.least = (int64_t)(parameter(query, "min_ms=", 0) * 1000);
    settings.most = (int64_t)(parameter(query, "max_ms=", 0) * 1000);
    settings.bytes = (size_t)parameter(query, "bytes=", 102400);
    if (settings.bytes < IMAGE_MIN)
        settings.bytes = IMAGE_MIN;
    if (settings.bytes > IMAGE_MAX)
        settings.bytes = IMAGE_MAX;
    shape_image(settings.bytes);
    task_count = 0;
    memset(&count, 0, sizeof count);
    getrusage(RUSAGE_SELF, &count.began);
    send_json(c, 200, "{}");
}

/* --- requests ----------------------------------------------------------------------------------------- */

/* Copies the value of a header of the NUL-terminated HEAD; "" if it is missing. */
static void header(const char *head, const char *name, char *out, size_t size)
{
    const char *line = head;
    size_t n = strlen(name);
    out[0] = '\0';
    while ((line = strstr(line, "\r\n"))) {
        line += 2;
        if (strncasecmp(line, name, n) != 0 || line[n] != ':')
            continue;
        line += n + 1;
        line += strspn(line, " ");
        snprintf(out, size, "%.*s", (int)strcspn(line, "\r"), line);
        return;
    }
}

static void handle(struct connection *c, char *head)
{
    static const char tasks_path[] = "/api/v1/tasks/", images_path[] = "/images/";
    char method[8] = "", path[512] = "", host[128], scheme[16];
    if (sscanf(head, "%7s %511s", method, path) != 2) {
        not_found(c);
        return;
    }
    bool post = strcmp(method, "POST") == 0;
    if (post && strncmp(path, "/reset", 6) == 0) {
        reset(c, path);
        return;
    }
    if (post && strcmp(path, "/end") == 0)
        exit(0);
    if (strcmp(path, "/stats") == 0) {
        stats(c);
        return;
    }
    count.requests++;
    if (post && strcmp(path, "/api/v1/images/generations") == 0) {
        submit(c);
    } else if (strncmp(path, tasks_path, sizeof tasks_path - 1) == 0) {
        header(head, "Host", host, sizeof host);
        header(head, "X-Forwarded-Proto", scheme, sizeof scheme);
        poll_task(c, path + sizeof tasks_path - 1, scheme[0] ? scheme : "http", host);
    } else if (strncmp(path, images_path, sizeof images_path - 1) == 0) {
        send_response(c, 200, "image/png", NULL, settings.bytes);
    } else {
        not_found(c);
    }
}

/* --- connections --------------------------------------------------------------------------------------- */

static void drop(struct connection *c)
{
    connections[c->fd] = NULL;
    close(c->fd);
    free(c->in);
    free(c);
}

static void watch(struct connection *c, bool writing)
{
    struct epoll_event e = {.events = writing ? EPOLLOUT : EPOLLIN, .data.fd = c->fd};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
}

/* Sends pending output. Returns 1: complete; 0: incomplete; -1: disconnected. */
static int flush(struct connection *c)
{
    while (c->head_sent < c->head_size) {
        int more = c->body_size > 0 ? MSG_MORE : 0;
        ssize_t n = send(c->fd, c->head + c->head_sent, c->head_size - c->head_sent, MSG_NOSIGNAL | more);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        c->head_sent += (size_t)n;
    }
    while (c->body_sent < c->body_size) {
        ssize_t n = send(c->fd, image + c->body_sent, c->body_size - c->body_sent, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        c->body_sent += (size_t)n;
        count.image_bytes += (uint64_t)n;
    }
    if (c->body_size > 0)
        count.images++;
    c->head_size = c->body_size = 0;
    return 1;
}

/* Handles the complete requests. Returns -1: disconnected; 0: output is pending. */
static int handle_all(struct connection *c)
{
    for (;;) {
        char length[24], *end;
        c->in[c->have] = '\0';
        end = memmem(c->in, c->have, "\r\n\r\n", 4);
        if (!end)
            return c->have < REQUEST_MAX ? 1 : -1;
        size_t size = (size_t)(end - c->in) + 4;
        end[2] = '\0';
        header(c->in, "Content-Length", length, sizeof length);
        end[2] = '\r';
        size_t whole = size + strtoul(length, NULL, 10);
        if (whole > REQUEST_MAX)
            return -1;
        if (c->have < whole)
            return 1;
        end[2] = '\0';
        handle(c, c->in);
        memmove(c->in, c->in + whole, c->have - whole);
        c->have -= whole;
        int rc = flush(c);
        if (rc <= 0)
            return rc;
    }
}

static void on_event(struct connection *c, uint32_t events)
{
    bool was_writing = c->head_size > 0;
    if (was_writing) {
        int rc = flush(c);
        if (rc < 0) {
            drop(c);
            return;
        }
        if (rc == 0)
            return;
    } else {
        ssize_t n = recv(c->fd, c->in + c->have, REQUEST_MAX - c->have, 0);
        if (n <= 0) {
            if (n == 0 || errno != EAGAIN || (events & (EPOLLERR | EPOLLHUP)))
                drop(c);
            return;
        }
        c->have += (size_t)n;
    }
    int rc = handle_all(c);
    if (rc < 0)
        drop(c);
    else if (was_writing != (rc == 0))
        watch(c, rc == 0);
}

static void accept_all(int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *c = fd < CONNECTIONS_MAX ? calloc(1, sizeof *c) : NULL;
        if (c)
            c->in = malloc(REQUEST_MAX + 1);
        if (!c || !c->in) {
            free(c);
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->fd = fd;
        connections[fd] = c;
        count.connections++;
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
    }
}

static int listen_at(unsigned port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof a;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, size) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &size) != 0) {
        perror("service");
        exit(1);
    }
    printf("%u\n", (unsigned)ntohs(a.sin_port));
    fclose(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    uint64_t noise = 88172645463325252ULL;
    size_t i;
    struct rlimit files = {CONNECTIONS_MAX, CONNECTIONS_MAX};
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* in case the parent is killed */
    setrlimit(RLIMIT_NOFILE, &files);
    tasks = calloc(TASKS_MAX, sizeof *tasks);
    image = malloc(IMAGE_MAX);
    if (!tasks || !image)
        return 1;
    for (i = 0; i + 8 <= IMAGE_MAX; i += 8) {
        noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17;
        memcpy(image + i, &noise, 8);
    }
    shape_image(settings.bytes);
    poller = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_at(argc > 1 ? (unsigned)atoi(argv[1]) : 0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1), k;
        for (k = 0; k < n; k++) {
            if (events[k].data.fd == listener)
                accept_all(listener);
            else if (connections[events[k].data.fd])
                on_event(connections[events[k].data.fd], events[k].events);
        }
    }
}
