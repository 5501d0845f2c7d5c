#include "sim/clip.h"
#include "sim/picture.h"
#include "sim/sound.h"

#include "base/cleanup.h"

#include <math.h>
#include <opus/opus.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vpx/vp8dx.h>
#include <vpx/vpx_decoder.h>
#include <cmocka.h>

/* fontconfig keeps its configuration until the process ends */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig";
}

static char cache[] = "/tmp/giaoban-clip-XXXXXX";
static struct clip *clip;
static const struct clip_spec spec = {.width = 320, .height = 192, .fps = 25, .source = 7, .name = "UBND huyện Mường Lát"};

static int setup(void **state)
{
    return mkdtemp(cache) ? clip_open(cache, &spec, &clip) : -1;
}

static int teardown(void **state)
{
    clip_free(clip);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", cache);
    return system(command);
}

static void code_is_read_at_every_layer_size(void **state)
{
    static const int sizes[][2] = {{640, 360}, {320, 180}, {160, 90}, {1280, 720}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct picture *p = picture_new(sizes[i][0], sizes[i][1], 25, 200 + (unsigned)i, "Sở Y tế");
        for (unsigned frame = 0; frame < 0x10000; frame = frame * 3 + 25) {
            struct picture_frame f;
            unsigned source, number;
            picture_draw(p, frame, &f);
            assert_true(picture_read(f.y, f.y_stride, f.width, f.height, &source, &number));
            assert_int_equal(source, 200 + i);
            assert_int_equal(number, frame);
            assert_int_equal(picture_flash(f.y, f.y_stride, f.width, f.height), frame % 25 == 0);
        }
        picture_free(p);
    }
}

static void decode(vpx_codec_ctx_t *decoder, struct clip_bytes b, unsigned *ret_frame, bool *ret_flash)
{
    assert_int_equal(vpx_codec_decode(decoder, b.bytes, (unsigned)b.len, NULL, 0), VPX_CODEC_OK);
    vpx_codec_iter_t iter = NULL;
    vpx_image_t *image = vpx_codec_get_frame(decoder, &iter);
    assert_non_null(image);
    unsigned source;
    assert_true(picture_read(image->planes[0], image->stride[0], (int)image->d_w, (int)image->d_h, &source, ret_frame));
    assert_int_equal(source, spec.source);
    *ret_flash = picture_flash(image->planes[0], image->stride[0], (int)image->d_w, (int)image->d_h);
}

static void loop_goes_on_after_keyframes_anywhere_and_over_its_end(void **state)
{
    for (unsigned layer = 0; layer < CLIP_LAYERS; layer++) {
        vpx_codec_ctx_t decoder;
        assert_int_equal(vpx_codec_dec_init(&decoder, vpx_codec_vp8_dx(), NULL, 0), VPX_CODEC_OK);
        unsigned frames = clip_frames(clip), start = 11 + 50 * layer;
        srand(layer + 1);
        for (unsigned i = 0; i < 2 * frames; i++) {
            unsigned number, frame = (start + i) % frames;
            bool flash;
            decode(&decoder, clip_picture(clip, layer, frame, i == 0 || rand() % 40 == 0), &number, &flash);
            assert_int_equal(number, frame);
            assert_int_equal(flash, frame % 25 == 0);
        }
        vpx_codec_destroy(&decoder);
    }
}

static uint32_t luma_hash(const vpx_image_t *image)
{
    uint32_t h = 2166136261u;
    for (unsigned y = 0; y < image->d_h; y++)
        for (unsigned x = 0; x < image->d_w; x++)
            h = (h ^ image->planes[0][(ptrdiff_t)y * image->stride[0] + x]) * 16777619u;
    return h;
}

static void a_keyframe_in_the_middle_leaves_no_trace_in_the_next_loop(void **state)
{
    vpx_codec_ctx_t decoder;
    assert_int_equal(vpx_codec_dec_init(&decoder, vpx_codec_vp8_dx(), NULL, 0), VPX_CODEC_OK);
    unsigned frames = clip_frames(clip);
    uint32_t hash[4];
    for (unsigned i = 0; i < 4 * frames; i++) {
        struct clip_bytes b = clip_picture(clip, 2, i % frames, i == 0 || i == frames + 60);
        assert_int_equal(vpx_codec_decode(&decoder, b.bytes, (unsigned)b.len, NULL, 0), VPX_CODEC_OK);
        vpx_codec_iter_t iter = NULL;
        vpx_image_t *image = vpx_codec_get_frame(&decoder, &iter);
        if (i % frames == 150)
            hash[i / frames] = luma_hash(image);
    }
    assert_int_not_equal(hash[1], hash[2]);
    assert_int_equal(hash[2], hash[3]);
    vpx_codec_destroy(&decoder);
}

static void only_keyframes_are_keyframes(void **state)
{
    for (unsigned frame = 0; frame < clip_frames(clip); frame++) {
        assert_int_equal(clip_picture(clip, 2, frame, 1).bytes[0] & 1, 0);
        assert_int_equal(clip_picture(clip, 2, frame, 0).bytes[0] & 1, 1);
    }
}

/* Amplitude of one frequency (Goertzel). */
static double strength(const int16_t *s, unsigned count, double hz)
{
    double w = 2 * M_PI * hz / SOUND_RATE, a = 0, b = 0;
    for (unsigned i = 0; i < count; i++) {
        double c = s[i] + 2 * cos(w) * a - b;
        b = a;
        a = c;
    }
    return sqrt(a * a + b * b - 2 * cos(w) * a * b) * 2 / count;
}

static void sound_carries_its_own_tone_and_a_beep_each_second(void **state)
{
    int err;
    OpusDecoder *decoder = opus_decoder_create(SOUND_RATE, 1, &err);
    _cleanup_free_ int16_t *pcm = calloc(SOUND_RATE * 2, sizeof *pcm);
    for (unsigned i = 0; i < 100; i++) {
        uint8_t level;
        struct clip_bytes b = clip_sound(clip, i, &level);
        assert_int_equal(opus_decode(decoder, b.bytes, (int)b.len, pcm + i * 960, 960, 0), 960);
        assert_true(level & 0x80);
    }
    opus_decoder_destroy(decoder);
    const int16_t *quiet = pcm + SOUND_RATE + 9600, *beep = pcm + SOUND_RATE + 480;
    assert_true(strength(quiet, 9600, sound_tone_hz(7)) > 1500);
    assert_true(strength(quiet, 9600, sound_tone_hz(9)) < 150);
    assert_true(strength(beep, 1440, SOUND_BEEP_HZ) > 5000);
    assert_true(strength(quiet, 1440, SOUND_BEEP_HZ) < 200);
}

static void second_opening_takes_the_cached_clip(void **state)
{
    struct clip *again;
    assert_int_equal(clip_open(cache, &spec, &again), 0);
    struct clip_bytes a = clip_picture(clip, 1, 17, 0), b = clip_picture(again, 1, 17, 0);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.bytes, b.bytes, a.len);
    clip_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_is_read_at_every_layer_size),
        cmocka_unit_test(loop_goes_on_after_keyframes_anywhere_and_over_its_end),
        cmocka_unit_test(a_keyframe_in_the_middle_leaves_no_trace_in_the_next_loop),
        cmocka_unit_test(only_keyframes_are_keyframes),
        cmocka_unit_test(sound_carries_its_own_tone_and_a_beep_each_second),
        cmocka_unit_test(second_opening_takes_the_cached_clip),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
