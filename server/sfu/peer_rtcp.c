/* RTCP of a peer, both ways: RFC 3550 reports, RFC 4585 NACK and PLI, RFC 5104 FIR, transport-wide feedback. */
#include "base/err.h"
#include "sfu/peer.h"
#include "sfu/router.h"

enum {
    COMPOUND_MAX = 1180, /* what we make stays within 1,200 bytes with the SRTCP trailer, of which 20 are the largest */
    NACK_SEQS_MAX = 256,
    LINE_US = 1000 * 1000,
    FLOOR_LEAST_PERMILLE = 10,
    FLOOR_MOST_PERMILLE = 150, /* an encoder that believes in more gives up too much of the voice */
    FLOOR_STAYS_US = 10 * 1000 * 1000,
};

static const char cname[] = "giaoban";

static void send(struct peer *p, const struct writer *w)
{
    if (!w->failed && writer_len(w))
        p->sfu->shell.send_rtcp(p->transport, w->start, writer_len(w));
}

/* ---- to the publisher ---- */

void peer_send_nack(struct peer *p, uint32_t media_ssrc, const uint16_t *seqs, size_t n)
{
    uint8_t bytes[COMPOUND_MAX];
    struct writer w = writer_make(bytes, sizeof bytes);
    rtcp_write_nack(&w, p->ssrc, media_ssrc, seqs, n);
    p->sfu->stats.nacks_sent += n;
    send(p, &w);
}

void peer_send_keyframe_request(struct peer *p, const struct source *s, uint8_t layers)
{
    const struct publish_config *c = &p->publish[s->kind];
    uint8_t bytes[COMPOUND_MAX];
    struct writer w = writer_make(bytes, sizeof bytes);
    for (unsigned i = 0; i < SFU_LAYERS; i++) {
        uint32_t ssrc = s->layers[i] ? s->layers[i]->ssrc : i == 0 ? c->ssrc : 0;
        if (!(layers & 1u << i) || !ssrc)
            continue;
        if (c->pli || !c->fir)
            rtcp_write_pli(&w, p->ssrc, ssrc);
        else
            rtcp_write_fir(&w, p->ssrc, ssrc, p->fir_seq++);
        p->sfu->stats.keyframe_requests++;
    }
    send(p, &w);
}

static void send_feedback(struct peer *p, int64_t now_us)
{
    if (!p->feedback)
        return;
    bool due = now_us >= p->feedback_us;
    if (due)
        p->feedback_us = now_us + PEER_FEEDBACK_US;
    peer_wake(p, p->feedback_us);
    while (due) {
        uint8_t bytes[COMPOUND_MAX];
        struct writer w = writer_make(bytes, sizeof bytes);
        if (transport_cc_build(p->feedback, &w, p->ssrc, p->feedback_ssrc))
            return;
        p->sfu->stats.transport_feedback_sent++;
        send(p, &w);
    }
}

/* Who takes no redundant sound (Firefox) is helped by what the publisher's encoder puts into each packet of the one before
 * (RFC 6716, 2.1.7), and an encoder does that as far as its own line is said to lose. So the worst of these listeners' lines
 * is reported, and stays for a while: losses come in groups. The count of lost packets stays true: congestion control of
 * browsers goes by that. */
static uint8_t fraction_with_floor(struct source *s, uint8_t fraction, int64_t now_us)
{
    uint32_t worst = 0;
    for (size_t i = 0; i < s->n_slots; i++) {
        const struct slot *slot = s->slots[i];
        uint32_t loss = slot->peer->line.loss_permille;
        if (slot->config.codecs[RTP_OPUS].red_pt == SFU_NO_PT && slot_flows(slot) && loss > worst)
            worst = loss;
    }
    worst = worst < FLOOR_LEAST_PERMILLE ? 0 : worst > FLOOR_MOST_PERMILLE ? FLOOR_MOST_PERMILLE : worst;
    if (worst >= s->loss_floor || now_us - s->loss_floor_us > FLOOR_STAYS_US) {
        s->loss_floor = (uint16_t)worst;
        s->loss_floor_us = now_us;
    }
    uint32_t floor = s->loss_floor * 256u / 1000u;
    return fraction > floor ? fraction : (uint8_t)floor;
}

static size_t collect_reports(struct peer *p, struct rtcp_report *reports, int64_t now_us)
{
    size_t n = 0;
    for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++)
        for (unsigned i = 0; p->sources[kind] && i < SFU_LAYERS; i++) {
            struct layer *l = p->sources[kind]->layers[i];
            if (!l || receive_stats_report(&l->stats, l->ssrc, now_us, &reports[n]))
                continue;
            if (kind == WISH_MICROPHONE)
                reports[n].fraction_lost = fraction_with_floor(p->sources[kind], reports[n].fraction_lost, now_us);
            n++;
        }
    return n;
}

