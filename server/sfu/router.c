#include "sfu/router.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

enum { CANDIDATES_MAX = 8 };

struct router *router_new(struct sfu *s, const char *id)
{
    struct router *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->sfu = s;
    strncpy(r->id, id, sizeof r->id - 1);
    speakers_init(&r->speakers, r->speaker_array);
    r->next = s->routers;
    s->routers = r;
    return r;
}

void router_free(struct router *r, int64_t now_us)
{
    if (!r)
        return;
    router_apply(r, NULL, now_us);
    for (size_t n = 1; n <= WISH_ENDPOINT_NUMBER_MAX; n++)
        peer_free(r->peers[n], now_us);
    for (size_t n = 1; n <= WISH_ENDPOINT_NUMBER_MAX; n++)
        for (size_t kind = 0; kind < SFU_KINDS; kind++)
            source_free(r->sources[n][kind], now_us);
    struct router **at = &r->sfu->routers;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    free(r);
}

struct router *router_find(struct sfu *s, const char *id)
{
    for (struct router *r = s->routers; r; r = r->next)
        if (!strcmp(r->id, id))
            return r;
    return NULL;
}

struct source *router_source(struct router *r, uint32_t number, enum wish_kind kind)
{
    return number <= WISH_ENDPOINT_NUMBER_MAX ? r->sources[number][kind] : NULL;
}

static const struct wish_endpoint *wish_of(const struct router *r, uint32_t number)
{
    return number <= WISH_ENDPOINT_NUMBER_MAX ? r->wished[number] : NULL;
}

static bool may_send(const struct router *r, uint32_t number, enum wish_kind kind)
{
    const struct wish_endpoint *e = wish_of(r, number);
    return e && (e->may_send & WISH_BIT(kind));
}

/* ---- who is in which slot ---- */

/* What one subscriber has been given so far in this fold. */
struct given {
    const struct router *router;
    const struct source *sources[SFU_SLOTS_MAX];
    size_t n;
};

static bool has(const struct given *g, const struct source *s)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->sources[i] == s)
            return true;
    return false;
}

/* An open source not given yet, not the subscriber's own; NULL otherwise. */
static struct source *offer_source(struct given *g, struct router *r, uint32_t self, uint32_t number, enum wish_kind kind)
{
    if (!number || number == self)
        return NULL;
    struct source *s = router_source(r, number, kind);
    if (!s || !s->open || has(g, s))
        return NULL;
    g->sources[g->n++] = s;
    return s;
}

static bool shown(const struct wish_size *size)
{
    return size->width && size->height;
}

struct plan {
    struct source *sources[SFU_SLOTS_MAX];
    uint16_t heights[SFU_SLOTS_MAX];
};

static void plan_stage_and_screen(struct router *r, struct peer *p, const struct wish_endpoint *e, struct given *g,
                                  struct plan *plan)
{
    for (size_t i = 0; i < p->n_slots; i++) {
        switch (p->slots[i].config.role) {
        case SLOT_STAGE_SOUND:
            if (e->hears)
                plan->sources[i] = offer_source(g, r, p->number, e->stage, WISH_MICROPHONE);
            break;
        case SLOT_STAGE_PICTURE:
            plan->heights[i] = e->stage_size.height;
            if (shown(&e->stage_size))
                plan->sources[i] = offer_source(g, r, p->number, e->stage, WISH_CAMERA);
            break;
        case SLOT_SHARED_SCREEN:
            plan->heights[i] = e->screen_size.height;
            if (shown(&e->screen_size))
                plan->sources[i] = offer_source(g, r, p->number, e->screen, WISH_SCREEN);
            break;
        default: break;
        }
    }
}

static void plan_tiles(struct router *r, struct peer *p, const struct wish_endpoint *e, struct given *g, struct plan *plan)
{
    for (size_t i = 0; i < p->n_slots; i++) {
        const struct slot_config *c = &p->slots[i].config;
        if (c->role != SLOT_TILE || c->index >= e->n_tiles || c->index >= WISH_TILES_MAX)
            continue;
        const struct wish_tile *tile = &e->tiles[c->index];
        plan->heights[i] = tile->size.height;
        if (shown(&tile->size))
            plan->sources[i] = offer_source(g, r, p->number, tile->endpoint, WISH_CAMERA);
    }
}

/* Whom one may want to hear, most wanted first: the floor holder, the loudest, then any open microphone (in a small meeting
 * everybody is connected before the first word). */
struct candidates {
    struct source *sources[CANDIDATES_MAX];
    size_t n;
};

static void add_candidate(struct candidates *c, struct source *s)
{
    if (!s || !s->open || c->n == CANDIDATES_MAX)
        return;
    for (size_t i = 0; i < c->n; i++)
        if (c->sources[i] == s)
            return;
    c->sources[c->n++] = s;
}

