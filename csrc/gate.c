/* gate.c - see gate.h. */
#include "gate.h"

#include <math.h>

/* Servers allow some 100 on one shared connection; the service and its images may well be one host. */
enum { STREAMS_MAX = 48 };

/* --- those who poll: a pairing heap by `likely`, which never changes while a job is in it ------------------- */

static struct flux2_job *meld(struct flux2_job *a, struct flux2_job *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->likely < a->likely) {
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

/* One heap of a list of brothers. */
static struct flux2_job *unite(struct flux2_job *first)
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
    struct flux2_job *children = unite(job->child);
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

static bool has_someone(const struct flux2_profile *p)
{
    return p->worker.first_ready || p->worker.polls;
}

void flux2_gate_push(struct flux2_gate *g, struct flux2_job *job)
{
    struct flux2_profile *p = job->profile;
    if (!has_someone(p)) {
        p->worker.next = g->first;
        g->first = p;
    }
    job->next = job->previous = job->child = NULL;
    if (flux2_job_is_polling(job)) {
        p->worker.polls = meld(p->worker.polls, job);
        return;
    }
    job->previous = p->worker.last_ready;
    *(p->worker.last_ready ? &p->worker.last_ready->next : &p->worker.first_ready) = job;
    p->worker.last_ready = job;
}

void flux2_gate_withdraw(struct flux2_gate *g, struct flux2_job *job)
{
    struct flux2_profile *p = job->profile, **link = &g->first;
    if (flux2_job_is_polling(job)) {
        p->worker.polls = without(p->worker.polls, job);
    } else {
        *(job->previous ? &job->previous->next : &p->worker.first_ready) = job->next;
        *(job->next ? &job->next->previous : &p->worker.last_ready) = job->previous;
        job->next = job->previous = NULL;
    }
    if (has_someone(p))
        return;
    while (*link != p)
        link = &(*link)->worker.next;
    *link = p->worker.next;
    p->worker.next = NULL;
}

static unsigned limit_of(const struct flux2_profile *p)
{
    return p->worker.multiplexed && p->max_in_flight < STREAMS_MAX ? STREAMS_MAX : p->max_in_flight;
}

static bool has_room(const struct flux2_profile *p)
{
    return p->worker.in_flight < limit_of(p) &&
           (p->worker.window < 1 || p->worker.in_flight < p->worker.window);
}

/* When the next poll may go: the rate that is allowed, of which a second's worth may be saved up. */
static double poll_opens(const struct flux2_profile *p)
{
    return p->poll_rate > 0 ? p->worker.next_poll - 1 : 0;
}

/* Whose turn it is; NULL if there are only polls and it is too early for another one. */
static struct flux2_job *choose(const struct flux2_profile *p, double now)
{
    struct flux2_job *poll = now >= poll_opens(p) ? p->worker.polls : NULL;
    if (!poll || (p->worker.first_ready && p->worker.polled_last))
        return p->worker.first_ready;
    return poll;
}

struct flux2_job *flux2_gate_admit(struct flux2_gate *g, double now)
{
    struct flux2_profile *p;
    for (p = g->first; p; p = p->worker.next) {
        struct flux2_job *job = now >= p->worker.not_before && has_room(p) ? choose(p, now) : NULL;
        if (!job)
            continue;
        p->worker.polled_last = flux2_job_is_polling(job);
        if (p->worker.polled_last && p->poll_rate > 0)
            p->worker.next_poll = fmax(p->worker.next_poll, now) + 1 / p->poll_rate;
        flux2_gate_withdraw(g, job);
        p->worker.in_flight++;
        job->alone = !p->worker.multiplexed;
        g->alone += job->alone;
        return job;
    }
    return NULL;
}

double flux2_gate_opens(const struct flux2_gate *g, double now)
{
    double when = INFINITY;
    const struct flux2_profile *p;
    for (p = g->first; p; p = p->worker.next)
        if (has_room(p)) {
            double early = p->worker.first_ready ? now : fmax(now, poll_opens(p));
            when = fmin(when, fmax(early, p->worker.not_before));
        }
    return when;
}

void flux2_gate_returned(struct flux2_gate *g, struct flux2_job *job, const struct flux2_outcome *o,
                         bool multiplexed, double pause, double now)
{
    struct flux2_profile *p = job->profile;
    bool answered = o->failure == FLUX2_FAILURE_NONE;
    g->alone -= job->alone;
    job->alone = false;
    p->worker.in_flight--;
    if (answered)
        p->worker.multiplexed = multiplexed;
    if (answered && (o->status == 429 || (o->status == 503 && o->retry_after >= 0))) {
        double half = p->worker.in_flight / 2.0;
        p->worker.window = half > 1 ? half : 1;
        if (now + pause > p->worker.not_before)
            p->worker.not_before = now + pause;
    } else if (answered && p->worker.window >= 1) {
        p->worker.window += 1;
        if (p->worker.window >= limit_of(p))
            p->worker.window = 0; /* as before: no window at all */
    }
}
