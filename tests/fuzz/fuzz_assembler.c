/* Packets of a hostile sender to the recorder: first byte the codec, then per packet number step, flags, length, payload.
 * Every number ends in one frame or hole, in order; nothing crashes. */
#include "recordings/assembler.h"

#include <stdint.h>
#include <stdlib.h>

static uint64_t next_seq;

static void poll_all(struct assembler *a, int64_t now_us, bool finish)
{
    struct assembled out;
    while (assembler_poll(a, now_us, finish, &out)) {
        if (out.from_seq < next_seq || out.to_seq < out.from_seq)
            abort();
        if (out.kind == ASSEMBLED_FRAME && (!out.bytes || !out.len))
            abort();
        if (out.kind == ASSEMBLED_HOLE && out.missing > out.packets)
            abort();
        next_seq = out.to_seq + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct assembler *a;
    uint64_t seq = 1000;
    int64_t now_us = 0;
    if (len < 1 || assembler_new((enum rtp_codec)(bytes[0] % 5), 0, &a))
        return 0;
    next_seq = 0;
    for (size_t at = 1; at + 3 <= len;) {
        seq += (uint64_t)(int64_t)(int8_t)bytes[at];
        uint8_t flags = bytes[at + 1];
        size_t n = bytes[at + 2];
        at += 3;
        n = n < len - at ? n : len - at;
        struct assembler_packet p = {.ext_seq = seq,
                                     .session_us = now_us,
                                     .ts = flags >> 2,
                                     .marker = flags & 1,
                                     .payload = bytes + at,
                                     .payload_len = n,
                                     .position = at};
        assembler_input(a, &p, now_us);
        at += n;
        now_us += flags & 2 ? 700000 : 1000;
        poll_all(a, now_us, false);
        if (flags == 0xff) {
            poll_all(a, now_us, true);
            assembler_resume(a);
        }
    }
    poll_all(a, now_us, true);
    assembler_free(a);
    return 0;
}
