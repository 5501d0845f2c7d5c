#include "base/err.h"
#include "rtp/video.h"

enum { SLICE = 1, IDR = 5, SPS = 7, AUD = 9, STAP_A = 24, FU_A = 28 };

/* Bits of an RBSP: emulation prevention bytes (00 00 03) are stepped over. Past the end reads zero bits and fails. */
struct bits {
    struct reader r;
    unsigned zeros, left;
    uint8_t byte;
};

static unsigned bit(struct bits *b)
{
    if (b->left == 0) {
        b->byte = read_u8(&b->r);
        if (b->zeros >= 2 && b->byte == 3) {
            b->byte = read_u8(&b->r);
            b->zeros = 0;
        }
        b->zeros = b->byte == 0 ? b->zeros + 1 : 0;
        b->left = 8;
    }
    return b->byte >> --b->left & 1;
}

static uint32_t bits(struct bits *b, unsigned n)
{
    uint32_t v = 0;
    while (n-- > 0)
        v = v << 1 | bit(b);
    return v;
}

static uint32_t golomb(struct bits *b)
{
    unsigned zeros = 0;
    while (!b->r.failed && zeros < 31 && !bit(b))
        zeros++;
    return (1u << zeros) - 1 + bits(b, zeros);
}

static int32_t signed_golomb(struct bits *b)
{
    uint32_t k = golomb(b);
    return k & 1 ? (int32_t)(k / 2 + 1) : -(int32_t)(k / 2);
}

static void skip_scaling_list(struct bits *b, unsigned size)
{
    int32_t last = 8, next = 8;
    for (unsigned i = 0; i < size && !b->r.failed; i++) {
        if (next != 0)
            next = (int32_t)(((uint32_t)last + (uint32_t)signed_golomb(b)) & 0xff); /* modulo 256, whatever is added */
        last = next == 0 ? last : next;
    }
}

static bool has_chroma_fields(uint32_t profile)
{
    static const uint8_t profiles[] = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135};
    for (size_t i = 0; i < sizeof profiles; i++)
        if (profiles[i] == profile)
            return true;
    return false;
}

/* chroma_format_idc; skips what follows it up to the scaling lists. */
static uint32_t read_chroma(struct bits *b)
{
    uint32_t format = golomb(b);
    if (format == 3)
        bit(b);
    golomb(b); /* bit depths */
    golomb(b);
    bit(b);
    if (bit(b))
        for (unsigned i = 0; i < (format != 3 ? 8u : 12u); i++)
            if (bit(b))
                skip_scaling_list(b, i < 6 ? 16 : 64);
    return format;
}

static void skip_order_count(struct bits *b)
{
    uint32_t type = golomb(b);
    if (type == 0) {
        golomb(b);
    } else if (type == 1) {
        bit(b);
        golomb(b);
        golomb(b);
        uint32_t n = golomb(b);
        for (uint32_t i = 0; i < n && i < 256 && !b->r.failed; i++)
            golomb(b);
    }
}

int h264_sps_size(const uint8_t *nal, size_t len, uint16_t *ret_width, uint16_t *ret_height)
{
    if (len < 5 || (nal[0] & 0x1f) != SPS)
        return ERR_TRUNCATED;
    struct bits b = {.r = reader_make(nal + 1, len - 1)};
    uint32_t profile = bits(&b, 8);
    bits(&b, 16); /* constraints, level */
    golomb(&b);   /* id */
    uint32_t chroma = has_chroma_fields(profile) ? read_chroma(&b) : 1;
    golomb(&b); /* log2_max_frame_num */
    skip_order_count(&b);
    golomb(&b); /* references */
    bit(&b);
    uint64_t width = (golomb(&b) + 1ull) * 16, height = (golomb(&b) + 1ull) * 16;
    bool frames_only = bit(&b);
    if (!frames_only) {
        bit(&b);
        height *= 2;
    }
    bit(&b); /* direct 8×8 inference */
    if (bit(&b)) {
        uint64_t x = chroma == 1 || chroma == 2 ? 2 : 1, y = (chroma == 1 ? 2u : 1u) * (frames_only ? 1u : 2u);
        uint64_t across = golomb(&b), right = golomb(&b), top = golomb(&b), bottom = golomb(&b);
        across = (across + right) * x;
        top = (top + bottom) * y;
        if (across >= width || top >= height)
            return ERR_MALFORMED;
        width -= across;
        height -= top;
    }
    if (b.r.failed)
        return ERR_TRUNCATED;
    if (width > UINT16_MAX || height > UINT16_MAX)
        return ERR_MALFORMED;
    *ret_width = (uint16_t)width;
    *ret_height = (uint16_t)height;
    return 0;
}

/* A whole NAL unit, or the beginning of one. */
static void note_nal(struct video_info *info, uint8_t type, const uint8_t *nal, size_t len, bool whole)
{
    if (type == SPS || type == IDR)
        info->keyframe = true;
    /* first_mb_in_slice is 0 when the slice header's first bit is 1 */
    if (type == SPS || type == AUD || ((type == SLICE || type == IDR) && len > 1 && nal[1] & 0x80))
        info->start = true;
    if (type == SPS && whole)
        (void)h264_sps_size(nal, len, &info->width, &info->height); /* unknown size is no reason to refuse the packet */
}

static int parse_aggregate(struct reader *r, struct video_info *info)
{
    while (reader_left(r) > 0) {
        size_t len = read_u16(r);
        const uint8_t *nal = reader_take(r, len);
        if (!nal || len == 0)
            return ERR_MALFORMED;
        note_nal(info, nal[0] & 0x1f, nal, len, true);
    }
    return 0;
}

int h264_parse(const uint8_t *payload, size_t len, struct video_info *ret)
{
    if (len < 2)
        return ERR_TRUNCATED;
    struct video_info info = {.discardable = (payload[0] & 0x60) == 0};
    uint8_t type = payload[0] & 0x1f;
    if (type == 0 || type > FU_A || (type > STAP_A && type < FU_A))
        return ERR_UNSUPPORTED;
    if (type == STAP_A) {
        struct reader r = reader_make(payload + 1, len - 1);
        int err = parse_aggregate(&r, &info);
        if (err)
            return err;
    } else if (type == FU_A) {
        if (payload[1] & 0x80) /* the start of a fragmented unit; its header byte is split over two */
            note_nal(&info, payload[1] & 0x1f, payload + 1, len - 1, false);
    } else {
        note_nal(&info, type, payload, len, true);
    }
    *ret = info;
    return 0;
}
