/* Hostile packets that have the right keys. */
#include "sim/hostile_priv.h"

#include "base/openssl.h"
#include "net/net.h"
#include "rtp/rtcp.h"

#include <openssl/crypto.h>

#include <stdlib.h>
#include <string.h>

enum { OUR_SSRC = 1, OTHERS_BASE = 0x10000000, OTHERS = 7 * 64, SEALED_MAX = SEAL_SSRCS / 2, NACKS = 14, NACKED = 15 };

void hostile_detach(struct hostile *h)
{
    seal_free(h->seal);
    free(h->replayed);
    h->seal = NULL;
    h->replayed = NULL;
    h->sealed = 0;
    memset(h->seq, 0, sizeof h->seq);
}

/* Another seal beside the transport's own: it may repeat itself, and begins anew before its table of SSRCs is full. */
static struct seal *seal_of(struct hostile *h, struct net_transport *t)
{
    struct seal_keys keys;
    if (h->seal && h->sealed < SEALED_MAX)
        return h->seal;
    seal_free(h->seal);
    h->seal = NULL;
    h->sealed = 0;
    if (net_transport_keys(t, &keys) == 0)
        (void)seal_new(&keys, SEAL_AUTO, &h->seal);
    OPENSSL_cleanse(&keys, sizeof keys);
    return h->seal;
}

/* A packet of the camera's layer `rid` as it should be: a one-byte extension with mid and rid, then a VP8 keyframe. */
static size_t camera_packet(uint8_t *packet, uint32_t ssrc, uint16_t seq, char rid, size_t *ret_header)
{
    static const uint8_t vp8[] = {0x90, 0x80, 0x01, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xc0, 0};
    struct writer w = writer_make(packet, HOSTILE_MAX);
    write_u8(&w, 0x90);
    write_u8(&w, 0x80 | OFFER_VP8);
    write_u16(&w, seq);
    write_u32(&w, seq * 3600u);
    write_u32(&w, ssrc);
    write_u32(&w, 0xbede0001);
    write_u8(&w, (uint8_t)(offer_ext_ids.mid << 4));
    write_u8(&w, '0' + OFFER_CAMERA);
    write_u8(&w, (uint8_t)(offer_ext_ids.rid << 4));
    write_u8(&w, (uint8_t)rid);
    *ret_header = writer_len(&w);
    write_bytes(&w, vp8, sizeof vp8);
    return writer_len(&w);
}

static void make_replayed(struct hostile *h, struct seal *seal)
{
    h->replayed = calloc(HOSTILE_REPLAYED, sizeof *h->replayed);
    for (unsigned i = 0; h->replayed && i < HOSTILE_REPLAYED; i++) {
        struct hostile_raw *r = &h->replayed[i];
        uint8_t packet[HOSTILE_MAX];
        size_t header;
        int err;
        if (i % 4 == 3) {
            struct writer w = writer_make(packet, sizeof packet);
            rtcp_write_cname(&w, h->next_ssrc, "again");
            err = seal_rtcp(seal, packet, writer_len(&w), r->bytes, sizeof r->bytes, &r->len);
        } else {
            size_t len = camera_packet(packet, h->next_ssrc, (uint16_t)i, 'l', &header);
            err = seal_rtp(seal, packet, header, packet + header, len - header, 0, r->bytes, sizeof r->bytes, &r->len);
        }
        if (err)
            r->len = 0;
    }
}

void hostile_send_replay(struct hostile *h, struct net_transport *t, const struct answer *a, unsigned count)
{
    struct seal *seal = seal_of(h, t);
    if (seal && !h->replayed)
        make_replayed(h, seal);
    for (unsigned i = 0; h->replayed && i < count; i++) {
        const struct hostile_raw *r = &h->replayed[hostile_draw(h, HOSTILE_REPLAYED)];
        hostile_raw_send(h, net_transport_fd(t), a, r->bytes, r->len);
    }
}

static uint32_t some_ssrc(struct hostile *h, const struct answer *a)
{
    switch (hostile_draw(h, 4)) {
    case 0: return OTHERS_BASE + hostile_draw(h, OTHERS);
    case 1: return a->ssrc[hostile_draw(h, OFFER_SECTIONS)];
    default: return h->next_ssrc++;
    }
}

void hostile_send_sources(struct hostile *h, struct net_transport *t, const struct answer *a, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t packet[HOSTILE_MAX], out[HOSTILE_RAW_MAX];
        struct seal *seal = seal_of(h, t);
        size_t header, sealed;
        /* a few take turns in the place of one layer, the others are new each */
        uint32_t ssrc = hostile_draw(h, 3) ? some_ssrc(h, a) : 0x0badcafe + hostile_draw(h, 8);
        size_t len = camera_packet(packet, ssrc, h->seq[0]++ & 0x7fff, "lmhx"[hostile_draw(h, 4)], &header);
        h->sealed++;
        if (seal && seal_rtp(seal, packet, header, packet + header, len - header, 0, out, sizeof out, &sealed) == 0)
            hostile_raw_send(h, net_transport_fd(t), a, out, sealed);
    }
}

void hostile_send_flood(struct hostile *h, struct net_transport *t, unsigned count)
{
    static const uint8_t body[1080];
    for (unsigned i = 0; i < count; i++) {
        uint8_t packet[HOSTILE_MAX + sizeof body];
        size_t header, len = camera_packet(packet, h->next_ssrc, h->seq[0]++, 'h', &header);
        memcpy(packet + len, body, sizeof body);
        len += sizeof body;
        h->sent += net_send_rtp(t, NET_PICTURE, packet, header, packet + header, len - header, 0) == 0;
    }
}

