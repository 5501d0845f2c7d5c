/* GStreamer elements run in the caller's thread: buffer in, buffers out before the call returns.
 *
 * A muxer, demuxer, parser, decoder or encoder of GStreamer works inside the chain function of its sink pad. We give it a
 * source pad in front and a sink pad behind, so there is no streaming thread, no queue and no clock: what comes out follows
 * from what went in. gst_setup() loads the plugins that we name, from GStreamer's own directory, without a registry scan.
 *
 * Ownership: element_push() takes the buffer, the output callback borrows it. Thread: one object a thread. Errors: ERR_IO
 * with a text from element_error(). */
#pragma once

#include <gst/gst.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Call once in main, before any other thread. `why` gets the reason. ERR_NOTFOUND: a plugin is missing. */
int gst_setup(char *why, size_t why_bytes);

typedef void element_output(void *ctx, GstBuffer *buffer, GstCaps *caps);

struct element;

/* `description` as for gst-launch ("h264parse ! openh264dec"), one loose sink and one loose source pad; a demuxer's source
 * pad may come later, its first one counts. `caps` of what goes in (borrowed), NULL: plain bytes. */
int element_new(const char *description, GstCaps *caps, element_output *output, void *ctx, struct element **ret);
void element_free(struct element *e); /* NULL is fine */

int element_push(struct element *e, GstBuffer *buffer);
/* End of stream: drains what the element holds back. */
int element_end(struct element *e);
/* Of what comes out; NULL before the first buffer. Borrowed. */
GstCaps *element_caps(const struct element *e);
const char *element_error(struct element *e);

/* A buffer with a copy of `bytes` and a time stamp. */
GstBuffer *buffer_copy(const void *bytes, size_t len, int64_t pts_us);
