#include "sim/clip.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "sim/picture.h"
#include "sim/sound.h"

#include <assert.h>
#include <fcntl.h>
#include <opus/opus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vpx/vp8cx.h>
#include <vpx/vpx_encoder.h>

#define CLIP_MAGIC "giaoban clip 6\n"
/* LEAD_IN: pictures before the loop's first, for the rate control to settle. */
enum { LEAD_IN = 12, SOUND_SAMPLES = SOUND_RATE / 50, SOUND_MAX = 400, FPS_MAX = 60 };

struct entry {
    uint32_t offset, len;
};

/* The cache file: this head, then the entries' bytes. */
struct head {
    char magic[16];
    uint32_t width, height, fps, source, frames, bytes;
    struct entry picture[CLIP_LAYERS][2][FPS_MAX * CLIP_SECONDS];
    struct entry sound[CLIP_SOUND_FRAMES];
    uint8_t level[CLIP_SOUND_FRAMES];
};

struct clip {
    const struct head *head;
    size_t mapped;
};

struct sink {
    FILE *file;
    uint32_t at;
};

static int sink_put(struct sink *s, const void *bytes, size_t len, struct entry *ret)
{
    if (fwrite(bytes, 1, len, s->file) != len)
        return ERR_IO;
    *ret = (struct entry){.offset = s->at, .len = (uint32_t)len};
    s->at += (uint32_t)len;
    return 0;
}

static int encoder_open(vpx_codec_ctx_t *codec, int width, int height, int fps, unsigned kbps, int speed)
{
    vpx_codec_enc_cfg_t cfg;
    if (vpx_codec_enc_config_default(vpx_codec_vp8_cx(), &cfg, 0))
        return ERR_UNSUPPORTED;
    cfg.g_w = (unsigned)width;
    cfg.g_h = (unsigned)height;
    cfg.g_timebase = (vpx_rational_t){1, fps};
    cfg.g_threads = 1;
    cfg.g_error_resilient = VPX_ERROR_RESILIENT_DEFAULT;
    cfg.g_lag_in_frames = 0;
    cfg.rc_end_usage = VPX_CBR;
    cfg.rc_target_bitrate = kbps;
    cfg.rc_min_quantizer = 4;
    cfg.rc_max_quantizer = 36;
    cfg.kf_mode = VPX_KF_DISABLED;
    if (vpx_codec_enc_init(codec, vpx_codec_vp8_cx(), &cfg, 0))
        return ERR_NOMEM;
    vpx_codec_control(codec, VP8E_SET_CPUUSED, speed);
    vpx_codec_control(codec, VP8E_SET_STATIC_THRESHOLD, 1);
    /* only the last frame is referred to, so that a keyframe in its place is all a decoder needs */
    return 0;
}

enum frame_kind {
    FRAME_INTER,
    FRAME_INTRA, /* an inter frame all of whose blocks are intra: no keyframe, but nothing of the past goes on in it */
    FRAME_KEY,
};

static int encode(vpx_codec_ctx_t *codec, const struct picture_frame *f, int64_t pts, enum frame_kind kind,
                  struct sink *sink, struct entry *ret)
{
    enum { LAST_ONLY = VP8_EFLAG_NO_REF_GF | VP8_EFLAG_NO_REF_ARF | VP8_EFLAG_NO_UPD_GF | VP8_EFLAG_NO_UPD_ARF };
    static const vpx_enc_frame_flags_t flags[] = {
        [FRAME_INTER] = LAST_ONLY,
        [FRAME_INTRA] = LAST_ONLY | VP8_EFLAG_NO_REF_LAST,
        [FRAME_KEY] = VPX_EFLAG_FORCE_KF,
    };
    vpx_image_t image;
    vpx_img_wrap(&image, VPX_IMG_FMT_I420, (unsigned)f->width, (unsigned)f->height, 1, (uint8_t *)f->y);
    image.planes[VPX_PLANE_Y] = (uint8_t *)f->y;
    image.planes[VPX_PLANE_U] = (uint8_t *)f->u;
    image.planes[VPX_PLANE_V] = (uint8_t *)f->v;
    image.stride[VPX_PLANE_Y] = f->y_stride;
    image.stride[VPX_PLANE_U] = image.stride[VPX_PLANE_V] = f->uv_stride;
    if (vpx_codec_encode(codec, &image, pts, 1, flags[kind], VPX_DL_REALTIME))
        return ERR_IO;
    vpx_codec_iter_t iter = NULL;
    const vpx_codec_cx_pkt_t *packet;
    while ((packet = vpx_codec_get_cx_data(codec, &iter)))
        if (packet->kind == VPX_CODEC_CX_FRAME_PKT)
            return ret ? sink_put(sink, packet->data.frame.buf, packet->data.frame.sz, ret) : 0;
    return ERR_IO; /* no frame dropping is configured: each picture yields a frame */
}

