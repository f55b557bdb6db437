/* limiter.c - see limiter.h. */
#include "engine/limiter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Servers allow about 100 streams per connection; the service and its image host may be the same. */
enum { STREAMS_MAX = 48 };

/* Connections for submissions if polls share one, see multi.h: few beside what polls share, and enough for about ten
 * submissions per second. */
enum { DEDICATED_MAX = 2 };

/* --- polls: a pairing heap by `expected_end`, which never changes while a job is in it ------------------- */

static struct flux2_job *meld(struct flux2_job *a, struct flux2_job *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->expected_end < a->expected_end) {
        struct flux2_job *other = a;
        a = b;
        b = other;
    }
    b->previous = a;
    b->next = a->child;
    if (a->child)
        a->child->previous = b;
    a->child = b;
    a->next = a->previous = NULL;
    return a;
}

/* Merges a list of siblings into one heap. */
static struct flux2_job *merge_siblings(struct flux2_job *first)
{
    struct flux2_job *pairs = NULL, *heap = NULL;
    while (first) {
        struct flux2_job *a = first, *b = a->next;
        first = b ? b->next : NULL;
        a->next = a->previous = NULL;
        if (b)
            b->next = b->previous = NULL;
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        struct flux2_job *next = pairs->next;
        pairs->next = NULL;
        heap = meld(heap, pairs);
        pairs = next;
    }
    return heap;
}

static struct flux2_job *without(struct flux2_job *heap, struct flux2_job *job)
{
    struct flux2_job *children = merge_siblings(job->child);
    if (job == heap) {
        heap = children;
    } else {
        *(job->previous->child == job ? &job->previous->child : &job->previous->next) = job->next;
        if (job->next)
            job->next->previous = job->previous;
        heap = meld(heap, children);
    }
    job->next = job->previous = job->child = NULL;
    return heap;
}

/* --- the queues --------------------------------------------------------------------------------------- */

static struct flux2_job *front(const struct flux2_profile *p, enum flux2_lane lane)
{
    return p->limits.ready[lane].first;
}

static bool has_ready_job(const struct flux2_profile *p)
{
    return front(p, FLUX2_LANE_SUBMISSIONS) || front(p, FLUX2_LANE_POLLS) || front(p, FLUX2_LANE_OTHERS);
}

/* --- groups ------------------------------------------------------------------------------------------- */

static struct flux2_limit_group *new_group(struct flux2_limiter *l, const char *name)
{
    struct flux2_limit_group *group = calloc(1, sizeof *group);
    if (!group)
        return NULL;
    group->name = strdup(name);
    if (!group->name) {
        free(group);
        return NULL;
    }
    group->next = l->groups;
    l->groups = group;
    return group;
}

/* Returns the group that P names; its own if it names none, or if out of memory. */
static struct flux2_limit_group *find_group(struct flux2_limiter *l, struct flux2_profile *p)
{
    struct flux2_limit_group *group;
    if (!p->limit_group)
        return &p->limits.own;
    for (group = l->groups; group && strcmp(group->name, p->limit_group) != 0; group = group->next)
        ;
    if (!group)
        group = new_group(l, p->limit_group);
    return group ? group : &p->limits.own;
}

/* Raises *RATE to the rate of a joining profile (0: unlimited) and then resets its count. */
static void raise_rate(double *rate, double *next_turn, double joining)
{
    if (*rate == 0 || (joining > 0 && joining <= *rate))
        return;
    *rate = joining;
    *next_turn = 0;
}

/* The limits of a group are the largest of its profiles: a profile with lower limits slows down only itself. */
static void join_group(struct flux2_limiter *l, struct flux2_profile *p)
{
    int lane;
    if (p->limits.group)
        return;
    struct flux2_limit_group *group = p->limits.group = find_group(l, p);
    if (group->max_in_flight == 0)
        memcpy(group->rates, p->rates, sizeof group->rates);
    for (lane = 0; lane < FLUX2_LANES; lane++)
        raise_rate(&group->rates[lane], &group->next_turns[lane], p->rates[lane]);
    if (p->max_in_flight > group->max_in_flight)
        group->max_in_flight = p->max_in_flight;
}

