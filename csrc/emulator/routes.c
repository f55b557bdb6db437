/* routes.c - see routes.h. */
#include "emulator/routes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/ascii.h"
#include "base/hash.h"
#include "emulator/bfl.h"
#include "emulator/image_urls.h"
#include "emulator/openai.h"
#include "emulator/request.h"
#include "emulator/task_response.h"
#include "platform/clock.h"
#include "platform/random.h"

#define SUBMIT_PATH "/api/v1/images/generations"
#define OPENAI_PATH "/v1/images/generations" /* additional path of the dialect "openai" */
#define TASK_PATH "/api/v1/tasks/"

static void lock(struct flux2_emu *emu)
{
    flux2_mutex_lock(&emu->lock);
}

static void unlock(struct flux2_emu *emu)
{
    flux2_mutex_unlock(&emu->lock);
}

static bool check_method(const struct emu_http_request *r, struct emu_response *out, const char *allowed)
{
    if (strstr(allowed, r->method))
        return true;
    flux2_emu_response_error(out, 405, "method_not_allowed", "method not allowed for this path");
    snprintf(out->allow, sizeof(out->allow), "%s", allowed);
    return false;
}

static bool check_authorization(const struct emu_http_request *r, struct emu_response *out)
{
    const char *key = r->authorization ? flux2_skip_prefix(r->authorization, "Bearer ") : NULL;
    if (out->dialect == EMU_BFL)
        key = r->key;
    if (!key) {
        flux2_emu_response_error(out, 401, "authentication_error",
                                 "an API key is required: Authorization: Bearer <key>");
        return false;
    }
    if (strcmp(key, r->settings->api_key)) {
        flux2_emu_response_error(out, 401, "authentication_error", "the API key is not valid");
        return false;
    }
    return true;
}