static void find_candidates(struct router *r, struct candidates *c)
{
    c->n = 0;
    if (r->wish && r->wish->floor)
        add_candidate(c, router_source(r, r->wish->floor, WISH_MICROPHONE));
    if (r->speakers.dominant)
        add_candidate(c, router_source(r, r->speakers.dominant, WISH_MICROPHONE));
    for (size_t i = 0; i < r->speakers.n_loudest; i++)
        add_candidate(c, router_source(r, r->speakers.loudest[i], WISH_MICROPHONE));
    for (uint32_t n = 1; n <= WISH_ENDPOINT_NUMBER_MAX && c->n < CANDIDATES_MAX; n++)
        add_candidate(c, r->sources[n][WISH_MICROPHONE]);
}

static void plan_sounds(struct router *r, struct peer *p, const struct candidates *c, struct given *g, struct plan *plan)
{
    struct source *wanted[SFU_SLOTS_MAX];
    size_t slots = 0, n = 0;
    for (size_t i = 0; i < p->n_slots; i++)
        slots += p->slots[i].config.role == SLOT_FURTHER_SOUND;
    for (size_t i = 0; i < c->n && n < slots; i++)
        if ((wanted[n] = offer_source(g, r, p->number, c->sources[i]->number, WISH_MICROPHONE)) != NULL)
            n++;
    for (size_t i = 0; i < p->n_slots; i++) { /* who is in and wanted keeps its slot */
        const struct slot *s = &p->slots[i];
        for (size_t w = 0; s->config.role == SLOT_FURTHER_SOUND && w < n; w++)
            if (wanted[w] && wanted[w] == s->source) {
                plan->sources[i] = wanted[w];
                wanted[w] = NULL;
            }
    }
    size_t next = 0;
    for (size_t i = 0; i < p->n_slots; i++) {
        if (p->slots[i].config.role != SLOT_FURTHER_SOUND || plan->sources[i])
            continue;
        while (next < n && !wanted[next])
            next++;
        if (next < n)
            plan->sources[i] = wanted[next++];
    }
}

static void settle_peer(struct router *r, struct peer *p, const struct candidates *c, int64_t now_us)
{
    struct plan plan = {0};
    struct given given = {.router = r};
    const struct wish_endpoint *e = wish_of(r, p->number);
    if (e) {
        plan_stage_and_screen(r, p, e, &given, &plan);
        plan_tiles(r, p, e, &given, &plan);
        if (e->hears)
            plan_sounds(r, p, c, &given, &plan);
    }
    for (size_t i = 0; i < p->n_slots; i++) {
        struct slot *s = &p->slots[i];
        if (s->source && s->source == plan.sources[i]) {
            slot_set_height(s, plan.heights[i], now_us);
            continue;
        }
        s->want_height = s->asked_height = plan.heights[i];
        slot_bind(s, plan.sources[i], now_us);
        slot_settle(s);
        slot_silence(s, now_us);
    }
}

static void open_sources(struct router *r, int64_t now_us)
{
    for (uint32_t n = 1; n <= WISH_ENDPOINT_NUMBER_MAX; n++)
        for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++)
            if (r->sources[n][kind])
                source_set_open(r->sources[n][kind], may_send(r, n, (enum wish_kind)kind), now_us);
}

static void find_speaker(struct router *r, int64_t now_us)
{
    uint32_t floor = r->wish ? r->wish->floor : 0;
    uint32_t speaker = floor && speakers_speaking(&r->speakers, floor, now_us) ? floor : r->speakers.dominant;
    if (!speakers_speaking(&r->speakers, speaker, now_us))
        speaker = 0;
    if (speaker == r->speaker)
        return;
    r->speaker = speaker;
    r->dirty++;
}

void router_settle(struct router *r, int64_t now_us)
{
    struct candidates c;
    if (!r->unsettled)
        return;
    r->unsettled = false;
    open_sources(r, now_us); /* tracks may have come since the wish */
    find_candidates(r, &c);
    for (uint32_t n = 1; n <= WISH_ENDPOINT_NUMBER_MAX; n++)
        if (r->peers[n])
            settle_peer(r, r->peers[n], &c, now_us);
    find_speaker(r, now_us);
}

void router_apply(struct router *r, const struct wish_briefing *wish, int64_t now_us)
{
    r->wish = wish;
    memset(r->wished, 0, sizeof r->wished);
    for (size_t i = 0; wish && i < wish->n_endpoints; i++)
        if (wish->endpoints[i].number <= WISH_ENDPOINT_NUMBER_MAX)
            r->wished[wish->endpoints[i].number] = &wish->endpoints[i];
    open_sources(r, now_us);
    sites_unsettle(r->sfu);
    r->unsettled = true;
}

/* ---- peers and mirrors come and go ---- */

static void end_source(struct router *r, uint32_t number, unsigned kind, int64_t now_us)
{
    struct source *s = r->sources[number][kind];
    if (!s)
        return;
    r->sources[number][kind] = NULL;
    if (kind == WISH_MICROPHONE)
        speakers_remove(&r->speakers, number);
    source_free(s, now_us);
    r->unsettled = true;
}

