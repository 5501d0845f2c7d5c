#include "recordings/canvas.h"

#include "recordings/element.h"

#include "base/err.h"

#include <pango/pangocairo.h>
#include <stdlib.h>
#include <string.h>

enum { CAPTION_HEIGHT = 56, BAR_WIDTH = 8, OVERLAYS = 64 };

#define FONT "Be Vietnam Pro, Noto Sans, DejaVu Sans"
static const double lacquer[3] = {0x14 / 255.0, 0x11 / 255.0, 0x0F / 255.0};
static const double raised[3] = {0x28 / 255.0, 0x22 / 255.0, 0x1E / 255.0};
static const double cinnabar[3] = {0xD5 / 255.0, 0x40 / 255.0, 0x2B / 255.0};
static const double ink[3] = {0xF6 / 255.0, 0xF1 / 255.0, 0xE9 / 255.0};
static const double dim[3] = {0xB5 / 255.0, 0xA9 / 255.0, 0x9B / 255.0};

/* Drawn text, ready to be blended: planes of a picture and of how much of it covers. */
struct overlay {
    char *key;
    int width, height;
    uint8_t *y, *u, *v, *cover, *half_cover;
};

struct scaler {
    GstVideoConverter *converter;
    GstVideoInfo from;
    struct canvas_rect rect;
};

struct canvas {
    GstVideoInfo info;
    GstBuffer *buffer;
    GstVideoFrame frame;
    bool mapped;
    struct scaler scalers[CANVAS_VIDEOS];
    struct overlay overlays[OVERLAYS];
    unsigned n_overlays;
};

int canvas_new(struct canvas **ret)
{
    struct canvas *c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    gst_video_info_set_format(&c->info, GST_VIDEO_FORMAT_I420, CANVAS_WIDTH, CANVAS_HEIGHT);
    gst_video_colorimetry_from_string(&c->info.colorimetry, GST_VIDEO_COLORIMETRY_BT601);
    c->buffer = gst_buffer_new_allocate(NULL, GST_VIDEO_INFO_SIZE(&c->info), NULL);
    c->mapped = c->buffer && gst_video_frame_map(&c->frame, &c->info, c->buffer, GST_MAP_READWRITE);
    if (!c->mapped) {
        canvas_free(c);
        return ERR_NOMEM;
    }
    *ret = c;
    return 0;
}

static void overlay_clear(struct overlay *o)
{
    free(o->key);
    free(o->y);
    memset(o, 0, sizeof *o);
}

void canvas_free(struct canvas *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < CANVAS_VIDEOS; i++)
        if (c->scalers[i].converter)
            gst_video_converter_free(c->scalers[i].converter);
    for (unsigned i = 0; i < c->n_overlays; i++)
        overlay_clear(&c->overlays[i]);
    if (c->mapped)
        gst_video_frame_unmap(&c->frame);
    gst_buffer_replace(&c->buffer, NULL);
    free(c);
}

/* --- colours ------------------------------------------------------------------------------------------------------ */

static uint8_t luma(double r, double g, double b)
{
    return (uint8_t)(16 + 65.481 * r + 128.553 * g + 24.966 * b + 0.5);
}

static uint8_t chroma_u(double r, double g, double b)
{
    return (uint8_t)(128 - 37.797 * r - 74.203 * g + 112.0 * b + 0.5);
}

static uint8_t chroma_v(double r, double g, double b)
{
    return (uint8_t)(128 + 112.0 * r - 93.786 * g - 18.214 * b + 0.5);
}

static uint8_t *plane(struct canvas *c, int i)
{
    return GST_VIDEO_FRAME_PLANE_DATA(&c->frame, i);
}

static int stride(struct canvas *c, int i)
{
    return GST_VIDEO_FRAME_PLANE_STRIDE(&c->frame, i);
}

void canvas_clear(struct canvas *c)
{
    const uint8_t yuv[3] = {luma(lacquer[0], lacquer[1], lacquer[2]), chroma_u(lacquer[0], lacquer[1], lacquer[2]),
                            chroma_v(lacquer[0], lacquer[1], lacquer[2])};
    for (int i = 0; i < 3; i++)
        memset(plane(c, i), yuv[i], (size_t)stride(c, i) * (size_t)(i ? CANVAS_HEIGHT / 2 : CANVAS_HEIGHT));
}

/* --- video -------------------------------------------------------------------------------------------------------- */

