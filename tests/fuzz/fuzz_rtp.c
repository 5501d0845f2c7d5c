/* RTP header, both extension forms, look-ups; what was parsed must lie inside the datagram. */
#include "rtp/packet.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rtp_packet p;
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
