#include "sfu/downlink.h"

#include "sfu/allocate.h"
#include "sfu/peer.h"
#include "sfu/router.h"

#include <string.h>

enum {
    SOUND_PACKETS_A_SECOND = 50,
    TIDS = 3,
    PACE_HALVES = 5, /* the pacer's rate in halves of the target: a keyframe may overtake its own rate */
    PACE_HALVES_CAREFUL =
        3,              /* … before the line has told anything; beside other rooms on it, whose keyframes come together */
    WANT_FACTOR = 2,    /* what is known of the line goes beyond what is wanted, so that the pacer is no brake */
    SOUND_PERCENT = 85, /* of the target: further sounds beyond are left out */
    CHANGE_PERCENT = 15,
    GRACE_PERCENT = 20,
    GRACE_US = 2500 * 1000,
    GRACE_QUEUE_US = 45 * 1000,
    RED_PERMILLE = 10, /* of loss */
    RED_PERCENT = 70,  /* of the target, for the stage's sound with its repetitions */
    RED_TWICE_PERMILLE = 70,
    RED_STAYS_US = 20 * 1000 * 1000,
};

static const int64_t clock_wrap_us = (int64_t)64000 << 24; /* of feedback's reference time */
static const int64_t clock_off_max_us = 60 * 1000 * 1000;  /* a receiver's clock against ours since it was first seen */

void downlink_init(struct downlink *d, uint32_t start_bps)
{
    struct bwe_config config = {
        .start_bps = start_bps ? start_bps : DOWNLINK_START_BPS, .min_bps = DOWNLINK_MIN_BPS, .max_bps = DOWNLINK_MAX_BPS};
    *d = (struct downlink){.unsettled = true, .share_bps = DOWNLINK_MAX_BPS};
    bwe_init(&d->bwe, &config);
}

uint32_t downlink_target_bps(const struct downlink *d)
{
    uint32_t estimate = bwe_target_bps(&d->bwe);
    return estimate < d->share_bps ? estimate : d->share_bps;
}

void downlink_share(struct peer *p, uint32_t share_bps, int64_t now_us)
{
    struct downlink *d = p->downlink;
    d->share_bps = share_bps;
    if (downlink_target_bps(d) < d->allocated_bps)
        peer_wake(p, d->tick_us = now_us);
}

/* What probes may look for. Those of a room beside others stay within its share: their ceiling is 5/4 of this. */
static uint32_t useful_bps(const struct downlink *d)
{
    uint32_t bps = d->wanted_bps < DOWNLINK_MAX_BPS / WANT_FACTOR ? d->wanted_bps * WANT_FACTOR : DOWNLINK_MAX_BPS;
    uint32_t share = d->share_bps < DOWNLINK_MAX_BPS ? d->share_bps / 5 * 4 : DOWNLINK_MAX_BPS;
    return bps < share ? bps : share;
}

/* ---- feedback ---- */

/* The receiver's time without its wraps, as if its clock had shown ours when it was first heard of: it stays near ours,
 * whatever is told. False: it does not, and is taken from the next time on. */
static bool without_wraps(struct downlink *d, int64_t told_us, int64_t now_us, int64_t *ret_us)
{
    if (!d->has_clock) {
        d->has_clock = true;
        d->clock_us = now_us;
        d->told_us = told_us;
    }
    int64_t step = (told_us - d->told_us) % clock_wrap_us;
    if (step > clock_wrap_us / 2)
        step -= clock_wrap_us;
    if (step < -clock_wrap_us / 2)
        step += clock_wrap_us;
    int64_t us = d->clock_us + step;
    if (us > now_us + clock_off_max_us || us < now_us - clock_off_max_us) {
        d->has_clock = false;
        return false;
    }
    if (step > 0) {
        d->clock_us = us;
        d->told_us = told_us;
    }
    *ret_us = us;
    return true;
}

/* Each sent packet once: one that was called lost and came after all is taken back by nobody, it was late. */
static bool take(struct peer *p, const struct transport_cc_packet *told, int64_t now_us, struct bwe_packet *ret)
{
    struct peer_sent *sent = &p->sent[told->seq % PEER_SENT_RING];
    if (!sent->waiting || sent->seq != told->seq)
        return false;
    sent->waiting = false;
    *ret = (struct bwe_packet){
        .sent_us = sent->sent_us, .bytes = sent->bytes, .probe = sent->probe, .received = told->received};
    if (!told->received || without_wraps(p->downlink, told->arrival_us, now_us, &ret->arrival_us))
        return true;
    p->sfu->stats.feedback_absurd++;
    return false;
}

