/* gate.c - see gate.h. */
#include "gate.h"

#include <math.h>
#include <string.h>

/* Servers allow some 100 on one shared connection; the service and its images may well be one host. */
enum { STREAMS_MAX = 48 };

/* Openings then have connections of their own, see lines.h. So many are little beside what the polls share, and enough
 * for some ten openings in a second. */
enum { APART_MAX = 2 };

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

/* The lanes take turns, so that none of them waits for ever behind another. */
enum lane { OPENING, POLL, OTHER, LANES };

static enum lane lane_of(const struct flux2_job *job)
{
    return flux2_job_is_polling(job) ? POLL : job->opening ? OPENING : OTHER;
}

static struct flux2_job *front(const struct flux2_profile *p, enum lane lane)
{
    return lane == POLL      ? p->worker.polls
           : lane == OPENING ? p->worker.openings.first
                             : p->worker.others.first;
}

static struct flux2_queue *queue_of(struct flux2_profile *p, enum lane lane)
{
    return lane == OPENING ? &p->worker.openings : &p->worker.others;
}

static bool has_someone(const struct flux2_profile *p)
{
    return front(p, OPENING) || front(p, POLL) || front(p, OTHER);
}

void flux2_gate_push(struct flux2_gate *g, struct flux2_job *job)
{
    struct flux2_profile *p = job->profile;
    enum lane lane = lane_of(job);
    if (!has_someone(p)) {
        p->worker.next = g->first;
        g->first = p;
    }
    job->next = job->previous = job->child = NULL;
    if (lane == POLL) {
        p->worker.polls = meld(p->worker.polls, job);
        return;
    }
    struct flux2_queue *q = queue_of(p, lane);
    job->previous = q->last;
    *(q->last ? &q->last->next : &q->first) = job;
    q->last = job;
}

void flux2_gate_withdraw(struct flux2_gate *g, struct flux2_job *job)
{
    struct flux2_profile *p = job->profile, **link = &g->first;
    enum lane lane = lane_of(job);
    if (lane == POLL) {
        p->worker.polls = without(p->worker.polls, job);
    } else {
        struct flux2_queue *q = queue_of(p, lane);
        *(job->previous ? &job->previous->next : &q->first) = job->next;
        *(job->next ? &job->next->previous : &q->last) = job->previous;
        job->next = job->previous = NULL;
    }
    if (has_someone(p))
        return;
    while (*link != p)
        link = &(*link)->worker.next;
    *link = p->worker.next;
    p->worker.next = NULL;
}

/* --- limits --------------------------------------------------------------------------------------------- */

static unsigned limit_of(const struct flux2_profile *p)
{
    return p->worker.multiplexed && p->max_in_flight < STREAMS_MAX ? STREAMS_MAX : p->max_in_flight;
}

static bool awaits_host(const struct flux2_gate *g, const struct flux2_profile *p)
{
    return g->queued > p->max_queued;
}

static bool has_room(const struct flux2_gate *g, const struct flux2_profile *p)
{
    return p->worker.in_flight < limit_of(p) && !awaits_host(g, p) &&
           (p->worker.window < 1 || p->worker.in_flight < p->worker.window);
}

/* When the next of a lane may go: the rate that is allowed, of which a second's worth may be saved up. */
static double lane_opens(const struct flux2_profile *p, enum lane lane)
{
    if (lane == OPENING && p->opening_rate > 0)
        return p->worker.next_opening - 1;
    return lane == POLL && p->poll_rate > 0 ? p->worker.next_poll - 1 : 0;
}

/* An opening where polls share connections, or may turn out to. */
static bool goes_apart(const struct flux2_profile *p, const struct flux2_job *job)
{
    bool shared = p->worker.is_known ? p->worker.multiplexed : strncmp(job->url, "https:", 6) == 0;
    return job->opening && shared;
}

static bool has_connection(const struct flux2_profile *p, const struct flux2_job *job)
{
    return p->worker.apart < APART_MAX || !goes_apart(p, job);
}

static void take_turn(struct flux2_profile *p, enum lane lane, double now)
{
    p->worker.turn = (lane + 1) % LANES;
    if (lane == OPENING && p->opening_rate > 0)
        p->worker.next_opening = fmax(p->worker.next_opening, now) + 1 / p->opening_rate;
    if (lane == POLL && p->poll_rate > 0)
        p->worker.next_poll = fmax(p->worker.next_poll, now) + 1 / p->poll_rate;
}

/* Whose turn it is; NULL if it is too early for everybody who is there. */
static struct flux2_job *choose(const struct flux2_profile *p, double now)
{
    unsigned i;
    for (i = 0; i < LANES; i++) {
        enum lane lane = (p->worker.turn + i) % LANES;
        struct flux2_job *job = front(p, lane);
        if (job && now >= lane_opens(p, lane) && has_connection(p, job))
            return job;
    }
    return NULL;
}

struct flux2_job *flux2_gate_admit(struct flux2_gate *g, double now)
{
    struct flux2_profile *p;
    for (p = g->first; p; p = p->worker.next) {
        struct flux2_job *job = now >= p->worker.not_before && has_room(g, p) ? choose(p, now) : NULL;
        if (!job)
            continue;
        take_turn(p, lane_of(job), now);
        flux2_gate_withdraw(g, job);
        p->worker.in_flight++;
        job->apart = goes_apart(p, job);
        job->alone = !p->worker.multiplexed && !job->apart;
        g->alone += job->alone;
        p->worker.apart += job->apart;
        return job;
    }
    return NULL;
}

double flux2_gate_opens(const struct flux2_gate *g, double now)
{
    double when = INFINITY;
    const struct flux2_profile *p;
    int lane;
    for (p = g->first; p; p = p->worker.next)
        for (lane = 0; lane < LANES && has_room(g, p); lane++)
            if (front(p, lane) && has_connection(p, front(p, lane)))
                when = fmin(when, fmax(fmax(now, lane_opens(p, lane)), p->worker.not_before));
    return when;
}

bool flux2_gate_awaits_host(const struct flux2_gate *g)
{
    const struct flux2_profile *p;
    for (p = g->first; p; p = p->worker.next)
        if (awaits_host(g, p))
            return true;
    return false;
}

void flux2_gate_returned(struct flux2_gate *g, struct flux2_job *job, const struct flux2_outcome *o,
                         int multiplexed, double pause, double now)
{
    struct flux2_profile *p = job->profile;
    bool answered = o->failure == FLUX2_FAILURE_NONE;
    g->alone -= job->alone;
    job->alone = false;
    p->worker.in_flight--;
    if (answered && multiplexed >= 0) {
        p->worker.multiplexed = multiplexed > 0;
        p->worker.is_known = true;
    }
    p->worker.apart -= job->apart;
    job->apart = false;
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
