#include "sim/receiver.h"

#include "base/err.h"
#include "base/packet.h"
#include "base/seq.h"
#include "net/net.h"
#include "rtp/nack.h"
#include "rtp/receive_stats.h"
#include "rtp/rtcp.h"
#include "rtp/rtx.h"
#include "rtp/transport_cc.h"
#include "rtp/vp8.h"

#include <stdlib.h>
#include <string.h>

enum { FEEDBACK_US = 100000, REPORT_US = 1000000, OUR_SSRC = 1, PLI_US = 300000 };

struct slot {
    uint32_t ssrc, rtx_ssrc;
    bool video;
    struct seq_extender extender;
    struct receive_stats stats;
    struct nack_generator nack;
    int64_t next_pli_us;
};

struct receiver {
    struct net_transport *transport;
    struct slot slots[OFFER_SECTIONS];
    struct transport_cc_receiver transport_cc;
    int64_t next_feedback_us, next_report_us;
    struct receiver_counts counts;
    uint64_t lost_before; /* of former transports */
    int64_t gap_from_us;  /* the gap in hand began then: last packet of stage sound, or the reset; 0: none came yet */
    receiver_tap *tap;
    void *tap_ctx;
};

struct receiver *receiver_new(void)
{
    return calloc(1, sizeof(struct receiver));
}

void receiver_free(struct receiver *r)
{
    free(r);
}

static bool is_video(unsigned section)
{
    return section == OFFER_STAGE || section == OFFER_SCREEN_SLOT || section >= OFFER_TILE;
}

void receiver_attach(struct receiver *r, struct net_transport *t, const struct answer *a, int64_t now_us)
{
    r->transport = t;
    r->lost_before = receiver_lost(r);
    r->counts.heard_us = 0;
    memset(r->slots, 0, sizeof r->slots);
    for (unsigned i = OFFER_STAGE_SOUND; i < OFFER_SECTIONS; i++) {
        struct slot *s = &r->slots[i];
        s->ssrc = a->ssrc[i];
        s->rtx_ssrc = a->rtx_ssrc[i];
        s->video = is_video(i);
        receive_stats_init(&s->stats, s->video ? 90000 : 48000);
        nack_init(&s->nack);
    }
    transport_cc_init(&r->transport_cc);
    r->next_feedback_us = now_us + FEEDBACK_US;
    r->next_report_us = now_us + REPORT_US;
}

void receiver_set_tap(struct receiver *r, receiver_tap *tap, void *ctx)
{
    r->tap = tap;
    r->tap_ctx = ctx;
}

static struct slot *slot_of(struct receiver *r, uint32_t ssrc, bool *ret_rtx)
{
    for (unsigned i = OFFER_STAGE_SOUND; i < OFFER_SECTIONS; i++) {
        struct slot *s = &r->slots[i];
        if (s->ssrc == ssrc || (s->rtx_ssrc == ssrc && ssrc)) {
            *ret_rtx = s->rtx_ssrc == ssrc;
            return s;
        }
    }
    return NULL;
}

/* Over changes of transport too: what is heard is what counts. */
static void note_stage_sound(struct receiver *r, int64_t arrival_us)
{
    r->counts.longest_stage_gap_us = receiver_stage_gap_us(r, arrival_us);
    r->counts.stage_sound++;
    if (!r->counts.heard_us)
        r->counts.heard_us = arrival_us;
    r->gap_from_us = arrival_us;
}

static void tap(struct receiver *r, const struct rtp_packet *p, bool video, int64_t arrival_us)
{
    struct vp8_descriptor d = {0};
    if (r->tap && (!video || vp8_parse(p->payload, p->payload_len, &d) == 0))
        r->tap(r->tap_ctx, p->payload + d.len, p->payload_len - d.len, arrival_us);
}

void receiver_packet(struct receiver *r, struct packet *packet, int64_t now_us)
{
    struct rtp_packet p;
    uint16_t transport_seq;
    bool rtx;
    if (rtp_parse(packet->bytes, packet->len, &p))
        return;
    if (rtp_ext_transport_seq(&p, offer_ext_ids.transport_seq, &transport_seq))
        transport_cc_arrived(&r->transport_cc, transport_seq, packet->arrival_us);
    struct slot *s = slot_of(r, p.ssrc, &rtx);
    if (!s || p.payload_len == 0)
        return;
    r->counts.packets++;
    if (rtx) {
        if (rtx_unwrap(&p, OFFER_VP8, s->ssrc))
            return;
        r->counts.repaired++;
    }
    int64_t ext = seq_extend(&s->extender, p.seq);
    if (!rtx) {
        receive_stats_packet(&s->stats, ext, p.ts, p.payload_len, packet->arrival_us);
        if (s == &r->slots[OFFER_STAGE_SOUND])
            note_stage_sound(r, packet->arrival_us);
        tap(r, &p, s->video, packet->arrival_us);
    }
    if (s->video) {
        struct vp8_descriptor d = {0};
        bool keyframe = vp8_parse(p.payload, p.payload_len, &d) == 0 && d.start && d.keyframe;
        nack_input(&s->nack, ext, keyframe, now_us);
    }
}

