/* Checks on virtual time, by feeds as a worker writes them. */
#include "check/session.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

enum { MICROPHONE = 7 * 4 + 1, CAMERA = 7 * 4 + 2, TICK_US = 20000 };

struct room {
    struct session *session;
    struct feed_writer *writer;
    int data, tail;
    int64_t now_us;
};

static int setup(void **state)
{
    struct room *r = calloc(1, sizeof *r);
    *state = r;
    r->now_us = 1000000;
    r->session = session_new();
    return !r->session || feed_create(1 << 20, 3, &r->data, &r->tail) ||
           feed_writer_open(r->data, r->tail, -1, 1, &r->writer);
}

static int teardown(void **state)
{
    struct room *r = *state;
    session_free(r->session);
    feed_writer_close(r->writer);
    close(r->data);
    close(r->tail);
    free(r);
    return 0;
}

static void put(struct room *r, uint8_t kind, uint32_t track, uint64_t seq, const void *body, size_t len)
{
    struct feed_record record = {.kind = kind, .track = track, .incarnation = 1, .ext_seq = seq, .len = (uint16_t)len};
    assert_int_equal(feed_write(r->writer, &record, body), 0);
}

static void put_meta(struct room *r, uint32_t track, const char *codec)
{
    char text[100];
    int len = snprintf(text, sizeof text, "{\"codec\":\"%s\"}", codec);
    put(r, FEED_META, track, 0, text, (size_t)len);
}

/* Silence of 20 ms, or a VP8 frame that no decoder takes. */
static void put_packet(struct room *r, uint32_t track, uint64_t seq)
{
    static const uint8_t silence[] = {0xf8, 0xff, 0xfe}, frame[] = {0x10, 1, 2, 3};
    uint8_t rtp[RTP_FIXED_HEADER + 8] = {0x80, 0xe0};
    const uint8_t *payload = track == MICROPHONE ? silence : frame;
    size_t len = track == MICROPHONE ? sizeof silence : sizeof frame;
    put_u16(rtp + 2, (uint16_t)seq);
    put_u32(rtp + 4, (uint32_t)seq * 960);
    memcpy(rtp + RTP_FIXED_HEADER, payload, len);
    put(r, FEED_RTP, track, seq, rtp, RTP_FIXED_HEADER + len);
}

/* Runs until something is told; returns how long it took. The sound goes on, the picture begins at `picture_us`. */
static json_t *run(struct room *r, int64_t picture_us, int64_t *ret_us)
{
    int64_t began_us = r->now_us;
    for (uint64_t seq = 1; r->now_us < began_us + 20000000; seq++) {
        put_packet(r, MICROPHONE, seq);
        if (r->now_us - began_us >= picture_us)
            put_packet(r, CAMERA, seq);
        do {
            json_t *told = session_turn(r->session, r->now_us);
            *ret_us = r->now_us - began_us;
            if (told)
                return told;
        } while (session_busy(r->session));
        r->now_us += TICK_US;
    }
    fail_msg("nothing is told");
    return NULL;
}

static const char *text_in(const json_t *o, const char *part, const char *key)
{
    return json_string_value(json_object_get(json_object_get(o, part), key)) ?: "";
}

static void without_a_picture_it_takes_three_seconds(void **state)
{
    struct room *r = *state;
    int64_t us;
    put_meta(r, MICROPHONE, "opus");
    assert_int_equal(session_check(r->session, 5, r->data, r->tail, r->now_us), 0);
    assert_false(session_idle(r->session));
    json_t *told = run(r, INT64_MAX, &us);
    assert_int_equal(us, SESSION_LOOK_US);
    assert_string_equal(json_string_value(json_object_get(told, "m")), "verdict");
    assert_int_equal(json_integer_value(json_object_get(told, "id")), 5);
    assert_string_equal(text_in(told, "sound", "verdict"), "silent");
    assert_string_equal(text_in(told, "picture", "verdict"), "none");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(told, "sound"), "packets")), 151);
    json_decref(told);
    assert_true(session_idle(r->session));
}

