/* VP8, VP9 and H.264 payloads; the first byte chooses. A VP8 rewrite stays inside its descriptor, says the new numbers and
 * nothing else anew; written back it is the packet that came. */
#include "rtp/video.h"

#include "require.h"

#include <stdlib.h>
#include <string.h>

static void rewrite_vp8(const uint8_t *payload, size_t len, const struct vp8_descriptor *d)
{
    struct vp8_descriptor again;
    uint8_t *copy = malloc(len);
    require(copy);
    memcpy(copy, payload, len);
    vp8_rewrite(copy, d, 0x1234, 5, 6);
    require(!vp8_parse(copy, len, &again) && again.len == d->len && d->len <= len);
    require(!memcmp(copy + d->len, payload + d->len, len - d->len));
    require(!d->picture_id_bits || again.picture_id == (d->picture_id_bits == 7 ? 0x34 : 0x1234));
    require((!d->has_tl0 || again.tl0picidx == 5) && (!d->has_keyidx || again.keyidx == 6));
    require(again.tid == d->tid && again.start == d->start && again.keyframe == d->keyframe &&
            again.layer_sync == d->layer_sync && again.non_reference == d->non_reference);
    vp8_rewrite(copy, d, d->picture_id, d->tl0picidx, d->keyidx);
    require(!memcmp(copy, payload, len));
    free(copy);
}

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
    require(!info.keyframe || info.start || codec == RTP_H264);
    if (codec == RTP_VP8)
        rewrite_vp8(data + 1, size - 1, &info.vp8);
    return 0;
}
