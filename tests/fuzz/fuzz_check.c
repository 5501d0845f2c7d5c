/* A hostile room before giaoban-check: first byte the camera's codec, then per packet flags, length (two bytes), payload.
 * Nothing crashes or hangs, and the verdict stays within its ranges. */
#include "check/examine.h"

#include "base/bytes.h"

#include <stdlib.h>

enum { SOUND = 1, MARKER = 2, NEXT_FRAME = 4, LOST = 8, OTHER_LAYER = 16, SAME_NUMBER = 32, PAYLOAD_MAX = 1500 };

static void check_ranges(const struct verdict *v)
{
    const struct look_result *s = &v->picture.seen;
    const struct listen_result *h = &v->sound.heard;
    if ((s->frames > 0) != (s->width > 0 && s->height > 0) || (uint32_t)s->width * s->height > LOOK_PIXELS_MAX)
        abort();
    if (s->frames + s->broken > LOOK_FRAMES_MAX || s->moved_permyriad > 10000 || s->bright_permille > 1000)
        abort();
    if (h->level_db < LISTEN_FLOOR_DB || h->level_db > 0 || h->peak_db < LISTEN_FLOOR_DB || h->peak_db > 0)
        abort();
    if (h->clipped_permille > 1000 || v->sound.packets < h->packets)
        abort();
    if (picture_verdict_name(v->picture.verdict)[0] == '\0' || sound_verdict_name(v->sound.verdict)[0] == '\0')
        abort();
}

static void feed(struct examine *x, const uint8_t *bytes, size_t len)
{
    uint64_t seq[EXAMINE_TRACKS] = {65530, 65530};
    uint32_t ts[EXAMINE_TRACKS] = {0};
    int64_t now_us = 0;
    for (size_t at = 0; at + 3 <= len;) {
        uint8_t flags = bytes[at], rtp[RTP_FIXED_HEADER + PAYLOAD_MAX] = {0x80, flags & MARKER ? 0xe0 : 0x60};
        size_t n = (size_t)(bytes[at + 1] | bytes[at + 2] << 8);
        enum examine_track track = flags & SOUND ? EXAMINE_SOUND : EXAMINE_PICTURE;
        at += 3;
        n = n < len - at ? n : len - at;
        n = n < PAYLOAD_MAX ? n : PAYLOAD_MAX;
        if (flags & NEXT_FRAME)
            ts[track] += 45000; /* two a second, so that a reference comes about */
        seq[track] += flags & SAME_NUMBER ? 0 : flags & LOST ? 3 : 1;
        put_u16(rtp + 2, (uint16_t)seq[track]);
        put_u32(rtp + 4, ts[track]);
        memcpy(rtp + RTP_FIXED_HEADER, bytes + at, n);
        (void)examine_input(x, track, flags & OTHER_LAYER ? 1 : 0, seq[track], rtp, RTP_FIXED_HEADER + n, now_us);
        at += n;
        now_us += 20000;
    }
    examine_close(x, now_us);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct examine *x;
    if (len < 1 || examine_new(&x))
        return 0;
    examine_codec(x, EXAMINE_PICTURE, bytes[0] % 8 == 7 ? RTP_H264 : RTP_VP8);
    examine_codec(x, EXAMINE_SOUND, RTP_OPUS);
    feed(x, bytes + 1, len - 1);
    while (examine_step(x))
        continue;
    struct verdict v = examine_verdict(x);
    check_ranges(&v);
    examine_free(x);
    return 0;
}
