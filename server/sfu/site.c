#include "sfu/site.h"

#include "sfu/peer.h"
#include "sfu/router.h"

#include <stdlib.h>
#include <string.h>

/* ---- the rule ---- */

static uint32_t open_bps(const struct site_claim *c, uint32_t want_bps)
{
    return want_bps > c->share_bps ? want_bps - c->share_bps : 0;
}

static uint32_t least_of(const struct site_claim *c)
{
    return c->least_bps;
}

/* At least its least, so that a claim is never less than nothing. */
static uint32_t want_of(const struct site_claim *c)
{
    return c->want_bps > c->least_bps ? c->want_bps : c->least_bps;
}

static bool takes_part(const struct site_claim *c, enum site_rank rank)
{
    return c->rank == rank && !(c->whole && c->share_bps < c->least_bps);
}

/* Max-min: who is open for less than an equal part gets it all, the others divide what it leaves. Returns what is left. */
static uint32_t fill(struct site_claim *claims, size_t n, enum site_rank rank, uint32_t (*to)(const struct site_claim *),
                     uint32_t left)
{
    for (;;) {
        size_t open = 0, filled = 0;
        for (size_t i = 0; i < n; i++)
            open += takes_part(&claims[i], rank) && open_bps(&claims[i], to(&claims[i])) > 0;
        uint32_t part = open ? left / (uint32_t)open : 0;
        if (part == 0)
            return left;
        for (size_t i = 0; i < n; i++) {
            uint32_t asks = open_bps(&claims[i], to(&claims[i]));
            if (!takes_part(&claims[i], rank) || asks == 0 || asks > part)
                continue;
            claims[i].share_bps += asks;
            left -= asks;
            filled++;
        }
        for (size_t i = 0; !filled && i < n; i++)
            if (takes_part(&claims[i], rank) && open_bps(&claims[i], to(&claims[i])) > 0) {
                claims[i].share_bps += part;
                left -= part;
            }
        if (!filled)
            return left;
    }
}

static uint32_t grant_whole(struct site_claim *claims, size_t n, enum site_rank rank, uint32_t left)
{
    for (size_t i = 0; i < n; i++) {
        struct site_claim *c = &claims[i];
        if (c->rank != rank || !c->whole || c->least_bps > left)
            continue;
        c->share_bps = c->least_bps;
        left -= c->least_bps;
    }
    return left;
}

static void spread(struct site_claim *claims, size_t n, uint32_t left)
{
    size_t parts = 0;
    for (size_t i = 0; i < n; i++)
        parts += takes_part(&claims[i], claims[i].rank);
    for (size_t i = 0; parts && i < n; i++)
        if (takes_part(&claims[i], claims[i].rank))
            claims[i].share_bps += left / (uint32_t)parts;
}

void site_divide(struct site_claim *claims, size_t n, uint32_t budget_bps)
{
    uint32_t left = budget_bps;
    for (size_t i = 0; i < n; i++)
        claims[i].share_bps = 0;
    for (unsigned rank = 0; rank < SITE_RANKS; rank++) {
        left = grant_whole(claims, n, (enum site_rank)rank, left);
        left = fill(claims, n, (enum site_rank)rank, least_of, left);
    }
    for (unsigned rank = 0; rank < SITE_RANKS; rank++)
        left = fill(claims, n, (enum site_rank)rank, want_of, left);
    spread(claims, n, left);
}

/* ---- of a site ---- */

static const struct wish_site *site_of(const struct peer *p)
{
    const struct wish_endpoint *e = p->router->wished[p->number];
    return e && e->site.number ? &e->site : NULL;
}

