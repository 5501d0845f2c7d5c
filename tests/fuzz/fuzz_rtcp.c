/* A compound RTCP packet, every getter on every block. */
#include "rtp/transport_cc.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct transport_cc_feedback feedback;
    struct reader r = reader_make(data, size);
    struct rtcp_block b;
    while (rtcp_next(&r, &b) == 0) {
        struct rtcp_report reports[RTCP_REPORTS_MAX];
        struct rtcp_sender_info info;
        struct rtcp_fir firs[4];
        uint16_t seqs[32];
        uint32_t ssrc, ssrcs[8];
        uint64_t bps;
        size_t n;
        if (rtcp_get_reports(&b, &ssrc, &info, reports, &n) == 0 && n > RTCP_REPORTS_MAX)
            abort();
        if (rtcp_get_nack(&b, &ssrc, seqs, 32, &n) == 0 && n > 32)
            abort();
        (void)rtcp_get_pli(&b, &ssrc);
        if (rtcp_get_fir(&b, firs, 4, &n) == 0 && n > 4)
            abort();
        (void)rtcp_get_remb(&b, &bps);
        if (rtcp_get_bye(&b, ssrcs, 8, &n) == 0 && n > 8)
            abort();
        if (transport_cc_parse(&b, &feedback) == 0 && feedback.n > TRANSPORT_CC_MAX)
            abort();
    }
    return 0;
}
