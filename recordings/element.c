#include "recordings/element.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct element {
    GstElement *gst;
    GstBus *bus;
    GstPad *front, *behind; /* ours: source pad before the element, sink pad after it */
    GstCaps *caps;          /* of what comes out */
    element_output *output;
    void *ctx;
    char error[200];
};

int gst_setup(char *why, size_t why_bytes)
{
    static const char *const plugins[] = {"coreelements", "app",  "matroska",        "isomp4",       "vpx",      "opus",
                                          "openh264",     "jpeg", "videoparsersbad", "audioparsers", "voaacenc", "faad"};
    setenv("GST_REGISTRY_DISABLE", "yes", 1);
    setenv("GST_REGISTRY_FORK", "no", 1);
    GError *error = NULL;
    if (!gst_init_check(NULL, NULL, &error)) {
        snprintf(why, why_bytes, "GStreamer: %s", error ? error->message : "does not start");
        g_clear_error(&error);
        return ERR_NOTFOUND;
    }
    for (size_t i = 0; i < sizeof plugins / sizeof plugins[0]; i++) {
        char path[400];
        snprintf(path, sizeof path, "%s/libgst%s.so", GST_PLUGINS_DIR, plugins[i]);
        GstPlugin *plugin = gst_plugin_load_file(path, &error);
        if (!plugin) {
            snprintf(why, why_bytes, "GStreamer plugin %s: %s", plugins[i], error ? error->message : "not found");
            g_clear_error(&error);
            return ERR_NOTFOUND;
        }
        gst_object_unref(plugin);
    }
    return 0;
}

GstBuffer *buffer_copy(const void *bytes, size_t len, int64_t pts_us)
{
    GstBuffer *b = gst_buffer_new_allocate(NULL, len, NULL);
    gst_buffer_fill(b, 0, bytes, len);
    GST_BUFFER_PTS(b) = GST_BUFFER_DTS(b) = (GstClockTime)pts_us * 1000;
    return b;
}

/* --- pads --------------------------------------------------------------------------------------------------------- */

static GstFlowReturn on_chain(GstPad *pad, GstObject *parent, GstBuffer *buffer)
{
    struct element *e = gst_pad_get_element_private(pad);
    e->output(e->ctx, buffer, e->caps);
    gst_buffer_unref(buffer);
    return GST_FLOW_OK;
}

static gboolean on_event(GstPad *pad, GstObject *parent, GstEvent *event)
{
    struct element *e = gst_pad_get_element_private(pad);
    if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS) {
        GstCaps *caps;
        gst_event_parse_caps(event, &caps);
        gst_caps_replace(&e->caps, caps);
    }
    gst_event_unref(event);
    return TRUE;
}

static void on_pad_added(GstElement *gst, GstPad *pad, gpointer ctx)
{
    struct element *e = ctx;
    if (GST_PAD_IS_SRC(pad) && !gst_pad_is_linked(e->behind))
        gst_pad_link(pad, e->behind);
}

static GstPad *make_pad(const char *name, GstPadDirection direction, struct element *e)
{
    GstPad *pad = gst_object_ref_sink(gst_pad_new(name, direction));
    gst_pad_set_element_private(pad, e);
    return pad;
}

static void push_start(struct element *e, GstCaps *caps)
{
    GstSegment segment;
    gst_segment_init(&segment, caps ? GST_FORMAT_TIME : GST_FORMAT_BYTES);
    gst_pad_push_event(e->front, gst_event_new_stream_start("giaoban"));
    if (caps)
        gst_pad_push_event(e->front, gst_event_new_caps(caps));
    gst_pad_push_event(e->front, gst_event_new_segment(&segment));
}

static GstElement *make_element(const char *description)
{
    if (!strpbrk(description, " !="))
        return gst_element_factory_make(description, NULL);
    GError *error = NULL;
    GstElement *gst = strchr(description, '!') ? gst_parse_bin_from_description(description, TRUE, &error)
                                               : gst_parse_launch(description, &error);
    if (error) {
        g_clear_error(&error);
        g_clear_pointer(&gst, gst_object_unref);
    }
    return gst;
}