void downlink_feedback(struct peer *p, const struct transport_cc_feedback *f, int64_t now_us)
{
    struct bwe_packet packets[TRANSPORT_CC_MAX];
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++) {
        struct bwe_packet *b = &packets[n];
        if (!take(p, &f->packets[i], now_us, b))
            continue;
        n++;
        p->line.reported++;
        p->line.lost += !b->received;
        p->line.acked_bytes += b->received ? b->bytes : 0u;
    }
    if (!n)
        return;
    bwe_rtt(&p->downlink->bwe, p->line.rtt_us);
    bwe_feedback(&p->downlink->bwe, packets, n, now_us);
    trace_feedback(p, packets, n, now_us);
    if (downlink_target_bps(p->downlink) < p->downlink->allocated_bps)
        peer_wake(p, p->downlink->tick_us = now_us); /* less is followed at once */
}

void downlink_remb(struct peer *p, uint64_t bps, int64_t now_us)
{
    bwe_remb(&p->downlink->bwe, bps, now_us);
    trace_remb(p, bps, now_us);
}

/* ---- layers ---- */

static enum allocate_rank rank_of(const struct slot *s)
{
    switch (s->config.role) {
    case SLOT_SHARED_SCREEN: return ALLOCATE_SCREEN;
    case SLOT_STAGE_PICTURE: return ALLOCATE_STAGE;
    default: return ALLOCATE_TILE;
    }
}

/* What takes more than a better one is no choice. */
static void add_step(struct allocate_track *t, const struct slot *s, const struct allocate_step *step)
{
    bool same_parts = step->sid == s->line.sid && step->tid == s->line.tid;
    while (t->n_steps && t->steps[t->n_steps - 1].bps >= step->bps) {
        t->n_steps--;
        if (t->current >= t->n_steps)
            t->current = (int8_t)t->n_steps;
    }
    if (t->n_steps == ALLOCATE_STEPS_MAX)
        return;
    if (step->layer == s->layer && (same_parts || t->current == ALLOCATE_PAUSED))
        t->current = (int8_t)t->n_steps;
    t->steps[t->n_steps++] = *step;
}

/* Those of one size. The last one is everything there is. */
static void add_steps(struct allocate_track *t, const struct slot *s, unsigned layer, unsigned sid, int64_t now_us)
{
    uint32_t bps[SFU_TIDS];
    unsigned tids = source_part_rates(s->source, layer, sid, now_us, bps);
    bool last = sid + 1 == source_sids(s->source, layer);
    unsigned least = t->rank != ALLOCATE_SCREEN && t->n_steps && tids == SFU_TIDS ? 1 : 0;
    for (unsigned tid = least; tid < tids; tid++)
        add_step(t, s,
                 &(struct allocate_step){.layer = (uint8_t)layer,
                                         .tid = (uint8_t)(tid + 1 == tids ? SLOT_ALL_TIDS : tid),
                                         .bps = bps[tid],
                                         .sid = (uint8_t)(last ? SLOT_ALL_SIDS : sid)});
}

/* Every way to send what is in the slot, up to the layer that suits its height. A larger picture is no better when it has
 * only a quarter of the smaller one's frames, unless it is a page. */
static void describe(const struct slot *s, struct allocate_track *t, int64_t now_us)
{
    const struct source *source = s->source;
    unsigned top = source_choose_layer(source, s->want_height, now_us);
    *t = (struct allocate_track){.rank = rank_of(s), .current = ALLOCATE_PAUSED};
    for (unsigned i = 0; i <= top && i < SFU_LAYERS; i++) {
        if (i != top && !source_layer_alive(source, i, now_us))
            continue;
        for (unsigned sid = 0; sid <= source_choose_sid(source, i, s->want_height); sid++)
            add_steps(t, s, i, sid, now_us);
    }
}

static uint64_t sound_bps(const struct slot *s, unsigned red)
{
    return (uint64_t)source_bps(s->source) * (1 + red) + SOUND_PACKETS_A_SECOND * PACER_HEADERS * 8;
}

