/* Composing: a recording's files → the programme, its chapters and thumbnails. A fresh process, from files alone.
 *
 * One loop over the programme's pictures: at each 25th of a second the timeline says who is on the stage, that track's
 * picture nearest to the moment is drawn, the sound of all microphones in it is added up. Nothing runs on a clock, so the
 * result follows from the files. progress.json has the percentage, and the reason when it fails.
 *
 * Thread: main. */
#pragma once

#include "recordings/programme.h"

/* Returns the process's exit status. */
int compose_run(const char *dir, enum programme_format format);
