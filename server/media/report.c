/* What is: hello, state and metrics to control. State is a dirty flag: the latest of what has changed since it was told. */
#include "media/media.h"

#include "base/clock.h"
#include "base/log.h"
#include "box/box.h"

#include <stdio.h>
#include <string.h>

enum {
    ENDPOINTS_A_MESSAGE = 40,
    REFRESHED_A_TURN = 40, /* rates of endpoints of which nothing else is new: 2,000 a second, a quarter of a millisecond */
};

const char *report_kind(enum wish_kind kind)
{
    static const char *const names[] = {"", "microphone", "camera", "screen"};
    return names[kind];
}

/* ---- hello ---- */

static json_t *restriction_json(const struct briefing *b, const struct restriction *r)
{
    return json_pack("{sI ss sI si sb}", "act", (json_int_t)r->act, "briefing", b->id, "endpoint", (json_int_t)r->endpoint,
                     "kinds", r->kinds, "remove", r->remove);
}

static void add_briefing(const struct briefing *b, json_t *briefings, json_t *restrictions, json_t *feeds, json_t *endpoints)
{
    json_array_append_new(briefings, json_pack("{ss sI}", "id", b->id, "version", (json_int_t)b->version));
    for (size_t i = 0; i < b->n_restrictions; i++)
        if (!b->restrictions[i].settled)
            json_array_append_new(restrictions, restriction_json(b, &b->restrictions[i]));
    for (const struct feed *f = b->feeds; f; f = f->next)
        json_array_append_new(feeds, json_integer((json_int_t)f->id));
    for (const struct endpoint *e = b->endpoints; e; e = e->next)
        if (!e->doomed)
            json_array_append_new(endpoints,
                                  json_pack("{ss sI sI sb}", "briefing", b->id, "number", (json_int_t)e->number,
                                            "incarnation", (json_int_t)e->incarnation, "connected", e->connected));
}

static json_t *addresses_json(const struct media *m)
{
    json_t *addresses = json_array();
    for (size_t i = 0; i < m->n_candidates; i++) {
        const struct sdp_candidate *c = &m->candidates[i];
        bool six = strchr(c->address, ':') != NULL;
        char text[SDP_ADDRESS_MAX + 10];
        snprintf(text, sizeof text, six ? "[%s]:%u" : "%s:%u", c->address, c->port);
        json_array_append_new(addresses, json_string(text));
    }
    return addresses;
}

static void send_layouts(struct media *m, json_t *endpoints)
{
    if (json_array_size(endpoints))
        control_send(m, json_pack("{ss so}", "m", "layouts", "endpoints", endpoints));
    else
        json_decref(endpoints);
}

/* What our endpoints show: a restarted control knows it from nobody else until their clients are back. */
static void report_layouts(struct media *m)
{
    json_t *endpoints = json_array();
    for (const struct briefing *b = m->briefings; b; b = b->next) {
        for (const struct endpoint *e = b->endpoints; e; e = e->next) {
            const struct wish_endpoint *w = e->doomed ? NULL : wish_find(&b->wish, e->number);
            if (!w)
                continue;
            json_array_append_new(endpoints, json_pack("{ss sI so}", "briefing", b->id, "number", (json_int_t)e->number,
                                                       "layout", wish_layout_to_json(w)));
            if (json_array_size(endpoints) < ENDPOINTS_A_MESSAGE)
                continue;
            send_layouts(m, endpoints);
            endpoints = json_array();
        }
    }
    send_layouts(m, endpoints);
}

void report_hello(struct media *m)
{
    report_layouts(m);
    json_t *briefings = json_array(), *restrictions = json_array(), *feeds = json_array(), *endpoints = json_array();
    for (const struct briefing *b = m->briefings; b; b = b->next)
        add_briefing(b, briefings, restrictions, feeds, endpoints);
    control_send(m, json_pack("{ss sI sI so so so so so}", "m", "hello", "generation", (json_int_t)m->generation, "epoch",
                              (json_int_t)m->epoch, "briefings", briefings, "restrictions", restrictions, "feeds", feeds,
                              "endpoints", endpoints, "addresses", addresses_json(m)));
    m->state_lost = true; /* and the state of everybody follows */
    m->hello_lost = false;
}

/* ---- state ---- */

static json_t *slot_json(const struct slot *s)
{
    return json_pack("{ss sI ss sb}", "mid", s->config.mid, "endpoint", (json_int_t)slot_told_number(s), "kind",
                     report_kind(slot_kind(s)), "paused", slot_told_paused(s));
}

static json_t *slots_json(const struct peer *p)
{
    json_t *slots = json_array();
    for (size_t i = 0; i < p->n_slots; i++)
        json_array_append_new(slots, slot_json(&p->slots[i]));
    return slots;
}

