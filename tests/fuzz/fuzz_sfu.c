/* The forwarding core under random operations: what clients send (RTP and RTCP of any content), wishes, comings and goings,
 * mirrors, time. Whenever the wish is folded every invariant must hold (router_check()); a packet of one who may not send is
 * kept by nobody; no slot gives a number twice, retransmissions and transport-wide numbers have no hole; at the end every
 * packet must be back in its pool.
 *
 * Input: a sequence of operations, one byte each, followed by what it needs (missing bytes are 0). */
#include "require.h"
#include "sfu/router.h"

#include <stdlib.h>
#include <string.h>

enum { PEERS = 4, ENDPOINTS = 6, SLOTS = 8, PACKETS = 4096, WINDOW = 2048 };

/* What has left for one subscriber. */
struct line {
    bool numbered; /* `transport_seq` is the last one */
    uint16_t transport_seq;
    struct {
        bool began, resent;
        uint16_t newest, rtx_seq;
        uint64_t sent[WINDOW / 64];
    } slots[SLOTS];
};

struct input {
    const uint8_t *at, *end;
};

static struct sfu sfu;
static struct packet_pool *pool;
static struct router *router;
static struct wish_briefing wish;
static struct wish_endpoint endpoints[ENDPOINTS];
static uint32_t incarnations[ENDPOINTS + 1];
static int64_t now_us;
static struct line lines[PEERS + 1][2]; /* by incarnation, in turn */

static uint8_t byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static size_t take(struct input *in, uint8_t *out, size_t len)
{
    size_t n = (size_t)(in->end - in->at) < len ? (size_t)(in->end - in->at) : len;
    memcpy(out, in->at, n);
    in->at += n;
    return n;
}

/* A number of a slot's stream: never again, as far back as the window goes. */
static void note_number(struct line *l, uint32_t slot, uint16_t seq)
{
    bool began = l->slots[slot].began;
    int16_t ahead = began ? seq_diff(seq, l->slots[slot].newest) : 1;
    uint64_t *sent = l->slots[slot].sent, bit = 1ull << seq % 64;
    require(began || seq < 32768 + WINDOW);
    l->slots[slot].began = true;
    for (int i = 1; i <= ahead && i <= WINDOW; i++) {
        uint16_t passed = (uint16_t)(seq - ahead + i);
        sent[passed % WINDOW / 64] &= ~(1ull << passed % 64);
    }
    if (ahead <= -WINDOW)
        return;
    require(!(sent[seq % WINDOW / 64] & bit));
    sent[seq % WINDOW / 64] |= bit;
    if (ahead > 0)
        l->slots[slot].newest = seq;
}

static void note_header(struct line *l, const uint8_t *header, size_t len)
{
    uint8_t copy[RTP_HEADER_MAX];
    struct rtp_packet v;
    uint16_t seq;
    memcpy(copy, header, len);
    copy[0] &= (uint8_t)~0x20; /* padding comes behind the payload */
    require(!rtp_parse(copy, len, &v));
    uint32_t slot = v.ssrc % 100;
    require(slot < SLOTS && (v.ssrc / 100 == 1 || v.ssrc / 100 == 2));
    if (v.ssrc < 200) {
        note_number(l, slot, v.seq);
    } else {
        require(!l->slots[slot].resent || v.seq == (uint16_t)(l->slots[slot].rtx_seq + 1));
        l->slots[slot].resent = true;
        l->slots[slot].rtx_seq = v.seq;
    }
    require(rtp_ext_transport_seq(&v, 3, &seq) && (!l->numbered || seq == (uint16_t)(l->transport_seq + 1)));
    l->numbered = true;
    l->transport_seq = seq;
}

static int send_rtp(void *transport, enum sfu_class class, const uint8_t *header, size_t header_len, const uint8_t *payload,
                    size_t payload_len, uint8_t padding)
{
    require(header_len % 4 == 0 && header_len <= RTP_HEADER_MAX && (payload_len || padding));
    note_header(transport, header, header_len);
    volatile uint8_t touched = header[header_len - 1];
    if (payload_len)
        touched ^= payload[0] ^ payload[payload_len - 1];
    return touched == 0x77 ? -1 : 0; /* sometimes the line refuses */
}

