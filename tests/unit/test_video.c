#include "rtp/video.h"

#include "base/err.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void vp8_descriptors_are_read_and_rewritten_in_place(void **state)
{
    static const struct {
        uint8_t bytes[8];
        size_t len;
        struct vp8_descriptor d;
        uint8_t rewritten[8];
    } rows[] = {
        {{0x10, 0x01}, 2, {.len = 1, .start = true}, {0x10, 0x01}},
        {{0x00, 0x00}, 2, {.len = 1}, {0x00, 0x00}},
        {{0x90, 0x80, 0x7f, 0x01},
         4,
         {.len = 3, .start = true, .picture_id_bits = 7, .picture_id = 127, .at_picture_id = 2},
         {0x90, 0x80, 0x34, 0x01}},
        {{0xb0, 0xf0, 0xff, 0xff, 0xfe, 0xbf, 0x01},
         7,
         {.len = 6,
          .start = true,
          .non_reference = true,
          .picture_id_bits = 15,
          .picture_id = 0x7fff,
          .has_tl0 = true,
          .tl0picidx = 254,
          .has_tid = true,
          .tid = 2,
          .layer_sync = true,
          .has_keyidx = true,
          .keyidx = 31,
          .at_picture_id = 2,
          .at_tl0 = 4,
          .at_tid_keyidx = 5},
         {0xb0, 0xf0, 0x92, 0x34, 0x77, 0xa9, 0x01}},
        {{0x80, 0x20, 0xc5, 0x01}, 4, {.len = 3, .has_tid = true, .tid = 3, .at_tid_keyidx = 2}, {0x80, 0x20, 0xc5, 0x01}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vp8_descriptor d;
        uint8_t bytes[8];
        memset(&d, 0, sizeof d);
        memcpy(bytes, rows[i].bytes, sizeof bytes);
        assert_int_equal(vp8_parse(bytes, rows[i].len, &d), 0);
        assert_int_equal(d.len, rows[i].d.len);
        assert_int_equal(d.start, rows[i].d.start);
        assert_int_equal(d.non_reference, rows[i].d.non_reference);
        assert_int_equal(d.picture_id_bits, rows[i].d.picture_id_bits);
        assert_int_equal(d.picture_id, rows[i].d.picture_id);
        assert_int_equal(d.has_tl0, rows[i].d.has_tl0);
        assert_int_equal(d.tl0picidx, rows[i].d.tl0picidx);
        assert_int_equal(d.tid, rows[i].d.tid);
        assert_int_equal(d.layer_sync, rows[i].d.layer_sync);
        assert_int_equal(d.keyidx, rows[i].d.keyidx);
        vp8_rewrite(bytes, &d, 0x1234, 0x77, 0x09);
        assert_memory_equal(bytes, rows[i].rewritten, rows[i].len);
    }
}

static void vp8_keyframes_say_their_size(void **state)
{
    static const uint8_t bytes[] = {0x10, 0x50, 0x01, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x41}; /* scaling bits set */
    struct video_info info;
    assert_int_equal(video_parse(RTP_VP8, bytes, sizeof bytes, true, &info), 0);
    assert_true(info.keyframe);
    assert_true(info.end);
    assert_int_equal(info.width, 640);
    assert_int_equal(info.height, 360);
    uint8_t later[sizeof bytes];
    memcpy(later, bytes, sizeof bytes);
    later[0] = 0x00; /* not the start of the frame: these are just bytes of it */
    assert_int_equal(video_parse(RTP_VP8, later, sizeof later, false, &info), 0);
    assert_false(info.keyframe);
}

static void descriptors_that_end_early_are_refused(void **state)
{
    static const uint8_t vp8[] = {0x90, 0xf0, 0xff, 0xff, 0xfe, 0xbf};
    static const uint8_t vp9[] = {0xba, 0x81, 0x02, 0x20, 0x38, 0x02, 0x80, 0x01, 0x68, 0x05, 0x00, 0xb4, 0x01, 0x04, 0x01};
    struct video_info info;
    for (size_t len = 0; len <= sizeof vp8; len++)
        assert_int_equal(video_parse(RTP_VP8, vp8, len, false, &info), ERR_TRUNCATED);
    for (size_t len = 0; len < sizeof vp9; len++)
        assert_int_not_equal(video_parse(RTP_VP9, vp9, len, false, &info), 0);
    assert_int_equal(video_parse(RTP_OPUS, vp9, 5, false, &info), ERR_UNSUPPORTED);
}

static void vp9_descriptors_are_read(void **state)
{
    static const struct {
        uint8_t bytes[20];
        size_t len;
        struct vp9_descriptor d;
        int err;
    } rows[] = {
        {{0x0c, 0xff}, 2, {.len = 1, .start = true, .end = true}, 0},
        {{0x00, 0xff}, 2, {.len = 1}, 0},
        {{0xc1, 0x7f, 0xff},
         3,
         {.len = 2, .predicted = true, .no_reference = true, .picture_id_bits = 7, .picture_id = 127},
         0},
        /* I P L B, not flexible: 15-bit picture id, layers T2 U S1 D, TL0PICIDX */
        {{0xe8, 0xff, 0xfe, 0x53, 0x91, 0xff},
         6,
         {.len = 5,
          .start = true,
          .predicted = true,
          .has_layers = true,
          .tid = 2,
          .switch_up = true,
          .sid = 1,
          .inter_layer = true,
          .tl0picidx = 0x91,
          .picture_id_bits = 15,
          .picture_id = 0x7ffe},
         0},
        /* I P L F E with one reference, no TL0PICIDX */
        {{0xf4, 0x81, 0x02, 0x44, 0x02, 0xff},
         6,
         {.len = 5,
          .end = true,
          .predicted = true,
          .flexible = true,
          .has_layers = true,
          .tid = 2,
          .sid = 2,
          .picture_id_bits = 15,
          .picture_id = 0x102},
         0},
        /* L B V: two layers without sizes, a group of two pictures, the second with two references */
        {{0x2a, 0x00, 0x05, 0x28, 0x02, 0x00, 0x28, 0x01, 0x02, 0xff},
         10,
         {.len = 9, .start = true, .has_layers = true, .tl0picidx = 5, .n_sids = 2},
         0},
        {{0xf8, 0x05, 0x40, 0x03, 0x03, 0x03, 0x02, 0xff}, 8, {0}, ERR_MALFORMED}, /* four references */
        {{0x0a, 0xf0, 0x01}, 3, {0}, ERR_TRUNCATED},                               /* sizes of eight layers are missing */
        {{0x80, 0x81, 0x02}, 3, {0}, ERR_TRUNCATED},                               /* no payload */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vp9_descriptor d;
        memset(&d, 0, sizeof d);
        assert_int_equal(vp9_parse(rows[i].bytes, rows[i].len, &d), rows[i].err);
        assert_int_equal(d.len, rows[i].d.len);
        assert_true(d.start == rows[i].d.start && d.end == rows[i].d.end && d.predicted == rows[i].d.predicted);
        assert_true(d.flexible == rows[i].d.flexible && d.no_reference == rows[i].d.no_reference);
        assert_true(d.has_layers == rows[i].d.has_layers && d.switch_up == rows[i].d.switch_up);
        assert_int_equal(d.inter_layer, rows[i].d.inter_layer);
        assert_int_equal(d.sid, rows[i].d.sid);
        assert_int_equal(d.tid, rows[i].d.tid);
        assert_int_equal(d.tl0picidx, rows[i].d.tl0picidx);
        assert_int_equal(d.picture_id_bits, rows[i].d.picture_id_bits);
        assert_int_equal(d.picture_id, rows[i].d.picture_id);
        assert_int_equal(d.n_sids, rows[i].d.n_sids);
    }
}

static void vp9_keyframes_carry_the_sizes_of_all_layers(void **state)
{
    /* I, L, F, B, V: 15-bit picture id, tid 1; two layers 640×360 and 1280×720; payload 0xff */
    static const uint8_t key[] = {0xba, 0x81, 0x02, 0x20, 0x38 & 0x30, 0x02, 0x80, 0x01, 0x68, 0x05, 0x00, 0x02, 0xd0, 0xff};
    static const uint8_t upper[] = {0xbc, 0x81, 0x02, 0x23, 0xff}; /* I L F B E: the picture's second layer */
    static const uint8_t delta[] = {0xf8, 0x81, 0x02, 0x40, 0x02, 0xff};
    struct video_info info;
    assert_int_equal(video_parse(RTP_VP9, key, sizeof key, false, &info), 0);
    assert_true(info.keyframe && info.start && !info.end && info.has_tid);
    assert_int_equal(info.tid, 1);
    assert_int_equal(info.width, 1280);
    assert_int_equal(info.height, 720);
    assert_int_equal(info.vp9.n_sids, 2);
    assert_int_equal(info.vp9.width[0], 640);
    assert_int_equal(info.vp9.height[0], 360);
    assert_int_equal(video_parse(RTP_VP9, upper, sizeof upper, true, &info), 0);
    assert_true(!info.keyframe && !info.start && info.end && !info.vp9.predicted);
    assert_int_equal(info.sid, 1);
    assert_int_equal(info.height, 0);
    assert_int_equal(video_parse(RTP_VP9, delta, sizeof delta, false, &info), 0);
    assert_true(!info.keyframe && info.start);
    assert_int_equal(info.tid, 2);
}

/* 1280×720 and 1920×1080 (1088 − 8, cropped) of OpenH264, and a high profile's 1920×1080. */
static const uint8_t sps_cropped[] = {0x67, 0x42, 0xc0, 0x28, 0x8c, 0x8d, 0x40, 0x3c,
                                      0x01, 0x13, 0xf2, 0xc0, 0x3c, 0x22, 0x11, 0xa8};
static const uint8_t sps_720[] = {0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdd, 0x00, 0xf0, 0x88, 0x46, 0xa0};
static const uint8_t sps_1080[] = {0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00,
                                   0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58};

static void h264_sizes_come_from_the_sequence_parameter_set(void **state)
{
    uint16_t width = 0, height = 0;
    assert_int_equal(h264_sps_size(sps_720, sizeof sps_720, &width, &height), 0);
    assert_int_equal(width, 1280);
    assert_int_equal(height, 720);
    assert_int_equal(h264_sps_size(sps_cropped, sizeof sps_cropped, &width, &height), 0);
    assert_int_equal(width, 1920);
    assert_int_equal(height, 1080);
    width = height = 0;
    assert_int_equal(h264_sps_size(sps_1080, sizeof sps_1080, &width, &height), 0);
    assert_int_equal(width, 1920);
    assert_int_equal(height, 1080);
    assert_int_equal(h264_sps_size(sps_720, 6, &width, &height), ERR_TRUNCATED);
    /* A scaling list whose step is the largest number there is: modulo 256 like any other (7.3.2.1.1.1). */
    uint8_t wild[160] = {0x67, 0x7a, 0x00, 0x27, 0x48, 0x67, 0x02};
    memset(wild + 0x7f, 0xff, 3);
    (void)h264_sps_size(wild, sizeof wild, &width, &height); /* the sanitizers watch */
}

static void h264_keyframes_are_found_in_every_packetization(void **state)
{
    static const struct {
        const char *what;
        uint8_t bytes[40];
        size_t len;
        bool keyframe, start, discardable;
        int err;
    } rows[] = {
        {"single slice", {0x61, 0xe0, 1}, 3, false, true, false, 0},
        {"second slice of a picture", {0x61, 0x40, 1}, 3, false, false, false, 0},
        {"disposable slice", {0x01, 0x80, 1}, 3, false, true, true, 0},
        {"single IDR", {0x65, 0x88, 1}, 3, true, true, false, 0},
        {"STAP-A of SPS and PPS", {0x78, 0, 5, 0x67, 0x42, 0, 0, 0, 0, 2, 0x68, 1}, 12, true, true, false, 0},
        {"STAP-A whose unit ends early", {0x78, 0, 5, 0x67}, 4, false, false, false, ERR_MALFORMED},
        {"STAP-A with an empty unit", {0x78, 0, 0}, 3, false, false, false, ERR_MALFORMED},
        {"FU-A start of IDR", {0x7c, 0x85, 0x88}, 3, true, true, false, 0},
        {"FU-A middle of IDR", {0x7c, 0x05, 0x88}, 3, false, false, false, 0},
        {"FU-A end of IDR", {0x7c, 0x45, 0x88}, 3, false, false, false, 0},
        {"STAP-B", {0x79, 0, 0, 0}, 4, false, false, false, ERR_UNSUPPORTED},
        {"type 0", {0x00, 1}, 2, false, false, false, ERR_UNSUPPORTED},
        {"one byte", {0x65}, 1, false, false, false, ERR_TRUNCATED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct video_info info = {0};
        print_message("%s\n", rows[i].what);
        assert_int_equal(video_parse(RTP_H264, rows[i].bytes, rows[i].len, false, &info), rows[i].err);
        assert_int_equal(info.keyframe, rows[i].keyframe);
        assert_int_equal(info.start, rows[i].start);
        assert_int_equal(info.discardable, rows[i].discardable);
    }
}

static void a_descriptor_that_we_write_is_one_that_we_read(void **state)
{
    uint8_t bytes[VP8_DESCRIPTOR + 1] = {0};
    struct vp8_descriptor d;
    assert_int_equal(vp8_write_descriptor(bytes, true, 0x7ffe), VP8_DESCRIPTOR);
    assert_int_equal(vp8_parse(bytes, sizeof bytes, &d), 0);
    assert_true(d.start);
    assert_int_equal(d.picture_id, 0x7ffe);
    assert_int_equal(d.len, VP8_DESCRIPTOR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vp8_descriptors_are_read_and_rewritten_in_place),
        cmocka_unit_test(vp8_keyframes_say_their_size),
        cmocka_unit_test(descriptors_that_end_early_are_refused),
        cmocka_unit_test(vp9_descriptors_are_read),
        cmocka_unit_test(vp9_keyframes_carry_the_sizes_of_all_layers),
        cmocka_unit_test(h264_sizes_come_from_the_sequence_parameter_set),
        cmocka_unit_test(h264_keyframes_are_found_in_every_packetization),
        cmocka_unit_test(a_descriptor_that_we_write_is_one_that_we_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
