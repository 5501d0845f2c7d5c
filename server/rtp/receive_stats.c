#include "rtp/receive_stats.h"

#include "base/err.h"
#include "base/seq.h"

void receive_stats_init(struct receive_stats *s, uint32_t clock_hz)
{
    *s = (struct receive_stats){.clock_hz = clock_hz};
}

/* RFC 3550, A.8. Packets of one frame share a timestamp: only the first of them says something about the line. */
static void note_jitter(struct receive_stats *s, uint32_t ts, int64_t arrival_us)
{
    if (s->has_transit && ts == s->last_ts)
        return;
    int64_t arrival = arrival_us * s->clock_hz / 1000000;
    int64_t change = s->has_transit ? arrival - s->transit - (int64_t)ts_diff(ts, s->last_ts) : 0;
    /* `transit` keeps the arrival of the packet stamped last_ts, so that a wrap of the timestamp needs no care */
    uint64_t d = (uint64_t)(change < 0 ? -change : change);
    if (s->has_transit && d < (uint64_t)s->clock_hz * 10) /* a break in the stream is no jitter */
        s->jitter_q4 += d - ((s->jitter_q4 + 8) >> 4);
    s->transit = arrival;
    s->last_ts = ts;
    s->has_transit = true;
}

void receive_stats_packet(struct receive_stats *s, int64_t ext_seq, uint32_t ts, size_t bytes, int64_t arrival_us)
{
    if (!s->started) {
        s->started = true;
        s->first_seq = s->newest_seq = ext_seq;
    }
    if (ext_seq < s->first_seq)
        s->first_seq = ext_seq;
    if (ext_seq >= s->newest_seq) {
        s->newest_seq = ext_seq;
        note_jitter(s, ts, arrival_us);
    }
    s->received++;
    s->bytes += bytes;
}

void receive_stats_sender_report(struct receive_stats *s, uint64_t ntp, int64_t now_us)
{
    s->sr_ntp = ntp;
    s->sr_at_us = now_us;
}

static int64_t expected(const struct receive_stats *s)
{
    return s->newest_seq - s->first_seq + 1;
}

static int32_t clamp_lost(int64_t lost)
{
    if (lost > 0x7fffff)
        return 0x7fffff;
    return lost < -0x800000 ? -0x800000 : (int32_t)lost;
}

int receive_stats_report(struct receive_stats *s, uint32_t ssrc, int64_t now_us, struct rtcp_report *ret)
{
    if (!s->started)
        return ERR_AGAIN;
    int64_t in_interval = expected(s) - (int64_t)s->expected_prior;
    int64_t lost = in_interval - (int64_t)(s->received - s->received_prior);
    s->expected_prior = (uint64_t)expected(s);
    s->received_prior = s->received;
    s->loss_permille = in_interval <= 0 || lost <= 0 ? 0 : (uint32_t)(lost * 1000 / in_interval);
    uint32_t fraction = in_interval <= 0 || lost <= 0 ? 0 : (uint32_t)(lost * 256 / in_interval);
    *ret = (struct rtcp_report){
        .ssrc = ssrc,
        .fraction_lost = (uint8_t)(fraction > 255 ? 255 : fraction),
        .lost = clamp_lost(expected(s) - (int64_t)s->received),
        .highest_seq = (uint32_t)(s->newest_seq - 0x10000), /* the extension begins at one cycle (base/seq.h) */
        .jitter = (uint32_t)(s->jitter_q4 >> 4),
    };
    if (s->sr_at_us) {
        ret->lsr = ntp_short(s->sr_ntp);
        ret->dlsr = (uint32_t)((uint64_t)(now_us - s->sr_at_us) * 65536u / 1000000u);
    }
    return 0;
}

uint64_t receive_stats_lost(const struct receive_stats *s)
{
    return s->started && expected(s) > (int64_t)s->received ? (uint64_t)(expected(s) - (int64_t)s->received) : 0;
}

uint32_t receive_stats_loss_permille(const struct receive_stats *s)
{
    return s->loss_permille;
}
