#include "recordings/programme.h"

#include "recordings/canvas.h"

#include "base/err.h"

#include <fcntl.h>
#include <gst/app/gstappsrc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Samples by which voaacenc's output lags its input: its block switching looks 1600 samples ahead (BLOCK_SWITCHING_OFFSET in
 * vo-aacenc) and a decoder gives all of them out. programme.mp4 has no edit list, so they are not sent in. */
#define AAC_PRIMING 1600

#define VIDEO_CAPS "video/x-raw,format=I420,width=1280,height=720,framerate=25/1,colorimetry=bt601"
#define SOUND_CAPS "audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=1"
#define SOURCES                                                                                                             \
    "appsrc name=v format=time block=true max-buffers=4 max-bytes=0 max-time=0 caps=" VIDEO_CAPS                            \
    " ! %s ! queue max-size-buffers=0 "                                                                                     \
    "max-size-bytes=0 max-size-time=0 ! m. appsrc name=a format=time max-bytes=0 max-time=0 caps=" SOUND_CAPS               \
    " ! %s ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! m. %s name=m ! filesink name=f"

static const struct {
    const char *name, *file, *video, *sound, *mux;
    size_t priming;
} formats[] = {
    {"mp4", "programme.mp4",
     "openh264enc complexity=low rate-control=quality bitrate=1800000 max-bitrate=6000000 gop-size=100 multi-thread=1 "
     "scene-change-detection=false ! h264parse",
     "voaacenc bitrate=96000 ! aacparse", "mp4mux faststart=true", AAC_PRIMING},
    {"webm", "programme.webm",
     "vp8enc deadline=1 cpu-used=8 threads=1 target-bitrate=1800000 keyframe-max-dist=100 min-quantizer=4 max-quantizer=50 "
     "error-resilient=0 end-usage=vbr",
     "opusenc bitrate=64000 frame-size=20", "webmmux", 0},
};

struct programme {
    enum programme_format format;
    GstElement *pipeline;
    GstAppSrc *video, *sound;
    GstBus *bus;
    int dir_fd;
    char part[64]; /* name while unfinished */
    uint64_t pictures, samples;
    size_t skip; /* samples still to be left out at the beginning */
    bool whole;
    char why[240];
};

const char *programme_file(enum programme_format format)
{
    return formats[format].file;
}

int programme_format_parse(const char *name, enum programme_format *ret)
{
    for (int i = PROGRAMME_MP4; i <= PROGRAMME_WEBM; i++)
        if (strcmp(name, formats[i].name) == 0) {
            *ret = (enum programme_format)i;
            return 0;
        }
    return ERR_NOTFOUND;
}

static GstToc *make_toc(const struct timeline *t)
{
    GstToc *toc = gst_toc_new(GST_TOC_SCOPE_GLOBAL);
    GstTocEntry *edition = gst_toc_entry_new(GST_TOC_ENTRY_TYPE_EDITION, "00");
    gst_toc_entry_set_start_stop_times(edition, 0, timeline_duration_us(t) * 1000);
    for (size_t i = 0; i < t->n_chapters; i++) {
        char uid[16];
        snprintf(uid, sizeof uid, "%02zu", i + 1);
        GstTocEntry *c = gst_toc_entry_new(GST_TOC_ENTRY_TYPE_CHAPTER, uid);
        gst_toc_entry_set_start_stop_times(c, t->chapters[i].from_us * 1000, t->chapters[i].to_us * 1000);
        gst_toc_entry_set_tags(c, gst_tag_list_new(GST_TAG_TITLE, timeline_name(t, t->chapters[i].number), NULL));
        gst_toc_entry_append_sub_entry(edition, c);
    }
    gst_toc_append_entry(toc, edition);
    return toc;
}

