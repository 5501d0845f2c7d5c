/* Visits every picture and sample of a programme, decoded: for checks and tests. MP4 (H.264, AAC) and WebM (VP8, Opus).
 * Thread: the caller's. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct media_visitor {
    /* Luma plane of one picture. */
    void (*picture)(void *ctx, int64_t at_us, const uint8_t *y, int stride, int width, int height);
    /* `n` samples of 48 kHz mono that begin at `at_us`. */
    void (*sound)(void *ctx, int64_t at_us, const int16_t *samples, size_t n);
    void *ctx;
};

/* `ret_chapters`: chapters inside the file, −1 when the format here has none (MP4). ERR_NOTFOUND, ERR_UNSUPPORTED (name),
 * ERR_IO with a reason in `why`. */
int media_visit(const char *path, const struct media_visitor *v, int *ret_chapters, char *why, size_t why_bytes);
