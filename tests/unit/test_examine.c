/* Examine on what real encoders make. */
#include "check/examine.h"

#include "base/err.h"
#include "rtp/vp8.h"

#include <math.h>
#include <opus/opus.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <vpx/vp8cx.h>
#include <vpx/vpx_encoder.h>
#include <cmocka.h>

enum { WIDTH = 320, HEIGHT = 180, FPS = 25, CHUNK = 900, WINDOW_US = 3000000 };

/* One room: what it sends goes into the examination as it is encoded. */
struct room {
    struct examine *x;
    vpx_codec_ctx_t camera;
    OpusEncoder *microphone;
    uint64_t picture_seq, sound_seq;
    unsigned frame;
    uint32_t random;
};

static struct room *room_new(unsigned kbps)
{
    struct room *r = calloc(1, sizeof *r);
    vpx_codec_enc_cfg_t cfg;
    int error;
    assert_non_null(r);
    assert_int_equal(examine_new(&r->x), 0);
    examine_codec(r->x, EXAMINE_PICTURE, RTP_VP8);
    examine_codec(r->x, EXAMINE_SOUND, RTP_OPUS);
    vpx_codec_enc_config_default(vpx_codec_vp8_cx(), &cfg, 0);
    cfg.g_w = WIDTH;
    cfg.g_h = HEIGHT;
    cfg.g_timebase = (vpx_rational_t){1, FPS};
    cfg.g_lag_in_frames = 0;
    cfg.rc_end_usage = VPX_CBR;
    cfg.rc_target_bitrate = kbps;
    cfg.kf_mode = VPX_KF_DISABLED;
    assert_int_equal(vpx_codec_enc_init(&r->camera, vpx_codec_vp8_cx(), &cfg, 0), 0);
    vpx_codec_control(&r->camera, VP8E_SET_CPUUSED, 8);
    r->microphone = opus_encoder_create(LISTEN_RATE, 1, OPUS_APPLICATION_VOIP, &error);
    assert_non_null(r->microphone);
    r->picture_seq = 65500; /* the 16 bits in the packets wrap */
    r->random = 12345;
    return r;
}

static void room_free(struct room *r)
{
    vpx_codec_destroy(&r->camera);
    opus_encoder_destroy(r->microphone);
    examine_free(r->x);
    free(r);
}

static uint8_t noise(struct room *r, unsigned range)
{
    r->random = r->random * 1664525 + 1013904223;
    return (uint8_t)((r->random >> 16) % range);
}

/* ---- pictures ---- */

typedef void painter(struct room *r, uint8_t *luma, unsigned frame);

static void paint_room(struct room *r, uint8_t *luma, unsigned frame)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            luma[y * WIDTH + x] = (uint8_t)(110 + 50 * sin(x / 23.0) * cos(y / 17.0) + ((x / 40 + y / 30) % 2 ? 25 : 0) +
                                            (x * 31 + y * 17) % 7);
}

/* Somebody nods: a small rectangle goes up and down. */
static void paint_talker(struct room *r, uint8_t *luma, unsigned frame)
{
    paint_room(r, luma, frame);
    int top = 60 + (int)(frame / 2 % 10);
    for (int y = top; y < top + 24; y++)
        memset(luma + (ptrdiff_t)y * WIDTH + 150, 210, 20);
}

/* 10 × 4 pixels, a fifth of the time. */
static void paint_blink(struct room *r, uint8_t *luma, unsigned frame)
{
    paint_room(r, luma, frame);
    for (int y = 70; frame / 5 % 5 == 0 && y < 74; y++)
        memset(luma + (ptrdiff_t)y * WIDTH + 150, 210, 10);
}

static void paint_black(struct room *r, uint8_t *luma, unsigned frame)
{
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        luma[i] = (uint8_t)(16 + noise(r, 5));
}

struct loss {
    unsigned every; /* of the packets one is lost; 0: none */
    unsigned from_frame;
};