static void a_late_picture_is_looked_at_longer_but_not_for_ever(void **state)
{
    static const struct {
        int64_t picture_us, took_us;
    } rows[] = {
        {0, SESSION_LOOK_US},
        {400000, SESSION_LOOK_US},
        {1500000, 1500000 + SESSION_PICTURE_US},
        {2900000, SESSION_LONGEST_US},
    };
    struct room *r = *state;
    put_meta(r, MICROPHONE, "opus");
    put_meta(r, CAMERA, "VP8");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t us;
        assert_int_equal(session_check(r->session, 1 + (uint32_t)i, r->data, r->tail, r->now_us), 0);
        if (i > 0)
            put_meta(r, CAMERA, "VP8");
        json_t *told = run(r, rows[i].picture_us, &us);
        assert_int_equal(us, rows[i].took_us);
        assert_string_equal(text_in(told, "picture", "verdict"), "broken");
        assert_string_equal(text_in(told, "picture", "codec"), "VP8");
        json_decref(told);
    }
}

static void a_codec_that_is_not_decoded_is_named(void **state)
{
    struct room *r = *state;
    int64_t us;
    put_meta(r, CAMERA, "H264");
    assert_int_equal(session_check(r->session, 5, r->data, r->tail, r->now_us), 0);
    json_t *told = run(r, 0, &us);
    assert_string_equal(text_in(told, "picture", "verdict"), "unsupported");
    assert_string_equal(text_in(told, "picture", "codec"), "H264");
    json_decref(told);
}

/* The writer is trusted no more than what it writes. */
static void a_broken_feed_fails_its_check(void **state)
{
    struct room *r = *state;
    assert_int_equal(session_check(r->session, 5, r->data, r->tail, r->now_us), 0);
    put_packet(r, MICROPHONE, 1);
    uint8_t *ring = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_SHARED, r->data, 0);
    assert_true(ring != MAP_FAILED);
    memset(ring + 4096, 0xff, 64); /* the first record, behind the head's page */
    munmap(ring, 1 << 16);
    json_t *told = NULL;
    for (int i = 0; i < 3 && !told; i++)
        told = session_turn(r->session, r->now_us += TICK_US);
    assert_non_null(told);
    assert_string_equal(json_string_value(json_object_get(told, "m")), "failed");
    assert_int_equal(json_integer_value(json_object_get(told, "id")), 5);
    json_decref(told);
    assert_true(session_idle(r->session));
}

static void there_is_room_for_four_and_dropping_makes_some(void **state)
{
    struct room *r = *state;
    for (uint32_t id = 1; id <= SESSION_CHECKS_MAX; id++)
        assert_int_equal(session_check(r->session, id, r->data, r->tail, r->now_us), 0);
    assert_int_equal(session_check(r->session, 9, r->data, r->tail, r->now_us), ERR_BUSY);
    session_drop(r->session, 9); /* not there: nothing */
    session_drop(r->session, 2);
    assert_int_equal(session_check(r->session, 3, r->data, r->tail, r->now_us), ERR_EXISTS);
    assert_int_equal(session_check(r->session, 0, r->data, r->tail, r->now_us), ERR_INVAL);
    assert_int_equal(session_check(r->session, 9, -1, r->tail, r->now_us), ERR_INVAL);
    assert_int_equal(session_check(r->session, 9, r->data, r->tail, r->now_us), 0);
    session_drop_all(r->session);
    assert_true(session_idle(r->session));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_picture_it_takes_three_seconds, setup, teardown),
        cmocka_unit_test_setup_teardown(a_late_picture_is_looked_at_longer_but_not_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(a_codec_that_is_not_decoded_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_feed_fails_its_check, setup, teardown),
        cmocka_unit_test_setup_teardown(there_is_room_for_four_and_dropping_makes_some, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
