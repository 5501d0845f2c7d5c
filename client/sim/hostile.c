#include "sim/hostile_priv.h"

#include "net/net.h"
#include "rtp/rtcp.h"

#include <string.h>

enum { HEADER_WORDS_MAX = 16, PAYLOAD_MAX = 64, RTCP_WORDS_MAX = 24, JOIN_US = 2000000 };

static const struct {
    const char *name;
    unsigned rate;
} kinds[HOSTILE_KINDS] = {
    [HOSTILE_NOT] = {"", 0},
    [HOSTILE_NOISE] = {"noise", 200},
    [HOSTILE_KEYFRAMES] = {"keyframes", 100},
    [HOSTILE_FORGED] = {"forged", 5000},
    [HOSTILE_REPLAY] = {"replay", 5000},
    [HOSTILE_SOURCES] = {"sources", 1000},
    [HOSTILE_REPORTS] = {"reports", 500},
    [HOSTILE_FLOOD] = {"flood", 4000},
    [HOSTILE_STUN] = {"stun", 8000},
    [HOSTILE_DTLS] = {"dtls", 2000},
    [HOSTILE_WANDER] = {"wander", 200},
    [HOSTILE_STRANGERS_KIND] = {"strangers", 20000},
};

bool hostile_kind_of(const char *name, enum hostile_kind *ret)
{
    for (unsigned i = HOSTILE_NOISE; i < HOSTILE_KINDS; i++) {
        if (strcmp(name, kinds[i].name) != 0)
            continue;
        *ret = (enum hostile_kind)i;
        return true;
    }
    return false;
}

void hostile_init(struct hostile *h, enum hostile_kind kind, unsigned rate, uint64_t seed)
{
    *h = (struct hostile){.kind = kind,
                          .rate = rate ? rate : kinds[kind].rate,
                          .random = (seed + 1) * 0x9e3779b97f4a7c15u | 1,
                          .next_ssrc = 0x20000000u + (uint32_t)seed * 0x10000u};
}

void hostile_finish(struct hostile *h)
{
    hostile_detach(h);
    hostile_close_strangers(h);
}

uint32_t hostile_draw(struct hostile *h, uint32_t below)
{
    h->random ^= h->random << 13;
    h->random ^= h->random >> 7;
    h->random ^= h->random << 17;
    return (uint32_t)(h->random >> 32) % below;
}

void hostile_fill(struct hostile *h, uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)hostile_draw(h, 256);
}

/* The header's own lengths are right, or SRTP could not be applied; what lies behind them is anything. */
size_t hostile_rtp(struct hostile *h, uint8_t packet[HOSTILE_MAX], size_t *ret_header_len)
{
    static const uint8_t pts[] = {OFFER_OPUS, OFFER_VP8, OFFER_RTX, 0, 127};
    unsigned source = hostile_draw(h, 4), csrc = hostile_draw(h, 4), words = hostile_draw(h, HEADER_WORDS_MAX);
    size_t payload = hostile_draw(h, PAYLOAD_MAX), header = 12 + csrc * 4 + 4 + words * 4u;
    hostile_fill(h, packet, header + payload);
    packet[0] = (uint8_t)(0x90 | csrc | (hostile_draw(h, 2) ? 0x20 : 0));
    packet[1] = (uint8_t)(pts[hostile_draw(h, sizeof pts)] | (hostile_draw(h, 2) ? 0x80 : 0));
    put_u16(packet + 2, h->seq[source]++);
    put_u32(packet + 8, 0x0badcafe + source);
    put_u16(packet + 12 + csrc * 4, hostile_draw(h, 2) ? 0xbede : 0x1000);
    put_u16(packet + 12 + csrc * 4 + 2, (uint16_t)words);
    if (words > 0 && hostile_draw(h, 2)) { /* the right mid and rid now and then, so that the packet gets further */
        static const uint8_t camera[] = {0x40, '1', 0xa0, 'l'};
        memcpy(packet + header - words * 4u, camera, sizeof camera);
        put_u16(packet + 12 + csrc * 4, 0xbede);
    }
    *ret_header_len = header;
    return header + payload;
}