static void packet(struct room *r, enum examine_track track, uint64_t seq, uint32_t ts, bool marker, const uint8_t *payload,
                   size_t len, int64_t now_us)
{
    uint8_t rtp[4200] = {0x80, (uint8_t)((marker ? 0x80 : 0) | 96)};
    put_u16(rtp + 2, (uint16_t)seq);
    put_u32(rtp + 4, ts);
    memcpy(rtp + RTP_FIXED_HEADER, payload, len);
    assert_int_equal(examine_input(r->x, track, 0, seq, rtp, RTP_FIXED_HEADER + len, now_us), 0);
}

static void send_frame(struct room *r, const uint8_t *bytes, size_t len, struct loss loss)
{
    for (size_t at = 0; at < len; at += CHUNK) {
        uint8_t payload[VP8_DESCRIPTOR + CHUNK];
        size_t n = len - at < CHUNK ? len - at : CHUNK;
        size_t head = vp8_write_descriptor(payload, at == 0, (uint16_t)r->frame);
        memcpy(payload + head, bytes + at, n);
        uint64_t seq = r->picture_seq++;
        if (!loss.every || r->frame < loss.from_frame || seq % loss.every)
            packet(r, EXAMINE_PICTURE, seq, 0xfffff000u + r->frame * (90000 / FPS), at + n == len, payload, head + n,
                   (int64_t)r->frame * 1000000 / FPS);
    }
}

static void film(struct room *r, painter *paint, unsigned frames, struct loss loss)
{
    static uint8_t image[WIDTH * HEIGHT * 3 / 2];
    memset(image, 128, sizeof image);
    for (unsigned i = 0; i < frames; i++, r->frame++) {
        vpx_image_t wrapped;
        vpx_codec_iter_t iter = NULL;
        const vpx_codec_cx_pkt_t *out;
        paint(r, image, r->frame);
        vpx_img_wrap(&wrapped, VPX_IMG_FMT_I420, WIDTH, HEIGHT, 1, image);
        assert_int_equal(vpx_codec_encode(&r->camera, &wrapped, r->frame, 1, 0, VPX_DL_REALTIME), 0);
        while ((out = vpx_codec_get_cx_data(&r->camera, &iter)))
            if (out->kind == VPX_CODEC_CX_FRAME_PKT)
                send_frame(r, out->data.frame.buf, out->data.frame.sz, loss);
    }
}

static struct verdict finish(struct room *r)
{
    examine_close(r->x, WINDOW_US);
    while (examine_step(r->x))
        continue;
    struct verdict v = examine_verdict(r->x);
    room_free(r);
    return v;
}

static void a_moving_picture_is_good(void **state)
{
    struct room *r = room_new(150);
    film(r, paint_talker, 75, (struct loss){0});
    struct picture_report p = finish(r).picture;
    assert_int_equal(p.verdict, PICTURE_GOOD);
    assert_int_equal(p.seen.width, WIDTH);
    assert_int_equal(p.seen.height, HEIGHT);
    assert_int_equal(p.seen.frames, 75);
    assert_int_equal(p.lost, 0);
    assert_int_equal(p.incomplete, 0);
    assert_in_range(p.seen.luma, 80, 160);
}

static void a_blink_is_enough_and_no_more_is_frozen_at_any_rate(void **state)
{
    static const unsigned kbps[] = {60, 150, 1000};
    for (size_t i = 0; i < sizeof kbps / sizeof *kbps; i++) {
        struct room *r = room_new(kbps[i]);
        film(r, paint_blink, 75, (struct loss){0});
        assert_int_equal(finish(r).picture.verdict, PICTURE_GOOD);
        r = room_new(kbps[i]);
        film(r, paint_room, 75, (struct loss){0});
        struct picture_report p = finish(r).picture;
        assert_int_equal(p.verdict, PICTURE_FROZEN);
        assert_true(p.seen.compared > 40);
    }
}

static void a_picture_that_stops_is_frozen(void **state)
{
    struct room *r = room_new(150);
    film(r, paint_talker, 30, (struct loss){0});
    struct picture_report p = finish(r).picture;
    assert_int_equal(p.verdict, PICTURE_FROZEN);
    assert_int_equal(p.seen.frames, 30);
}

