/* Canvas: one picture of the programme, 1280 × 720, drawn from scaled videos and Pango text in the product's colours.
 * Colours are BT.601 limited range, as VP8's. Font: Be Vietnam Pro when installed, else Noto Sans or DejaVu Sans. Thread:
 * one. */
#pragma once

#include <gst/video/video.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CANVAS_WIDTH = 1280, CANVAS_HEIGHT = 720, CANVAS_VIDEOS = 2, CANVAS_THUMB_WIDTH = 320, CANVAS_THUMB_HEIGHT = 180 };

struct canvas;

struct canvas_rect {
    int x, y, width, height; /* even */
};

int canvas_new(struct canvas **ret);
void canvas_free(struct canvas *c); /* NULL is fine */

void canvas_clear(struct canvas *c); /* lacquer */
/* Scales `picture` into `rect`, keeping its shape. `slot` < CANVAS_VIDEOS: keeps its scaler from call to call. */
void canvas_video(struct canvas *c, unsigned slot, GstBuffer *picture, const GstVideoInfo *info, struct canvas_rect rect);
/* Caption with its lower left corner at (x, bottom), at most `room` wide: a cinnabar bar and the name. Even numbers. */
void canvas_caption(struct canvas *c, int x, int bottom, int room, const char *name);
/* A card for somebody without a picture. */
void canvas_card(struct canvas *c, struct canvas_rect rect, const char *name, const char *below);

/* A copy of what is drawn; NULL: no memory. */
GstBuffer *canvas_copy(struct canvas *c);
/* A small JPEG, malloc'd. ERR_IO, ERR_NOMEM. */
int canvas_thumb(struct canvas *c, uint8_t **ret_bytes, size_t *ret_len);