/* This worker's part of the line. */
static uint32_t part_of(uint16_t kbps, size_t here, uint16_t elsewhere)
{
    return (uint32_t)((uint64_t)kbps * 1000 * here / (here + elsewhere));
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void divide_down(struct sites *s, struct peer *const *peers, size_t n, uint32_t budget_bps, int64_t now_us)
{
    size_t claims = 0;
    for (size_t i = 0; i < n; i++) {
        const struct downlink *d = peers[i]->downlink;
        if (!d)
            continue;
        uint32_t estimate = smaller(bwe_target_bps(&d->bwe), DOWNLINK_MAX_BPS) * SITE_CLAIM_FACTOR;
        uint32_t could = estimate > DOWNLINK_START_BPS ? estimate : DOWNLINK_START_BPS;
        s->claims[claims++] = (struct site_claim){
            .least_bps = d->sound_bps, .want_bps = d->wanted_bps ? smaller(d->wanted_bps, could) : DOWNLINK_START_BPS};
    }
    site_divide(s->claims, claims, budget_bps);
    claims = 0;
    for (size_t i = 0; i < n; i++)
        if (peers[i]->downlink)
            downlink_share(peers[i], s->claims[claims++].share_bps, now_us);
}

static enum site_rank rank_of(const struct source *s)
{
    const struct wish_briefing *wish = s->router->wish;
    if (s->kind == WISH_SCREEN)
        return SITE_SCREEN;
    bool stage = wish && wish->stage == s->number;
    for (size_t i = 0; !stage && i < s->n_slots; i++)
        stage = s->slots[i]->config.role == SLOT_STAGE_PICTURE;
    return stage ? SITE_STAGE : SITE_TILE;
}

static void divide_up(struct sites *s, struct peer *const *peers, size_t n, uint32_t budget_bps)
{
    size_t claims = 0, sounds = 0;
    for (size_t i = 0; i < n; i++) {
        const struct source *sound = peers[i]->sources[WISH_MICROPHONE];
        sounds += sound && sound->open;
        for (unsigned kind = WISH_CAMERA; kind < SFU_KINDS; kind++) {
            struct source *source = peers[i]->sources[kind];
            if (!source)
                continue;
            s->sources[claims] = source;
            s->claims[claims++] = (struct site_claim){.rank = rank_of(source),
                                                      .whole = true,
                                                      .least_bps = smaller(UPLINK_LEAST_BPS, source->uplink.claim_bps),
                                                      .want_bps = source->uplink.claim_bps};
        }
    }
    uint32_t sound_bps = smaller((uint32_t)sounds * SITE_SOUND_BPS, budget_bps);
    site_divide(s->claims, claims, (uint32_t)((uint64_t)(budget_bps - sound_bps) * SITE_UP_PERCENT / 100));
    for (size_t i = 0; i < claims; i++) {
        s->sources[i]->uplink.of_site = true;
        s->sources[i]->uplink.site_bps = s->claims[i].share_bps;
    }
}

/* ---- of all ---- */

static void leave(struct peer *p, int64_t now_us)
{
    if (p->downlink)
        downlink_share(p, DOWNLINK_MAX_BPS, now_us);
    for (unsigned kind = WISH_CAMERA; kind < SFU_KINDS; kind++)
        if (p->sources[kind])
            p->sources[kind]->uplink.of_site = false;
}

/* Without memory: what was there, and *ok is false. */
static void *grow(void *former, size_t bytes, bool *ok)
{
    void *grown = realloc(former, bytes);
    if (grown)
        return grown;
    *ok = false;
    return former;
}

static bool make_room(struct sites *s, size_t n)
{
    size_t cap = n * 2;
    bool ok = true;
    if (n <= s->cap)
        return true;
    s->peers = grow(s->peers, cap * sizeof(struct peer *), &ok);
    s->sources = grow(s->sources, 2 * cap * sizeof(struct source *), &ok);
    s->claims = grow(s->claims, 2 * cap * sizeof(struct site_claim), &ok);
    if (ok)
        s->cap = cap;
    return ok;
}

static void look_for(struct sites *s, struct router *r, int64_t now_us)
{
    for (size_t i = 1; i <= WISH_ENDPOINT_NUMBER_MAX; i++) {
        struct peer *p = r->peers[i];
        if (!p)
            continue;
        if (!site_of(p) || !make_room(s, s->n + 1))
            leave(p, now_us);
        else
            s->peers[s->n++] = p;
    }
}

static int by_site(const void *a, const void *b)
{
    const struct peer *p = *(struct peer *const *)a, *q = *(struct peer *const *)b;
    int x = site_of(p)->number, y = site_of(q)->number;
    if (x == y) /* the order of what is granted in whole stays the same from look to look */
        x = (int)p->number, y = (int)q->number;
    return x != y ? x - y : strcmp(p->router->id, q->router->id);
}

void sites_tick(struct sfu *sfu, int64_t now_us)
{
    struct sites *s = &sfu->sites;
    if (now_us < s->tick_us)
        return;
    s->tick_us = now_us + SITE_EVERY_US;
    s->n = 0;
    for (struct router *r = sfu->routers; r; r = r->next)
        look_for(s, r, now_us);
    if (s->n > 1)
        qsort(s->peers, s->n, sizeof(struct peer *), by_site);
    for (size_t first = 0, n; first < s->n; first += n) {
        const struct wish_site *site = site_of(s->peers[first]);
        for (n = 1; first + n < s->n && site_of(s->peers[first + n])->number == site->number;)
            n++;
        divide_down(s, &s->peers[first], n, part_of(site->down_kbps, n, site->elsewhere), now_us);
        divide_up(s, &s->peers[first], n, part_of(site->up_kbps, n, site->elsewhere));
    }
}

void sites_unsettle(struct sfu *s)
{
    s->sites.tick_us = 0;
}

void sites_finish(struct sfu *s)
{
    free(s->sites.peers);
    free(s->sites.sources);
    free(s->sites.claims);
    s->sites = (struct sites){0};
}
