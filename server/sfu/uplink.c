#include "sfu/uplink.h"

#include "sfu/slot.h"
#include "sfu/source.h"

#include <string.h>

enum {
    SERVED = 0xff,
    SAME_PERCENT = 95,   /* of the best line: served by the same layer */
    NOTHING_PERCENT = 3, /* a smaller cut of a bound is not worth an encoder's while */
};

static uint32_t percent(uint64_t bps, unsigned part)
{
    return (uint32_t)(bps * part / 100);
}

/* ---- the rule ---- */

/* Of those that are left and show at least layer `i`. False: there is none. */
static bool best_room(const struct uplink_viewer *viewers, size_t n, unsigned i, uint32_t *ret_bps)
{
    bool any = false;
    *ret_bps = 0;
    for (size_t k = 0; k < n; k++) {
        if (viewers[k].layer == SERVED || viewers[k].layer < i)
            continue;
        any = true;
        *ret_bps = viewers[k].room_bps > *ret_bps ? viewers[k].room_bps : *ret_bps;
    }
    return any;
}

static void serve(const struct uplink_track *t, struct uplink_viewer *viewers, size_t n, unsigned i, uint32_t best_bps)
{
    uint32_t full = t->usual_bps[i];
    for (size_t k = 0; k < n; k++) {
        struct uplink_viewer *v = &viewers[k];
        if (v->layer != SERVED && v->layer >= i &&
            (v->room_bps >= percent(best_bps, SAME_PERCENT) || percent(v->room_bps, UPLINK_PERCENT) >= full))
            v->layer = SERVED;
    }
}

struct uplink_need uplink_needs(const struct uplink_track *t, struct uplink_viewer *viewers, size_t n)
{
    struct uplink_need need = {0};
    for (unsigned i = t->n_layers; i-- > 0;) {
        unsigned bit = 1u << i;
        unsigned least = t->active & bit ? UPLINK_STAY_PERCENT : UPLINK_LEAST_PERCENT;
        uint32_t best;
        if (!best_room(viewers, n, i, &best))
            continue;
        if (i > 0 && percent(best, UPLINK_PERCENT) < percent(t->usual_bps[i], least))
            continue;
        need.layers |= (uint8_t)bit;
        need.bps[i] = best;
        if (t->there & bit)
            serve(t, viewers, n, i, best);
    }
    if (n && !(need.layers & 1)) {
        need.layers |= 1;
        need.bps[0] = UPLINK_ANY;
    }
    return need;
}

/* ---- of a source ---- */

uint32_t uplink_full_bps(const struct source *s, unsigned layer, int64_t now_us)
{
    uint32_t height = source_layer_height(s, layer), usual = height * height * 4, bps[SFU_TIDS] = {0};
    const struct uplink *u = &s->uplink;
    bool bounded = s->peer && (!(u->active & 1u << layer) || u->max_bps[layer]);
    if (bounded || !layer_alive(s->layers[layer], now_us))
        return usual;
    return bps[source_layer_rates(s, layer, now_us, bps) - 1];
}

/* It was asked for again and has not come yet, in time still. */
static bool is_awaited(const struct source *s, unsigned layer, int64_t now_us)
{
    const struct layer *l = s->layers[layer];
    int64_t asked_us = s->uplink.asked_us[layer];
    return l && l->first_us && l->newest_us < asked_us && now_us - asked_us < UPLINK_START_US;
}

/* What should flow does not, none of it: the publisher is away, and asking for other layers helps nobody. */
static bool is_away(const struct source *s, int64_t now_us)
{
    bool away = false;
    for (unsigned i = 0; i < s->n_layers && i < SFU_LAYERS; i++) {
        if (!(s->uplink.active & 1u << i) || !s->layers[i] || !s->layers[i]->first_us || is_awaited(s, i, now_us))
            continue;
        if (layer_alive(s->layers[i], now_us))
            return false;
        away = true;
    }
    return away;
}