static int publish(struct router *r, struct peer *p, unsigned kind, int64_t now_us)
{
    const struct publish_config *c = &p->publish[kind];
    struct source *s = source_new(r, p->number, (enum wish_kind)kind, c->codec, c->n_rids);
    if (!s)
        return ERR_NOMEM;
    end_source(r, p->number, kind, now_us); /* a mirror, when the endpoint has moved here */
    s->peer = p;
    s->incarnation = p->incarnation;
    s->pt = c->pt;
    s->publish_nack = c->nack && c->rtx_pt != SFU_NO_PT;
    r->sources[p->number][kind] = p->sources[kind] = s;
    source_set_open(s, may_send(r, p->number, s->kind), now_us);
    return 0;
}

int router_attach(struct router *r, struct peer *p, int64_t now_us)
{
    if (r->peers[p->number])
        peer_free(r->peers[p->number], now_us);
    r->peers[p->number] = p;
    p->router = r;
    r->n_peers++;
    for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++)
        if (p->publish[kind].used && publish(r, p, kind, now_us)) {
            router_detach(p, now_us);
            return ERR_NOMEM;
        }
    sites_unsettle(r->sfu);
    r->unsettled = true;
    r->dirty++;
    return 0;
}

void router_detach(struct peer *p, int64_t now_us)
{
    struct router *r = p->router;
    if (!r)
        return;
    for (size_t i = 0; i < p->n_slots; i++)
        slot_bind(&p->slots[i], NULL, now_us);
    for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++) {
        if (p->sources[kind])
            end_source(r, p->number, kind, now_us);
        p->sources[kind] = NULL;
    }
    r->peers[p->number] = NULL;
    r->n_peers--;
    p->router = NULL;
    sites_unsettle(r->sfu);
    r->unsettled = true;
    r->dirty++;
}

struct source *router_mirror(struct router *r, uint32_t number, enum wish_kind kind, uint32_t incarnation,
                             enum rtp_codec codec, uint8_t n_layers, int64_t now_us)
{
    struct source *s = router_source(r, number, kind);
    if (number == 0 || number > WISH_ENDPOINT_NUMBER_MAX || (s && s->peer))
        return NULL;
    if (s && s->incarnation == incarnation && s->codec == codec)
        return s;
    if (s && s->incarnation > incarnation)
        return NULL;
    s = source_new(r, number, kind, codec, n_layers);
    if (!s)
        return NULL;
    end_source(r, number, kind, now_us);
    s->incarnation = incarnation;
    r->sources[number][kind] = s;
    source_set_open(s, may_send(r, number, kind), now_us);
    r->unsettled = true;
    return s;
}

void router_mirror_end(struct router *r, uint32_t number, enum wish_kind kind, int64_t now_us)
{
    struct source *s = router_source(r, number, kind);
    if (!s || s->peer)
        return;
    end_source(r, number, kind, now_us);
}

void router_tick(struct router *r, int64_t now_us)
{
    if (speakers_poll(&r->speakers, now_us))
        r->unsettled = true;
    find_speaker(r, now_us);
    for (uint32_t n = 1; n <= WISH_ENDPOINT_NUMBER_MAX; n++) {
        for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++)
            if (r->sources[n][kind])
                source_tick(r->sources[n][kind], now_us);
        if (r->peers[n])
            peer_tick(r->peers[n], now_us);
    }
}

/* ---- invariants ---- */

static const char *check_peer(const struct router *r, const struct peer *p)
{
    const struct wish_endpoint *e = wish_of(r, p->number);
    for (size_t i = 0; i < p->n_slots; i++) {
        const struct slot *s = &p->slots[i];
        if (!s->source)
            continue;
        if (s->source->number == p->number)
            return "a subscriber gets its own source";
        if (r->sources[s->source->number][s->source->kind] != s->source)
            return "a slot holds a source that has ended";
        if (!slot_is_picture(s) && e && !e->hears)
            return "sound goes to one who does not hear";
        for (size_t j = 0; j < i; j++)
            if (p->slots[j].source == s->source)
                return "a source is in two slots of a subscriber";
        size_t listed = 0;
        for (size_t j = 0; j < s->source->n_slots; j++)
            listed += s->source->slots[j] == s;
        if (listed != 1)
            return "a source does not know its slot";
    }
    return NULL;
}

const char *router_check(const struct router *r)
{
    for (uint32_t n = 1; n <= WISH_ENDPOINT_NUMBER_MAX; n++) {
        const char *broken = r->peers[n] ? check_peer(r, r->peers[n]) : NULL;
        if (broken)
            return broken;
        for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++) {
            const struct source *s = r->sources[n][kind];
            for (size_t i = 0; s && i < s->n_slots; i++)
                if (s->slots[i]->source != s)
                    return "a source feeds a slot that has left it";
        }
    }
    return NULL;
}
