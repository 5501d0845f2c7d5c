#include "rtp/rtx.h"

#include "base/err.h"

int rtx_unwrap(struct rtp_packet *p, uint8_t pt, uint32_t ssrc)
{
    if (p->payload_len < 2)
        return ERR_TRUNCATED;
    p->seq = (uint16_t)(p->payload[0] << 8 | p->payload[1]);
    p->pt = pt;
    p->ssrc = ssrc;
    p->payload += 2;
    p->payload_len = (uint16_t)(p->payload_len - 2);
    return 0;
}

struct rtx_wrapped rtx_wrap(uint8_t *payload, size_t len, uint16_t original_seq)
{
    struct rtx_wrapped w = {.at = payload - 2, .len = len + 2, .kept = {payload[-2], payload[-1]}};
    put_u16(w.at, original_seq);
    return w;
}

void rtx_unwrap_after_send(struct rtx_wrapped *w)
{
    w->at[0] = w->kept[0];
    w->at[1] = w->kept[1];
}