void flux2_limiter_close(struct flux2_limiter *l)
{
    while (l->groups) {
        struct flux2_limit_group *group = l->groups;
        l->groups = group->next;
        free(group->name);
        free(group);
    }
}

/* --- the list of profiles ------------------------------------------------------------------------------- */

static void append(struct flux2_limiter *l, struct flux2_profile *p)
{
    p->limits.next = NULL;
    *(l->last ? &l->last->limits.next : &l->first) = p;
    l->last = p;
}

static void unlink_profile(struct flux2_limiter *l, struct flux2_profile *p)
{
    struct flux2_profile *before = NULL, *at;
    for (at = l->first; at != p; at = at->limits.next)
        before = at;
    *(before ? &before->limits.next : &l->first) = p->limits.next;
    if (l->last == p)
        l->last = before;
    p->limits.next = NULL;
}

void flux2_limiter_push(struct flux2_limiter *l, struct flux2_job *job)
{
    struct flux2_profile *p = job->profile;
    struct flux2_queue *q = &p->limits.ready[job->lane];
    join_group(l, p);
    if (!has_ready_job(p))
        append(l, p);
    job->next = job->previous = job->child = NULL;
    if (job->lane == FLUX2_LANE_POLLS) {
        q->first = meld(q->first, job);
        return;
    }
    job->previous = q->last;
    *(q->last ? &q->last->next : &q->first) = job;
    q->last = job;
}

void flux2_limiter_withdraw(struct flux2_limiter *l, struct flux2_job *job)
{
    struct flux2_profile *p = job->profile;
    struct flux2_queue *q = &p->limits.ready[job->lane];
    if (job->lane == FLUX2_LANE_POLLS) {
        q->first = without(q->first, job);
    } else {
        *(job->previous ? &job->previous->next : &q->first) = job->next;
        *(job->next ? &job->next->previous : &q->last) = job->previous;
        job->next = job->previous = NULL;
    }
    if (!has_ready_job(p))
        unlink_profile(l, p);
}

/* --- limits --------------------------------------------------------------------------------------------- */

/* A shared connection carries many requests. */
static unsigned limit_of(const struct flux2_limit_group *group, unsigned max_in_flight)
{
    return group->multiplexed && max_in_flight < STREAMS_MAX ? STREAMS_MAX : max_in_flight;
}

static bool awaits_host(const struct flux2_limiter *l, const struct flux2_profile *p)
{
    return l->queued > p->max_queued;
}

static bool has_room(const struct flux2_limiter *l, const struct flux2_profile *p)
{
    const struct flux2_limit_group *group = p->limits.group;
    return p->limits.in_flight < limit_of(group, p->max_in_flight) &&
           group->in_flight < limit_of(group, group->max_in_flight) && !awaits_host(l, p) &&
           (group->window < 1 || group->in_flight < group->window);
}

/* Returns when the next request may be sent: up to one second's worth of requests may be sent at once. */
static double opens(double rate, double next)
{
    return rate > 0 ? next - 1 : 0;
}

/* Returns when the next request of LANE may be sent, by the rates of the profile and its group. */
static double lane_opens(const struct flux2_profile *p, enum flux2_lane lane)
{
    const struct flux2_limit_group *group = p->limits.group;
    return fmax(opens(p->rates[lane], p->limits.next_turns[lane]), opens(group->rates[lane], group->next_turns[lane]));
}

/* Returns whether JOB is a submission and polls share connections, or may do so. */
static bool is_dedicated(const struct flux2_profile *p, const struct flux2_job *job)
{
    if (job->lane != FLUX2_LANE_SUBMISSIONS)
        return false;
    if (p->limits.group->is_known)
        return p->limits.group->multiplexed;
    return !job->url || strncmp(job->url, "https:", 6) == 0;
}

static bool has_connection(const struct flux2_profile *p, const struct flux2_job *job)
{
    return p->limits.group->dedicated < DEDICATED_MAX || !is_dedicated(p, job);
}

static void count_turn(double rate, double *next, double now)
{
    if (rate > 0)
        *next = fmax(*next, now) + 1 / rate;
}

