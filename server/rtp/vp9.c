#include "rtp/vp9.h"

#include "base/bytes.h"
#include "base/err.h"

enum { I = 0x80, P = 0x40, L = 0x20, F = 0x10, B = 0x08, E = 0x04, V = 0x02, Z = 0x01, REFERENCES_MAX = 3 };

static void read_picture_id(struct reader *r, struct vp9_descriptor *d)
{
    uint8_t first = read_u8(r);
    d->picture_id_bits = first & 0x80 ? 15 : 7;
    d->picture_id = first & 0x7f;
    if (first & 0x80)
        d->picture_id = (uint16_t)(d->picture_id << 8 | read_u8(r));
}

static void read_layers(struct reader *r, struct vp9_descriptor *d)
{
    uint8_t layers = read_u8(r);
    d->has_layers = true;
    d->tid = layers >> 5;
    d->switch_up = layers & 0x10;
    d->sid = layers >> 1 & 7;
    d->inter_layer = layers & 1;
    if (!d->flexible)
        d->tl0picidx = read_u8(r);
}

/* 4.2.1 */
static void read_structure(struct reader *r, struct vp9_descriptor *d)
{
    uint8_t head = read_u8(r);
    d->n_sids = (uint8_t)((head >> 5) + 1);
    d->has_heights = head & 0x10;
    for (unsigned i = 0; d->has_heights && i < d->n_sids; i++) {
        d->width[i] = read_u16(r);
        d->height[i] = read_u16(r);
    }
    for (unsigned n = head & 0x08 ? read_u8(r) : 0; n > 0; n--)
        reader_take(r, read_u8(r) >> 2 & 3);
}

int vp9_parse(const uint8_t *payload, size_t len, struct vp9_descriptor *ret)
{
    struct reader r = reader_make(payload, len);
    uint8_t flags = read_u8(&r);
    struct vp9_descriptor d = {
        .start = flags & B, .end = flags & E, .predicted = flags & P, .flexible = flags & F, .no_reference = flags & Z};
    if (flags & I)
        read_picture_id(&r, &d);
    if (flags & L)
        read_layers(&r, &d);
    if (flags & P && flags & F) {
        unsigned n = 0;
        while (read_u8(&r) & 1 && !r.failed)
            if (++n == REFERENCES_MAX)
                return ERR_MALFORMED;
    }
    if (flags & V)
        read_structure(&r, &d);
    if (r.failed || reader_left(&r) == 0)
        return ERR_TRUNCATED;
    d.len = (uint16_t)(r.at - payload);
    *ret = d;
    return 0;
}
