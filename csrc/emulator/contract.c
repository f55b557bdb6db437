/* contract.c - the service: what it answers to a request; see contract.h. */
#include "contract.h"

#include "gallery.h"
#include "links.h"
#include "openai.h"
#include "order.h"
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define SUBMIT_PATH "/api/v1/images/generations"
#define OPENAI_PATH "/v1/images/generations" /* in that dialect also */
#define TASK_PATH "/api/v1/tasks/"

static void lock(struct flux2_emu *emu)
{
    pthread_mutex_lock(&emu->lock);
}

static void unlock(struct flux2_emu *emu)
{
    pthread_mutex_unlock(&emu->lock);
}

static bool method_is(const struct emu_request *r, struct emu_answer *a, const char *allowed)
{
    if (strstr(allowed, r->method))
        return true;
    flux2_emu_answer_error(a, 405, "method_not_allowed", "this path does not take this method");
    snprintf(a->allow, sizeof(a->allow), "%s", allowed);
    return false;
}

static bool is_authorized(const struct emu_request *r, struct emu_answer *a)
{
    static const char scheme[] = "Bearer ";
    const char *key = r->authorization;
    if (!key || strncasecmp(key, scheme, sizeof(scheme) - 1)) {
        flux2_emu_answer_error(a, 401, "authentication_error",
                               "an API key is required: Authorization: Bearer <key>");
        return false;
    }
    if (strcmp(key + sizeof(scheme) - 1, r->settings->api_key)) {
        flux2_emu_answer_error(a, 401, "authentication_error", "the API key is not valid");
        return false;
    }
    return true;
}

