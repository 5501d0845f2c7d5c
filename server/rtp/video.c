#include "rtp/video.h"

#include "base/err.h"

static int look_at_vp8(const uint8_t *payload, size_t len, struct video_info *info)
{
    int err = vp8_parse(payload, len, &info->vp8);
    if (err)
        return err;
    info->start = info->vp8.start;
    info->keyframe = info->vp8.keyframe;
    info->discardable = info->vp8.non_reference;
    info->has_tid = info->vp8.has_tid;
    info->tid = info->vp8.tid;
    info->width = info->vp8.width;
    info->height = info->vp8.height;
    return 0;
}

static int look_at_vp9(const uint8_t *payload, size_t len, struct video_info *info)
{
    int err = vp9_parse(payload, len, &info->vp9);
    if (err)
        return err;
    const struct vp9_descriptor *d = &info->vp9;
    info->start = d->start && d->sid == 0;
    info->keyframe = info->start && !d->predicted;
    info->has_tid = d->has_layers;
    info->sid = d->sid;
    info->tid = d->tid;
    if (info->keyframe && d->has_heights) { /* the highest layer's are the picture's */
        info->width = d->width[d->n_sids - 1];
        info->height = d->height[d->n_sids - 1];
    }
    return 0;
}

int video_parse(enum rtp_codec codec, const uint8_t *payload, size_t len, bool marker, struct video_info *ret)
{
    struct video_info info = {0};
    int err = ERR_UNSUPPORTED;
    switch (codec) {
    case RTP_VP8: err = look_at_vp8(payload, len, &info); break;
    case RTP_VP9: err = look_at_vp9(payload, len, &info); break;
    case RTP_H264: err = h264_parse(payload, len, &info); break;
    default: break;
    }
    if (err)
        return err;
    info.end = marker;
    *ret = info;
    return 0;
}