/* Each viewer that sees nothing move asks for a keyframe, and that is all that comes. */
static void a_picture_that_comes_only_when_asked_is_frozen(void **state)
{
    struct room *r = room_new(150);
    for (unsigned asked = 0; asked < 15; asked++) {
        vpx_codec_control(&r->camera, VP8E_SET_FRAME_FLAGS, VPX_EFLAG_FORCE_KF);
        film(r, paint_room, 1, (struct loss){0});
        r->frame += FPS / 5 - 1;
    }
    struct picture_report p = finish(r).picture;
    assert_int_equal(p.verdict, PICTURE_FROZEN);
    assert_int_equal(p.seen.keyframes, 15);
}

static void a_covered_camera_is_black(void **state)
{
    struct room *r = room_new(150);
    film(r, paint_black, 75, (struct loss){0});
    struct picture_report p = finish(r).picture;
    assert_int_equal(p.verdict, PICTURE_BLACK);
    assert_in_range(p.seen.luma, 10, 24);
}

static void lost_packets_are_counted_and_the_rest_is_seen(void **state)
{
    struct room *r = room_new(300);
    film(r, paint_talker, 75, (struct loss){.from_frame = 1, .every = 11});
    struct picture_report p = finish(r).picture;
    assert_int_equal(p.verdict, PICTURE_GOOD);
    assert_true(p.lost >= 5);
    assert_true(p.packets > 10 * p.lost - 11);
    assert_in_range(p.seen.frames, 75 - p.lost, 74);
}

static void without_a_whole_keyframe_nothing_is_seen(void **state)
{
    struct room *r = room_new(300);
    film(r, paint_talker, 75, (struct loss){.every = 4});
    struct picture_report p = finish(r).picture;
    assert_int_equal(p.verdict, PICTURE_BROKEN);
    assert_int_equal(p.seen.frames, 0);
    assert_true(p.incomplete >= 1);
}

static void order_and_repetition_do_not_matter(void **state)
{
    static const uint64_t order[] = {3, 0, 2, 2, 1, 3};
    struct room *r = room_new(150);
    static uint8_t image[WIDTH * HEIGHT * 3 / 2];
    vpx_image_t wrapped;
    vpx_codec_iter_t iter = NULL;
    paint_talker(r, image, 0);
    vpx_img_wrap(&wrapped, VPX_IMG_FMT_I420, WIDTH, HEIGHT, 1, image);
    vpx_codec_encode(&r->camera, &wrapped, 0, 1, 0, VPX_DL_REALTIME);
    const vpx_codec_cx_pkt_t *out = vpx_codec_get_cx_data(&r->camera, &iter);
    assert_non_null(out);
    size_t n = (out->data.frame.sz + 3) / 4;
    assert_true(n < 4000);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        uint8_t payload[4100];
        size_t at = (size_t)order[i] * n, left = out->data.frame.sz - at;
        size_t head = vp8_write_descriptor(payload, order[i] == 0, 1);
        memcpy(payload + head, (const uint8_t *)out->data.frame.buf + at, left < n ? left : n);
        packet(r, EXAMINE_PICTURE, UINT16_MAX - 1 + order[i], 77, order[i] == 3, payload, head + (left < n ? left : n),
               2900000);
    }
    struct picture_report p = finish(r).picture;
    assert_int_equal(p.verdict, PICTURE_GOOD);
    assert_int_equal(p.packets, 4);
    assert_int_equal(p.lost, 0);
    assert_int_equal(p.seen.frames, 1);
}

static void nothing_sent_is_said(void **state)
{
    struct verdict v = finish(room_new(150));
    assert_int_equal(v.picture.verdict, PICTURE_NONE);
    assert_int_equal(v.sound.verdict, SOUND_NONE);
    assert_int_equal(v.sound.heard.level_db, LISTEN_FLOOR_DB);
}

static void other_codecs_are_counted_not_decoded(void **state)
{
    struct room *r = room_new(150);
    examine_codec(r->x, EXAMINE_PICTURE, RTP_H264);
    film(r, paint_talker, 10, (struct loss){0});
    struct picture_report p = finish(r).picture;
    assert_int_equal(p.verdict, PICTURE_UNSUPPORTED);
    assert_int_equal(p.codec, RTP_H264);
    assert_true(p.packets >= 10);
    assert_int_equal(p.seen.frames, 0);
}

