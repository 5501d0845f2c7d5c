#include "base/err.h"
#include "rtp/video.h"

enum { I = 0x80, P = 0x40, L = 0x20, F = 0x10, B = 0x08, E = 0x04, V = 0x02 };

/* RFC 9628, 4.2.1: the sizes of the spatial layers; the highest is the picture's. */
static void read_scalability(struct reader *r, struct video_info *info)
{
    uint8_t head = read_u8(r);
    unsigned layers = (head >> 5) + 1u;
    if (head & 0x10) {
        for (unsigned i = 0; i < layers; i++) {
            info->width = read_u16(r);
            info->height = read_u16(r);
        }
    }
    if (head & 0x08) {
        unsigned n = read_u8(r);
        for (unsigned i = 0; i < n; i++)
            reader_take(r, read_u8(r) >> 2 & 3);
    }
}

int vp9_parse(const uint8_t *payload, size_t len, struct video_info *ret)
{
    struct reader r = reader_make(payload, len);
    struct video_info info = {0};
    uint8_t flags = read_u8(&r), sid = 0;
    if (flags & I && read_u8(&r) & 0x80)
        read_u8(&r);
    if (flags & L) {
        uint8_t layers = read_u8(&r);
        info.tid = layers >> 5;
        sid = layers >> 1 & 7;
        if (!(flags & F))
            read_u8(&r); /* TL0PICIDX */
    }
    if (flags & P && flags & F) {
        unsigned n = 0;
        while (read_u8(&r) & 1 && !r.failed)
            if (++n == 3)
                return ERR_MALFORMED; /* at most three references */
    }
    if (flags & V)
        read_scalability(&r, &info);
    if (r.failed || reader_left(&r) == 0)
        return ERR_TRUNCATED;
    info.start = flags & B && sid == 0;
    info.end = flags & E;
    info.keyframe = info.start && !(flags & P);
    if (!info.keyframe)
        info.width = info.height = 0;
    *ret = info;
    return 0;
}
