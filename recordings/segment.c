#include "recordings/segment.h"

#include "recordings/element.h"

#include "base/err.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOMINAL_WIDTH = 1280, NOMINAL_HEIGHT = 720, READ_CHUNK = 65536 };

static const char *const codec_names[] = {"", "opus", "VP8", "VP9", "H264"};

const char *codec_name(enum rtp_codec codec)
{
    return codec_names[codec];
}

enum rtp_codec codec_parse(const char *name)
{
    for (int i = RTP_OPUS; i <= RTP_H264; i++)
        if (strcmp(name, codec_names[i]) == 0)
            return (enum rtp_codec)i;
    return RTP_CODEC_NONE;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

struct segment {
    struct spool spool;
    struct element *mux;
    int64_t base_us, last_us;
    int err; /* of a spool append inside the muxer's callback */
};

static GstCaps *caps_of(enum rtp_codec codec, unsigned channels, const void *avcc, size_t avcc_len)
{
    if (codec == RTP_OPUS)
        return gst_caps_new_simple("audio/x-opus", "rate", G_TYPE_INT, 48000, "channels", G_TYPE_INT, (int)channels,
                                   "channel-mapping-family", G_TYPE_INT, 0, "stream-count", G_TYPE_INT, 1, "coupled-count",
                                   G_TYPE_INT, channels == 2 ? 1 : 0, NULL);
    const char *media = codec == RTP_VP8 ? "video/x-vp8" : codec == RTP_VP9 ? "video/x-vp9" : "video/x-h264";
    GstCaps *caps = gst_caps_new_simple(media, "width", G_TYPE_INT, NOMINAL_WIDTH, "height", G_TYPE_INT, NOMINAL_HEIGHT,
                                        "framerate", GST_TYPE_FRACTION, 0, 1, NULL);
    if (codec == RTP_H264) {
        GstBuffer *data = gst_buffer_new_allocate(NULL, avcc_len, NULL);
        gst_buffer_fill(data, 0, avcc, avcc_len);
        gst_caps_set_simple(caps, "stream-format", G_TYPE_STRING, "avc", "alignment", G_TYPE_STRING, "au", "codec_data",
                            GST_TYPE_BUFFER, data, NULL);
        gst_buffer_unref(data);
    }
    return caps;
}

static void on_muxed(void *ctx, GstBuffer *buffer, GstCaps *caps)
{
    struct segment *s = ctx;
    GstMapInfo map;
    if (!gst_buffer_map(buffer, &map, GST_MAP_READ)) {
        s->err = ERR_NOMEM;
        return;
    }
    int err = spool_append(&s->spool, map.data, map.size);
    if (err)
        s->err = err;
    gst_buffer_unmap(buffer, &map);
}

int segment_open(int dir_fd, const char *name, enum rtp_codec codec, unsigned channels, const void *avcc, size_t avcc_len,
                 int64_t base_us, struct segment **ret)
{
    if (codec == RTP_CODEC_NONE || (codec == RTP_H264 && !avcc) || channels > 2)
        return ERR_UNSUPPORTED;
    struct segment *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->base_us = s->last_us = base_us;
    int err = spool_create(&s->spool, dir_fd, name);
    if (!err) {
        GstCaps *caps = caps_of(codec, channels ? channels : 1, avcc, avcc_len);
        err = element_new("matroskamux streamable=true", caps, on_muxed, s, &s->mux);
        gst_caps_unref(caps);
    }
    if (err) {
        segment_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

void segment_free(struct segment *s)
{
    if (!s)
        return;
    element_free(s->mux);
    spool_close(&s->spool);
    free(s);
}

int segment_write(struct segment *s, const void *bytes, size_t len, int64_t session_us, bool keyframe)
{
    if (session_us < s->last_us)
        session_us = s->last_us;
    s->last_us = session_us;
    GstBuffer *b = buffer_copy(bytes, len, session_us - s->base_us);
    if (!keyframe)
        GST_BUFFER_FLAG_SET(b, GST_BUFFER_FLAG_DELTA_UNIT);
    int err = element_push(s->mux, b);
    return err ? err : s->err;
}

int segment_finish(struct segment *s)
{
    int err = element_end(s->mux);
    return err ? err : s->err;
}

struct spool *segment_spool(struct segment *s)
{
    return &s->spool;
}

int64_t segment_base_us(const struct segment *s)
{
    return s->base_us;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct read_frame {
    struct read_frame *next;
    int64_t session_us;
    bool keyframe;
    size_t len;
    uint8_t bytes[];
};

struct segment_reader {
    int fd;
    int64_t base_us;
    struct element *demux;
    struct read_frame *first, **end, *current;
    bool finished, any;
    int err;
    char why[240];
};

static void on_demuxed(void *ctx, GstBuffer *buffer, GstCaps *caps)
{
    struct segment_reader *r = ctx;
    GstMapInfo map;
    if (!GST_BUFFER_PTS_IS_VALID(buffer) || !gst_buffer_map(buffer, &map, GST_MAP_READ))
        return;
    struct read_frame *f = malloc(sizeof *f + map.size);
    if (f) {
        f->next = NULL;
        f->session_us = r->base_us + (int64_t)(GST_BUFFER_PTS(buffer) / 1000);
        f->keyframe = !GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DELTA_UNIT);
        f->len = map.size;
        memcpy(f->bytes, map.data, map.size);
        *r->end = f;
        r->end = &f->next;
    } else {
        r->err = ERR_NOMEM;
    }
    gst_buffer_unmap(buffer, &map);
}

int segment_reader_open(int dir_fd, const char *name, int64_t base_us, struct segment_reader **ret)
{
    struct segment_reader *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->end = &r->first;
    r->base_us = base_us;
    r->fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int err = r->fd < 0 ? ERR_IO : element_new("matroskademux", NULL, on_demuxed, r, &r->demux);
    if (err) {
        segment_reader_free(r);
        return err;
    }
    *ret = r;
    return 0;
}

void segment_reader_free(struct segment_reader *r)
{
    if (!r)
        return;
    element_free(r->demux);
    if (r->fd >= 0)
        close(r->fd);
    free(r->current);
    while (r->first) {
        struct read_frame *f = r->first;
        r->first = f->next;
        free(f);
    }
    free(r);
}

/* Pushes the next piece of the file through the demuxer. */
static int feed_demuxer(struct segment_reader *r)
{
    uint8_t chunk[READ_CHUNK];
    ssize_t n = read(r->fd, chunk, sizeof chunk);
    if (n < 0)
        return ERR_IO;
    if (n == 0) {
        r->finished = true;
        int err = element_end(r->demux);
        /* A file without a frame is what a recorder leaves that was killed at its first block; other errors at the end
         * come from a torn last block, and everything before it is there. */
        (void)err;
        return 0;
    }
    r->any = true;
    GstBuffer *b = gst_buffer_new_allocate(NULL, (gsize)n, NULL);
    gst_buffer_fill(b, 0, chunk, (gsize)n);
    return element_push(r->demux, b);
}

int segment_read(struct segment_reader *r, struct segment_frame *ret)
{
    free(r->current);
    r->current = NULL;
    while (!r->first) {
        if (r->finished)
            return ERR_CLOSED;
        int err = feed_demuxer(r);
        if (!err)
            err = r->err;
        if (err) {
            snprintf(r->why, sizeof r->why, "%s", element_error(r->demux));
            return ERR_IO;
        }
    }
    r->current = r->first;
    r->first = r->current->next;
    if (!r->first)
        r->end = &r->first;
    *ret = (struct segment_frame){.session_us = r->current->session_us,
                                  .keyframe = r->current->keyframe,
                                  .bytes = r->current->bytes,
                                  .len = r->current->len,
                                  .caps = element_caps(r->demux)};
    return 0;
}

const char *segment_reader_error(struct segment_reader *r)
{
    return r->why;
}
