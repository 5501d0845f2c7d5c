/* giaoban-recorder --link: the recorder under its supervisor. Messages of base/link.h on descriptor 3: feeds come in, the
 * heartbeat goes out, LINK_RECORD_STOP ends the recording, LINK_STOP or a broken link leaves it for a successor. Thread:
 * main. */
#pragma once

/* Returns the process's exit status. */
int link_loop_run(const char *dir);