static void take_turn(struct flux2_profile *p, enum flux2_lane lane, double now)
{
    p->limits.turn = (lane + 1) % FLUX2_LANES;
    count_turn(p->rates[lane], &p->limits.next_turns[lane], now);
    count_turn(p->limits.group->rates[lane], &p->limits.group->next_turns[lane], now);
}

/* Returns the next job of P that may send; NULL if none may. */
static struct flux2_job *choose(const struct flux2_profile *p, double now)
{
    unsigned i;
    for (i = 0; i < FLUX2_LANES; i++) {
        enum flux2_lane lane = (p->limits.turn + i) % FLUX2_LANES;
        struct flux2_job *job = front(p, lane);
        if (job && now >= lane_opens(p, lane) && has_connection(p, job))
            return job;
    }
    return NULL;
}

/* Removes JOB from its queue to send it; its profile moves to the end of the list, so that all profiles take turns. */
static void begin(struct flux2_limiter *l, struct flux2_job *job, double now)
{
    struct flux2_profile *p = job->profile;
    struct flux2_limit_group *group = p->limits.group;
    take_turn(p, job->lane, now);
    flux2_limiter_withdraw(l, job);
    if (has_ready_job(p)) {
        unlink_profile(l, p);
        append(l, p);
    }
    p->limits.in_flight++;
    group->in_flight++;
    job->dedicated = is_dedicated(p, job);
    job->may_connect = !group->multiplexed && !job->dedicated;
    l->may_connect += job->may_connect;
    group->dedicated += job->dedicated;
}

struct flux2_job *flux2_limiter_admit(struct flux2_limiter *l, double now)
{
    struct flux2_profile *p;
    for (p = l->first; p; p = p->limits.next) {
        bool open = now >= p->limits.group->not_before && has_room(l, p);
        struct flux2_job *job = open ? choose(p, now) : NULL;
        if (!job)
            continue;
        begin(l, job, now);
        return job;
    }
    return NULL;
}

double flux2_limiter_opens(const struct flux2_limiter *l, double now)
{
    double when = INFINITY;
    const struct flux2_profile *p;
    int lane;
    for (p = l->first; p; p = p->limits.next)
        for (lane = 0; lane < FLUX2_LANES && has_room(l, p); lane++)
            if (front(p, lane) && has_connection(p, front(p, lane)))
                when = fmin(when, fmax(fmax(now, lane_opens(p, lane)), p->limits.group->not_before));
    return when;
}

bool flux2_limiter_awaits_host(const struct flux2_limiter *l)
{
    const struct flux2_profile *p;
    for (p = l->first; p; p = p->limits.next)
        if (awaits_host(l, p))
            return true;
    return false;
}

double flux2_limiter_pause(const struct flux2_job *job, double now)
{
    double left = job->profile->limits.group->not_before - now;
    return left > 0 ? left : -1;
}

/* "Too many requests" halves the window; every other response raises it by one, until it reaches the limit. */
static void adjust_window(struct flux2_limit_group *group, const struct flux2_outcome *o, double pause, double now)
{
    if (o->slow_down) {
        group->window = fmax(group->in_flight / 2.0, 1);
        group->not_before = fmax(group->not_before, now + pause);
    } else if (group->window >= 1) {
        group->window += 1;
        if (group->window >= limit_of(group, group->max_in_flight))
            group->window = 0;
    }
}

void flux2_limiter_returned(struct flux2_limiter *l, struct flux2_job *job, const struct flux2_outcome *o,
                            int multiplexed, double pause, double now)
{
    struct flux2_limit_group *group = job->profile->limits.group;
    job->profile->limits.in_flight--;
    group->in_flight--;
    l->may_connect -= job->may_connect;
    group->dedicated -= job->dedicated;
    job->may_connect = job->dedicated = false;
    if (o->failure != FLUX2_FAILURE_NONE)
        return;
    if (multiplexed >= 0) {
        group->multiplexed = multiplexed > 0;
        group->is_known = true;
    }
    adjust_window(group, o, pause, now);
}