/* ---- reports ---- */

static void write_head(struct writer *w, uint8_t count, uint8_t type, size_t words)
{
    write_u8(w, 0x80 | count);
    write_u8(w, type);
    write_u16(w, (uint16_t)words);
}

static void write_bye_for_others(struct hostile *h, struct writer *w, const struct answer *a)
{
    uint32_t ssrcs[31];
    for (unsigned i = 0; i < 31; i++)
        ssrcs[i] = some_ssrc(h, a);
    rtcp_write_bye(w, ssrcs, 31);
}

static void write_remb(struct hostile *h, struct writer *w, const struct answer *a)
{
    static const uint64_t rates[] = {0, 1, UINT64_C(1) << 63, UINT64_MAX};
    rtcp_write_remb(w, OUR_SSRC, rates[hostile_draw(h, 4)], &a->ssrc[OFFER_STAGE], 1);
}

static void write_clock_step(struct hostile *h, struct writer *w, int64_t now_us)
{
    static const int64_t steps_s[] = {0, 86400, -3600, 10, -1, 2000000000};
    int64_t at_us = now_us + steps_s[hostile_draw(h, 6)] * 1000000;
    struct rtcp_sender_info info = {.ntp = hostile_draw(h, 4) ? ntp_from_us(at_us) : UINT64_MAX,
                                    .rtp_ts = hostile_draw(h, 2) ? hostile_draw(h, UINT32_MAX) : 0,
                                    .packets = UINT32_MAX,
                                    .octets = 0};
    rtcp_write_sr(w, OTHERS_BASE + hostile_draw(h, OTHERS), &info, NULL, 0);
}

static void write_nothing_came(struct hostile *h, struct writer *w, const struct answer *a, int64_t now_us)
{
    struct rtcp_report reports[OFFER_SECTIONS];
    for (unsigned i = 0; i < OFFER_SECTIONS; i++)
        reports[i] = (struct rtcp_report){.ssrc = a->ssrc[i],
                                          .fraction_lost = 255,
                                          .lost = hostile_draw(h, 2) ? 0x7fffff : -0x800000,
                                          .highest_seq = UINT32_MAX,
                                          .jitter = UINT32_MAX,
                                          .lsr = ntp_short(ntp_from_us(now_us)), /* no distance at all */
                                          .dlsr = hostile_draw(h, 4) ? 0 : UINT32_MAX};
    rtcp_write_rr(w, OUR_SSRC, reports, OFFER_SECTIONS);
}

static void write_nack_of_everything(struct hostile *h, struct writer *w, const struct answer *a)
{
    uint32_t ssrc = a->ssrc[hostile_draw(h, 2) ? OFFER_STAGE : OFFER_TILE];
    for (unsigned block = 0; block < NACKS; block++) { /* a reader takes so many numbers of each */
        write_head(w, RTCP_NACK, RTCP_RTPFB, 2 + NACKED);
        write_u32(w, OUR_SSRC);
        write_u32(w, ssrc);
        for (unsigned i = 0; i < NACKED; i++, h->nack_from += 17) {
            write_u16(w, h->nack_from);
            write_u16(w, 0xffff);
        }
    }
}

static void write_impossible_times(struct hostile *h, struct writer *w, const struct answer *a)
{
    write_head(w, RTCP_TRANSPORT_CC, RTCP_RTPFB, 14);
    write_u32(w, OUR_SSRC);
    write_u32(w, a->ssrc[OFFER_STAGE]);
    write_u16(w, (uint16_t)hostile_draw(h, 65536));
    write_u16(w, hostile_draw(h, 2) ? 14 : (uint16_t)hostile_draw(h, 65536)); /* more packets than it has deltas for */
    write_u24(w, hostile_draw(h, 1 << 24));
    write_u8(w, (uint8_t)hostile_draw(h, 256));
    write_u16(w, (uint16_t)(0xd000 | hostile_draw(h, 0x1000)));
    write_u16(w, hostile_draw(h, 2) ? 0xeaaa : 0x5fff);
    for (unsigned i = 0; i < 18; i++)
        write_u16(w, hostile_draw(h, 2) ? 0x8000 : 0x7fff);
}

size_t hostile_report(struct hostile *h, const struct answer *a, uint8_t packet[HOSTILE_RAW_MAX], int64_t now_us)
{
    struct writer w = writer_make(packet, 1100);
    switch (hostile_draw(h, 16)) { /* mostly NACK */
    case 0: write_bye_for_others(h, &w, a); break;
    case 1: write_remb(h, &w, a); break;
    case 2: write_clock_step(h, &w, now_us); break;
    case 3: write_nothing_came(h, &w, a, now_us); break;
    case 4: write_impossible_times(h, &w, a); break;
    case 5: rtcp_write_pli(&w, OUR_SSRC, some_ssrc(h, a)); break;
    default: write_nack_of_everything(h, &w, a); break;
    }
    return writer_len(&w);
}

void hostile_send_reports(struct hostile *h, struct net_transport *t, const struct answer *a, unsigned count, int64_t now_us)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t packet[HOSTILE_RAW_MAX];
        size_t len = hostile_report(h, a, packet, now_us);
        h->sent += net_send_rtcp(t, packet, len) == 0;
    }
}