static uint64_t stage_sound_bps(const struct peer *p, unsigned red)
{
    for (size_t i = 0; i < p->n_slots; i++)
        if (p->slots[i].config.role == SLOT_STAGE_SOUND && p->slots[i].source)
            return sound_bps(&p->slots[i], red);
    return 0;
}

/* Sound is not repaired by sending it again: a line that loses gets each packet twice, one that loses much three times. It
 * stays so for a while after the last loss, since losses come in groups. */
static void choose_red(struct peer *p, int64_t now_us)
{
    struct downlink *d = p->downlink;
    unsigned n = p->line.loss_permille >= RED_TWICE_PERMILLE ? 2 : p->line.loss_permille >= RED_PERMILLE ? 1 : 0;
    if (n >= d->red_wanted || now_us - d->red_us > RED_STAYS_US) {
        d->red_wanted = (uint8_t)n;
        d->red_us = now_us;
    }
    d->red = d->red_wanted;
    while (d->red && stage_sound_bps(p, d->red) * 100 > (uint64_t)downlink_target_bps(d) * RED_PERCENT)
        d->red--; /* it must not make the losses that it repairs */
    for (size_t i = 0; i < p->n_slots; i++)
        if (!slot_is_picture(&p->slots[i]) && p->slots[i].red != d->red)
            slot_set_red(&p->slots[i], d->red);
}

/* The stage's sound always, further sounds as far as they fit. Returns what they take. */
static uint32_t choose_sounds(struct peer *p, uint32_t target_bps, int64_t now_us)
{
    uint64_t used = 0;
    for (int further = 0; further <= 1; further++)
        for (size_t i = 0; i < p->n_slots; i++) {
            struct slot *s = &p->slots[i];
            if (slot_is_picture(s) || !s->source || (s->config.role == SLOT_FURTHER_SOUND) != further)
                continue;
            uint64_t bps = sound_bps(s, s->red);
            uint64_t asks = slot_paused(s) ? bps + bps / 4 : bps;
            bool fits = !further || (used + asks) * 100 <= (uint64_t)target_bps * SOUND_PERCENT;
            slot_limit(s, fits ? SFU_LAYERS - 1 : SLOT_NO_LAYER, slot_all_parts, now_us);
            used += fits ? bps : 0;
        }
    return (uint32_t)used;
}

static void settle(struct slot *s, const struct allocate_track *t, int64_t now_us)
{
    if (t->chosen == ALLOCATE_PAUSED)
        slot_limit(s, SLOT_NO_LAYER, (struct slot_parts){0}, now_us);
    else
        slot_limit(s, t->steps[t->chosen].layer, (struct slot_parts){t->steps[t->chosen].sid, t->steps[t->chosen].tid},
                   now_us);
}

/* Slots by rank: allocate() wants the screen first. */
static size_t pictures_of(struct peer *p, struct slot *ret[SFU_SLOTS_MAX])
{
    size_t n = 0;
    for (int rank = ALLOCATE_SCREEN; rank <= ALLOCATE_TILE; rank++)
        for (size_t i = 0; i < p->n_slots; i++) {
            struct slot *s = &p->slots[i];
            if (slot_is_picture(s) && s->source && (int)rank_of(s) == rank)
                ret[n++] = s;
        }
    return n;
}

/* All that it shows flows as the publisher makes it, and there is room beside it: nothing needs a bound. */
static bool is_content(const struct slot *s, const struct allocate_track *t, uint64_t left)
{
    const struct source *source = s->source;
    unsigned ideal = source_ideal_layer(source, s->want_height);
    if (t->chosen == ALLOCATE_PAUSED || t->chosen != t->n_steps - 1 || t->steps[t->chosen].layer != ideal ||
        source->uplink.max_bps[ideal])
        return false;
    return left * 100 > (uint64_t)t->steps[t->chosen].bps * CHANGE_PERCENT;
}

/* What its publisher makes of the picture at that height, unbounded. */
static uint64_t full_bps(const struct slot *s, int64_t now_us)
{
    unsigned layer = source_ideal_layer(s->source, s->want_height),
             sid = source_choose_sid(s->source, layer, s->want_height);
    uint32_t bps[SFU_TIDS];
    if (sid + 1 == source_sids(s->source, layer))
        return uplink_full_bps(s->source, layer, now_us);
    unsigned n = source_part_rates(s->source, layer, sid, now_us, bps);
    return bps[n - 1];
}