static struct canvas_rect fit(const GstVideoInfo *info, struct canvas_rect r)
{
    int w = GST_VIDEO_INFO_WIDTH(info), h = GST_VIDEO_INFO_HEIGHT(info);
    int width = r.width, height = r.width * h / w;
    if (height > r.height) {
        height = r.height;
        width = r.height * w / h;
    }
    width = width > 2 ? width & ~1 : 2;
    height = height > 2 ? height & ~1 : 2;
    return (struct canvas_rect){.x = (r.x + (r.width - width) / 2) & ~1,
                                .y = (r.y + (r.height - height) / 2) & ~1,
                                .width = width,
                                .height = height};
}

static bool same_size(const GstVideoInfo *a, const GstVideoInfo *b)
{
    return GST_VIDEO_INFO_WIDTH(a) == GST_VIDEO_INFO_WIDTH(b) && GST_VIDEO_INFO_HEIGHT(a) == GST_VIDEO_INFO_HEIGHT(b);
}

static GstVideoConverter *make_scaler(struct canvas *c, const GstVideoInfo *from, struct canvas_rect to)
{
    GstVideoInfo in = *from;
    in.colorimetry = c->info.colorimetry; /* the bytes are copied as they are */
    in.fps_n = c->info.fps_n;
    in.fps_d = c->info.fps_d;
    return gst_video_converter_new(
        &in, &c->info,
        gst_structure_new("scale", GST_VIDEO_CONVERTER_OPT_DEST_X, G_TYPE_INT, to.x, GST_VIDEO_CONVERTER_OPT_DEST_Y,
                          G_TYPE_INT, to.y, GST_VIDEO_CONVERTER_OPT_DEST_WIDTH, G_TYPE_INT, to.width,
                          GST_VIDEO_CONVERTER_OPT_DEST_HEIGHT, G_TYPE_INT, to.height, GST_VIDEO_CONVERTER_OPT_FILL_BORDER,
                          G_TYPE_BOOLEAN, FALSE, GST_VIDEO_CONVERTER_OPT_RESAMPLER_METHOD, GST_TYPE_VIDEO_RESAMPLER_METHOD,
                          GST_VIDEO_RESAMPLER_METHOD_LINEAR, GST_VIDEO_CONVERTER_OPT_THREADS, G_TYPE_UINT, 1, NULL));
}

void canvas_video(struct canvas *c, unsigned slot, GstBuffer *picture, const GstVideoInfo *info, struct canvas_rect rect)
{
    struct scaler *s = &c->scalers[slot];
    struct canvas_rect to = fit(info, rect);
    if (!s->converter || !same_size(&s->from, info) || memcmp(&s->rect, &to, sizeof to) != 0) {
        if (s->converter)
            gst_video_converter_free(s->converter);
        s->converter = make_scaler(c, info, to);
        s->from = *info;
        s->rect = to;
    }
    GstVideoFrame frame;
    if (!s->converter || !gst_video_frame_map(&frame, info, picture, GST_MAP_READ))
        return;
    gst_video_converter_frame(s->converter, &frame, &c->frame);
    gst_video_frame_unmap(&frame);
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static PangoLayout *make_text(cairo_t *cr, const char *text, int pixels, bool bold, int width)
{
    PangoLayout *layout = pango_cairo_create_layout(cr);
    PangoFontDescription *font = pango_font_description_from_string(FONT);
    pango_font_description_set_absolute_size(font, pixels * PANGO_SCALE);
    pango_font_description_set_weight(font, bold ? PANGO_WEIGHT_SEMIBOLD : PANGO_WEIGHT_NORMAL);
    pango_layout_set_font_description(layout, font);
    pango_layout_set_text(layout, text, -1);
    pango_layout_set_width(layout, width * PANGO_SCALE);
    pango_layout_set_ellipsize(layout, PANGO_ELLIPSIZE_END);
    pango_font_description_free(font);
    return layout;
}

static void fill(cairo_t *cr, const double colour[3], double alpha, double x, double y, double w, double h)
{
    cairo_set_source_rgba(cr, colour[0], colour[1], colour[2], alpha);
    cairo_rectangle(cr, x, y, w, h);
    cairo_fill(cr);
}

static void show(cairo_t *cr, PangoLayout *layout, const double colour[3], double x, double y)
{
    cairo_set_source_rgb(cr, colour[0], colour[1], colour[2]);
    cairo_move_to(cr, x, y);
    pango_cairo_show_layout(cr, layout);
    g_object_unref(layout);
}

static bool overlay_allocate(struct overlay *o, int width, int height)
{
    size_t n = (size_t)width * (size_t)height;
    uint8_t *bytes = malloc(n * 2 + n / 4 * 3);
    if (!bytes)
        return false;
    *o = (struct overlay){.width = width,
                          .height = height,
                          .y = bytes,
                          .cover = bytes + n,
                          .half_cover = bytes + 2 * n,
                          .u = bytes + 2 * n + n / 4,
                          .v = bytes + 2 * n + n / 2};
    return true;
}

/* Cairo's premultiplied ARGB → planes. */
static void overlay_take(struct overlay *o, cairo_surface_t *surface)
{
    cairo_surface_flush(surface);
    const uint8_t *bytes = cairo_image_surface_get_data(surface);
    int row = cairo_image_surface_get_stride(surface);
    for (int y = 0; y < o->height; y++)
        for (int x = 0; x < o->width; x++) {
            uint32_t p;
            memcpy(&p, bytes + y * row + x * 4, 4);
            double a = (p >> 24) / 255.0, scale = a > 0 ? 1 / (255 * a) : 0;
            double r = (p >> 16 & 255) * scale, g = (p >> 8 & 255) * scale, b = (p & 255) * scale;
            int at = y * o->width + x, half = y / 2 * (o->width / 2) + x / 2;
            o->y[at] = luma(r, g, b);
            o->cover[at] = (uint8_t)(p >> 24);
            if ((x | y) % 2 == 0) {
                o->u[half] = chroma_u(r, g, b);
                o->v[half] = chroma_v(r, g, b);
                o->half_cover[half] = (uint8_t)(p >> 24);
            }
        }
}

static void blend(uint8_t *to, int to_stride, const uint8_t *from, const uint8_t *cover, int width, int height)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            unsigned a = cover[y * width + x];
            uint8_t *p = &to[y * to_stride + x];
            if (a)
                *p = (uint8_t)((from[y * width + x] * a + *p * (255 - a) + 127) / 255);
        }
}

