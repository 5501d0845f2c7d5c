/* RTX packets: header, then the original sequence number, then the wrap back. */
#include "rtp/rtx.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rtp_packet p;
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, data, size);
    if (rtp_parse(copy, size, &p) == 0 && rtx_unwrap(&p, 96, 1) == 0) {
        if (p.payload + p.payload_len + p.padding != copy + size)
            abort();
        struct rtx_wrapped w = rtx_wrap(copy + (p.payload - copy), p.payload_len, p.seq);
        rtx_unwrap_after_send(&w);
        if (memcmp(copy, data, size) != 0)
            abort();
    }
    free(copy);
    return 0;
}