/* By hand, for strftime would speak the host's language. */
static void http_date(char *out, size_t size, time_t when)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm t;
    gmtime_r(&when, &t);
    snprintf(out, size, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[t.tm_wday], t.tm_mday, months[t.tm_mon],
             t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

/* Counts the request in the window that runs, and begins the next when that is over. */
static bool is_within_rate(struct flux2_emu *emu, const struct emu_request *r, struct emu_answer *a,
                           bool submission)
{
    const struct emu_settings *s = r->settings;
    double now = flux2_emu_now(), wait = 0;
    if (!(s->rate_requests > 0) || (s->rate_submissions_only && !submission))
        return true;
    lock(emu);
    if (now >= emu->window_start + s->rate_seconds) {
        emu->window_start = now;
        emu->window_requests = 0;
    }
    if (++emu->window_requests > s->rate_requests)
        wait = fmax(1, ceil(emu->window_start + s->rate_seconds - now));
    unlock(emu);
    if (!(wait > 0))
        return true;
    flux2_emu_answer_error(a, 429, "rate_limit_error", "too many requests: try again later");
    if (!strcmp(s->retry_after_format, "date"))
        http_date(a->retry_after, sizeof(a->retry_after), time(NULL) + (time_t)wait);
    else
        snprintf(a->retry_after, sizeof(a->retry_after), "%.0f", wait);
    return false;
}

static bool is_json_type(const char *content_type)
{
    static const char json[] = "application/json";
    size_t len = sizeof(json) - 1;
    return content_type && !strncasecmp(content_type, json, len) &&
           (!content_type[len] || strchr("; \t", content_type[len]));
}

static void set_reason(struct emu_task *task, const char *reason)
{
    free(task->reason);
    task->reason = strdup(reason);
}

/* What becomes of a task, the NUMBER-th of its request from 0, is settled when it is accepted. With the lock. */
static void decide(struct flux2_emu *emu, struct emu_task *task, const struct emu_settings *s, int number)
{
    const char *prompt = task->order.prompt;
    double least = s->duration[0], most = s->duration[1];
    double chance = flux2_emu_random_unit(&emu->random), length = flux2_emu_random_unit(&emu->random);
    task->accepted_at = flux2_emu_now();
    task->finished_at = task->accepted_at + least + (most - least) * length;
    task->picture = flux2_emu_order_hash(&task->order) ^ emu->picture_seed;
    if (number)
        task->picture = flux2_emu_hash(task->picture, &number, sizeof(number));
    if (*s->moderation_word && strstr(prompt, s->moderation_word)) {
        task->outcome = EMU_MODERATED;
        set_reason(task, s->moderation_reason);
    } else if (emu->fail_next > 0) {
        emu->fail_next--;
        task->outcome = EMU_FAILS;
        set_reason(task, emu->fail_reason ? emu->fail_reason : s->failure_reason);
    } else if ((*s->failure_word && strstr(prompt, s->failure_word)) || chance < s->failure_rate) {
        task->outcome = EMU_FAILS;
        set_reason(task, s->failure_reason);
    }
}

/* One task of ORDER, charged for and in the ledger. With the lock; NULL: out of memory. */
static struct emu_task *take(struct flux2_emu *emu, const struct emu_request *r,
                             const struct emu_order *order, double price, int number)
{
    size_t kept = r->body_len < emu->journal.body_limit ? r->body_len : emu->journal.body_limit;
    struct emu_order copy;
    struct emu_task *task = NULL;
    if (flux2_emu_order_copy(&copy, order))
        task = flux2_emu_tasks_accept(&emu->tasks, &copy, r->body, kept);
    if (!task) {
        flux2_emu_order_free(&copy);
        return NULL;
    }
    emu->credits -= price;
    emu->journal.submissions++;
    task->credits = price;
    decide(emu, task, r->settings, number);
    return task;
}

/* Fills TASKS with COUNT tasks of ORDER. False with the answer set if they cannot be paid: then there is none. */
static bool accept(struct flux2_emu *emu, const struct emu_request *r, const struct emu_order *order,
                   struct emu_task **tasks, int count, struct emu_answer *a)
{
    double price = flux2_emu_order_price(order, r->settings->flex_2k_credits);
    char complaint[96];
    double left;
    int taken = 0;
    lock(emu);
    left = emu->credits;
    while (price * count <= left && taken < count && (tasks[taken] = take(emu, r, order, price, taken)))
        taken++;
    unlock(emu);
    if (price * count > left) {
        snprintf(complaint, sizeof(complaint), "not enough credits: this costs %.16g, %.16g are left",
                 price * count, left);
        flux2_emu_answer_error(a, 402, "insufficient_credits", complaint);
    } else if (taken < count) {
        flux2_emu_answer_error(a, 500, "server_error", "out of memory");
    }
    return taken == count;
}

/* What is wrong with the request, or NULL and what it asks for. */
static const char *read_request(const struct emu_request *r, struct emu_ask *ask, struct emu_answer *a,
                                char *complaint, size_t size)
{
    if (a->openai)
        return flux2_emu_openai_read(ask, r->settings, r->body, r->body_len, &a->param, complaint, size);
    ask->count = 1;
    return flux2_emu_order_read(&ask->order, r->body, r->body_len, complaint, size);
}

static void submit(struct flux2_emu *emu, const struct emu_request *r, struct emu_answer *a)
{
    char complaint[256];
    const char *wrong = NULL;
    struct emu_ask ask = {0};
    struct emu_task *tasks[EMU_MAX_ASKED];
    bool taken = false;
    if (!method_is(r, a, "POST") || !is_authorized(r, a) || !is_within_rate(emu, r, a, true))
        return;
    if (r->too_large) {
        snprintf(complaint, sizeof(complaint), "the body is longer than %lld bytes",
                 r->settings->max_body_bytes);
        flux2_emu_answer_error(a, 413, "payload_too_large", complaint);
    } else if (!is_json_type(r->content_type)) {
        flux2_emu_answer_error(a, 415, "unsupported_media_type", "Content-Type must be application/json");
    } else if ((wrong = read_request(r, &ask, a, complaint, sizeof(complaint)))) {
        flux2_emu_answer_error(a, 400, "invalid_request", wrong);
    } else if (*r->settings->rejection_word && strstr(ask.order.prompt, r->settings->rejection_word)) {
        flux2_emu_answer_error(a, 422, "rejected", "the prompt was rejected");
    } else {
        taken = accept(emu, r, &ask.order, tasks, ask.count, a);
    }
    flux2_emu_order_free(&ask.order);
    if (taken && a->openai)
        flux2_emu_report_at_once(emu, r->settings, tasks, (size_t)ask.count, ask.b64, a);
    else if (taken)
        flux2_emu_report_accepted(emu, r->settings, tasks[0], a);
}

static void poll_task(struct flux2_emu *emu, const struct emu_request *r, struct emu_answer *a)
{
    const char *id = r->path + strlen(TASK_PATH);
    struct emu_task *task;
    if (!method_is(r, a, "GET") || !is_authorized(r, a) || !is_within_rate(emu, r, a, false))
        return;
    lock(emu);
    emu->journal.polls++;
    task = flux2_emu_tasks_find(&emu->tasks, id, strcspn(id, "?"));
    if (task)
        task->polls++;
    unlock(emu);
    if (task)
        flux2_emu_report_task(emu, r->settings, task, a);
    else
        flux2_emu_answer_error(a, 404, "not_found", "there is no task with this id");
}

static void serve_image(struct flux2_emu *emu, const struct emu_request *r, struct emu_answer *a)
{
    const struct emu_settings *s = r->settings;
    struct emu_link link;
    enum emu_link_state state;
    if (!method_is(r, a, "GET, HEAD"))
        return;
    lock(emu);
    state = flux2_emu_links_resolve(emu, s, r->path, &link);
    emu->journal.downloads += state == EMU_LINK_VALID && !strcmp(r->method, "GET");
    unlock(emu);
    if (state == EMU_LINK_UNKNOWN) {
        flux2_emu_answer_error(a, 404, "not_found", "there is no such image");
    } else if (state == EMU_LINK_EXPIRED) {
        flux2_emu_answer_error(a, (int)s->image_expired_status, "expired",
                               "the link to this image has expired");
    } else {
        a->body = flux2_emu_links_picture(emu, s, &link);
        a->status = 200;
        a->content_type = s->image_content_type;
        if (!a->body)
            flux2_emu_answer_error(a, 500, "server_error", "the image could not be drawn");
    }
}

static bool begins(const char *path, const char *with)
{
    return !strncmp(path, with, strlen(with));
}

static bool is_path(const char *path, size_t len, const char *wanted)
{
    return len == strlen(wanted) && begins(path, wanted);
}

void flux2_emu_contract_answer(struct flux2_emu *emu, const struct emu_request *r, struct emu_answer *a)
{
    size_t len = strcspn(r->path, "?");
    bool openai = !strcmp(r->settings->dialect, "openai");
    a->openai = openai && !flux2_emu_links_is_image(r->settings, r->path);
    if (is_path(r->path, len, SUBMIT_PATH) || (openai && is_path(r->path, len, OPENAI_PATH)))
        submit(emu, r, a);
    else if (len > strlen(TASK_PATH) && begins(r->path, TASK_PATH))
        poll_task(emu, r, a);
    else if (flux2_emu_links_is_image(r->settings, r->path))
        serve_image(emu, r, a);
    else
        flux2_emu_answer_error(a, 404, "not_found", "there is nothing at this path");
}
