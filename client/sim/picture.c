#include "sim/picture.h"

#include <assert.h>
#include <math.h>
#include <pango/pangocairo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = 16, ROWS = 12, WHITE = 235, BLACK = 16 };

struct picture {
    int width, height, fps;
    unsigned source;
    char name[96];
    cairo_surface_t *surface;
    uint8_t *planes;
};

static const double grounds[][3] = {
    {0.25, 0.32, 0.38}, {0.42, 0.33, 0.27}, {0.26, 0.40, 0.34}, {0.32, 0.28, 0.46},
    {0.36, 0.42, 0.27}, {0.45, 0.27, 0.37}, {0.24, 0.38, 0.42}, {0.42, 0.40, 0.27},
};
static const double skins[][3] = {{0.77, 0.55, 0.35}, {0.83, 0.60, 0.46}, {0.73, 0.53, 0.31}, {0.78, 0.60, 0.48}};

struct picture *picture_new(int width, int height, int fps, unsigned source, const char *name)
{
    struct picture *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->width = width;
    p->height = height;
    p->fps = fps;
    p->source = source & 0xff;
    snprintf(p->name, sizeof p->name, "%s", name);
    p->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    p->planes = malloc((size_t)width * (size_t)height * 3 / 2 + 64);
    if (!p->planes || cairo_surface_status(p->surface) != CAIRO_STATUS_SUCCESS) {
        picture_free(p);
        return NULL;
    }
    return p;
}

void picture_free(struct picture *p)
{
    if (!p)
        return;
    cairo_surface_destroy(p->surface);
    free(p->planes);
    free(p);
}

static void draw_text(cairo_t *c, double x, double y, double size, const char *text)
{
    PangoLayout *layout = pango_cairo_create_layout(c);
    PangoFontDescription *font = pango_font_description_from_string("Be Vietnam Pro, DejaVu Sans Bold");
    pango_font_description_set_absolute_size(font, size * PANGO_SCALE);
    pango_font_description_set_weight(font, PANGO_WEIGHT_BOLD);
    pango_layout_set_font_description(layout, font);
    pango_layout_set_text(layout, text, -1);
    cairo_move_to(c, x, y);
    pango_cairo_show_layout(c, layout);
    pango_font_description_free(font);
    g_object_unref(layout);
}

static void draw_person(cairo_t *c, double x, double y, double r, const double skin[3], double sway)
{
    cairo_set_source_rgb(c, 0.16, 0.15, 0.17);
    cairo_arc(c, x, y + 3.1 * r, 2.0 * r, M_PI, 2 * M_PI);
    cairo_fill(c);
    cairo_set_source_rgb(c, skin[0], skin[1], skin[2]);
    cairo_arc(c, x + sway, y, r, 0, 2 * M_PI);
    cairo_fill(c);
    cairo_set_source_rgb(c, 0.09, 0.09, 0.08);
    cairo_arc(c, x + sway, y - 0.15 * r, r * 1.02, M_PI, 2 * M_PI);
    cairo_fill(c);
}

static void draw_room(const struct picture *p, cairo_t *c, unsigned frame)
{
    double w = p->width, h = p->height;
    const double *ground = grounds[p->source % 8];
    unsigned people = 1 + p->source % 3;

    cairo_set_source_rgb(c, ground[0], ground[1], ground[2]);
    cairo_paint(c);
    for (unsigned i = 0; i < people; i++) {
        double sway = 0.004 * w * sin(2 * M_PI * frame / (2.0 * p->fps) + i);
        double x = w * (0.10 + 0.56 * (i + 0.5) / people);
        draw_person(c, x, h * 0.47, h * 0.10, skins[(p->source + i) % 4], sway);
    }
    cairo_set_source_rgb(c, 0.28, 0.18, 0.13);
    cairo_rectangle(c, 0, h * 0.72, w, h * 0.28);
    cairo_fill(c);
    cairo_set_source_rgb(c, 0.43, 0.30, 0.19);
    cairo_rectangle(c, 0, h * 0.72, w, h * 0.02);
    cairo_fill(c);

    unsigned seconds = frame / (unsigned)p->fps;
    char clock[32];
    snprintf(clock, sizeof clock, "%02u.%02u", seconds, frame % (unsigned)p->fps);
    cairo_set_source_rgb(c, 0.96, 0.94, 0.91);
    draw_text(c, w * 0.03, h * 0.79, h * 0.075, p->name);
    draw_text(c, w * 0.03, h * 0.89, h * 0.055, clock);
}