static int send_rtcp(void *transport, const uint8_t *bytes, size_t len)
{
    if (len < 8 || len % 4 || len > 1180)
        abort();
    return 0;
}

static void tap(void *ctx, const struct sfu_tapped *t)
{
    if (!t->payload_len || !t->source->open)
        abort();
    memset(t->payload - RTP_FIXED_HEADER, 0xee, RTP_FIXED_HEADER); /* as feeds do */
}

static void configure(struct peer_config *c, uint32_t number)
{
    static const enum slot_role roles[SLOTS] = {SLOT_STAGE_SOUND,   SLOT_STAGE_PICTURE, SLOT_SHARED_SCREEN,
                                                SLOT_FURTHER_SOUND, SLOT_FURTHER_SOUND, SLOT_FURTHER_SOUND,
                                                SLOT_TILE,          SLOT_TILE};
    static const enum rtp_codec codecs[SFU_KINDS] = {RTP_CODEC_NONE, RTP_OPUS, RTP_VP8, RTP_VP8};
    for (unsigned kind = WISH_MICROPHONE; kind < SFU_KINDS; kind++)
        c->publish[kind] = (struct publish_config){
            .used = true,
            .mid = {(char)('0' + kind)},
            .codec = kind == WISH_CAMERA && number == 2   ? RTP_H264
                     : kind == WISH_SCREEN && number == 3 ? RTP_VP9
                                                          : codecs[kind],
            .pt = kind == WISH_MICROPHONE ? 111 : 96,
            .rtx_pt = kind == WISH_MICROPHONE ? SFU_NO_PT : 97,
            .ids = {.mid = 4, .rid = 10, .rrid = 11, .transport_seq = 3, .audio_level = 1},
            .rids = {"l", "m", "h"},
            .n_rids = kind == WISH_CAMERA ? 3 : 0,
            .ssrc = kind == WISH_CAMERA ? 0 : kind,
            .nack = true,
            .pli = true,
        };
    c->n_slots = SLOTS;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot_config *s = &c->slots[i];
        *s = (struct slot_config){.role = roles[i], .ssrc = 100 + i, .ids = {.transport_seq = 3}};
        s->index = (uint8_t)(roles[i] == SLOT_TILE ? i - 6 : roles[i] == SLOT_FURTHER_SOUND ? i - 3 : 0);
        s->rtx_ssrc = roles[i] == SLOT_STAGE_SOUND || roles[i] == SLOT_FURTHER_SOUND ? 0 : 200 + i;
        for (unsigned k = 0; k <= RTP_H264; k++)
            s->codecs[k] = (struct slot_codec){.pt = (uint8_t)(96 + k), .rtx_pt = k == RTP_OPUS ? SFU_NO_PT : 110};
    }
}

static void join(uint32_t number)
{
    struct peer_config *c = calloc(1, sizeof *c);
    struct peer *p;
    c->number = number;
    c->incarnation = ++incarnations[number];
    c->transport = &lines[number][c->incarnation % 2];
    c->estimates = number % 2; /* of these what they say of our packets decides what they get */
    memset(c->transport, 0, sizeof(struct line));
    configure(c, number);
    if (peer_new(&sfu, c, &p) == 0 && router_attach(router, p, now_us))
        peer_free(p, now_us);
    free(c);
}

static void random_wish(struct input *in)
{
    wish.floor = byte(in) % (ENDPOINTS + 1);
    for (unsigned i = 0; i < ENDPOINTS; i++) {
        struct wish_endpoint *e = &endpoints[i];
        uint8_t bits = byte(in);
        e->number = i + 1;
        e->may_send = bits & 0xe;
        e->hears = bits & 1;
        e->stage = (bits >> 4) % (ENDPOINTS + 1);
        e->screen = byte(in) % (ENDPOINTS + 1);
        e->stage_size = (struct wish_size){byte(in), (uint16_t)(byte(in) * 4)};
        e->screen_size = e->stage_size;
        e->n_tiles = 2;
        for (unsigned t = 0; t < 2; t++)
            e->tiles[t] = (struct wish_tile){.endpoint = byte(in) % (ENDPOINTS + 1), .size = {1, byte(in)}};
    }
    wish.n_endpoints = byte(in) % (ENDPOINTS + 1);
    router_apply(router, &wish, now_us);
}