static void sender_info(struct slot *s, int64_t now_us, struct rtcp_sender_info *ret)
{
    *ret = (struct rtcp_sender_info){
        .ntp = ntp_from_us(now_us),
        .rtp_ts = rewrite_ts(&s->rewrite, source_ts_at(s->source, s->layer, now_us)),
        .packets = s->packets,
        .octets = s->octets,
    };
}

static bool reports_slot(const struct slot *s)
{
    return slot_flows(s) && s->packets;
}

/* When the first of its slots' reports is due. One that has just begun to flow may wait for its first packet. */
static int64_t sender_reports_due_us(const struct peer *p)
{
    int64_t due_us = INT64_MAX;
    for (size_t i = 0; i < p->n_slots; i++)
        if (slot_flows(&p->slots[i]) && p->slots[i].report_us < due_us)
            due_us = p->slots[i].report_us;
    return due_us;
}

/* Those that are due and, in the same packet, those that soon will be. True: at least one. */
static bool write_sender_reports(struct peer *p, struct writer *w, int64_t now_us)
{
    bool any = false;
    for (size_t i = 0; i < p->n_slots; i++) {
        struct slot *s = &p->slots[i];
        if (!reports_slot(s) || now_us + PEER_TOGETHER_US < s->report_us)
            continue;
        if (writer_len(w) + 28 + 28 > COMPOUND_MAX)
            break; /* the rest at the next tick */
        struct rtcp_sender_info info;
        sender_info(s, now_us, &info);
        rtcp_write_sr(w, s->config.ssrc, &info, NULL, 0);
        s->report_us = now_us + PEER_REPORT_US;
        p->sfu->stats.sender_reports++;
        any = true;
    }
    return any;
}

/* One compound: receiver reports, then the sender reports, then the name. */
static void send_reports(struct peer *p, int64_t now_us)
{
    struct rtcp_report reports[RTCP_REPORTS_MAX];
    uint8_t bytes[COMPOUND_MAX];
    struct writer w = writer_make(bytes, sizeof bytes);
    size_t n = 0;
    if (now_us >= p->report_us) {
        p->report_us = now_us + PEER_REPORT_US;
        n = collect_reports(p, reports, now_us);
    }
    if (n)
        rtcp_write_rr(&w, p->ssrc, reports, n);
    bool any = now_us >= sender_reports_due_us(p) && write_sender_reports(p, &w, now_us);
    peer_wake(p, p->report_us);
    peer_wake(p, sender_reports_due_us(p));
    if (!n && !any)
        return;
    rtcp_write_cname(&w, p->ssrc, cname);
    send(p, &w);
}

static void close_line_interval(struct peer *p, int64_t now_us)
{
    struct peer_line *l = &p->line;
    if (!l->since_us)
        l->since_us = now_us;
    if (now_us - l->since_us < LINE_US) {
        peer_wake(p, l->since_us + LINE_US);
        return;
    }
    if (l->reported)
        l->loss_permille = (uint32_t)(l->lost * 1000 / l->reported);
    l->acked_bps = (uint32_t)(l->acked_bytes * 8u * 1000000u / (uint64_t)(now_us - l->since_us));
    l->reported = l->lost = l->acked_bytes = 0;
    l->since_us = now_us;
}

static void send_silence(struct peer *p, int64_t now_us)
{
    for (size_t i = 0; i < p->n_slots; i++) {
        slot_silence(&p->slots[i], now_us);
        if (p->slots[i].silence_left)
            peer_wake(p, p->slots[i].silence_us);
    }
}

void peer_tick(struct peer *p, int64_t now_us)
{
    if (now_us < p->tick_us)
        return;
    p->tick_us = now_us + LINE_US;
    send_silence(p, now_us);
    send_feedback(p, now_us);
    send_reports(p, now_us);
    close_line_interval(p, now_us);
    if (p->downlink) {
        downlink_tick(p, now_us);
        peer_wake(p, p->downlink->tick_us);
    }
}

/* ---- from the client ---- */

static struct slot *slot_of(struct peer *p, uint32_t ssrc)
{
    for (size_t i = 0; i < p->n_slots; i++)
        if (p->slots[i].config.ssrc == ssrc)
            return &p->slots[i];
    return NULL;
}

static void note_sender_report(struct peer *p, uint32_t ssrc, const struct rtcp_sender_info *info, int64_t now_us)
{
    for (size_t i = 0; i < p->n_streams; i++) {
        const struct peer_stream *stream = &p->streams[i];
        struct source *source = p->sources[stream->kind];
        if (stream->ssrc != ssrc || stream->repair || !source || !source->layers[stream->layer])
            continue;
        struct layer *l = source->layers[stream->layer];
        int64_t ntp_us = ntp_to_us(info->ntp);
        publisher_clock_report(&p->clock, ntp_us, now_us);
        clockmap_report(&l->clock, &p->clock, ntp_us, info->rtp_ts, now_us);
        receive_stats_sender_report(&l->stats, info->ntp, now_us);
    }
}

