/* The simulated room's picture: a conference room with the unit's name, a clock, a flash, and a code that programs read.
 *
 * Geometry, in fractions of the picture, so that it can be read at every layer and from a scaled canvas. Two rows of 16
 * cells fill the top sixth; a cell is 1/16 of the width and 1/12 of the height, white (235) for 1 and black (16) for 0.
 *   row 0: 1 0 | source, 8 bits | check, 6 bits        row 1: frame number, 16 bits          (most significant first)
 *   check = (source × 7 + (frame >> 8) × 13 + (frame & 255) × 29 + 5) mod 64
 * Flash: the rectangle x 11/16 … 15/16, y 4/12 … 8/12 is white in every frame whose number is a multiple of the frame rate,
 * black in all others. The beep in the sound (sound.h) begins at that frame's capture time.
 *
 * Pure but for Pango's font cache. Thread: one drawing at a time for each `struct picture`. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct picture;

struct picture_frame { /* I420, borrowed until the next draw or free */
    const uint8_t *y, *u, *v;
    int width, height, y_stride, uv_stride;
};

/* `name` is copied. `source` 0…255 chooses the colours and people too. `fps` is the frame rate that flash and clock follow.
 * NULL when out of memory. */
struct picture *picture_new(int width, int height, int fps, unsigned source, const char *name);
void picture_free(struct picture *p); /* NULL is fine */

void picture_draw(struct picture *p, unsigned frame, struct picture_frame *ret);

/* Reads the code from a luma plane. False when the marker or the check is wrong. */
bool picture_read(const uint8_t *y, int stride, int width, int height, unsigned *ret_source, unsigned *ret_frame);
/* Whether the flash is on. */
bool picture_flash(const uint8_t *y, int stride, int width, int height);