static json_t *sends_json(const struct peer *p, int64_t now_us)
{
    json_t *sends = json_array();
    for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++) {
        const struct source *s = p->sources[kind];
        uint64_t bps = 0;
        uint32_t loss = 0;
        unsigned living = 0, height = 0;
        for (unsigned i = 0; s && i < SFU_LAYERS; i++) {
            const struct layer *l = s->layers[i];
            if (!l)
                continue;
            bps += rate_meter_bps(&l->rate, now_us);
            living += layer_alive(l, now_us);
            if (layer_alive(l, now_us) && l->height > height)
                height = l->height;
            if (layer_alive(l, now_us) && receive_stats_loss_permille(&l->stats) > loss)
                loss = receive_stats_loss_permille(&l->stats);
        }
        if (s)
            json_array_append_new(sends, json_pack("{ss sI si si sI}", "kind", report_kind(s->kind), "bps", (json_int_t)bps,
                                                   "layers", living, "height", height, "loss_permille", (json_int_t)loss));
    }
    return sends;
}

/* What it should send of each picture, for its client. */
static json_t *wanted_json(const struct peer *p)
{
    json_t *wanted = json_array();
    for (unsigned kind = WISH_CAMERA; kind < SFU_KINDS; kind++) {
        const struct source *s = p->sources[kind];
        json_t *layers = s ? json_array() : NULL;
        for (unsigned i = 0; s && i < s->n_layers && i < SFU_LAYERS; i++) {
            bool active = s->uplink.active & 1u << i;
            const char *rid = p->publish[kind].n_rids ? p->publish[kind].rids[i] : "";
            json_array_append_new(layers, json_pack("{ss sb sI}", "rid", rid, "active", active, "max_bps",
                                                    (json_int_t)(active ? s->uplink.max_bps[i] : 0)));
        }
        if (s)
            json_array_append_new(wanted, json_pack("{ss so}", "kind", report_kind(s->kind), "layers", layers));
    }
    return wanted;
}

static json_t *receives_json(const struct peer *p)
{
    const struct peer_line *l = &p->line;
    return json_pack("{sI sI sI sI}", "bps", (json_int_t)l->acked_bps, "loss_permille", (json_int_t)l->loss_permille,
                     "rtt_ms", (json_int_t)(l->rtt_us + 500) / 1000, "estimate_bps",
                     (json_int_t)(l->estimate_bps ? l->estimate_bps : l->remb_bps));
}

static bool speaks(const struct endpoint *e, int64_t now_us)
{
    return e->connected && speakers_speaking(&e->briefing->router->speakers, e->number, now_us);
}

/* In dBov, 0 loudest. */
static int level_of(const struct endpoint *e)
{
    const struct source *s = e->peer->sources[WISH_MICROPHONE];
    return s && s->open && s->level != 0xff ? -(s->level & 0x7f) : -127;
}

static json_t *endpoint_json(const struct endpoint *e, int64_t now_us)
{
    return json_pack("{sI sI sb so sb si so so so}", "number", (json_int_t)e->number, "incarnation",
                     (json_int_t)e->incarnation, "connected", e->connected, "slots", slots_json(e->peer), "speaking",
                     speaks(e, now_us), "level", level_of(e), "send", sends_json(e->peer, now_us), "receive",
                     receives_json(e->peer), "wanted", wanted_json(e->peer));
}

static uint32_t wanted_version(const struct endpoint *e)
{
    uint32_t version = 0;
    for (unsigned kind = WISH_CAMERA; kind < SFU_KINDS; kind++)
        version += e->peer->sources[kind] ? e->peer->sources[kind]->uplink.version : 0;
    return version;
}

/* `moved`: somebody in the briefing has come into a slot or left one since the last look. */
static bool has_changed(const struct endpoint *e, bool moved, int64_t now_us)
{
    if (!e->told || e->reported.connected != e->connected || e->reported.speaking != speaks(e, now_us) ||
        e->reported.wanted_version != wanted_version(e))
        return true;
    for (size_t i = 0; moved && i < e->peer->n_slots; i++)
        if (e->reported.shown[i] != slot_told_number(&e->peer->slots[i]) ||
            e->reported.paused[i] != slot_told_paused(&e->peer->slots[i]))
            return true;
    return false;
}

static void note_told(struct endpoint *e, int64_t now_us)
{
    e->told = true;
    e->told_us = now_us;
    e->reported.connected = e->connected;
    e->reported.speaking = speaks(e, now_us);
    e->reported.wanted_version = wanted_version(e);
    for (size_t i = 0; i < e->peer->n_slots; i++) {
        e->reported.shown[i] = slot_told_number(&e->peer->slots[i]);
        e->reported.paused[i] = slot_told_paused(&e->peer->slots[i]);
    }
}

static void send_state(struct briefing *b, json_t *endpoints)
{
    b->reported_speaker = b->router->speaker;
    control_send(b->media, json_pack("{ss ss so sI}", "m", "state", "briefing", b->id, "endpoints", endpoints, "speaker",
                                     (json_int_t)b->router->speaker));
}

/* Rates once a second, of a few at a time: a thousand at once would hold up the loop for milliseconds. */
static bool is_due(const struct endpoint *e, unsigned *refresh, int64_t now_us)
{
    if (*refresh == 0 || now_us - e->told_us < RATES_US)
        return false;
    --*refresh;
    return true;
}