bool uplink_rests(const struct source *s, unsigned layer, int64_t now_us)
{
    const struct uplink *u = &s->uplink;
    if (!s->peer || !u->window_us || layer >= s->n_layers || u->withheld & 1u << layer)
        return false;
    return u->active & 1u << layer ? is_awaited(s, layer, now_us) : !is_away(s, now_us);
}

bool uplink_withheld(const struct source *s)
{
    return s->uplink.withheld && !s->uplink.active;
}

static void look_at(const struct source *s, struct uplink_track *t, int64_t now_us)
{
    *t = (struct uplink_track){.n_layers = s->n_layers < SFU_LAYERS ? s->n_layers : SFU_LAYERS, .active = s->uplink.active};
    for (unsigned i = 0; i < t->n_layers; i++) {
        uint32_t height = source_layer_height(s, i);
        t->there |= (uint8_t)((unsigned)source_layer_alive(s, i, now_us) << i);
        t->usual_bps[i] = height * height * 4;
    }
    if (is_away(s, now_us))
        t->there |= t->active;
}

/* Who looks. A slot's room is its line's of the time before it was put in: a good guess. */
static size_t viewers_of(const struct source *s, struct uplink_viewer *viewers, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_slots && n < cap; i++)
        viewers[n++] = (struct uplink_viewer){.layer = (uint8_t)source_ideal_layer(s, s->slots[i]->want_height),
                                              .room_bps = s->slots[i]->room_bps};
    return n;
}

static void add_need(const struct source *s, struct uplink_need *need, unsigned layer, uint32_t bps)
{
    if (layer >= s->n_layers)
        return;
    need->layers |= (uint8_t)(1u << layer);
    need->bps[layer] = bps > need->bps[layer] ? bps : need->bps[layer];
}

/* What flows into slots is not taken away from them before they have something else; what feeds take is never bounded. */
static void add_taken(const struct source *s, struct uplink_need *need)
{
    for (size_t i = 0; i < s->n_slots; i++) {
        add_need(s, need, s->slots[i]->layer, s->slots[i]->room_bps);
        add_need(s, need, s->slots[i]->target, s->slots[i]->room_bps);
    }
    for (unsigned i = 0; i < SFU_LAYERS; i++)
        if (s->taken_elsewhere & 1u << i)
            add_need(s, need, i, UPLINK_ANY);
}

/* Into the newest window; the others move on when it is over. Before the first look there is nothing to go on with: who
 * joins where nobody looks is told to send nothing from the start. */
static void note_need(struct uplink *u, const struct uplink_need *need, int64_t now_us)
{
    if (!u->window_us)
        u->window_us = u->room_us = now_us;
    if (now_us - u->window_us >= UPLINK_WINDOW_US) {
        u->window_us = now_us;
        memmove(u->needed + 1, u->needed, sizeof u->needed - sizeof u->needed[0]);
        u->needed[0] = 0;
    }
    if (now_us - u->room_us >= UPLINK_ROOM_US) {
        u->room_us = now_us;
        memcpy(u->room_bps[1], u->room_bps[0], sizeof u->room_bps[1]);
        memset(u->room_bps[0], 0, sizeof u->room_bps[0]);
    }
    u->needed[0] |= need->layers;
    for (unsigned i = 0; i < SFU_LAYERS; i++)
        u->room_bps[0][i] = need->bps[i] > u->room_bps[0][i] ? need->bps[i] : u->room_bps[0][i];
}

static uint32_t bound_of(const struct uplink *u, const struct uplink_track *t, unsigned layer)
{
    uint32_t bps = u->room_bps[0][layer], former = u->own_bps[layer];
    bps = u->room_bps[1][layer] > bps ? u->room_bps[1][layer] : bps;
    if (bps == UPLINK_ANY)
        return 0;
    bps = percent(bps, UPLINK_PERCENT);
    if (bps >= t->usual_bps[layer])
        return 0;
    uint32_t least = layer ? percent(t->usual_bps[layer], UPLINK_STAY_PERCENT) : UPLINK_LEAST_BPS;
    bps = bps > least ? bps : least;
    bool little = bps <= percent(former, 100 + UPLINK_CHANGE_PERCENT) && bps >= percent(former, 100 - UPLINK_CHANGE_PERCENT);
    return little ? former : bps;
}

