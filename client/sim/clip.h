/* Clip: a simulated room's picture and sound, encoded once with libvpx and libopus, looped for ever, cached on disk.
 *
 * A browser sends a keyframe at the start and when asked. So that an encoded-once loop can do the same at any frame, each
 * layer holds for every position of the loop an inter frame and a stand-alone keyframe of the same raw picture. The
 * encoder runs error resilient: a frame's entropy contexts depend on no other frame, so the chain of inter frames goes on
 * after any keyframe, a little off. The loop's first inter frame has intra blocks only: it ends what is off, so that no
 * turn of the loop adds to it.
 *
 * Frame number n of the loop carries n in the picture (picture.h); sound frame m holds samples m × 960 … of the same clock.
 * The bytes are a read-only mapping of the cache file. Thread: any after clip_open(). */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    CLIP_LAYERS = 3, /* 0 lowest (a quarter of the width) … 2 full size */
    CLIP_SECONDS = 8,
    CLIP_SOUND_FRAMES = CLIP_SECONDS * 50, /* 20 ms each */
};

struct clip;

struct clip_spec {
    int width, height, fps; /* of the highest layer: multiples of 8; fps 1…60 */
    unsigned source;        /* 0…255: colours, tone, code */
    const char *name;       /* the unit's short name, UTF-8 */
};

struct clip_bytes {
    const uint8_t *bytes;
    size_t len;
};

/* Takes the clip from `cache_dir` (made when missing) or encodes it, which takes a second or two. ERR_IO, ERR_NOMEM,
 * ERR_RANGE. */
int clip_open(const char *cache_dir, const struct clip_spec *spec, struct clip **ret_clip);
void clip_free(struct clip *c); /* NULL is fine */

unsigned clip_frames(const struct clip *c); /* frames in the loop: fps × CLIP_SECONDS */
void clip_layer_size(const struct clip *c, unsigned layer, int *ret_width, int *ret_height);
struct clip_bytes clip_picture(const struct clip *c, unsigned layer, unsigned frame, int keyframe);
struct clip_bytes clip_sound(const struct clip *c, unsigned frame, uint8_t *ret_level);