static void rubbish_is_broken(void **state)
{
    struct room *r = room_new(150);
    uint8_t rubbish[200];
    for (unsigned i = 0; i < 50; i++) {
        for (size_t k = 0; k < sizeof rubbish; k++)
            rubbish[k] = noise(r, 256);
        rubbish[0] = 0x10; /* begins a frame that is no keyframe */
        rubbish[1] |= 1;
        packet(r, EXAMINE_PICTURE, i, i * 3600, true, rubbish, sizeof rubbish, i * 40000);
        rubbish[0] = 0xff; /* code 3: a count of frames follows, 63 of 20 ms, which no packet may hold */
        rubbish[1] = 0xff;
        packet(r, EXAMINE_SOUND, i, i * 960, false, rubbish, 40, i * 20000);
    }
    struct verdict v = finish(r);
    assert_int_equal(v.picture.verdict, PICTURE_BROKEN);
    assert_int_equal(v.sound.verdict, SOUND_BROKEN);
    assert_int_equal(v.sound.heard.broken, 50);
}

static void a_picture_too_large_is_not_decoded(void **state)
{
    static const uint8_t key[] = {0x10, 0x50, 0x01, 0x00, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f, 0, 0, 0};
    struct room *r = room_new(150);
    packet(r, EXAMINE_PICTURE, 5, 0, true, key, sizeof key, 0);
    struct picture_report p = finish(r).picture;
    assert_int_equal(p.verdict, PICTURE_UNSUPPORTED);
    assert_true(p.seen.too_large);
}

static void more_than_fits_is_left_out(void **state)
{
    struct room *r = room_new(150);
    uint8_t rtp[RTP_FIXED_HEADER + 4] = {0x80, 96};
    for (uint64_t i = 0; i < EXAMINE_PACKETS_MAX; i++)
        assert_int_equal(examine_input(r->x, EXAMINE_SOUND, 0, i, rtp, sizeof rtp, 0), 0);
    assert_int_equal(examine_input(r->x, EXAMINE_SOUND, 0, 9999, rtp, sizeof rtp, 0), ERR_FULL);
    assert_int_equal(examine_input(r->x, EXAMINE_PICTURE, 0, 1, rtp, 7, 0), ERR_TRUNCATED);
    assert_int_equal(examine_input(r->x, EXAMINE_PICTURE, 1, 1, rtp, sizeof rtp, 0), 0);
    assert_int_equal(examine_input(r->x, EXAMINE_PICTURE, 0, 2, rtp, sizeof rtp, 0), ERR_FULL);
    assert_int_equal(finish(r).sound.packets, EXAMINE_PACKETS_MAX);
}

/* ---- sound ---- */

/* A sine of `amplitude` (cut off at full scale) for `on_ms` in every second. */
static struct sound_report hear(double amplitude, unsigned on_ms, unsigned lose_every)
{
    struct room *r = room_new(150);
    for (unsigned n = 0; n < 150; n++) {
        int16_t pcm[960];
        uint8_t payload[1275];
        for (unsigned i = 0; i < 960; i++) {
            unsigned at = n * 960 + i;
            double v = at % 48000 < on_ms * 48 ? amplitude * sin(at * 2 * M_PI * 440 / 48000) : 0;
            pcm[i] = (int16_t)(v > 32767 ? 32767 : v < -32767 ? -32767 : v);
        }
        int len = opus_encode(r->microphone, pcm, 960, payload, sizeof payload);
        assert_true(len > 0);
        if (!lose_every || n % lose_every != 3)
            packet(r, EXAMINE_SOUND, 700 + n, n * 960, false, payload, (size_t)len, n * 20000);
    }
    return finish(r).sound;
}