static void note_report(struct peer *p, const struct rtcp_report *r, int64_t now_us)
{
    struct slot *s = slot_of(p, r->ssrc);
    if (!s)
        return;
    int64_t rtt_us = rtcp_round_trip_us(r, now_us);
    if (rtt_us >= 0)
        p->line.rtt_us = p->line.rtt_us ? (p->line.rtt_us * 7 + rtt_us) / 8 : rtt_us;
    if (p->line.rtt_us == 0 && rtt_us == 0)
        p->line.rtt_us = 1;
    s->lost_reports = r->lost > 0 ? (uint64_t)r->lost : 0;
    if (!s->config.ids.transport_seq) /* no finer knowledge of losses */
        p->line.loss_permille = (uint32_t)(r->fraction_lost * 1000u / 256u);
}

static bool take_reports(struct peer *p, const struct rtcp_block *b, int64_t now_us)
{
    struct rtcp_report reports[RTCP_REPORTS_MAX];
    struct rtcp_sender_info info;
    uint32_t ssrc;
    size_t n;
    if (rtcp_get_reports(b, &ssrc, &info, reports, &n))
        return false;
    if (b->type == RTCP_SR)
        note_sender_report(p, ssrc, &info, now_us);
    for (size_t i = 0; i < n; i++)
        note_report(p, &reports[i], now_us);
    return true;
}

static bool take_nack(struct peer *p, const struct rtcp_block *b, int64_t now_us)
{
    uint16_t seqs[NACK_SEQS_MAX];
    uint32_t ssrc;
    size_t n;
    if (rtcp_get_nack(b, &ssrc, seqs, NACK_SEQS_MAX, &n))
        return false;
    struct slot *s = slot_of(p, ssrc);
    p->sfu->stats.nacks_received += n;
    for (size_t i = 0; s && i < n; i++)
        slot_resend(s, seqs[i], now_us);
    return true;
}

static bool take_transport_feedback(struct peer *p, const struct rtcp_block *b, int64_t now_us)
{
    struct transport_cc_feedback f;
    if (transport_cc_parse(b, &f))
        return false;
    p->sfu->stats.transport_feedback_received++;
    if (p->downlink)
        downlink_feedback(p, &f, now_us);
    return true;
}

static bool take_rtpfb(struct peer *p, const struct rtcp_block *b, int64_t now_us)
{
    if (b->count == RTCP_NACK)
        return take_nack(p, b, now_us);
    if (b->count == RTCP_TRANSPORT_CC)
        return take_transport_feedback(p, b, now_us);
    return true;
}

static bool take_psfb(struct peer *p, const struct rtcp_block *b, int64_t now_us)
{
    struct rtcp_fir firs[16];
    struct slot *s;
    uint32_t ssrc;
    size_t n;
    switch (b->count) {
    case RTCP_PLI:
        if (rtcp_get_pli(b, &ssrc))
            return false;
        if ((s = slot_of(p, ssrc)) != NULL)
            slot_keyframe(s, now_us);
        return true;
    case RTCP_FIR:
        if (rtcp_get_fir(b, firs, 16, &n))
            return false;
        for (size_t i = 0; i < n; i++)
            if ((s = slot_of(p, firs[i].ssrc)) != NULL)
                slot_keyframe(s, now_us);
        return true;
    case RTCP_AFB: {
        int err = rtcp_get_remb(b, &p->line.remb_bps);
        if (!err && p->downlink)
            downlink_remb(p, p->line.remb_bps, now_us);
        return err == 0 || err == ERR_UNSUPPORTED;
    }
    default: return true;
    }
}

static bool take_block(struct peer *p, const struct rtcp_block *b, int64_t now_us)
{
    switch (b->type) {
    case RTCP_SR:
    case RTCP_RR: return take_reports(p, b, now_us);
    case RTCP_RTPFB: return take_rtpfb(p, b, now_us);
    case RTCP_PSFB: return take_psfb(p, b, now_us);
    default: return true; /* SDES, BYE, APP, XR: of no use here; a sender's end shows in its transport */
    }
}

void peer_input_rtcp(struct peer *p, const uint8_t *bytes, size_t len, int64_t now_us)
{
    struct reader r = reader_make(bytes, len);
    struct rtcp_block b;
    int err;
    while ((err = rtcp_next(&r, &b)) == 0) {
        if (!take_block(p, &b, now_us)) {
            err = ERR_MALFORMED;
            break;
        }
    }
    if (err != ERR_AGAIN)
        p->sfu->stats.drops[SFU_DROP_MALFORMED]++;
}