static void overlay_blend(struct canvas *c, const struct overlay *o, int x, int y)
{
    blend(plane(c, 0) + y * stride(c, 0) + x, stride(c, 0), o->y, o->cover, o->width, o->height);
    blend(plane(c, 1) + y / 2 * stride(c, 1) + x / 2, stride(c, 1), o->u, o->half_cover, o->width / 2, o->height / 2);
    blend(plane(c, 2) + y / 2 * stride(c, 2) + x / 2, stride(c, 2), o->v, o->half_cover, o->width / 2, o->height / 2);
}

/* A drawn overlay by its key, or an empty place for it. The places go round. */
static struct overlay *find_overlay(struct canvas *c, const char *key, bool *ret_drawn)
{
    for (unsigned i = 0; i < OVERLAYS && i < c->n_overlays; i++)
        if (c->overlays[i].key && strcmp(c->overlays[i].key, key) == 0) {
            *ret_drawn = true;
            return &c->overlays[i];
        }
    struct overlay *o = &c->overlays[c->n_overlays < OVERLAYS ? c->n_overlays++ : (unsigned)strlen(key) % OVERLAYS];
    overlay_clear(o);
    *ret_drawn = false;
    return o;
}

static void draw_caption(cairo_t *cr, int width, const char *name)
{
    fill(cr, lacquer, 0.86, 0, 0, width, CAPTION_HEIGHT);
    fill(cr, cinnabar, 1, 0, 0, BAR_WIDTH, CAPTION_HEIGHT);
    show(cr, make_text(cr, name, 28, true, width - BAR_WIDTH - 36), ink, BAR_WIDTH + 18, 8);
}

static int text_width(const char *text, int pixels)
{
    cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
    cairo_t *cr = cairo_create(s);
    PangoLayout *layout = make_text(cr, text, pixels, true, -1);
    int width;
    pango_layout_set_width(layout, -1);
    pango_layout_get_pixel_size(layout, &width, NULL);
    g_object_unref(layout);
    cairo_destroy(cr);
    cairo_surface_destroy(s);
    return width;
}

void canvas_caption(struct canvas *c, int x, int bottom, int room, const char *name)
{
    if (!*name)
        return;
    char *key = g_strdup_printf("caption %d %s", room, name);
    bool drawn;
    struct overlay *o = find_overlay(c, key, &drawn);
    int width = text_width(name, 28) + BAR_WIDTH + 40;
    width = (width < room ? width : room) & ~1;
    if (!drawn && width > 2 && overlay_allocate(o, width, CAPTION_HEIGHT)) {
        cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, width, CAPTION_HEIGHT);
        cairo_t *cr = cairo_create(s);
        draw_caption(cr, width, name);
        cairo_destroy(cr);
        overlay_take(o, s);
        cairo_surface_destroy(s);
        o->key = strdup(key);
    }
    if (o->y)
        overlay_blend(c, o, x, bottom - CAPTION_HEIGHT);
    g_free(key);
}

