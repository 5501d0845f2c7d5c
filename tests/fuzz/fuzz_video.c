/* VP8, VP9 and H.264 payloads; the first byte chooses. A VP8 rewrite must stay inside its descriptor. */
#include "rtp/video.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum rtp_codec codecs[] = {RTP_VP8, RTP_VP9, RTP_H264};
    if (size == 0)
        return 0;
    enum rtp_codec codec = codecs[data[0] % 3];
    struct video_info info;
    if (video_parse(codec, data + 1, size - 1, data[0] & 0x80, &info))
        return 0;
    if (codec == RTP_VP8) {
        uint8_t *copy = malloc(size - 1);
        memcpy(copy, data + 1, size - 1);
        vp8_rewrite(copy, &info.vp8, 0x1234, 5, 6);
        struct vp8_descriptor again;
        if (vp8_parse(copy, size - 1, &again) || again.len != info.vp8.len)
            abort();
        free(copy);
    }
    return 0;
}