/* A muxer has no sink pad until one is asked for, of the template that fits the caps. */
static GstPad *sink_pad(GstElement *gst, GstCaps *caps)
{
    GstPad *pad = gst_element_get_static_pad(gst, "sink");
    const GList *l = pad ? NULL : gst_element_class_get_pad_template_list(GST_ELEMENT_GET_CLASS(gst));
    for (; l && !pad; l = l->next) {
        GstPadTemplate *t = l->data;
        GstCaps *fits = gst_pad_template_get_caps(t);
        if (GST_PAD_TEMPLATE_DIRECTION(t) == GST_PAD_SINK && GST_PAD_TEMPLATE_PRESENCE(t) == GST_PAD_REQUEST && caps &&
            gst_caps_can_intersect(fits, caps))
            pad = gst_element_request_pad(gst, t, NULL, NULL);
        gst_caps_unref(fits);
    }
    return pad;
}

static int link_pads(struct element *e, GstCaps *caps)
{
    GstPad *sink = sink_pad(e->gst, caps);
    GstPad *src = gst_element_get_static_pad(e->gst, "src");
    int err = ERR_UNSUPPORTED;
    if (sink && gst_pad_link_full(e->front, sink, GST_PAD_LINK_CHECK_NOTHING) == GST_PAD_LINK_OK)
        err = 0;
    if (!err && src && gst_pad_link_full(src, e->behind, GST_PAD_LINK_CHECK_NOTHING) != GST_PAD_LINK_OK)
        err = ERR_UNSUPPORTED;
    if (!src)
        g_signal_connect(e->gst, "pad-added", G_CALLBACK(on_pad_added), e);
    g_clear_pointer(&sink, gst_object_unref);
    g_clear_pointer(&src, gst_object_unref);
    return err;
}

int element_new(const char *description, GstCaps *caps, element_output *output, void *ctx, struct element **ret)
{
    struct element *e = calloc(1, sizeof *e);
    if (!e)
        return ERR_NOMEM;
    e->output = output;
    e->ctx = ctx;
    e->gst = make_element(description);
    if (!e->gst) {
        element_free(e);
        return ERR_NOTFOUND;
    }
    gst_object_ref_sink(e->gst);
    e->bus = gst_bus_new();
    gst_element_set_bus(e->gst, e->bus);
    e->front = make_pad("front", GST_PAD_SRC, e);
    e->behind = make_pad("behind", GST_PAD_SINK, e);
    gst_pad_set_chain_function(e->behind, on_chain);
    gst_pad_set_event_function(e->behind, on_event);
    gst_pad_set_active(e->behind, TRUE);
    int err = link_pads(e, caps);
    if (err) {
        element_free(e);
        return err;
    }
    gst_element_set_state(e->gst, GST_STATE_PLAYING);
    gst_pad_set_active(e->front, TRUE);
    push_start(e, caps);
    *ret = e;
    return 0;
}

void element_free(struct element *e)
{
    if (!e)
        return;
    if (e->front)
        gst_pad_set_active(e->front, FALSE);
    if (e->gst) {
        gst_element_set_bus(e->gst, NULL);
        gst_element_set_state(e->gst, GST_STATE_NULL);
    }
    if (e->behind)
        gst_pad_set_active(e->behind, FALSE);
    g_clear_pointer(&e->front, gst_object_unref);
    g_clear_pointer(&e->gst, gst_object_unref);
    g_clear_pointer(&e->behind, gst_object_unref);
    g_clear_pointer(&e->bus, gst_object_unref);
    gst_caps_replace(&e->caps, NULL);
    free(e);
}

/* The first error on the bus; the bus is emptied, since nobody else reads it. */
static int collect_error(struct element *e)
{
    GstMessage *m;
    int err = 0;
    while ((m = gst_bus_pop(e->bus))) {
        if (GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR) {
            GError *error = NULL;
            gst_message_parse_error(m, &error, NULL);
            if (!e->error[0])
                snprintf(e->error, sizeof e->error, "%s", error->message);
            g_clear_error(&error);
            err = ERR_IO;
        }
        gst_message_unref(m);
    }
    return err;
}

int element_push(struct element *e, GstBuffer *buffer)
{
    GstFlowReturn flow = gst_pad_push(e->front, buffer);
    int err = collect_error(e);
    if (err || flow == GST_FLOW_OK || flow == GST_FLOW_EOS)
        return err;
    if (!e->error[0])
        snprintf(e->error, sizeof e->error, "%s", gst_flow_get_name(flow));
    return ERR_IO;
}

int element_end(struct element *e)
{
    gst_pad_push_event(e->front, gst_event_new_eos());
    return collect_error(e);
}

GstCaps *element_caps(const struct element *e)
{
    return e->caps;
}

const char *element_error(struct element *e)
{
    return e->error[0] ? e->error : "no reason given";
}
