#include "check/look.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>
#include <vpx/vp8dx.h>
#include <vpx/vpx_decoder.h>

enum { BRIGHT = 40, KEYFRAME_HEADER = 10 };

struct look {
    vpx_codec_ctx_t decoder;
    bool ready; /* the decoder exists */
    struct look_result result;
    bool begun; /* a keyframe has come */
    uint32_t keyframe_ts;
    uint8_t *reference; /* luma, result.width × result.height; NULL: none yet */
};

int look_new(struct look **ret)
{
    struct look *l = calloc(1, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    const vpx_codec_dec_cfg_t one_thread = {.threads = 1};
    if (vpx_codec_dec_init(&l->decoder, vpx_codec_vp8_dx(), &one_thread, 0)) {
        free(l);
        return ERR_UNSUPPORTED;
    }
    l->ready = true;
    *ret = l;
    return 0;
}

void look_free(struct look *l)
{
    if (!l)
        return;
    if (l->ready)
        vpx_codec_destroy(&l->decoder);
    free(l->reference);
    free(l);
}

/* RFC 6386, 9.1: the frame tag's lowest bit is 0 for a keyframe; behind its start code are the sizes. */
static bool is_keyframe(const uint8_t *frame, size_t len)
{
    return len >= KEYFRAME_HEADER && !(frame[0] & 1);
}

static bool fits(const uint8_t *frame)
{
    unsigned width = (frame[6] | frame[7] << 8) & 0x3fff, height = (frame[8] | frame[9] << 8) & 0x3fff;
    return width > 0 && height > 0 && width * height <= LOOK_PIXELS_MAX;
}

static void forget_reference(struct look *l)
{
    free(l->reference);
    l->reference = NULL;
}

static void measure_light(struct look *l, const vpx_image_t *image)
{
    uint64_t sum = 0, bright = 0, pixels = (uint64_t)image->d_w * image->d_h;
    for (unsigned y = 0; y < image->d_h; y++) {
        const uint8_t *row = image->planes[VPX_PLANE_Y] + (ptrdiff_t)y * image->stride[VPX_PLANE_Y];
        for (unsigned x = 0; x < image->d_w; x++) {
            sum += row[x];
            bright += row[x] >= BRIGHT;
        }
    }
    l->result.luma = (uint8_t)(sum / pixels);
    l->result.bright_permille = (uint16_t)(bright * 1000 / pixels);
}

static void keep_reference(struct look *l, const vpx_image_t *image)
{
    l->reference = malloc((size_t)image->d_w * image->d_h);
    for (unsigned y = 0; l->reference && y < image->d_h; y++)
        memcpy(l->reference + (size_t)y * image->d_w, image->planes[VPX_PLANE_Y] + (ptrdiff_t)y * image->stride[VPX_PLANE_Y],
               image->d_w);
}

static void compare(struct look *l, const vpx_image_t *image)
{
    uint64_t moved = 0, pixels = (uint64_t)image->d_w * image->d_h;
    for (unsigned y = 0; y < image->d_h; y++) {
        const uint8_t *row = image->planes[VPX_PLANE_Y] + (ptrdiff_t)y * image->stride[VPX_PLANE_Y];
        const uint8_t *was = l->reference + (size_t)y * image->d_w;
        for (unsigned x = 0; x < image->d_w; x++)
            moved += abs(row[x] - was[x]) >= LOOK_DIFFERENCE;
    }
    uint16_t permyriad = (uint16_t)(moved * 10000 / pixels);
    l->result.compared++;
    if (permyriad > l->result.moved_permyriad)
        l->result.moved_permyriad = permyriad;
}

static void take_picture(struct look *l, const vpx_image_t *image, bool key, uint32_t ts)
{
    if (!image->d_w || !image->d_h)
        return;
    l->result.frames++;
    l->result.keyframes += key;
    if (l->result.width != image->d_w || l->result.height != image->d_h)
        forget_reference(l); /* only a keyframe changes the size, and that forgets it too */
    l->result.width = (uint16_t)image->d_w;
    l->result.height = (uint16_t)image->d_h;
    measure_light(l, image);
    if (l->reference)
        compare(l, image);
    else if ((int32_t)(ts - l->keyframe_ts) >= LOOK_SETTLED_TICKS)
        keep_reference(l, image);
}

void look_frame(struct look *l, const uint8_t *frame, size_t len, uint32_t ts)
{
    bool key = is_keyframe(frame, len);
    if (l->result.too_large || l->result.frames + l->result.broken >= LOOK_FRAMES_MAX || (!key && !l->begun))
        return;
    if (key && !fits(frame)) {
        l->result.too_large = true;
        return;
    }
    if (key) { /* a new encoding of the same picture differs from the former one everywhere a little */
        forget_reference(l);
        l->begun = true;
        l->keyframe_ts = ts;
    }
    if (vpx_codec_decode(&l->decoder, frame, (unsigned)len, NULL, 0)) {
        l->result.broken++;
        return;
    }
    vpx_codec_iter_t iter = NULL;
    const vpx_image_t *image = vpx_codec_get_frame(&l->decoder, &iter);
    if (image)
        take_picture(l, image, key, ts);
}

const struct look_result *look_result(const struct look *l)
{
    return &l->result;
}
