/* giaoban-recorder --link: the recorder under its supervisor. Messages of base/link.h on descriptor 3: feeds come in, the
 * heartbeat goes out, LINK_RECORD_STOP ends the recording, LINK_STOP with a successor leaves what is in the feeds to it,
 * without one, or when the link breaks, all of it is written. The directory is locked: never two recorders on one. Thread:
 * main. */
#pragma once

#include "box/box.h"

/* Returns the process's exit status. */
int link_loop_run(const char *dir, enum box_mode box);