/* May what `p` sends under that SSRC reach somebody? An SSRC that is not known yet may become any of its tracks. */
static bool may_pass(const struct peer *p, uint32_t ssrc)
{
    unsigned may = 0;
    for (size_t i = 0; router->wish && i < wish.n_endpoints; i++)
        may |= wish.endpoints[i].number == p->number ? wish.endpoints[i].may_send : 0;
    for (size_t i = 0; i < p->n_streams; i++)
        if (p->streams[i].ssrc == ssrc)
            return may & WISH_BIT(p->streams[i].kind);
    return may;
}

static uint32_t ssrc_of(const struct packet *p)
{
    struct reader r = reader_make(p->bytes + 8, 4);
    return read_u32(&r);
}

static void input_rtp(struct peer *p, struct packet *packet)
{
    bool may = packet->len >= RTP_FIXED_HEADER && may_pass(p, ssrc_of(packet));
    packet->arrival_us = now_us;
    peer_input_rtp(p, packet, now_us);
    require(may || packet->refs == 1);
    packet_unref(packet);
}

/* A packet with a header that finds its way, and a payload of any content. */
static void rtp_in(struct input *in, struct peer *p)
{
    struct packet *packet = packet_get(pool);
    if (!packet)
        abort(); /* histories are bounded: the pool cannot run dry */
    struct writer w = writer_make(packet->bytes, PACKET_CAPACITY);
    uint8_t what = byte(in), rid = byte(in), level = byte(in);
    uint16_t seq = (uint16_t)(byte(in) << 8 | byte(in));
    unsigned kind = what % 3 + 1;
    bool repair = what & 8;
    write_u8(&w, what & 4 ? 0xb0 : 0x90);
    write_u8(&w, (uint8_t)((what & 16 ? 0x80 : 0) | (kind == WISH_MICROPHONE ? 111 : repair ? 97 : 96)));
    write_u16(&w, seq);
    write_u32(&w, (uint32_t)(byte(in) * 3000));
    write_u32(&w, kind == WISH_CAMERA ? 10 + rid % 3u + (repair ? 3u : 0u) : kind + (repair ? 20u : 0u));
    write_u16(&w, 0xbede);
    write_u16(&w, 3);
    write_u8(&w, 0x40);
    write_u8(&w, (uint8_t)('0' + kind));
    write_u8(&w, repair ? 0xb0 : 0xa0);
    write_u8(&w, (uint8_t) "lmh"[rid % 3]);
    write_u8(&w, 0x10);
    write_u8(&w, level);
    write_u8(&w, 0x31);
    write_u16(&w, seq);
    write_u24(&w, 0);
    uint8_t payload[64];
    size_t len = take(in, payload, byte(in) % sizeof payload);
    write_bytes(&w, payload, len);
    packet->len = (uint16_t)writer_len(&w);
    input_rtp(p, packet);
}

static void raw_in(struct input *in, struct peer *p, bool rtcp)
{
    uint8_t bytes[256];
    size_t len = take(in, bytes, byte(in));
    if (rtcp) {
        peer_input_rtcp(p, bytes, len, now_us);
        return;
    }
    struct packet *packet = packet_get(pool);
    memcpy(packet->bytes, bytes, len);
    packet->len = (uint16_t)len;
    input_rtp(p, packet);
}

