/* An upgrade in place: endpoints of workers that leave join the others one by one. Each is asked by a notice and makes a new
 * offer, as after the death of a worker; the next is asked once it is connected again, or has had its time. */
#include "control/control.h"

#include "base/clock.h"
#include "base/log.h"

#include <string.h>

#define MOVE_US 4000000 /* for one to be connected again: then the next is asked */
#define PACE_US 50000   /* between two */
#define TELL_US 1000000
enum { MOVES_MAX = 3 }; /* asked so often in vain: its worker ends without waiting for it */

static bool moved(const struct control *c, const struct seat *seat)
{
    return seat->worker == WISH_UNPLACED || (worker_stays(c, seat->worker) && seat->connected);
}

/* True as long as the one that was asked is on its way. */
static bool on_its_way(struct control *c, int64_t now_us)
{
    struct moving *v = &c->moving;
    struct meeting *m = v->briefing[0] ? meeting_find(c, v->briefing) : NULL;
    if (m && now_us < v->until_us && !moved(c, &m->seats[v->number]))
        return true;
    if (m && now_us >= v->until_us)
        log_warn("move", "briefing=%s endpoint=%u is not connected again: the next", v->briefing, v->number);
    if (v->briefing[0])
        v->next_us = now_us + PACE_US;
    v->briefing[0] = '\0';
    return now_us < v->next_us;
}

static void ask(struct meeting *m, uint32_t number, int64_t now_us)
{
    struct control *c = m->control;
    struct seat *seat = &m->seats[number];
    seat->moves++;
    peer_notice(seat->peer, "rejoin", json_pack("{s:s}", "reason", "upgrade"));
    c->moving.number = number;
    c->moving.until_us = now_us + MOVE_US;
    snprintf(c->moving.briefing, sizeof c->moving.briefing, "%s", briefing_id(m->settled));
}

/* Who has been asked least. An endpoint without a socket is waited for: it comes back, or has left after 15 s. */
static void ask_next(struct control *c, int64_t now_us)
{
    struct meeting *of = NULL;
    uint32_t number = 0;
    for (struct meeting *m = c->meetings; m; m = m->next)
        for (uint32_t n = 1; n < SEATS_MAX; n++)
            if (worker_leaves(c, m->seats[n].worker) && m->seats[n].peer && m->seats[n].moves < MOVES_MAX &&
                (!of || m->seats[n].moves < of->seats[number].moves)) {
                of = m;
                number = n;
            }
    if (of)
        ask(of, number, now_us);
}

/* Asked in vain: what it had ends, and it hears what others hear whose worker died. */
static void give_up(struct control *c)
{
    for (struct meeting *m = c->meetings; m; m = m->next) {
        for (uint32_t n = 1; n < SEATS_MAX; n++) {
            struct seat *seat = &m->seats[n];
            if (!worker_leaves(c, seat->worker) || seat->moves < MOVES_MAX)
                continue;
            log_warn("move", "briefing=%s endpoint=%u did not join another worker", briefing_id(m->settled), n);
            seat->moves = 0;
            seat_unplace(m, n);
            if (seat->peer)
                peer_notice(seat->peer, "rejoin", json_pack("{s:s}", "reason", "worker-gone"));
        }
    }
}

static void tell(struct control *c, int64_t now_us)
{
    struct link_message m = {.kind = LINK_MOVING};
    if (now_us < c->moving.told_us + TELL_US)
        return;
    c->moving.told_us = now_us;
    for (unsigned w = 0; w < WORKERS_MAX; w++) {
        m.b += worker_stays(c, w);
        if (!worker_leaves(c, w))
            continue;
        unsigned load = worker_load(c, w);
        m.a += load;
        if (load == 0 && !offers_pending_at(c, w))
            link_say(&(struct link_message){.kind = LINK_WORKER_EMPTY, .a = w, .b = worker_generation(c, w)}, "", NULL, 0);
    }
    link_say(&m, "", NULL, 0);
}

void moves_tick(struct control *c, int64_t now_us)
{
    bool any = false;
    for (unsigned w = 0; w < WORKERS_MAX; w++)
        any = any || worker_leaves(c, w);
    if (!any)
        return;
    if (!worker_awaited(c) && !wishes_held(c) && !on_its_way(c, now_us)) {
        ask_next(c, now_us);
        if (!c->moving.briefing[0])
            give_up(c);
    }
    tell(c, now_us);
}
