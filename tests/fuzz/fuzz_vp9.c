/* VP9 payload descriptors of any content: within their bounds; what was read, written again, is read the same. */
#include "rtp/vp9.h"

#include "base/bytes.h"
#include "require.h"

#include <stdlib.h>
#include <string.h>

enum { OUT = 64 };

static void write_structure(struct writer *w, const struct vp9_descriptor *d)
{
    write_u8(w, (uint8_t)((d->n_sids - 1) << 5 | (d->has_heights ? 0x10 : 0)));
    for (unsigned i = 0; d->has_heights && i < d->n_sids; i++) {
        write_u16(w, d->width[i]);
        write_u16(w, d->height[i]);
    }
}

/* Flexible mode's references and the picture group are not kept: one reference, no group. */
static size_t write_descriptor(uint8_t out[OUT], const struct vp9_descriptor *d)
{
    struct writer w = writer_make(out, OUT);
    write_u8(&w, (uint8_t)((d->picture_id_bits ? 0x80 : 0) | (d->predicted ? 0x40 : 0) | (d->has_layers ? 0x20 : 0) |
                           (d->flexible ? 0x10 : 0) | (d->start ? 8 : 0) | (d->end ? 4 : 0) | (d->n_sids ? 2 : 0) |
                           (d->no_reference ? 1 : 0)));
    if (d->picture_id_bits == 15)
        write_u16(&w, 0x8000 | d->picture_id);
    else if (d->picture_id_bits)
        write_u8(&w, (uint8_t)d->picture_id);
    if (d->has_layers) {
        write_u8(&w, (uint8_t)(d->tid << 5 | (d->switch_up ? 0x10 : 0) | d->sid << 1 | d->inter_layer));
        if (!d->flexible)
            write_u8(&w, d->tl0picidx);
    }
    if (d->flexible && d->predicted)
        write_u8(&w, 2);
    if (d->n_sids)
        write_structure(&w, d);
    size_t len = writer_len(&w);
    write_u8(&w, 0xff);
    require(!w.failed);
    return len;
}

static void check_same(const struct vp9_descriptor *a, const struct vp9_descriptor *b)
{
    require(a->start == b->start && a->end == b->end && a->predicted == b->predicted && a->flexible == b->flexible);
    require(a->no_reference == b->no_reference && a->has_layers == b->has_layers && a->sid == b->sid && a->tid == b->tid);
    require(a->switch_up == b->switch_up && a->inter_layer == b->inter_layer && a->tl0picidx == b->tl0picidx);
    require(a->picture_id_bits == b->picture_id_bits && a->picture_id == b->picture_id);
    require(a->n_sids == b->n_sids && a->has_heights == b->has_heights);
    require(!memcmp(a->width, b->width, sizeof a->width) && !memcmp(a->height, b->height, sizeof a->height));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vp9_descriptor d, again;
    uint8_t out[OUT];
    if (vp9_parse(data, size, &d))
        return 0;
    require(d.len > 0 && d.len < size && d.n_sids <= VP9_SIDS_MAX && d.sid < 8 && d.tid < 8);
    require(d.picture_id < 1u << d.picture_id_bits && (d.has_layers || (!d.sid && !d.tid && !d.switch_up)));
    size_t len = write_descriptor(out, &d);
    require(!vp9_parse(out, len + 1, &again) && again.len == len);
    check_same(&again, &d);
    return 0;
}
