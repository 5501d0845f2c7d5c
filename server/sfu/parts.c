/* What is in a layer's stream: spatial and temporal layers, and what each takes. */
#include "sfu/source.h"

#include <string.h>

enum { RATE_US = 1000 * 1000 };

void rate_meter_add(struct rate_meter *m, size_t bytes, int64_t now_us)
{
    if (!m->since_us)
        m->since_us = now_us;
    m->bytes += bytes;
    if (now_us - m->since_us < RATE_US)
        return;
    m->bps = (uint32_t)(m->bytes * 8u * 1000000u / (uint64_t)(now_us - m->since_us));
    m->bytes = 0;
    m->since_us = now_us;
}

uint32_t rate_meter_bps(const struct rate_meter *m, int64_t now_us)
{
    return now_us - m->since_us > 2 * RATE_US ? 0 : m->bps;
}

/* A mirror of VP9 that has never flowed is taken to have layers: a line too narrow for all of it tries the lowest, and then
 * knows. */
unsigned source_sids(const struct source *s, unsigned layer)
{
    const struct layer *l = s->layers[layer];
    if (!l && !s->peer && s->codec == RTP_VP9 && s->n_layers == 1)
        return SFU_SIDS;
    unsigned n = l && l->n_sids ? l->n_sids : 1;
    return n < SFU_SIDS ? n : SFU_SIDS;
}

/* A structure without sizes: each layer is half as high as the next. */
static uint16_t sid_height(const struct source *s, unsigned layer, unsigned sid)
{
    uint16_t known = s->layers[layer] ? s->layers[layer]->sid_heights[sid] : 0;
    return known ? known : (uint16_t)(source_layer_height(s, layer) >> (source_sids(s, layer) - 1 - sid));
}

unsigned source_choose_sid(const struct source *s, unsigned layer, uint16_t height)
{
    unsigned sid = 0, last = source_sids(s, layer) - 1;
    while (sid < last && sid_height(s, layer, sid) < height)
        sid++;
    return sid;
}

/* What spatial layers there are, and how high, is told with keyframes and whenever it changes. */
static void note_structure(struct source *s, struct layer *l, const struct vp9_descriptor *d)
{
    if (!d->n_sids)
        return;
    uint16_t heights[SFU_SIDS] = {0};
    for (unsigned i = 0; d->has_heights && i < d->n_sids; i++) /* the last place is that of all there are */
        heights[i < SFU_SIDS ? i : SFU_SIDS - 1] = d->height[i];
    s->unchosen |= l->n_sids != d->n_sids || memcmp(l->sid_heights, heights, sizeof heights) != 0;
    l->n_sids = d->n_sids;
    memcpy(l->sid_heights, heights, sizeof heights);
}

/* Layers within the stream are counted so that they may be left out by their rate. */
void source_note_parts(struct source *s, struct layer *l, const struct seen *seen, int64_t now_us)
{
    const struct video_info *v = &seen->video;
    if (s->codec == RTP_VP9)
        note_structure(s, l, &v->vp9);
    if (!v->has_tid)
        return;
    unsigned sids = l->n_sids > 1 ? SFU_SIDS : 1, first = v->sid < SFU_SIDS ? v->sid : SFU_SIDS - 1;
    l->has_tids |= v->tid > 0;
    for (unsigned sid = first; sid < sids; sid++)
        for (unsigned tid = v->tid; tid < SFU_TIDS; tid++)
            rate_meter_add(&l->part_rates[sid][tid], seen->packet->len, now_us);
}

static uint32_t usual_bps(uint32_t height)
{
    return height * height * 4; /* 130 kbit/s at 180 lines, 520 at 360, 2,100 at 720: what browsers take */
}

static uint32_t whole_bps(const struct source *s, unsigned layer, int64_t now_us)
{
    const struct layer *l = s->layers[layer];
    uint32_t all = l ? rate_meter_bps(&l->rate, now_us) : 0;
    if (!all && !s->peer)
        all = s->origin_bps[layer];
    if (all)
        return all;
    uint32_t bound = s->uplink.max_bps[layer];
    all = usual_bps(source_layer_height(s, layer));
    return bound && bound < all ? bound : all;
}

unsigned source_part_rates(const struct source *s, unsigned layer, unsigned sid, int64_t now_us, uint32_t ret_bps[SFU_TIDS])
{
    const struct layer *l = s->layers[layer];
    bool whole = sid + 1 >= source_sids(s, layer);
    uint32_t all = whole ? whole_bps(s, layer, now_us) : 0;
    if (l && !whole)
        all = rate_meter_bps(&l->part_rates[sid][SFU_TIDS - 1], now_us);
    if (!all)
        all = usual_bps(sid_height(s, layer, sid));
    if (!l || !l->has_tids) {
        ret_bps[0] = all;
        return 1;
    }
    unsigned n = 0;
    for (unsigned i = 0; i < SFU_TIDS - 1; i++) {
        uint32_t bps = rate_meter_bps(&l->part_rates[sid][i], now_us);
        if (!bps || bps > all - all / 16 || (n && bps < ret_bps[n - 1] + all / 16))
            break;
        ret_bps[n++] = bps;
    }
    ret_bps[n++] = all;
    return n;
}

unsigned source_layer_rates(const struct source *s, unsigned layer, int64_t now_us, uint32_t ret_bps[SFU_TIDS])
{
    return source_part_rates(s, layer, source_sids(s, layer) - 1, now_us, ret_bps);
}