static int encode_layer(const struct clip_spec *spec, unsigned layer, struct head *head, struct sink *sink)
{
    static const unsigned kbps[CLIP_LAYERS] = {120, 360, 1000};
    int shift = (int)(CLIP_LAYERS - 1 - layer), width = spec->width >> shift, height = spec->height >> shift;
    unsigned frames = head->frames;
    assert(frames > 0); /* clip_open() has seen to spec->fps */
    vpx_codec_ctx_t chain, single;
    int err = encoder_open(&chain, width, height, spec->fps, kbps[layer], 12);
    if (err)
        return err;
    err = encoder_open(&single, width, height, spec->fps, kbps[layer] * 4, 16);
    if (err) {
        vpx_codec_destroy(&chain);
        return err;
    }
    struct picture *picture = picture_new(width, height, spec->fps, spec->source, spec->name);
    if (!picture)
        err = ERR_NOMEM;
    for (unsigned i = 0; !err && i < LEAD_IN + frames; i++) {
        struct picture_frame raw;
        bool kept = i >= LEAD_IN;
        unsigned n = (i + frames - LEAD_IN) % frames;
        picture_draw(picture, n, &raw);
        enum frame_kind kind = i == 0 ? FRAME_KEY : n == 0 ? FRAME_INTRA : FRAME_INTER;
        err = encode(&chain, &raw, i, kind, sink, kept ? &head->picture[layer][0][n] : NULL);
        if (!err && kept)
            err = encode(&single, &raw, n, FRAME_KEY, sink, &head->picture[layer][1][n]);
    }
    picture_free(picture);
    vpx_codec_destroy(&chain);
    vpx_codec_destroy(&single);
    return err;
}

static int encode_sound(const struct clip_spec *spec, struct head *head, struct sink *sink)
{
    int err = 0;
    OpusEncoder *opus = opus_encoder_create(SOUND_RATE, 1, OPUS_APPLICATION_AUDIO, &err);
    if (!opus)
        return ERR_NOMEM;
    opus_encoder_ctl(opus, OPUS_SET_BITRATE(32000));
    opus_encoder_ctl(opus, OPUS_SET_COMPLEXITY(5));
    err = 0;
    for (unsigned i = 0; !err && i < 2 * CLIP_SOUND_FRAMES; i++) {
        int16_t samples[SOUND_SAMPLES];
        uint8_t bytes[SOUND_MAX];
        unsigned n = i % CLIP_SOUND_FRAMES;
        sound_make(spec->source, (uint64_t)n * SOUND_SAMPLES, samples, SOUND_SAMPLES);
        int len = opus_encode(opus, samples, SOUND_SAMPLES, bytes, sizeof bytes);
        if (len < 0)
            err = ERR_IO;
        else if (i >= CLIP_SOUND_FRAMES) {
            err = sink_put(sink, bytes, (size_t)len, &head->sound[n]);
            head->level[n] = sound_level(samples, SOUND_SAMPLES);
        }
    }
    opus_encoder_destroy(opus);
    return err;
}

/* Writes to a temporary name and renames, so that two simulators never see half a clip. */
static int make_file(const char *path, const struct clip_spec *spec, struct head *head)
{
    char temporary[4096];
    snprintf(temporary, sizeof temporary, "%s.%d", path, (int)getpid());
    struct sink sink = {.file = fopen(temporary, "wb"), .at = sizeof *head};
    if (!sink.file)
        return ERR_IO;
    int err = fwrite(head, sizeof *head, 1, sink.file) == 1 ? 0 : ERR_IO;
    for (unsigned layer = 0; !err && layer < CLIP_LAYERS; layer++)
        err = encode_layer(spec, layer, head, &sink);
    if (!err)
        err = encode_sound(spec, head, &sink);
    head->bytes = sink.at;
    if (!err && (fseek(sink.file, 0, SEEK_SET) || fwrite(head, sizeof *head, 1, sink.file) != 1))
        err = ERR_IO;
    if (fclose(sink.file))
        err = err ? err : ERR_IO;
    if (!err && rename(temporary, path))
        err = ERR_IO;
    if (err)
        unlink(temporary);
    return err;
}