/* strftime depends on the locale. */
static void http_date(char *out, size_t size, time_t when)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm t;
    flux2_clock_utc(when, &t);
    snprintf(out, size, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[t.tm_wday], t.tm_mday, months[t.tm_mon],
             t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

/* Counts the request in the current rate limit window, or starts a new window. */
static bool check_rate_limit(struct flux2_emu *emu, const struct emu_http_request *r, struct emu_response *out,
                             bool submission)
{
    const struct emu_settings *s = r->settings;
    double now = flux2_clock_now(), wait = 0;
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
    flux2_emu_response_error(out, 429, "rate_limit_error", "too many requests: try again later");
    if (!strcmp(s->retry_after_format, "date"))
        http_date(out->retry_after, sizeof(out->retry_after), time(NULL) + (time_t)wait);
    else
        snprintf(out->retry_after, sizeof(out->retry_after), "%.0f", wait);
    return false;
}

static bool is_json_type(const char *content_type)
{
    const char *rest = content_type ? flux2_skip_prefix(content_type, "application/json") : NULL;
    return rest && (!*rest || strchr("; \t", *rest));
}

static void set_reason(struct emu_task *task, const char *reason)
{
    free(task->reason);
    task->reason = strdup(reason);
}

/* Sets duration and outcome of a task. NUMBER is its index within the submission, from 0. Called with the lock held. */
static void assign_outcome(struct flux2_emu *emu, struct emu_task *task, const struct emu_settings *s, int number)
{
    const char *prompt = task->request.prompt;
    double least = s->duration[0], most = s->duration[1];
    double chance = flux2_random_unit(&emu->random), length = flux2_random_unit(&emu->random);
    task->accepted_at = flux2_clock_now();
    task->finished_at = task->accepted_at + least + (most - least) * length;
    task->image_seed = flux2_emu_request_hash(&task->request) ^ emu->image_seed;
    if (number)
        task->image_seed = flux2_hash(task->image_seed, &number, sizeof(number));
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

/* Creates a task and charges for it. Called with the lock held. Returns NULL if out of memory. */
static struct emu_task *create_task(struct flux2_emu *emu, const struct emu_http_request *r,
                                    const struct emu_request *request, double price, int number)
{
    size_t kept = r->body_len < emu->log.body_limit ? r->body_len : emu->log.body_limit;
    struct emu_request copy;
    struct emu_task *task = NULL;
    if (flux2_emu_request_copy(&copy, request))
        task = flux2_emu_tasks_accept(&emu->tasks, &copy, r->body, kept);
    if (!task) {
        flux2_emu_request_free(&copy);
        return NULL;
    }
    emu->credits -= price;
    emu->log.submissions++;
    task->credits = price;
    assign_outcome(emu, task, r->settings, number);
    return task;
}

/* Creates the tasks of SUBMISSION. Returns false with the error response set if there are not enough credits or
 * memory. */
static bool create_tasks(struct flux2_emu *emu, const struct emu_http_request *r,
                         const struct emu_submission *submission, struct emu_task **tasks, struct emu_response *out)
{
    const struct emu_request *request = &submission->request;
    double price = submission->price;
    char message[96];
    double left;
    int taken = 0, count = submission->count;
    lock(emu);
    left = emu->credits;
    while (price * count <= left && taken < count && (tasks[taken] = create_task(emu, r, request, price, taken)))
        taken++;
    unlock(emu);
    if (price * count > left) {
        snprintf(message, sizeof(message), "not enough credits: this costs %.16g, %.16g are left", price * count, left);
        flux2_emu_response_error(out, 402, "insufficient_credits", message);
    } else if (taken < count) {
        flux2_emu_response_error(out, 500, "server_error", "out of memory");
    }
    return taken == count;
}

/* Parses the body. Returns an error message or NULL. */
static const char *read_body(const struct emu_http_request *r, struct emu_submission *submission,
                             struct emu_response *out, char *message, size_t size)
{
    const char *wrong;
    if (out->dialect == EMU_BFL)
        return flux2_emu_bfl_read(submission, flux2_emu_bfl_type(r->path, strcspn(r->path, "?")), r->body, r->body_len,
                                  &out->param, message, size);
    if (out->dialect == EMU_OPENAI) {
        wrong = flux2_emu_openai_read(submission, r->settings, r->body, r->body_len, &out->param, message, size);
    } else {
        submission->count = 1;
        wrong = flux2_emu_request_read(&submission->request, r->body, r->body_len, message, size);
    }
    if (!wrong)
        submission->price = flux2_emu_request_price(&submission->request, r->settings->flex_2k_credits);
    return wrong;
}

/* Limits the number of unfinished tasks. */
static bool check_active_tasks(struct flux2_emu *emu, const struct emu_http_request *r, struct emu_response *out)
{
    long long most = r->settings->max_active_tasks;
    size_t active = 0;
    char message[80];
    if (most == 0)
        return true;
    lock(emu);
    active = flux2_emu_tasks_active(&emu->tasks, flux2_clock_now());
    unlock(emu);
    if (active < (size_t)most)
        return true;
    snprintf(message, sizeof message, "Too many concurrent requests: at most %lld active tasks", most);
    flux2_emu_response_error(out, 429, "rate_limit_error", message);
    return false;
}

static void submit(struct flux2_emu *emu, const struct emu_http_request *r, struct emu_response *out)
{
    char message[256];
    const char *wrong = NULL;
    struct emu_submission submission = {0};
    struct emu_task *tasks[EMU_MAX_IMAGES];
    bool taken = false;
    if (!check_method(r, out, "POST") || !check_authorization(r, out) || !check_rate_limit(emu, r, out, true))
        return;
    if (r->too_large) {
        snprintf(message, sizeof(message), "the body is longer than %lld bytes", r->settings->max_body_bytes);
        flux2_emu_response_error(out, 413, "payload_too_large", message);
    } else if (!is_json_type(r->content_type)) {
        flux2_emu_response_error(out, 415, "unsupported_media_type", "Content-Type must be application/json");
    } else if ((wrong = read_body(r, &submission, out, message, sizeof(message)))) {
        flux2_emu_response_error(out, 400, "invalid_request", wrong);
    } else if (*r->settings->rejection_word && strstr(submission.request.prompt, r->settings->rejection_word)) {
        flux2_emu_response_error(out, 422, "rejected", "the prompt was rejected");
    } else if (check_active_tasks(emu, r, out)) {
        taken = create_tasks(emu, r, &submission, tasks, out);
    }
    flux2_emu_request_free(&submission.request);
    if (taken && out->dialect == EMU_BFL)
        flux2_emu_bfl_respond_accepted(emu, tasks[0], out);
    else if (taken && out->dialect == EMU_OPENAI)
        flux2_emu_respond_finished(emu, r->settings, tasks, (size_t)submission.count, submission.b64, out);
    else if (taken)
        flux2_emu_respond_accepted(emu, r->settings, tasks[0], out);
}

/* Handles a poll of the task with ID, of LEN bytes. */
static void poll_task(struct flux2_emu *emu, const struct emu_http_request *r, const char *id, size_t len,
                      struct emu_response *out)
{
    struct emu_task *task;
    if (!check_method(r, out, "GET") || !check_authorization(r, out) || !check_rate_limit(emu, r, out, false))
        return;
    lock(emu);
    emu->log.polls++;
    task = flux2_emu_tasks_find(&emu->tasks, id, len);
    if (task)
        task->polls++;
    unlock(emu);
    if (task)
        flux2_emu_respond_status(emu, r->settings, task, out);
    else if (out->dialect == EMU_BFL)
        flux2_emu_bfl_respond_unknown(id, len, out);
    else
        flux2_emu_response_error(out, 404, "not_found", "unknown task id");
}

static void serve_image(struct flux2_emu *emu, const struct emu_http_request *r, struct emu_response *out)
{
    const struct emu_settings *s = r->settings;
    struct emu_image_ref image;
    enum emu_image_state state;
    if (!check_method(r, out, "GET, HEAD"))
        return;
    lock(emu);
    state = flux2_emu_image_urls_read(emu, s, r->path, &image);
    emu->log.downloads += state == EMU_IMAGE_VALID && !strcmp(r->method, "GET");
    unlock(emu);
    if (state == EMU_IMAGE_UNKNOWN) {
        flux2_emu_response_error(out, 404, "not_found", "unknown image");
    } else if (state == EMU_IMAGE_EXPIRED) {
        flux2_emu_response_error(out, (int)s->image_expired_status, "expired", "the image URL has expired");
    } else {
        out->body = flux2_emu_image_urls_draw(emu, s, &image);
        out->status = 200;
        out->content_type = s->image_content_type;
        if (!out->body)
            flux2_emu_response_error(out, 500, "server_error", "the image could not be drawn");
    }
}

static bool begins_with(const char *path, const char *with)
{
    return !strncmp(path, with, strlen(with));
}

static bool is_path(const char *path, size_t len, const char *wanted)
{
    return len == strlen(wanted) && begins_with(path, wanted);
}

/* Returns whether the request is one of the service's own API, and executes it. */
static bool route_service(struct flux2_emu *emu, const struct emu_http_request *r, size_t len, struct emu_response *out)
{
    if (is_path(r->path, len, SUBMIT_PATH) || (out->dialect == EMU_OPENAI && is_path(r->path, len, OPENAI_PATH))) {
        submit(emu, r, out);
    } else if (len > strlen(TASK_PATH) && begins_with(r->path, TASK_PATH)) {
        const char *id = r->path + strlen(TASK_PATH);
        poll_task(emu, r, id, strcspn(id, "?"), out);
    } else {
        return false;
    }
    return true;
}

static bool route_bfl(struct flux2_emu *emu, const struct emu_http_request *r, size_t len, struct emu_response *out)
{
    if (flux2_emu_bfl_type(r->path, len)) {
        submit(emu, r, out);
    } else if (is_path(r->path, len, EMU_BFL_RESULT_PATH)) {
        size_t id_len;
        const char *id = flux2_emu_bfl_id(r->path, &id_len);
        poll_task(emu, r, id, id_len, out);
    } else {
        return false;
    }
    return true;
}

static enum emu_dialect dialect_of(const struct emu_settings *s)
{
    if (!strcmp(s->dialect, "bfl"))
        return EMU_BFL;
    return strcmp(s->dialect, "openai") ? EMU_FLUX2 : EMU_OPENAI;
}

void flux2_emu_route(struct flux2_emu *emu, const struct emu_http_request *r, struct emu_response *out)
{
    size_t len = strcspn(r->path, "?");
    if (flux2_emu_image_urls_match(r->settings, r->path)) {
        serve_image(emu, r, out);
        return;
    }
    out->dialect = dialect_of(r->settings);
    if (!(out->dialect == EMU_BFL ? route_bfl : route_service)(emu, r, len, out))
        flux2_emu_response_error(out, 404, "not_found", "unknown path");
}
