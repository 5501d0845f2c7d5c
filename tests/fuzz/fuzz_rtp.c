/* RTP header, both extension forms, look-ups; what was parsed must lie inside the datagram. And the other way: a header that
 * we make out of the same bytes says what was put into it. */
#include "rtp/packet.h"

#include "require.h"

#include <stdlib.h>

static void check_text(const struct rtp_packet *p, uint8_t id, const char *expected)
{
    char text[RTP_MID_MAX + 1];
    require(!id || (rtp_ext_text(p, id, text, sizeof text) && !strcmp(text, expected)));
}

static void check_made(const struct rtp_header_plan *plan, const struct rtp_stamp *stamp, const uint8_t *bytes, size_t len)
{
    struct rtp_packet p;
    uint16_t seq;
    uint8_t n, level;
    require(!rtp_parse(bytes, len, &p));
    require(p.pt == plan->pt && p.ssrc == plan->ssrc && p.seq == stamp->seq && p.ts == stamp->ts &&
            p.marker == stamp->marker && p.n_csrc == plan->csrc && p.payload_len == 4);
    check_text(&p, plan->ids.mid, plan->mid);
    check_text(&p, plan->ids.rid, plan->rid);
    require(!plan->ids.transport_seq ||
            (rtp_ext_transport_seq(&p, plan->ids.transport_seq, &seq) && seq == stamp->transport_seq));
    require(!plan->ids.audio_level ||
            (rtp_ext_audio_level(&p, plan->ids.audio_level, &level) && level == stamp->audio_level));
    const uint8_t *abs = rtp_ext(&p, plan->ids.abs_time, &n);
    require(!plan->ids.abs_time || (abs && n == 3 && (abs[0] << 16 | abs[1] << 8 | abs[2]) == (int)stamp->abs_time));
}

/* Ids that differ, 0 … 14 each; those above are refused. */
static bool ids_differ(const uint8_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (ids[i] && ids[i] == ids[k])
                return false;
    return true;
}

static void make(const uint8_t *data, size_t size)
{
    struct reader r = reader_make(data, size);
    char mid[RTP_MID_MAX + 2] = {0}, rid[RTP_MID_MAX + 2] = {0};
    uint8_t ids[5], bytes[RTP_HEADER_MAX + 4] = {0}, flags = read_u8(&r);
    struct rtp_header h;
    for (size_t i = 0; i < sizeof ids; i++)
        ids[i] = read_u8(&r) % 17;
    memset(mid, 'm', 1 + read_u8(&r) % (RTP_MID_MAX + 1));
    memset(rid, 'r', 1 + read_u8(&r) % (RTP_MID_MAX + 1));
    struct rtp_header_plan plan = {.pt = flags & 0x7f, .ssrc = read_u32(&r), .mid = mid, .rid = rid};
    plan.ids = (struct rtp_ext_ids){
        .mid = ids[0], .rid = ids[1], .transport_seq = ids[2], .abs_time = ids[3], .audio_level = ids[4]};
    plan.audio_level = ids[4];
    plan.csrc = flags & 0x80;
    struct rtp_stamp stamp = {.marker = read_u8(&r) & 1,
                              .audio_level = read_u8(&r),
                              .seq = read_u16(&r),
                              .transport_seq = read_u16(&r),
                              .ts = read_u32(&r),
                              .csrc = read_u32(&r),
                              .abs_time = read_u24(&r)};
    if (!ids_differ(ids, sizeof ids) || rtp_header_build(&plan, &h))
        return;
    require(h.len % 4 == 0 && h.len <= RTP_HEADER_MAX);
    rtp_header_stamp(&h, &stamp, bytes);
    check_made(&plan, &stamp, bytes, h.len + 4u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rtp_packet p;
    make(data, size);
    (void)rtp_is_rtcp(data, size);
    if (rtp_parse(data, size, &p))
        return 0;
    if (p.header_len + (size_t)p.payload_len + p.padding != size)
        abort();
    unsigned sum = 0;
    for (unsigned id = 0; id < 256; id++) {
        uint8_t len, level;
        uint16_t seq;
        char text[17];
        const uint8_t *value = rtp_ext(&p, (uint8_t)id, &len);
        for (unsigned i = 0; value && i < len; i++)
            sum += value[i];
        if (value && (value < data || value + len > p.payload))
            abort();
        sum += rtp_ext_text(&p, (uint8_t)id, text, sizeof text);
        sum += rtp_ext_transport_seq(&p, (uint8_t)id, &seq);
        sum += rtp_ext_audio_level(&p, (uint8_t)id, &level);
    }
    return sum == 0xffffffff;
}