static void to_planes(const struct picture *p, uint8_t *y, uint8_t *u, uint8_t *v)
{
    const uint8_t *rgb = cairo_image_surface_get_data(p->surface);
    int stride = cairo_image_surface_get_stride(p->surface);
    for (int row = 0; row < p->height; row++) {
        const uint32_t *line = (const uint32_t *)(const void *)(rgb + (ptrdiff_t)row * stride);
        for (int x = 0; x < p->width; x++) {
            int r = line[x] >> 16 & 255, g = line[x] >> 8 & 255, b = line[x] & 255;
            y[row * p->width + x] = (uint8_t)((66 * r + 129 * g + 25 * b + 128) / 256 + 16);
            if (row % 2 == 0 && x % 2 == 0) {
                int at = row / 2 * (p->width / 2) + x / 2;
                u[at] = (uint8_t)((-38 * r - 74 * g + 112 * b + 128) / 256 + 128);
                v[at] = (uint8_t)((112 * r - 94 * g - 18 * b + 128) / 256 + 128);
            }
        }
    }
}

static unsigned check_of(unsigned source, unsigned frame)
{
    return (source * 7 + (frame >> 8 & 255) * 13 + (frame & 255) * 29 + 5) & 63;
}

/* The luma of a rectangle given in sixteenths of the width and twelfths of the height. */
static void fill_cells(const struct picture *p, uint8_t *y, int x0, int x1, int y0, int y1, uint8_t luma)
{
    int left = x0 * p->width / CELLS, right = x1 * p->width / CELLS;
    for (int row = y0 * p->height / ROWS; row < y1 * p->height / ROWS; row++)
        memset(y + row * p->width + left, luma, (size_t)(right - left));
}

static void neutral_chroma(const struct picture *p, uint8_t *plane, int x0, int x1, int y0, int y1)
{
    int stride = p->width / 2, left = x0 * p->width / CELLS / 2, right = x1 * p->width / CELLS / 2;
    for (int row = y0 * p->height / ROWS / 2; row < y1 * p->height / ROWS / 2; row++)
        memset(plane + row * stride + left, 128, (size_t)(right - left));
}

void picture_draw(struct picture *p, unsigned frame, struct picture_frame *ret)
{
    int w = p->width, h = p->height;
    uint8_t *y = p->planes, *u = y + w * h, *v = u + (w / 2) * (h / 2);
    cairo_t *c = cairo_create(p->surface);
    draw_room(p, c, frame);
    cairo_destroy(c);
    cairo_surface_flush(p->surface);
    to_planes(p, y, u, v);

    uint32_t rows[2] = {0x8000 | p->source << 6 | check_of(p->source, frame), frame & 0xffff};
    for (int row = 0; row < 2; row++)
        for (int i = 0; i < CELLS; i++)
            fill_cells(p, y, i, i + 1, row, row + 1, rows[row] >> (CELLS - 1 - i) & 1 ? WHITE : BLACK);
    fill_cells(p, y, 11, 15, 4, 8, frame % (unsigned)p->fps == 0 ? WHITE : BLACK);
    neutral_chroma(p, u, 0, 16, 0, 2);
    neutral_chroma(p, v, 0, 16, 0, 2);
    neutral_chroma(p, u, 11, 15, 4, 8);
    neutral_chroma(p, v, 11, 15, 4, 8);
    *ret = (struct picture_frame){.y = y, .u = u, .v = v, .width = w, .height = h, .y_stride = w, .uv_stride = w / 2};
}

/* Mean luma of the middle half of a rectangle in cells. */
static unsigned mean_luma(const uint8_t *y, int stride, int width, int height, int x0, int x1, int y0, int y1)
{
    int left = (3 * x0 + x1) * width / (4 * CELLS), right = (x0 + 3 * x1) * width / (4 * CELLS);
    int top = (3 * y0 + y1) * height / (4 * ROWS), bottom = (y0 + 3 * y1) * height / (4 * ROWS);
    unsigned sum = 0, count = 0;
    for (int row = top; row <= bottom; row++) {
        for (int x = left; x <= right; x++) {
            sum += y[row * stride + x];
            count++;
        }
    }
    assert(count > 0); /* the bounds are inclusive */
    return sum / count;
}

bool picture_read(const uint8_t *y, int stride, int width, int height, unsigned *ret_source, unsigned *ret_frame)
{
    uint32_t rows[2] = {0, 0};
    for (int row = 0; row < 2; row++)
        for (int i = 0; i < CELLS; i++)
            rows[row] = rows[row] << 1 | (mean_luma(y, stride, width, height, i, i + 1, row, row + 1) > 125);
    unsigned source = rows[0] >> 6 & 0xff;
    if (rows[0] >> 14 != 2 || (rows[0] & 63) != check_of(source, rows[1]))
        return false;
    *ret_source = source;
    *ret_frame = rows[1];
    return true;
}

bool picture_flash(const uint8_t *y, int stride, int width, int height)
{
    return mean_luma(y, stride, width, height, 11, 15, 4, 8) > 125;
}
