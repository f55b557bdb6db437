/* gate.c - see gate.h. */
#include "gate.h"

#include <math.h>

/* Servers allow some 100 on one shared connection; the service and its images may well be one host. */
enum { STREAMS_MAX = 48 };

void flux2_gate_push(struct flux2_gate *g, struct flux2_job *job)
{
    struct flux2_profile *p = job->profile;
    job->next = NULL;
    job->previous = p->worker.last_ready;
    if (p->worker.last_ready) {
        p->worker.last_ready->next = job;
    } else {
        p->worker.first_ready = job;
        p->worker.next = g->first;
        g->first = p;
    }
    p->worker.last_ready = job;
}

void flux2_gate_withdraw(struct flux2_gate *g, struct flux2_job *job)
{
    struct flux2_profile *p = job->profile, **link = &g->first;
    *(job->previous ? &job->previous->next : &p->worker.first_ready) = job->next;
    *(job->next ? &job->next->previous : &p->worker.last_ready) = job->previous;
    job->next = job->previous = NULL;
    if (p->worker.first_ready)
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

struct flux2_job *flux2_gate_admit(struct flux2_gate *g, double now)
{
    struct flux2_profile *p;
    for (p = g->first; p; p = p->worker.next) {
        if (now < p->worker.not_before || !has_room(p))
            continue;
        struct flux2_job *job = p->worker.first_ready;
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
        if (has_room(p) && p->worker.not_before < when)
            when = p->worker.not_before > now ? p->worker.not_before : now;
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
