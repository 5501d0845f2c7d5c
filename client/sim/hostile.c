#include "sim/hostile.h"

#include "net/net.h"
#include "rtp/rtcp.h"

#include <string.h>

enum { STEP_US = 10000, HEADER_WORDS_MAX = 16, PAYLOAD_MAX = 64, RTCP_WORDS_MAX = 24 };

bool hostile_kind_of(const char *name, enum hostile_kind *ret)
{
    static const char *const names[] = {[HOSTILE_NOISE] = "noise", [HOSTILE_KEYFRAMES] = "keyframes"};
    for (unsigned i = HOSTILE_NOISE; i <= HOSTILE_KEYFRAMES; i++) {
        if (strcmp(name, names[i]) != 0)
            continue;
        *ret = (enum hostile_kind)i;
        return true;
    }
    return false;
}

void hostile_init(struct hostile *h, enum hostile_kind kind, uint64_t seed)
{
    *h = (struct hostile){.kind = kind, .random = seed * 2 + 1};
}

static uint32_t draw(struct hostile *h, uint32_t below)
{
    h->random ^= h->random << 13;
    h->random ^= h->random >> 7;
    h->random ^= h->random << 17;
    return (uint32_t)(h->random >> 32) % below;
}

static void fill(struct hostile *h, uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)draw(h, 256);
}

/* The header's own lengths are right, or SRTP could not be applied; what lies behind them is anything. */
size_t hostile_rtp(struct hostile *h, uint8_t packet[HOSTILE_MAX], size_t *ret_header_len)
{
    static const uint8_t pts[] = {OFFER_OPUS, OFFER_VP8, OFFER_RTX, 0, 127};
    unsigned source = draw(h, 4), csrc = draw(h, 4), words = draw(h, HEADER_WORDS_MAX);
    size_t payload = draw(h, PAYLOAD_MAX), header = 12 + csrc * 4 + 4 + words * 4u;
    fill(h, packet, header + payload);
    packet[0] = (uint8_t)(0x90 | csrc | (draw(h, 2) ? 0x20 : 0));
    packet[1] = (uint8_t)(pts[draw(h, sizeof pts)] | (draw(h, 2) ? 0x80 : 0));
    put_u16(packet + 2, h->seq[source]++);
    put_u32(packet + 8, 0x0badcafe + source);
    put_u16(packet + 12 + csrc * 4, draw(h, 2) ? 0xbede : 0x1000);
    put_u16(packet + 12 + csrc * 4 + 2, (uint16_t)words);
    if (words > 0 && draw(h, 2)) { /* the right mid and rid now and then, so that the packet gets further */
        static const uint8_t camera[] = {0x40, '1', 0xa0, 'l'};
        memcpy(packet + header - words * 4u, camera, sizeof camera);
        put_u16(packet + 12 + csrc * 4, 0xbede);
    }
    *ret_header_len = header;
    return header + payload;
}

size_t hostile_rtcp(struct hostile *h, uint8_t packet[HOSTILE_MAX])
{
    size_t len = 8 + draw(h, RTCP_WORDS_MAX) * 4u;
    fill(h, packet, len);
    packet[0] = (uint8_t)(0x80 | draw(h, 64)); /* any count, padding or not */
    packet[1] = (uint8_t)(RTCP_SR + draw(h, 8));
    put_u16(packet + 2, draw(h, 4) ? (uint16_t)(len / 4 - 1) : (uint16_t)draw(h, 65536));
    return len;
}

static void send_noise(struct hostile *h, struct net_transport *t)
{
    uint8_t packet[HOSTILE_MAX];
    size_t header, len = hostile_rtp(h, packet, &header);
    if (net_send_rtp(t, NET_PICTURE, packet, header, packet + header, len - header, 0) == 0)
        h->sent++;
    len = hostile_rtcp(h, packet);
    if (net_send_rtcp(t, packet, len) == 0)
        h->sent++;
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

int64_t hostile_run(struct hostile *h, struct net_transport *t, const struct answer *slots, int64_t now_us)
{
    if (h->kind == HOSTILE_NOT || !t || net_transport_state(t) != NET_CONNECTED)
        return INT64_MAX;
    if (now_us < h->next_us)
        return h->next_us;
    if (h->kind == HOSTILE_NOISE)
        send_noise(h, t);
    else
        send_requests(h, t, slots);
    h->next_us = now_us + STEP_US;
    return h->next_us;
}
