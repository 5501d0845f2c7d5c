/* Manifest: every file of a recording with its bytes and SHA-256.
 *
 * Written by the recorder at its end, then again by the composer. A file that is listed already keeps its line, so that a change
 * since then shows; only what the composer makes (programme, chapters, thumbs) is hashed again. Not listed: files about the work
 * in progress (index.json, synced.json, progress.json) and the manifest. Thread: any. */
#pragma once

/* `beat` is called after every megabyte, so that a supervisor sees life; NULL is fine. ERR_IO, ERR_NOMEM, ERR_FULL. */
int manifest_write(int dir_fd, void (*beat)(void *ctx), void *ctx);