static uint32_t own_or_usual(const struct uplink *u, const struct uplink_track *t, unsigned layer)
{
    return u->own_bps[layer] ? u->own_bps[layer] : t->usual_bps[layer];
}

/* Less is told at once, but for what is nothing; more when it is worth telling. */
static uint32_t told_bps(uint32_t former, uint32_t bps)
{
    return bps <= percent(former, 100 + UPLINK_CHANGE_PERCENT) && bps >= percent(former, 100 - NOTHING_PERCENT) ? former
                                                                                                                : bps;
}

/* Cuts what is needed to the site's share. */
static void fit_site(struct uplink *u, const struct uplink_track *t, const struct uplink *former)
{
    uint32_t left = u->site_bps, fit[SFU_LAYERS] = {0};
    uint8_t fits = 0;
    unsigned top = 0;
    for (unsigned i = 0; i < t->n_layers; i++) {
        unsigned bit = 1u << i, part = former->active & bit ? UPLINK_STAY_PERCENT : UPLINK_LEAST_PERCENT;
        uint32_t own = own_or_usual(u, t, i), least = i ? percent(t->usual_bps[i], part) : UPLINK_LEAST_BPS;
        if (!(u->active & bit) || left < (least < own ? least : own))
            continue;
        fit[i] = own < left ? own : left;
        left -= fit[i];
        fits |= (uint8_t)bit;
        top = i;
    }
    if (fits && !u->own_bps[top])
        fit[top] += left;
    for (unsigned i = 0; i < t->n_layers; i++)
        if (fits & 1u << i)
            u->max_bps[i] = fit[i] / 2 >= t->usual_bps[i] ? 0 : told_bps(former->max_bps[i], fit[i]);
    u->withheld = u->active & (uint8_t)~fits;
    u->active = fits;
}

static void decide(struct source *s, const struct uplink_track *t, int64_t now_us)
{
    struct uplink *u = &s->uplink, former = *u;
    u->active = u->withheld = 0;
    u->claim_bps = 0;
    for (unsigned i = 0; i < UPLINK_WINDOWS; i++)
        u->active |= u->needed[i];
    for (unsigned i = 0; i < t->n_layers; i++) {
        if (!(u->active & 1u << i))
            continue;                               /* its bound is of no interest, and told as it was */
        if (u->room_bps[0][i] || u->room_bps[1][i]) /* else it is about to end */
            u->own_bps[i] = bound_of(u, t, i);
        u->max_bps[i] = u->own_bps[i];
        u->claim_bps += own_or_usual(u, t, i);
    }
    if (u->of_site)
        fit_site(u, t, &former);
    for (unsigned i = 0; i < t->n_layers; i++)
        if (u->active & (uint8_t)~former.active & 1u << i)
            u->asked_us[i] = now_us;
    if (u->active == former.active && !memcmp(u->max_bps, former.max_bps, sizeof u->max_bps))
        return;
    u->version++;
    s->unchosen = true;
}

void uplink_tick(struct source *s, int64_t now_us)
{
    struct uplink *u = &s->uplink;
    struct uplink_viewer viewers[WISH_ENDPOINT_NUMBER_MAX];
    struct uplink_track t;
    if (!s->peer || !source_is_picture(s) || now_us < u->tick_us)
        return;
    bool begins = !u->tick_us;
    u->tick_us = now_us + UPLINK_TICK_US;
    if (begins)
        return; /* who looks is not settled yet */
    look_at(s, &t, now_us);
    struct uplink_need need = uplink_needs(&t, viewers, viewers_of(s, viewers, WISH_ENDPOINT_NUMBER_MAX));
    add_taken(s, &need);
    note_need(u, &need, now_us);
    decide(s, &t, now_us);
}