void receiver_report(struct receiver *r, const struct rtcp_block *b, int64_t now_us)
{
    uint32_t ssrc;
    struct rtcp_sender_info info;
    struct rtcp_report reports[RTCP_REPORTS_MAX];
    size_t n;
    bool rtx;
    if (b->type != RTCP_SR || rtcp_get_reports(b, &ssrc, &info, reports, &n))
        return;
    struct slot *s = slot_of(r, ssrc, &rtx);
    if (s && !rtx)
        receive_stats_sender_report(&s->stats, info.ntp, now_us);
}

static void send_rtcp(struct receiver *r, const struct writer *w)
{
    if (!w->failed && writer_len(w))
        net_send_rtcp(r->transport, w->start, writer_len(w));
}

static void ask_for_missing(struct receiver *r, struct slot *s, int64_t now_us)
{
    uint16_t seqs[64];
    uint8_t bytes[512];
    struct writer w = writer_make(bytes, sizeof bytes);
    size_t n = nack_poll(&s->nack, now_us, 0, seqs, sizeof seqs / sizeof seqs[0]);
    if (n) {
        rtcp_write_nack(&w, OUR_SSRC, s->ssrc, seqs, n);
        r->counts.nacks++;
    }
    if (nack_take_keyframe_wish(&s->nack) && now_us >= s->next_pli_us) {
        rtcp_write_pli(&w, OUR_SSRC, s->ssrc);
        s->next_pli_us = now_us + PLI_US;
        r->counts.plis++;
    }
    send_rtcp(r, &w);
}

static void send_reports(struct receiver *r, int64_t now_us)
{
    struct rtcp_report reports[RTCP_REPORTS_MAX];
    uint8_t bytes[1100];
    size_t n = 0;
    for (unsigned i = OFFER_STAGE_SOUND; i < OFFER_SECTIONS; i++) {
        struct slot *s = &r->slots[i];
        if (receive_stats_report(&s->stats, s->ssrc, now_us, &reports[n]) == 0)
            n++;
    }
    r->counts.lost = receiver_lost(r);
    struct writer w = writer_make(bytes, sizeof bytes);
    rtcp_write_rr(&w, OUR_SSRC, reports, n);
    rtcp_write_cname(&w, OUR_SSRC, "sim");
    send_rtcp(r, &w);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t receiver_run(struct receiver *r, int64_t now_us)
{
    if (!r->transport || net_transport_state(r->transport) != NET_CONNECTED)
        return INT64_MAX;
    int64_t next = INT64_MAX;
    for (unsigned i = OFFER_STAGE_SOUND; i < OFFER_SECTIONS; i++) {
        struct slot *s = &r->slots[i];
        if (!s->video)
            continue;
        if (nack_next_timeout(&s->nack) <= now_us || s->nack.want_keyframe)
            ask_for_missing(r, s, now_us);
        next = earlier(next, nack_next_timeout(&s->nack));
    }
    if (now_us >= r->next_feedback_us) {
        uint8_t bytes[1150];
        for (;;) {
            struct writer w = writer_make(bytes, sizeof bytes);
            if (transport_cc_build(&r->transport_cc, &w, OUR_SSRC, r->slots[OFFER_STAGE].ssrc))
                break;
            send_rtcp(r, &w);
        }
        r->next_feedback_us = now_us + FEEDBACK_US;
    }
    if (now_us >= r->next_report_us) {
        send_reports(r, now_us);
        r->next_report_us = now_us + REPORT_US;
    }
    return earlier(next, earlier(r->next_feedback_us, r->next_report_us));
}

const struct receiver_counts *receiver_counts(const struct receiver *r)
{
    return &r->counts;
}

uint64_t receiver_lost(const struct receiver *r)
{
    uint64_t lost = r->lost_before;
    for (unsigned i = OFFER_STAGE_SOUND; i < OFFER_SECTIONS; i++)
        lost += receive_stats_lost(&r->slots[i].stats);
    return lost;
}

int64_t receiver_stage_gap_us(const struct receiver *r, int64_t now_us)
{
    int64_t open_us = r->gap_from_us ? now_us - r->gap_from_us : 0;
    return open_us > r->counts.longest_stage_gap_us ? open_us : r->counts.longest_stage_gap_us;
}

void receiver_reset_gap(struct receiver *r, int64_t now_us)
{
    r->counts.longest_stage_gap_us = 0;
    r->gap_from_us = r->gap_from_us ? now_us : 0;
}
