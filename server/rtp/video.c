#include "rtp/video.h"

#include "base/err.h"

int video_parse(enum rtp_codec codec, const uint8_t *payload, size_t len, bool marker, struct video_info *ret)
{
    struct video_info info = {0};
    int err = ERR_UNSUPPORTED;
    switch (codec) {
    case RTP_VP8:
        err = vp8_parse(payload, len, &info.vp8);
        info.start = info.vp8.start;
        info.keyframe = info.vp8.keyframe;
        info.discardable = info.vp8.non_reference;
        info.tid = info.vp8.tid;
        info.width = info.vp8.width;
        info.height = info.vp8.height;
        break;
    case RTP_VP9: err = vp9_parse(payload, len, &info); break;
    case RTP_H264: err = h264_parse(payload, len, &info); break;
    default: break;
    }
    if (err)
        return err;
    info.end = marker;
    *ret = info;
    return 0;
}