static void mirror_in(struct input *in)
{
    uint32_t number = byte(in) % (ENDPOINTS + 2);
    enum wish_kind kind = (enum wish_kind)(byte(in) % 3 + 1);
    enum rtp_codec codec = kind == WISH_MICROPHONE ? RTP_OPUS : RTP_VP8;
    struct source *s = router_mirror(router, number, kind, byte(in) % 3, codec, byte(in) % 4, now_us);
    struct packet *packet = packet_get(pool);
    struct rtp_packet v;
    uint8_t payload[64];
    struct writer w = writer_make(packet->bytes, PACKET_CAPACITY);
    uint16_t seq = byte(in);
    write_u16(&w, 0x8060);
    write_u16(&w, seq);
    write_u32(&w, byte(in) * 3000u);
    write_u32(&w, 1);
    size_t len = take(in, payload, byte(in) % sizeof payload);
    write_bytes(&w, payload, len);
    packet->len = (uint16_t)writer_len(&w);
    if (s && rtp_parse(packet->bytes, packet->len, &v) == 0)
        source_input_mirrored(s, byte(in) % 3, packet, &v, 65536 + seq, now_us, byte(in), now_us);
    packet_unref(packet);
}

/* What is known of a source's keyframe requests from the operation before. */
static struct {
    uint32_t uid;
    struct keyframes keyframes;
} asked[ENDPOINTS + 1][SFU_KINDS];

static void check_requests(void)
{
    for (uint32_t n = 1; n <= ENDPOINTS; n++)
        for (unsigned kind = WISH_CAMERA; kind < SFU_KINDS; kind++) {
            const struct source *s = router->sources[n][kind];
            if (!s)
                continue;
            const struct keyframes *now = &s->keyframes, *before = &asked[n][kind].keyframes;
            for (unsigned i = 0; s->uid == asked[n][kind].uid && i < SFU_LAYERS; i++)
                if ((before->ever & 1u << i) && now->sent_us[i] != before->sent_us[i] &&
                    now->sent_us[i] - before->sent_us[i] < KEYFRAME_APART_US)
                    abort();
            asked[n][kind].uid = s->uid;
            asked[n][kind].keyframes = *now;
        }
}

static void check_bounds(void)
{
    for (uint32_t n = 1; n <= PEERS; n++) {
        const struct peer *p = router->peers[n];
        uint32_t target = p && p->downlink ? bwe_target_bps(&p->downlink->bwe) : DOWNLINK_MIN_BPS;
        require(target >= DOWNLINK_MIN_BPS && target <= DOWNLINK_MAX_BPS);
        for (unsigned kind = WISH_CAMERA; p && kind < SFU_KINDS; kind++)
            require(!p->sources[kind] || p->sources[kind]->uplink.active >> p->sources[kind]->n_layers == 0);
    }
}

static void operate(struct input *in)
{
    uint8_t op = byte(in);
    struct peer *p = router->peers[op / 16 % PEERS + 1];
    switch (op % 16) {
    case 0: join(op / 16 % PEERS + 1); break;
    case 1: peer_free(p, now_us); break;
    case 2: random_wish(in); break;
    case 3: now_us += byte(in) * 1000; break;
    case 4: now_us += byte(in) * 20000; break;
    case 5: mirror_in(in); break;
    case 6: router_mirror_end(router, byte(in) % ENDPOINTS + 1, (enum wish_kind)(byte(in) % 3 + 1), now_us); break;
    case 7:
        if (p)
            raw_in(in, p, true);
        break;
    case 8:
        if (p)
            raw_in(in, p, false);
        break;
    default:
        if (p)
            rtp_in(in, p);
    }
    if (op & 8)
        sfu_turn(&sfu, now_us);
    if (!router->unsettled && router_check(router)) /* a wish is folded at the end of its turn */
        abort();
    check_requests();
    check_bounds();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct sfu_shell shell = {.send_rtp = send_rtp, .send_rtcp = send_rtcp, .tap = tap};
    struct input in = {data, data + len};
    memset(endpoints, 0, sizeof endpoints);
    memset(incarnations, 0, sizeof incarnations);
    memset(asked, 0, sizeof asked);
    wish = (struct wish_briefing){.id = "f", .endpoints = endpoints};
    now_us = 1000000;
    if (!pool && !(pool = packet_pool_new(PACKETS)))
        abort();
    sfu_init(&sfu, &shell, 1);
    router = router_new(&sfu, "f");
    while (in.at < in.end)
        operate(&in);
    sfu_turn(&sfu, now_us);
    sfu_finish(&sfu);
    if (packet_pool_available(pool) != PACKETS)
        abort();
    return 0;
}
