/* Manifest: every file of a recording with its bytes and SHA-256.
 *
 * Written by the recorder at its end, then again by the composer. For the composer a file that is listed keeps its
 * line, so that a change since then shows; only what it makes (programme, chapters, thumbs) is hashed again. Not listed:
 * files about the work in progress (index.json, synced.json, progress.json) and the manifest. Thread: any. */
#pragma once

#include <stdbool.h>

/* `keep`: the composer's way, lines of the former manifest stay; else (the recorder, whose files may have grown) all is
 * hashed. `beat` is called after every megabyte, so that a supervisor sees life; NULL is fine. ERR_IO, ERR_NOMEM, ERR_FULL.
 */
int manifest_write(int dir_fd, bool keep, void (*beat)(void *ctx), void *ctx);
