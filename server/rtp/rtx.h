/* RTX (RFC 4588): a retransmission is a packet of another SSRC whose payload begins with the original sequence number.
 *
 * Unwrapping moves nothing: the view's payload pointer steps over the two bytes. Wrapping for net_send_rtp() puts the two
 * bytes in front of the payload, inside the datagram's own header area, and puts back what was there afterwards: the
 * history's packet is shared, and only for the time of the copy is its header overwritten. Thread: the one that owns the
 * packet. Pure. */
#pragma once

#include "rtp/packet.h"

/* Turns the view of an RTX packet into the original packet: sequence, `pt` and `ssrc`. ERR_TRUNCATED when it has no room for
 * a sequence number (bandwidth probes are padding only: not an error worth counting). */
int rtx_unwrap(struct rtp_packet *p, uint8_t pt, uint32_t ssrc);

struct rtx_wrapped {
    uint8_t *at; /* the RTX payload: original sequence number, then the payload */
    size_t len;
    uint8_t kept[2];
};

/* `payload` must lie at least two bytes behind the start of its buffer (an RTP payload always does). */
struct rtx_wrapped rtx_wrap(uint8_t *payload, size_t len, uint16_t original_seq);
void rtx_unwrap_after_send(struct rtx_wrapped *w);