static void draw_card(cairo_t *cr, struct canvas_rect r, const char *name, const char *below)
{
    bool large = r.width > CANVAS_WIDTH / 2;
    int size = large ? 52 : 22, small = large ? 26 : 14, left = r.width / 10;
    fill(cr, raised, 1, 0, 0, r.width, r.height);
    fill(cr, cinnabar, 1, left, r.height / 2.0 - size, BAR_WIDTH, 2.0 * size);
    show(cr, make_text(cr, name, size, true, r.width - left * 2 - 24), ink, left + 24, r.height / 2.0 - size);
    show(cr, make_text(cr, below, small, false, r.width - left * 2 - 24), dim, left + 24, r.height / 2.0 + size * 0.45);
}

void canvas_card(struct canvas *c, struct canvas_rect rect, const char *name, const char *below)
{
    char *key = g_strdup_printf("card %dx%d %s|%s", rect.width, rect.height, name, below);
    bool drawn;
    struct overlay *o = find_overlay(c, key, &drawn);
    if (!drawn && overlay_allocate(o, rect.width, rect.height)) {
        cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_ARGB32, rect.width, rect.height);
        cairo_t *cr = cairo_create(s);
        draw_card(cr, rect, name, below);
        cairo_destroy(cr);
        overlay_take(o, s);
        cairo_surface_destroy(s);
        o->key = strdup(key);
    }
    if (o->y)
        overlay_blend(c, o, rect.x, rect.y);
    g_free(key);
}

/* --- out ---------------------------------------------------------------------------------------------------------- */

GstBuffer *canvas_copy(struct canvas *c)
{
    size_t size = GST_VIDEO_INFO_SIZE(&c->info);
    GstBuffer *b = gst_buffer_new_allocate(NULL, size, NULL);
    if (b)
        gst_buffer_fill(b, 0, plane(c, 0), size); /* the planes of our own buffer lie one behind the other */
    return b;
}

struct jpeg {
    uint8_t *bytes;
    size_t len;
};

static void keep_jpeg(void *ctx, GstBuffer *buffer, GstCaps *caps)
{
    struct jpeg *j = ctx;
    size_t len = gst_buffer_get_size(buffer);
    if (!j->bytes && (j->bytes = malloc(len))) {
        gst_buffer_extract(buffer, 0, j->bytes, len);
        j->len = len;
    }
}

static GstBuffer *make_small(struct canvas *c, const GstVideoInfo *small)
{
    GstVideoConverter *converter = gst_video_converter_new(
        &c->info, (GstVideoInfo *)small, gst_structure_new("scale", GST_VIDEO_CONVERTER_OPT_THREADS, G_TYPE_UINT, 1, NULL));
    GstBuffer *b = gst_buffer_new_allocate(NULL, GST_VIDEO_INFO_SIZE(small), NULL);
    GstVideoFrame frame;
    if (converter && b && gst_video_frame_map(&frame, small, b, GST_MAP_WRITE)) {
        gst_video_converter_frame(converter, &c->frame, &frame);
        gst_video_frame_unmap(&frame);
        GST_BUFFER_PTS(b) = 0;
    }
    if (converter)
        gst_video_converter_free(converter);
    return b;
}

int canvas_thumb(struct canvas *c, uint8_t **ret_bytes, size_t *ret_len)
{
    GstVideoInfo small;
    gst_video_info_set_format(&small, GST_VIDEO_FORMAT_I420, CANVAS_THUMB_WIDTH, CANVAS_THUMB_HEIGHT);
    small.colorimetry = c->info.colorimetry;
    small.fps_n = c->info.fps_n; /* a converter wants the same on both sides */
    small.fps_d = c->info.fps_d;
    GstCaps *caps = gst_video_info_to_caps(&small);
    struct jpeg jpeg = {0};
    struct element *encoder;
    int err = element_new("jpegenc quality=82", caps, keep_jpeg, &jpeg, &encoder);
    gst_caps_unref(caps);
    if (err)
        return err;
    GstBuffer *b = make_small(c, &small);
    err = b ? element_push(encoder, b) : ERR_NOMEM;
    element_end(encoder);
    element_free(encoder);
    if (err || !jpeg.bytes) {
        free(jpeg.bytes);
        return err ? err : ERR_IO;
    }
    *ret_bytes = jpeg.bytes;
    *ret_len = jpeg.len;
    return 0;
}
