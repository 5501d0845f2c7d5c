#include "recordings/media_visit.h"

#include "base/err.h"

#include <gst/app/gstappsink.h>
#include <gst/video/video.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define QUEUE "queue max-size-buffers=0 max-size-bytes=0 max-size-time=0"
#define SINK "appsink sync=false max-buffers=8"

static const char mp4[] = "filesrc name=f ! qtdemux name=d d.video_0 ! " QUEUE " ! h264parse ! openh264dec ! " SINK
                          " name=v d.audio_0 ! " QUEUE " ! faad name=aac ! " SINK " name=a";
static const char webm[] = "filesrc name=f ! matroskademux name=d d.video_0 ! " QUEUE " ! vp8dec threads=1 ! " SINK
                           " name=v d.audio_0 ! " QUEUE " ! opusdec ! " SINK " name=a";

static void visit_picture(const struct media_visitor *v, GstSample *sample)
{
    GstVideoInfo info;
    GstVideoFrame frame;
    GstBuffer *b = gst_sample_get_buffer(sample);
    if (!gst_video_info_from_caps(&info, gst_sample_get_caps(sample)) ||
        !gst_video_frame_map(&frame, &info, b, GST_MAP_READ))
        return;
    int64_t at_us =
        (int64_t)gst_segment_to_stream_time(gst_sample_get_segment(sample), GST_FORMAT_TIME, GST_BUFFER_PTS(b)) / 1000;
    v->picture(v->ctx, at_us, GST_VIDEO_FRAME_PLANE_DATA(&frame, 0), GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 0),
               GST_VIDEO_INFO_WIDTH(&info), GST_VIDEO_INFO_HEIGHT(&info));
    gst_video_frame_unmap(&frame);
}

static void visit_sound(const struct media_visitor *v, GstSample *sample)
{
    GstBuffer *b = gst_sample_get_buffer(sample);
    const GstStructure *s = gst_caps_get_structure(gst_sample_get_caps(sample), 0);
    int channels = 1;
    gst_structure_get_int(s, "channels", &channels);
    GstMapInfo map;
    if (channels < 1 || !gst_buffer_map(b, &map, GST_MAP_READ))
        return;
    size_t n = map.size / sizeof(int16_t) / (size_t)channels;
    int16_t mono[8192];
    int64_t at_us =
        (int64_t)gst_segment_to_stream_time(gst_sample_get_segment(sample), GST_FORMAT_TIME, GST_BUFFER_PTS(b)) / 1000;
    for (size_t done = 0; done < n;) {
        size_t part = n - done < 8192 ? n - done : 8192;
        for (size_t i = 0; i < part; i++)
            memcpy(&mono[i], map.data + (done + i) * (size_t)channels * sizeof mono[0], sizeof mono[0]);
        v->sound(v->ctx, at_us + (int64_t)done * 1000 / 48, mono, part);
        done += part;
    }
    gst_buffer_unmap(b, &map);
}

static void pull_all(GstElement *pipeline, const char *name, const struct media_visitor *v, bool picture)
{
    GstElement *sink = gst_bin_get_by_name(GST_BIN(pipeline), name);
    GstSample *sample;
    while ((sample = gst_app_sink_pull_sample(GST_APP_SINK(sink)))) {
        if (picture)
            visit_picture(v, sample);
        else
            visit_sound(v, sample);
        gst_sample_unref(sample);
    }
    gst_object_unref(sink);
}

static int count_chapters(GstMessage *m)
{
    GstToc *toc;
    gst_message_parse_toc(m, &toc, NULL);
    int n = 0;
    for (GList *l = gst_toc_get_entries(toc); l; l = l->next)
        n += (int)g_list_length(gst_toc_entry_get_sub_entries(l->data));
    gst_toc_unref(toc);
    return n;
}

static int read_bus(GstElement *pipeline, int *chapters, char *why, size_t why_bytes)
{
    GstBus *bus = gst_element_get_bus(pipeline);
    GstMessage *m;
    int err = 0;
    while ((m = gst_bus_pop(bus))) {
        if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_TOC)
            *chapters = count_chapters(m);
        if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR && !err) {
            GError *error = NULL;
            gst_message_parse_error(m, &error, NULL);
            snprintf(why, why_bytes, "%s", error->message);
            g_clear_error(&error);
            err = ERR_IO;
        }
        gst_message_unref(m);
    }
    gst_object_unref(bus);
    return err;
}

/* GStreamer's faad element gives nothing out for the first packet and puts that packet's time on the second one's sound. It
 * decodes in the thread that pushes, so what comes out belongs to the packet that went in last: take its time. */
static GstPadProbeReturn note_packet_time(GstPad *pad, GstPadProbeInfo *probe, gpointer last)
{
    *(GstClockTime *)last = GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(probe));
    return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn set_packet_time(GstPad *pad, GstPadProbeInfo *probe, gpointer last)
{
    GstBuffer *b = gst_buffer_make_writable(GST_PAD_PROBE_INFO_BUFFER(probe));
    GST_BUFFER_PTS(b) = *(GstClockTime *)last;
    GST_PAD_PROBE_INFO_DATA(probe) = b;
    return GST_PAD_PROBE_OK;
}

static void mend_faad_times(GstElement *pipeline, GstClockTime *last)
{
    GstElement *faad = gst_bin_get_by_name(GST_BIN(pipeline), "aac");
    GstPad *sink = gst_element_get_static_pad(faad, "sink"), *src = gst_element_get_static_pad(faad, "src");
    gst_pad_add_probe(sink, GST_PAD_PROBE_TYPE_BUFFER, note_packet_time, last, NULL);
    gst_pad_add_probe(src, GST_PAD_PROBE_TYPE_BUFFER, set_packet_time, last, NULL);
    gst_object_unref(sink);
    gst_object_unref(src);
    gst_object_unref(faad);
}

int media_visit(const char *path, const struct media_visitor *v, int *ret_chapters, char *why, size_t why_bytes)
{
    bool is_mp4 = g_str_has_suffix(path, ".mp4");
    if (!is_mp4 && !g_str_has_suffix(path, ".webm")) {
        snprintf(why, why_bytes, "neither .mp4 nor .webm");
        return ERR_UNSUPPORTED;
    }
    if (access(path, R_OK) < 0) {
        snprintf(why, why_bytes, "the file can't be read");
        return ERR_NOTFOUND;
    }
    GError *error = NULL;
    GstElement *pipeline = gst_parse_launch(is_mp4 ? mp4 : webm, &error);
    if (error) {
        snprintf(why, why_bytes, "%s", error->message);
        g_clear_error(&error);
        return ERR_UNSUPPORTED;
    }
    GstElement *file = gst_bin_get_by_name(GST_BIN(pipeline), "f");
    g_object_set(file, "location", path, NULL);
    gst_object_unref(file);
    int chapters = is_mp4 ? -1 : 0;
    GstClockTime packet_time = 0;
    if (is_mp4)
        mend_faad_times(pipeline, &packet_time);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    pull_all(pipeline, "v", v, true);
    pull_all(pipeline, "a", v, false);
    int err = read_bus(pipeline, &chapters, why, why_bytes);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
    if (!err)
        *ret_chapters = chapters;
    return err;
}
