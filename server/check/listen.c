#include "check/listen.h"

#include "base/err.h"

#include <math.h>
#include <opus/opus.h>
#include <stdlib.h>

enum { SAMPLES_MAX = LISTEN_RATE * 120 / 1000, BLOCK = LISTEN_RATE / 10 };

struct listen {
    OpusDecoder *decoder;
    uint32_t packets, broken, samples, clipped;
    unsigned settled; /* samples, up to LISTEN_SETTLE */
    int frame;        /* samples of the newest packet */
    int peak;
    uint64_t block_sum, loudest_sum; /* of squares, of a block */
    unsigned block_samples;
    int16_t pcm[SAMPLES_MAX];
};

int listen_new(struct listen **ret)
{
    int error;
    struct listen *l = calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    l->decoder = opus_decoder_create(LISTEN_RATE, 1, &error);
    if (!l->decoder) {
        free(l);
        return ERR_NOMEM;
    }
    *ret = l;
    return 0;
}

void listen_free(struct listen *l)
{
    if (!l)
        return;
    opus_decoder_destroy(l->decoder);
    free(l);
}

static void take_sample(struct listen *l, int sample)
{
    int size = abs(sample);
    l->peak = size > l->peak ? size : l->peak;
    l->clipped += size >= LISTEN_CLIPPED;
    l->block_sum += (uint64_t)(size * size);
    if (++l->block_samples < BLOCK)
        return;
    l->loudest_sum = l->block_sum > l->loudest_sum ? l->block_sum : l->loudest_sum;
    l->block_sum = 0;
    l->block_samples = 0;
}

void listen_packet(struct listen *l, const uint8_t *packet, size_t len)
{
    int n = len ? opus_decode(l->decoder, packet, (opus_int32)len, l->pcm, SAMPLES_MAX, 0) : OPUS_INVALID_PACKET;
    if (n < 0) {
        l->broken++;
        return;
    }
    l->packets++;
    l->frame = n;
    for (int i = 0; i < n; i++) {
        if (l->settled < LISTEN_SETTLE) {
            l->settled++;
            continue;
        }
        l->samples++;
        take_sample(l, l->pcm[i]);
    }
}

void listen_lost(struct listen *l, uint64_t packets)
{
    for (uint64_t i = 0; i < packets && i < LISTEN_CONCEAL_MAX && l->frame; i++)
        if (opus_decode(l->decoder, NULL, 0, l->pcm, l->frame, 0) < 0)
            return; /* the next packet is decoded without */
}

/* `size` of full scale 32768 → dBFS. */
static int8_t decibels(double size)
{
    double db = size > 0 ? 20 * log10(size / 32768) : LISTEN_FLOOR_DB;
    return (int8_t)lround(db < LISTEN_FLOOR_DB ? LISTEN_FLOOR_DB : db);
}

struct listen_result listen_result(const struct listen *l)
{
    return (struct listen_result){
        .packets = l->packets,
        .broken = l->broken,
        .samples = l->samples,
        .level_db = decibels(sqrt((double)l->loudest_sum / BLOCK)),
        .peak_db = decibels(l->peak),
        .clipped_permille = l->samples ? (uint16_t)((uint64_t)l->clipped * 1000 / l->samples) : 0,
    };
}