/* What the line has for each picture, by rank: what it takes, and of what is left as much as it could use. From this its
 * publisher is told how much is useful (uplink.h). Returns what all of them would take if nothing bounded them. */
static uint64_t tell_rooms(struct slot *const *slots, const struct allocate_track *tracks, size_t n, uint32_t available_bps,
                           uint32_t used_bps, int64_t now_us)
{
    uint64_t left = available_bps > used_bps ? available_bps - used_bps : 0, wanted = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t own = tracks[i].chosen == ALLOCATE_PAUSED ? 0 : tracks[i].steps[tracks[i].chosen].bps;
        uint64_t full = full_bps(slots[i], now_us);
        uint64_t could = full + full / 4, more = could > own ? could - own : 0; /* so that a bound is none when all fits */
        bool content = is_content(slots[i], &tracks[i], left);
        more = more < left ? more : left;
        left -= more;
        wanted += full > own ? full : own;
        slots[i]->room_bps = content ? UPLINK_ANY : (uint32_t)(own + more);
    }
    return wanted;
}

/* What flows takes a little more than the line was just said to hold: its publisher is told (uplink.h), and its encoder
 * follows within a second or two. To leave frames out for that time would be a worse picture for nothing, unless they queue,
 * or the line is others' too. */
static uint32_t with_grace(struct downlink *d, const struct allocate_track *tracks, size_t n, uint32_t available_bps,
                           int64_t now_us)
{
    uint64_t flows = 0;
    for (size_t i = 0; i < n; i++)
        if (tracks[i].current != ALLOCATE_PAUSED)
            flows += tracks[i].steps[tracks[i].current].bps;
    if (flows <= available_bps) {
        d->short_us = 0;
        return available_bps;
    }
    if (!d->short_us)
        d->short_us = now_us;
    bool little = flows * 100 <= (uint64_t)available_bps * (100 + GRACE_PERCENT);
    bool grace = little && d->share_bps == DOWNLINK_MAX_BPS && d->bwe.delay.queue_us < GRACE_QUEUE_US &&
                 now_us - d->short_us < GRACE_US;
    return grace ? (uint32_t)flows : available_bps;
}

/* Returns whether a picture is paused and waits for a probe. */
static bool choose_layers(struct peer *p, int64_t now_us)
{
    struct downlink *d = p->downlink;
    struct allocate_track tracks[SFU_SLOTS_MAX];
    struct slot *slots[SFU_SLOTS_MAX];
    uint32_t target = downlink_target_bps(d), sound = choose_sounds(p, target, now_us);
    size_t n = pictures_of(p, slots);
    bool paused = false;
    for (size_t i = 0; i < n; i++) {
        describe(slots[i], &tracks[i], now_us);
        if (uplink_withheld(slots[i]->source)) {
            tracks[i].n_steps = 0;
            tracks[i].current = ALLOCATE_PAUSED;
        }
    }
    uint32_t available = target > sound ? target - sound : 0;
    struct allocation a = allocate(tracks, n, with_grace(d, tracks, n, available, now_us));
    uint64_t wanted = sound + tell_rooms(slots, tracks, n, available, a.used_bps, now_us);
    for (size_t i = 0; i < n; i++) {
        settle(slots[i], &tracks[i], now_us);
        paused |= slot_paused(slots[i]);
    }
    d->wanted_bps = (uint32_t)(wanted < DOWNLINK_MAX_BPS ? wanted : DOWNLINK_MAX_BPS);
    if (paused) /* sound alone shows nothing of a line that is back; somebody waits for the picture */
        probe_by(&d->bwe.probe, now_us + DOWNLINK_PAUSED_PROBE_US);
    d->chosen_bps = sound + a.used_bps;
    d->sound_bps = sound;
    d->allocated_bps = target;
    d->allocated_us = now_us;
    d->unsettled = false;
    bwe_want(&d->bwe, useful_bps(d));
    return paused;
}

static bool layers_are_due(const struct downlink *d, int64_t now_us)
{
    int64_t since_us = now_us - d->allocated_us;
    uint64_t target = downlink_target_bps(d);
    bool changed = target * 100 < (uint64_t)d->allocated_bps * (100 - CHANGE_PERCENT) ||
                   target * 100 > (uint64_t)d->allocated_bps * (100 + CHANGE_PERCENT);
    return since_us >= DOWNLINK_ALLOCATE_US || (since_us >= DOWNLINK_ALLOCATE_MIN_US && (changed || d->unsettled)) ||
           !d->allocated_us;
}

