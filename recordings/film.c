#include "recordings/film.h"

#include "recordings/element.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

/* Encoded frames that wait for being shown; beyond it they are decoded at once (a keyframe may be minutes away). */
#define WAITING_MAX_BYTES (32u << 20)

struct film {
    struct track_reader *reader;
    struct element *decoder;
    enum rtp_codec codec;                    /* of the decoder */
    const struct tracklist_segment *segment; /* of the last frame */
    GstCaps *caps;                           /* what the waiting frames are */
    GQueue waiting;                          /* of GstBuffer */
    size_t waiting_bytes;
    int64_t newest_us;
    GstBuffer *picture;
    GstVideoInfo info;
};

int film_new(int dir_fd, const struct tracklist_segment *segments, size_t n, struct film **ret)
{
    struct film *f = calloc(1, sizeof *f);
    if (!f)
        return ERR_NOMEM;
    g_queue_init(&f->waiting);
    f->newest_us = FILM_NEVER;
    int err = track_reader_new(dir_fd, segments, n, &f->reader);
    if (err) {
        film_free(f);
        return err;
    }
    *ret = f;
    return 0;
}

static void drop_waiting(struct film *f)
{
    g_queue_clear_full(&f->waiting, (GDestroyNotify)gst_buffer_unref);
    f->waiting_bytes = 0;
}

void film_free(struct film *f)
{
    if (!f)
        return;
    drop_waiting(f);
    element_free(f->decoder);
    track_reader_free(f->reader);
    gst_caps_replace(&f->caps, NULL);
    gst_buffer_replace(&f->picture, NULL);
    free(f);
}

static void on_picture(void *ctx, GstBuffer *buffer, GstCaps *caps)
{
    struct film *f = ctx;
    GstVideoInfo info;
    if (!caps || !gst_video_info_from_caps(&info, caps) || GST_VIDEO_INFO_FORMAT(&info) != GST_VIDEO_FORMAT_I420)
        return;
    f->info = info;
    gst_buffer_replace(&f->picture, buffer);
}

static bool need_decoder(struct film *f)
{
    if (f->decoder)
        return true;
    const char *description = f->codec == RTP_VP8   ? "vp8dec threads=1"
                              : f->codec == RTP_VP9 ? "vp9dec threads=1"
                                                    : "h264parse ! openh264dec";
    return element_new(description, f->caps, on_picture, f, &f->decoder) == 0;
}

static void decode_waiting(struct film *f)
{
    GstBuffer *b;
    while ((b = g_queue_pop_head(&f->waiting))) {
        if (!need_decoder(f)) {
            gst_buffer_unref(b);
            continue;
        }
        if (element_push(f->decoder, b)) {
            element_free(f->decoder);
            f->decoder = NULL;
        }
    }
    f->waiting_bytes = 0;
}

/* Another codec, or H.264 with other parameter sets: a decoder of its own. */
static void change_segment(struct film *f, const struct tracklist_segment *segment, const struct segment_frame *frame)
{
    bool same = f->segment && segment->codec == f->codec && segment->codec != RTP_H264;
    f->segment = segment;
    if (same)
        return;
    decode_waiting(f);
    element_free(f->decoder);
    f->decoder = NULL;
    f->codec = segment->codec;
    gst_caps_replace(&f->caps, (GstCaps *)frame->caps);
}

static void take_frame(struct film *f, const struct segment_frame *frame)
{
    if (frame->keyframe)
        drop_waiting(f); /* nothing after it refers to anything before it */
    GstBuffer *b = buffer_copy(frame->bytes, frame->len, frame->session_us);
    if (!frame->keyframe)
        GST_BUFFER_FLAG_SET(b, GST_BUFFER_FLAG_DELTA_UNIT);
    g_queue_push_tail(&f->waiting, b);
    f->waiting_bytes += frame->len;
    f->newest_us = frame->session_us;
    if (f->waiting_bytes > WAITING_MAX_BYTES)
        decode_waiting(f);
}

int film_gather(struct film *f, int64_t session_us, const char **ret_why)
{
    const struct tracklist_segment *segment;
    const struct segment_frame *frame;
    while ((frame = track_reader_peek(f->reader, &segment)) && frame->session_us <= session_us) {
        if (segment != f->segment)
            change_segment(f, segment, frame);
        take_frame(f, frame);
        track_reader_take(f->reader);
    }
    return frame ? 0 : track_reader_error(f->reader, ret_why);
}

int64_t film_newest_us(const struct film *f)
{
    return f->newest_us;
}

int64_t film_next_us(struct film *f)
{
    const struct tracklist_segment *segment;
    const struct segment_frame *frame = track_reader_peek(f->reader, &segment);
    return frame ? frame->session_us : FILM_NEVER;
}

bool film_picture(struct film *f, GstBuffer **ret_buffer, GstVideoInfo *ret_info)
{
    decode_waiting(f);
    if (!f->picture)
        return false;
    *ret_buffer = f->picture;
    *ret_info = f->info;
    return true;
}