static int make(const char *path, const struct clip_spec *spec)
{
    struct head *head = calloc(1, sizeof *head);
    if (!head)
        return ERR_NOMEM;
    *head = (struct head){.magic = CLIP_MAGIC,
                          .width = (uint32_t)spec->width,
                          .height = (uint32_t)spec->height,
                          .fps = (uint32_t)spec->fps,
                          .source = spec->source,
                          .frames = (uint32_t)(spec->fps * CLIP_SECONDS)};
    int err = make_file(path, spec, head);
    free(head);
    return err;
}

static int map(const char *path, const struct clip_spec *spec, struct clip **ret)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return ERR_NOTFOUND;
    if ((size_t)st.st_size < sizeof(struct head))
        return ERR_MALFORMED;
    const struct head *head = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (head == MAP_FAILED)
        return ERR_IO;
    bool fits = memcmp(head->magic, CLIP_MAGIC, sizeof CLIP_MAGIC) == 0 && head->bytes == (uint64_t)st.st_size &&
                head->width == (uint32_t)spec->width && head->height == (uint32_t)spec->height &&
                head->fps == (uint32_t)spec->fps && head->source == spec->source;
    struct clip *c = fits ? malloc(sizeof *c) : NULL;
    if (!c) {
        munmap((void *)head, (size_t)st.st_size);
        return fits ? ERR_NOMEM : ERR_MALFORMED;
    }
    *c = (struct clip){.head = head, .mapped = (size_t)st.st_size};
    *ret = c;
    return 0;
}

static uint32_t name_hash(const char *name)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 16777619u;
    return h;
}

int clip_open(const char *cache_dir, const struct clip_spec *spec, struct clip **ret_clip)
{
    if (spec->width % 8 || spec->height % 8 || spec->width < 64 || spec->height < 48 || spec->fps < 1 ||
        spec->fps > FPS_MAX || spec->source > 255)
        return ERR_RANGE;
    char path[4000];
    mkdir(cache_dir, 0700); /* it may exist; a failure shows at the first file */
    snprintf(path, sizeof path, "%s/room-%u-%08x-%dx%d-%d.clip", cache_dir, spec->source, name_hash(spec->name), spec->width,
             spec->height, spec->fps);
    if (map(path, spec, ret_clip) == 0)
        return 0;
    int err = make(path, spec);
    return err ? err : map(path, spec, ret_clip);
}

void clip_free(struct clip *c)
{
    if (!c)
        return;
    munmap((void *)c->head, c->mapped);
    free(c);
}

unsigned clip_frames(const struct clip *c)
{
    return c->head->frames;
}

void clip_layer_size(const struct clip *c, unsigned layer, int *ret_width, int *ret_height)
{
    unsigned shift = CLIP_LAYERS - 1 - layer;
    *ret_width = (int)(c->head->width >> shift);
    *ret_height = (int)(c->head->height >> shift);
}

static struct clip_bytes bytes_of(const struct clip *c, struct entry e)
{
    if (e.offset > c->mapped || e.len > c->mapped - e.offset)
        return (struct clip_bytes){0};
    return (struct clip_bytes){.bytes = (const uint8_t *)c->head + e.offset, .len = e.len};
}

struct clip_bytes clip_picture(const struct clip *c, unsigned layer, unsigned frame, int keyframe)
{
    return bytes_of(c, c->head->picture[layer][keyframe ? 1 : 0][frame % c->head->frames]);
}

struct clip_bytes clip_sound(const struct clip *c, unsigned frame, uint8_t *ret_level)
{
    *ret_level = c->head->level[frame % CLIP_SOUND_FRAMES];
    return bytes_of(c, c->head->sound[frame % CLIP_SOUND_FRAMES]);
}
