/* What lies beside the programme: chapters.vtt, chapters.json, thumbs/NN.jpg (NN from 01, one for each chapter).
 *
 * chapters.json is an array of {"start_s","end_s","number","unit","title","thumb"}. ERR_IO, ERR_FULL, ERR_NOMEM. */
#pragma once

#include "recordings/timeline.h"

struct canvas;

int chapters_prepare(int dir_fd); /* makes thumbs/ */
int chapters_write_thumb(int dir_fd, size_t chapter, struct canvas *canvas);
int chapters_write(int dir_fd, const struct timeline *t);