static void levels_of_sound_are_told_apart(void **state)
{
    static const struct {
        const char *what;
        double amplitude;
        unsigned on_ms;
        enum sound_verdict verdict;
        int level_min, level_max;
    } rows[] = {
        {"a tone", 4600, 1000, SOUND_GOOD, -21, -18},
        {"somebody who says a word in three seconds", 4600, 200, SOUND_GOOD, -22, -18},
        {"far from the microphone", 100, 1000, SOUND_QUIET, -56, -50},
        {"nothing", 0, 1000, SOUND_SILENT, -96, -75},
        {"hardly more than nothing", 8, 1000, SOUND_SILENT, -96, -61},
        {"much too loud", 200000, 1000, SOUND_CLIPPED, -3, 0},
        {"loud", 20000, 1000, SOUND_GOOD, -9, -5},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sound_report s = hear(rows[i].amplitude, rows[i].on_ms, 0);
        if (s.verdict != rows[i].verdict || s.heard.level_db < rows[i].level_min || s.heard.level_db > rows[i].level_max)
            fail_msg("%s: %s, %d dBFS, clipped %u", rows[i].what, sound_verdict_name(s.verdict), s.heard.level_db,
                     s.heard.clipped_permille);
        assert_int_equal(s.packets, 150);
        assert_int_equal(s.lost, 0);
        assert_true(s.heard.peak_db >= s.heard.level_db);
    }
}

/* A loud beep each second over a soft tone; the check begins at any packet of it. */
static void beginning_in_mid_stream_does_not_make_it_louder(void **state)
{
    static uint8_t packets[200][400];
    static int lens[200];
    struct room *r = room_new(150);
    opus_encoder_ctl(r->microphone, OPUS_SET_APPLICATION(OPUS_APPLICATION_AUDIO));
    for (unsigned n = 0; n < 200; n++) {
        int16_t pcm[960];
        for (unsigned i = 0; i < 960; i++) {
            unsigned at = n * 960 + i;
            double tone = 3276 * sin(at * 2 * M_PI * 450 / 48000), beep = 13000 * sin(at * 2 * M_PI * 5000 / 48000);
            pcm[i] = (int16_t)(tone + (at % 48000 < 1920 ? beep : 0));
        }
        lens[n] = opus_encode(r->microphone, pcm, 960, packets[n], sizeof packets[n]);
    }
    room_free(r);
    for (unsigned start = 1; start < 100; start++) {
        r = room_new(150);
        for (unsigned n = start; n < start + 100; n++)
            packet(r, EXAMINE_SOUND, n, n * 960, false, packets[n], (size_t)lens[n], n * 20000);
        struct sound_report s = finish(r).sound;
        if (s.verdict != SOUND_GOOD || s.heard.level_db > -9 || s.heard.peak_db > -4)
            fail_msg("from packet %u: %s, level %d, peak %d", start, sound_verdict_name(s.verdict), s.heard.level_db,
                     s.heard.peak_db);
    }
}

static void lost_sound_is_counted(void **state)
{
    struct sound_report s = hear(4600, 1000, 10);
    assert_int_equal(s.verdict, SOUND_GOOD);
    assert_int_equal(s.packets, 135);
    assert_int_equal(s.lost, 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moving_picture_is_good),
        cmocka_unit_test(a_blink_is_enough_and_no_more_is_frozen_at_any_rate),
        cmocka_unit_test(a_picture_that_stops_is_frozen),
        cmocka_unit_test(a_picture_that_comes_only_when_asked_is_frozen),
        cmocka_unit_test(a_covered_camera_is_black),
        cmocka_unit_test(lost_packets_are_counted_and_the_rest_is_seen),
        cmocka_unit_test(without_a_whole_keyframe_nothing_is_seen),
        cmocka_unit_test(order_and_repetition_do_not_matter),
        cmocka_unit_test(nothing_sent_is_said),
        cmocka_unit_test(other_codecs_are_counted_not_decoded),
        cmocka_unit_test(rubbish_is_broken),
        cmocka_unit_test(a_picture_too_large_is_not_decoded),
        cmocka_unit_test(more_than_fits_is_left_out),
        cmocka_unit_test(levels_of_sound_are_told_apart),
        cmocka_unit_test(beginning_in_mid_stream_does_not_make_it_louder),
        cmocka_unit_test(lost_sound_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