static int build(struct programme *p, const char *dir, const struct timeline *t)
{
    char description[1600], path[1200];
    GError *error = NULL;
    snprintf(description, sizeof description, SOURCES, formats[p->format].video, formats[p->format].sound,
             formats[p->format].mux);
    p->pipeline = gst_parse_launch(description, &error);
    if (error) {
        snprintf(p->why, sizeof p->why, "%s", error->message);
        g_clear_error(&error);
        return ERR_UNSUPPORTED;
    }
    p->video = GST_APP_SRC(gst_bin_get_by_name(GST_BIN(p->pipeline), "v"));
    p->sound = GST_APP_SRC(gst_bin_get_by_name(GST_BIN(p->pipeline), "a"));
    p->bus = gst_element_get_bus(p->pipeline);
    GstElement *sink = gst_bin_get_by_name(GST_BIN(p->pipeline), "f");
    GstElement *mux = gst_bin_get_by_name(GST_BIN(p->pipeline), "m");
    snprintf(path, sizeof path, "%s/%s", dir, p->part);
    g_object_set(sink, "location", path, NULL);
    if (p->format == PROGRAMME_MP4) { /* the index is moved to the front through a file of our own directory */
        snprintf(path, sizeof path, "%s/%s.index", dir, p->part);
        g_object_set(mux, "faststart-file", path, NULL);
    } else if (t->n_chapters) {
        GstToc *toc = make_toc(t);
        gst_toc_setter_set_toc(GST_TOC_SETTER(mux), toc);
        gst_toc_unref(toc);
    }
    gst_object_unref(sink);
    gst_object_unref(mux);
    return gst_element_set_state(p->pipeline, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE ? ERR_IO : 0;
}

int programme_open(const char *dir, enum programme_format format, const struct timeline *t, struct programme **ret)
{
    struct programme *p = calloc(1, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    p->format = format;
    p->skip = formats[format].priming;
    snprintf(p->part, sizeof p->part, ".%s.part", formats[format].file);
    p->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = p->dir_fd < 0 ? ERR_IO : build(p, dir, t);
    if (err) {
        programme_free(p);
        return err;
    }
    *ret = p;
    return 0;
}

void programme_free(struct programme *p)
{
    if (!p)
        return;
    if (p->pipeline)
        gst_element_set_state(p->pipeline, GST_STATE_NULL);
    g_clear_pointer(&p->video, gst_object_unref);
    g_clear_pointer(&p->sound, gst_object_unref);
    g_clear_pointer(&p->bus, gst_object_unref);
    g_clear_pointer(&p->pipeline, gst_object_unref);
    if (p->dir_fd >= 0) {
        char index[80];
        snprintf(index, sizeof index, "%s.index", p->part);
        unlinkat(p->dir_fd, index, 0);
        if (!p->whole)
            unlinkat(p->dir_fd, p->part, 0);
        close(p->dir_fd);
    }
    free(p);
}

static int take_error(struct programme *p, GstMessage *m)
{
    GError *error = NULL;
    gst_message_parse_error(m, &error, NULL);
    snprintf(p->why, sizeof p->why, "%s", error->message);
    g_clear_error(&error);
    gst_message_unref(m);
    return ERR_IO;
}

static int push(struct programme *p, GstAppSrc *to, GstBuffer *b)
{
    GstMessage *m = gst_bus_pop_filtered(p->bus, GST_MESSAGE_ERROR);
    if (m) {
        gst_buffer_unref(b);
        return take_error(p, m);
    }
    if (gst_app_src_push_buffer(to, b) == GST_FLOW_OK)
        return 0;
    m = gst_bus_pop_filtered(p->bus, GST_MESSAGE_ERROR);
    return m ? take_error(p, m) : ERR_IO;
}

static int add_samples(struct programme *p, const int16_t *samples, size_t n)
{
    size_t skip = p->skip < n ? p->skip : n;
    p->skip -= skip;
    n -= skip;
    if (!n)
        return 0;
    GstBuffer *b = gst_buffer_new_allocate(NULL, n * sizeof *samples, NULL);
    gst_buffer_fill(b, 0, samples + skip, n * sizeof *samples);
    GST_BUFFER_PTS(b) = gst_util_uint64_scale(p->samples, GST_SECOND, 48000);
    p->samples += n;
    GST_BUFFER_DURATION(b) = gst_util_uint64_scale(p->samples, GST_SECOND, 48000) - GST_BUFFER_PTS(b);
    return push(p, p->sound, b);
}

int programme_add(struct programme *p, GstBuffer *picture, const int16_t samples[PROGRAMME_SAMPLES])
{
    int err = add_samples(p, samples, PROGRAMME_SAMPLES); /* sound first: the muxer waits for both */
    GST_BUFFER_PTS(picture) = p->pictures * GST_SECOND / PROGRAMME_FPS;
    GST_BUFFER_DURATION(picture) = GST_SECOND / PROGRAMME_FPS;
    p->pictures++;
    if (err) {
        gst_buffer_unref(picture);
        return err;
    }
    return push(p, p->video, picture);
}

int programme_finish(struct programme *p)
{
    gst_app_src_end_of_stream(p->sound);
    gst_app_src_end_of_stream(p->video);
    GstMessage *m = gst_bus_timed_pop_filtered(p->bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_ERROR | GST_MESSAGE_EOS);
    if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR)
        return take_error(p, m);
    gst_message_unref(m);
    gst_element_set_state(p->pipeline, GST_STATE_NULL);
    int fd = openat(p->dir_fd, p->part, O_RDONLY | O_CLOEXEC);
    int err = fd < 0 || fdatasync(fd) < 0 ? ERR_IO : 0;
    if (fd >= 0)
        close(fd);
    if (!err && renameat(p->dir_fd, p->part, p->dir_fd, formats[p->format].file) < 0)
        err = ERR_IO;
    p->whole = err == 0;
    return err;
}

const char *programme_error(const struct programme *p)
{
    return p->why[0] ? p->why : "the file can't be written";
}