void downlink_unsettle(struct peer *p)
{
    if (p->downlink)
        p->downlink->unsettled = true;
}

/* ---- pacer ---- */

static void set_rate(struct peer *p, int64_t now_us)
{
    struct downlink *d = p->downlink;
    bool careful = !d->bwe.feedback_us || d->share_bps < DOWNLINK_MAX_BPS;
    unsigned halves = careful ? PACE_HALVES_CAREFUL : PACE_HALVES;
    uint32_t bps = d->cluster.id ? d->cluster.bps : downlink_target_bps(d) / 2 * halves;
    pacer_set_rate(p->pacer, bps, now_us);
}

/* A picture that comes a second late helps nobody: what waits is thrown away and begins again with a keyframe, the least
 * important one first. */
static void throw_away(struct peer *p, int64_t now_us)
{
    struct slot *slots[SFU_SLOTS_MAX];
    size_t n = pictures_of(p, slots);
    uint64_t target = downlink_target_bps(p->downlink);
    while (n-- && pacer_waiting_bytes(p->pacer) * 8000000u > target * DOWNLINK_WAITING_US) {
        size_t thrown = pacer_forget(p->pacer, slots[n]);
        if (!thrown)
            continue;
        p->downlink->thrown_away += thrown;
        p->sfu->stats.drops[SFU_DROP_LATE] += thrown;
        slot_begin_again(slots[n], now_us);
    }
}

/* False: one is under way. */
static bool begin_probe(struct peer *p, int64_t now_us)
{
    struct downlink *d = p->downlink;
    if (d->cluster.id)
        return false;
    if (bwe_probe(&d->bwe, now_us, &d->cluster))
        peer_get_ready(p);
    return true;
}

void downlink_tick(struct peer *p, int64_t now_us)
{
    struct downlink *d = p->downlink;
    if (now_us < d->tick_us)
        return;
    d->tick_us = now_us + DOWNLINK_TICK_US;
    const struct peer_sent *oldest = &p->sent[p->transport_seq % PEER_SENT_RING];
    const struct peer_sent *newest = &p->sent[(uint16_t)(p->transport_seq - 1) % PEER_SENT_RING];
    choose_red(p, now_us);
    bool waiting = oldest->waiting || newest->waiting;
    bwe_tick(&d->bwe, waiting, now_us);
    bool paused = layers_are_due(d, now_us) && choose_layers(p, now_us);
    throw_away(p, now_us);
    bool asked = begin_probe(p, now_us);
    trace_tick(p, (waiting ? TRACE_WAITING : 0) | (paused ? TRACE_PAUSED : 0) | (asked ? TRACE_ASKED : 0), now_us);
    set_rate(p, now_us);
    p->line.estimate_bps = downlink_target_bps(d);
}

uint8_t downlink_sent(struct peer *p, size_t bytes, int64_t now_us)
{
    struct downlink *d = p->downlink;
    uint8_t id = d ? d->cluster.id : 0;
    if (d)
        d->sent_bytes += bytes;
    if (id)
        trace_probe(p, id, bytes, now_us);
    if (id && probe_sent(&d->bwe.probe, id, (uint32_t)bytes, now_us)) {
        d->cluster.id = 0;
        set_rate(p, now_us);
    }
    return id;
}

/* The slot whose RTX stream carries padding: any that has had a source. */
static struct slot *padding_slot(struct peer *p)
{
    for (size_t i = 0; i < p->n_slots; i++) {
        struct slot *s = &p->slots[i];
        if (slot_is_picture(s) && s->config.rtx_ssrc && s->rtx_header.len)
            return s;
    }
    return NULL;
}

void downlink_pad(struct peer *p, int64_t now_us)
{
    struct downlink *d = p->downlink;
    struct slot *s = d && d->cluster.id ? padding_slot(p) : NULL;
    while (s && d->cluster.id && pacer_idle(p->pacer, now_us)) {
        peer_send_padding(p, s, DOWNLINK_PADDING, now_us);
        pacer_charge(p->pacer, DOWNLINK_PADDING + PACER_HEADERS, now_us);
    }
}
