/* A briefing on this worker: the wish as told, restrictions ahead of their commit, and both together for the router. */
#include "media/media.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct briefing *briefing_find(struct media *m, const char *id)
{
    for (struct briefing *b = m->briefings; b; b = b->next)
        if (!strcmp(b->id, id))
            return b;
    return NULL;
}

struct briefing *briefing_get(struct media *m, const char *id)
{
    struct briefing *b = briefing_find(m, id);
    if (b)
        return b;
    b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->media = m;
    snprintf(b->id, sizeof b->id, "%s", id);
    b->router = router_new(&m->sfu, id);
    if (!b->router) {
        free(b);
        return NULL;
    }
    b->router->user = b;
    b->next = m->briefings;
    m->briefings = b;
    return b;
}

static void take_out(struct briefing *b)
{
    struct briefing **at = &b->media->briefings;
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
}

void briefing_gone(struct briefing *b, int64_t now_us)
{
    router_apply(b->router, NULL, now_us);
    while (b->feeds)
        feed_close(b->feeds, now_us);
    endpoints_drop(b, now_us);
    take_out(b);
    router_free(b->router, now_us);
    wish_briefing_free(&b->wish);
    wish_briefing_free(&b->effective);
    free(b->restrictions);
    free(b);
}

bool briefing_removed(const struct briefing *b, uint32_t number)
{
    for (size_t i = 0; i < b->n_restrictions; i++)
        if (b->restrictions[i].remove && (!b->restrictions[i].endpoint || b->restrictions[i].endpoint == number))
            return true;
    return false;
}

static uint8_t restricted_kinds(const struct briefing *b, uint32_t number)
{
    uint8_t kinds = 0;
    for (size_t i = 0; i < b->n_restrictions; i++)
        if (!b->restrictions[i].endpoint || b->restrictions[i].endpoint == number)
            kinds |= b->restrictions[i].remove ? 0xff : b->restrictions[i].kinds;
    return kinds;
}

/* Endpoints that the wish no longer has, or has elsewhere, or that are removed. */
static void drop_unwanted(struct briefing *b, int64_t now_us)
{
    for (struct endpoint *e = b->endpoints; e; e = e->next) {
        const struct wish_endpoint *w = wish_find(&b->wish, e->number);
        bool moved = w && w->worker != WISH_UNPLACED && w->worker != b->media->index && w->incarnation > e->incarnation;
        if (!w || moved || briefing_removed(b, e->number))
            endpoint_doom(e, now_us);
    }
}

static int apply(struct briefing *b, int64_t now_us)
{
    struct wish_briefing next;
    int err = wish_briefing_copy(&next, &b->wish);
    if (err)
        return err;
    for (size_t i = 0; i < next.n_endpoints; i++)
        next.endpoints[i].may_send &= (uint8_t)~restricted_kinds(b, next.endpoints[i].number);
    struct wish_briefing former = b->effective;
    b->effective = next;
    router_apply(b->router, &b->effective, now_us);
    wish_briefing_free(&former);
    drop_unwanted(b, now_us);
    return 0;
}

/* Settled restrictions are part of this wish. */
static void lift_settled(struct briefing *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->n_restrictions; i++)
        if (!b->restrictions[i].settled)
            b->restrictions[kept++] = b->restrictions[i];
    b->n_restrictions = kept;
}

void briefing_set_wish(struct briefing *b, struct wish_briefing *wish, uint64_t version, int64_t now_us)
{
    wish_briefing_free(&b->wish);
    b->wish = *wish;
    b->version = version;
    lift_settled(b);
    if (apply(b, now_us))
        log_error("media", "briefing=%s version=%llu: no memory for the wish", b->id, (unsigned long long)version);
}

int briefing_restrict(struct briefing *b, const struct restriction *r, int64_t now_us)
{
    for (size_t i = 0; i < b->n_restrictions; i++)
        if (b->restrictions[i].act == r->act)
            return 0;
    struct restriction *grown = realloc(b->restrictions, (b->n_restrictions + 1) * sizeof *grown);
    if (!grown)
        return ERR_NOMEM;
    b->restrictions = grown;
    grown[b->n_restrictions++] = *r;
    return apply(b, now_us);
}

void briefing_settled(struct media *m, uint64_t act)
{
    for (struct briefing *b = m->briefings; b; b = b->next)
        for (size_t i = 0; i < b->n_restrictions; i++)
            if (b->restrictions[i].act == act)
                b->restrictions[i].settled = true;
}
