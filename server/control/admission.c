/* So many joins a second: a burst never harms those already in. Who comes when the second's share is gone waits in order,
 * is told its place once a second, and is answered when its turn comes: its client has nothing to do. */
#include "control/control.h"

#include <stdlib.h>

enum { TELL_US = 1000000, BURST_PART = 10 /* of a second's joins, at once */ };

struct admission {
    struct admission *next;
    struct ws_peer *peer;
    int64_t id;
    json_t *params;
};

static unsigned rate(const struct control *c)
{
    return c->config.joins_per_second;
}

bool admission_take(struct control *c, int64_t now_us)
{
    double burst = rate(c) > BURST_PART ? (double)rate(c) / BURST_PART : 1;
    if (c->admissions)
        return false;
    if (c->admitted.rate != rate(c)) /* at the start and after a reload */
        bucket_init(&c->admitted, rate(c), burst, now_us);
    return bucket_take(&c->admitted, now_us);
}

static void tell(const struct admission *a, unsigned place)
{
    peer_notice(a->peer, "waiting", json_pack("{s:i}", "place", (int)place));
}

int admission_wait(struct control *c, struct ws_peer *peer, int64_t id, const json_t *params)
{
    struct admission *a = calloc(1, sizeof *a), **end = &c->admissions;
    if (!a)
        return -1;
    unsigned place = 1;
    for (; *end; end = &(*end)->next)
        place++;
    *a = (struct admission){.peer = peer, .id = id, .params = json_incref((json_t *)params)};
    *end = a;
    c->joins_waited++;
    tell(a, place);
    return 0;
}

static struct admission *take_first(struct control *c)
{
    struct admission *a = c->admissions;
    c->admissions = a->next;
    return a;
}

static void admission_free(struct admission *a)
{
    json_decref(a->params);
    free(a);
}

unsigned admissions_waiting(const struct control *c)
{
    unsigned n = 0;
    for (const struct admission *a = c->admissions; a; a = a->next)
        n++;
    return n;
}

void admissions_tick(struct control *c, int64_t now_us)
{
    while (c->admissions && bucket_take(&c->admitted, now_us)) {
        struct admission *a = take_first(c);
        entry_admitted(c, a->peer, a->id, a->params);
        admission_free(a);
    }
    if (now_us < c->admissions_told_us + TELL_US)
        return;
    c->admissions_told_us = now_us;
    unsigned place = 0;
    for (const struct admission *a = c->admissions; a; a = a->next)
        tell(a, ++place);
}

void admission_forget_peer(struct control *c, const struct ws_peer *peer)
{
    for (struct admission **at = &c->admissions; *at; at = &(*at)->next) {
        struct admission *a = *at;
        if (a->peer != peer)
            continue;
        *at = a->next;
        admission_free(a);
        return;
    }
}