size_t hostile_rtcp(struct hostile *h, uint8_t packet[HOSTILE_MAX])
{
    size_t len = 8 + hostile_draw(h, RTCP_WORDS_MAX) * 4u;
    hostile_fill(h, packet, len);
    packet[0] = (uint8_t)(0x80 | hostile_draw(h, 64)); /* any count, padding or not */
    packet[1] = (uint8_t)(RTCP_SR + hostile_draw(h, 8));
    put_u16(packet + 2, hostile_draw(h, 4) ? (uint16_t)(len / 4 - 1) : (uint16_t)hostile_draw(h, 65536));
    return len;
}

static void send_noise(struct hostile *h, struct net_transport *t, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t packet[HOSTILE_MAX];
        size_t header, len = i % 2 ? hostile_rtcp(h, packet) : hostile_rtp(h, packet, &header);
        int err = i % 2 ? net_send_rtcp(t, packet, len)
                        : net_send_rtp(t, NET_PICTURE, packet, header, packet + header, len - header, 0);
        h->sent += err == 0;
    }
}

static void send_requests(struct hostile *h, struct net_transport *t, const struct answer *slots)
{
    for (unsigned i = 0; i < OFFER_SECTIONS; i++) {
        uint8_t packet[64];
        struct writer w = writer_make(packet, sizeof packet);
        if (slots->ssrc[i] == 0)
            continue;
        rtcp_write_pli(&w, 1, slots->ssrc[i]);
        rtcp_write_fir(&w, 1, slots->ssrc[i], h->fir_seq);
        if (net_send_rtcp(t, packet, writer_len(&w)) == 0)
            h->sent++;
    }
    h->fir_seq++;
}

static void send_due(struct hostile *h, struct net_transport *t, const struct answer *a, unsigned count, int64_t now_us)
{
    switch (h->kind) {
    case HOSTILE_NOISE: send_noise(h, t, count); break;
    case HOSTILE_KEYFRAMES:
        while (count--)
            send_requests(h, t, a);
        break;
    case HOSTILE_FORGED: hostile_send_forged(h, t, a, count); break;
    case HOSTILE_REPLAY: hostile_send_replay(h, t, a, count); break;
    case HOSTILE_SOURCES: hostile_send_sources(h, t, a, count); break;
    case HOSTILE_REPORTS: hostile_send_reports(h, t, a, count, now_us); break;
    case HOSTILE_FLOOD: hostile_send_flood(h, t, count); break;
    case HOSTILE_STUN: hostile_send_checks(h, t, a, count); break;
    case HOSTILE_DTLS: hostile_send_records(h, t, a, count); break;
    case HOSTILE_WANDER: hostile_wander(h, t, a, now_us); break;
    case HOSTILE_STRANGERS_KIND: hostile_send_strangers(h, a, count); break;
    default: break;
    }
}

int64_t hostile_run(struct hostile *h, struct net_transport *t, const struct answer *answer, int64_t now_us)
{
    if (h->kind == HOSTILE_NOT || !t)
        return INT64_MAX;
    enum net_state state = net_transport_state(t);
    if (state != NET_CONNECTED && (h->kind != HOSTILE_DTLS || state != NET_CHECKED))
        return INT64_MAX;
    if (now_us < h->next_us)
        return h->next_us;
    unsigned count = (unsigned)((uint64_t)h->rate * HOSTILE_STEP_US / 1000000);
    send_due(h, t, answer, count ? count : 1, now_us);
    h->next_us = now_us + HOSTILE_STEP_US;
    return h->next_us;
}

bool hostile_joins_again(struct hostile *h, int64_t now_us)
{
    if (h->kind != HOSTILE_DTLS || now_us < h->join_us)
        return false;
    bool again = h->join_us != 0;
    h->join_us = now_us + JOIN_US;
    return again;
}