static void tell_briefing(struct briefing *b, bool all, unsigned *refresh, int64_t now_us)
{
    json_t *endpoints = json_array();
    bool sent = false, moved = b->router->dirty != b->reported_dirty;
    b->reported_dirty = b->router->dirty;
    for (struct endpoint *e = b->endpoints; e; e = e->next) {
        if (e->doomed || (!all && !has_changed(e, moved, now_us) && !is_due(e, refresh, now_us)))
            continue;
        json_array_append_new(endpoints, endpoint_json(e, now_us));
        note_told(e, now_us);
        if (json_array_size(endpoints) < ENDPOINTS_A_MESSAGE)
            continue;
        send_state(b, endpoints);
        sent = true;
        endpoints = json_array();
    }
    if (json_array_size(endpoints) || (!sent && b->router->speaker != b->reported_speaker))
        send_state(b, endpoints);
    else
        json_decref(endpoints);
}

void report_gone(struct endpoint *e)
{
    if (!e->told || join_connected(e->briefing, e->number))
        return;
    json_t *o =
        json_pack("{sI sI sb s[] sb si s[] s{}}", "number", (json_int_t)e->number, "incarnation", (json_int_t)e->incarnation,
                  "connected", 0, "slots", "speaking", 0, "level", -127, "send", "receive");
    json_t *endpoints = json_array();
    json_array_append_new(endpoints, o);
    send_state(e->briefing, endpoints);
}

/* ---- metrics ---- */

static void count(json_t *counters, const char *name, uint64_t value)
{
    json_object_set_new(counters, name, json_integer((json_int_t)value));
}

static void count_drop(json_t *counters, const char *reason, uint64_t value)
{
    char name[64];
    snprintf(name, sizeof name, "drop_%s", reason);
    json_int_t former = json_integer_value(json_object_get(counters, name)); /* net and sfu share some reasons */
    json_object_set_new(counters, name, json_integer(former + (json_int_t)value));
}

static void send_metrics(struct media *m)
{
    const struct net_stats *n = net_stats(m->net);
    const struct sfu_stats *s = &m->sfu.stats;
    const struct feed_counters *f = &m->feeds;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"received_packets", n->received_packets},
        {"received_bytes", n->received_bytes},
        {"sent_packets", n->sent_packets},
        {"sent_bytes", n->sent_bytes},
        {"gso_runs", n->gso_runs},
        {"gso_run_packets", n->gso_run_packets},
        {"gso_refused", n->gso_refused},
        {"sendmmsg_calls", n->sendmmsg_calls},
        {"forwarded_packets", s->forwarded_packets},
        {"retransmitted_packets", s->retransmitted_packets},
        {"repaired_packets", s->repaired_packets},
        {"nacks_sent", s->nacks_sent},
        {"nacks_received", s->nacks_received},
        {"keyframe_requests", s->keyframe_requests},
        {"keyframes_received", s->keyframes_received},
        {"transport_feedback_sent", s->transport_feedback_sent},
        {"transport_feedback_received", s->transport_feedback_received},
        {"feedback_absurd", s->feedback_absurd},
        {"sender_reports", s->sender_reports},
        {"slot_switches", s->slot_switches},
        {"feed_records_written", f->records_written},
        {"feed_records_read", f->records_read},
        {"feed_dropped", f->dropped},
        {"feed_stale", f->stale},
        {"log_lines_lost", log_lost()},
        {"handshakes_begun", n->handshakes_begun},
        {"handshakes_done", n->handshakes_done},
        {"handshakes_failed", n->handshakes_failed},
        {"handshakes_late", n->handshakes_late},
        {"handshakes_evicted", n->handshakes_evicted},
        {"half_open_now", n->half_open_now},
        {"tcp_accepted", n->tcp_accepted},
        {"tcp_now", n->tcp_now},
        {"tcp_received_packets", n->tcp_received_packets},
        {"tcp_sent_packets", n->tcp_sent_packets},
        {"longest_turn_us", (uint64_t)n->longest_turn_us},
        {"box_refused", box_refused()},
    };
    json_t *counters = json_object();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        count(counters, rows[i].name, rows[i].value);
    for (unsigned i = 0; i < NET_DROP_COUNT; i++)
        count_drop(counters, net_drop_str((enum net_drop)i), n->drops[i]);
    for (unsigned i = 0; i < SFU_DROP_COUNT; i++)
        count_drop(counters, sfu_drop_str((enum sfu_drop)i), s->drops[i]);
    control_send(m, json_pack("{ss so}", "m", "metrics", "counters", counters));
}

void report_turn(struct media *m, int64_t now_us)
{
    unsigned refresh = REFRESHED_A_TURN;
    if (m->control < 0 || now_us < m->state_us)
        return;
    m->state_us = now_us + STATE_US;
    if (m->hello_lost && !m->queue)
        report_hello(m);
    bool all = m->state_lost;
    m->state_lost = false;
    for (struct briefing *b = m->briefings; b; b = b->next)
        tell_briefing(b, all, &refresh, now_us);
    if (now_us < m->rates_us)
        return;
    m->rates_us = now_us + RATES_US;
    send_metrics(m);
}
