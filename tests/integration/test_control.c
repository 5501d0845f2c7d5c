/* giaoband between a supervisor and workers that the test plays: what it does when they die, lag, or know more than the log.
 */
#include "control_world.h"

#include "base/clock.h"
#include "wish/wish.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct acted acted;

static int begin_with(const char *const *settings)
{
    acted_make(&acted);
    acted_start(&acted, settings);
    for (unsigned w = 0; w < ACTED_WORKERS; w++)
        acted_hello(&acted, w, NULL, NULL);
    acted_open_briefing(&acted);
    return 0;
}

static int begin(void **state)
{
    return begin_with(NULL);
}

static int begin_with_small_limits(void **state)
{
    static const char *const settings[] = {"limits.worker_queue_bytes=65536", "limits.messages_per_second=1000",
                                           "limits.quarantine_seconds=2", NULL};
    return begin_with(settings);
}

static int begin_with_sites(void **state)
{
    static const char *const settings[] = {"placement=spread",
                                           "sites=name=west units=h-quan-hoa,h-muong-lat down_kbps=4000 up_kbps=2000;"
                                           "name=far addresses=10.0.0.0/8 down_kbps=64 up_kbps=64",
                                           NULL};
    return begin_with(settings);
}

static int end(void **state)
{
    acted_remove(&acted);
    return 0;
}

/* ---- help ---- */

static const char *code_of(const json_t *reply)
{
    const char *code = json_string_value(json_object_get(json_object_get(reply, "error"), "code"));
    return code ? code : json_object_get(reply, "result") ? "" : "no reply";
}

static void assert_done(json_t *reply)
{
    assert_string_equal(code_of(reply), "");
    json_decref(reply);
}

static void assert_refused(json_t *reply, const char *code)
{
    assert_string_equal(code_of(reply), code);
    json_decref(reply);
}

static json_t *microphone(bool on)
{
    return json_pack("{s:b, s:b, s:b}", "microphone", on, "camera", 0, "screen", 0);
}

static int64_t offer(struct person *p)
{
    return person_send(p, "offer", json_pack("{s:s, s:I}", "sdp", "v=0\r\n", "incarnation", (json_int_t)++p->incarnation));
}

/* Its offer arrives at worker `w`, which answers. */
static void place(struct person *p, unsigned w)
{
    int64_t id = offer(p);
    json_t *o = acted_expect(&acted, w, "offer", 5000);
    assert_non_null(o);
    assert_int_equal(json_integer_value(json_object_get(o, "endpoint")), p->number);
    acted_say(&acted, w, json_pack("{s:s, s:O, s:s}", "m", "answer", "req", json_object_get(o, "req"), "sdp", "v=0\r\n"));
    json_decref(o);
    assert_done(person_reply(p, id));
}

static json_t *on_worker(const struct person *p)
{
    return json_pack("[{s:s, s:I, s:I, s:b}]", "briefing", acted.briefing, "number", (json_int_t)p->number, "incarnation",
                     (json_int_t)p->incarnation, "connected", 1);
}

static bool may_speak(const json_t *endpoint)
{
    return json_integer_value(json_object_get(endpoint, "may_send")) & WISH_BIT(WISH_MICROPHONE);
}

/* Reads worker `w`'s messages up to one named `last`: what the wish says of that endpoint's microphone by then. −1: nothing.
 */
static int speaks_before(unsigned w, uint32_t number, const char *last)
{
    int speaks = -1;
    for (;;) {
        json_t *o = acted_next(&acted, w, 5000), *e;
        assert_non_null(o);
        const char *name = json_string_value(json_object_get(o, "m"));
        size_t i;
        bool over = strcmp(name, last) == 0;
        if (strcmp(name, "wish-endpoint") == 0 && json_integer_value(json_object_get(o, "number")) == number)
            speaks = may_speak(o);
        json_array_foreach(json_object_get(o, "endpoints"), i, e) {
            if (json_integer_value(json_object_get(e, "number")) == number && json_object_get(e, "may_send"))
                speaks = may_speak(e);
        }
        json_decref(o);
        if (over)
            return speaks;
    }
}

static bool has_microphone_on(struct person *p)
{
    bool on = false;
    char out[64];
    person_gone(p);
    socket_open(&p->ws, &p->http, NULL, NULL, "giaoban.1");
    json_t *reply = person_ask(p, "hello",
                               json_pack("{s:s, s:s, s:{s:s, s:s, s:I}}", "briefing", acted.briefing, "kind", "room",
                                         "resume", "endpoint", p->endpoint, "secret", p->secret, "last", (json_int_t)0)),
           *e;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(json_object_get(reply, "result"), "state"), "endpoints"), i, e) {
        if (json_integer_value(json_object_get(e, "number")) == p->number)
            on = json_is_true(json_object_get(e, "microphone"));
    }
    snprintf(out, sizeof out, "%s", code_of(reply));
    assert_string_equal(out, "");
    json_decref(reply);
    return on;
}

/* ---- restrictions and the log ---- */

static void a_mute_that_the_log_lacks_is_appended_by_the_next_control(void **state)
{
    struct person chair;
    person_join(&chair, &acted, "ubnd-tinh", "chair");
    place(&chair, 0);
    assert_done(person_ask(&chair, "media", microphone(true)));
    acted_kill(&acted);
    acted_start(&acted, NULL);
    acted_hello(&acted, 0, on_worker(&chair),
                json_pack("[{s:I, s:s, s:I, s:I, s:b}]", "act", (json_int_t)77, "briefing", acted.briefing, "endpoint",
                          (json_int_t)chair.number, "kinds", (json_int_t)WISH_BIT(WISH_MICROPHONE), "remove", 0));
    acted_hello(&acted, 1, NULL, NULL);
    assert_int_equal(speaks_before(0, chair.number, "settled"), 0);
    assert_false(has_microphone_on(&chair));
    person_free(&chair);
}

static void a_removal_that_the_log_lacks_is_appended_by_the_next_control(void **state)
{
    struct person chair, room;
    char out[256];
    person_join(&chair, &acted, "ubnd-tinh", "chair");
    person_join(&room, &acted, "h-quan-hoa", "delegate");
    place(&chair, 0);
    place(&room, 1);
    acted_kill(&acted);
    acted_start(&acted, NULL);
    acted_hello(&acted, 1, on_worker(&room),
                json_pack("[{s:I, s:s, s:I, s:I, s:b}]", "act", (json_int_t)78, "briefing", acted.briefing, "endpoint",
                          (json_int_t)room.number, "kinds", (json_int_t)0, "remove", 1));
    acted_hello(&acted, 0, on_worker(&chair), NULL);
    json_t *settled = acted_expect(&acted, 1, "settled", 5000);
    assert_int_equal(json_integer_value(json_object_get(settled, "act")), 78);
    json_decref(settled);
    assert_int_equal(acted_ctl(&acted, out, sizeof out, "status"), 0);
    assert_non_null(strstr(out, "endpoints=1"));
    person_free(&chair);
    person_free(&room);
}

static sqlite3 *lock_log(void)
{
    char path[100];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/giaoban.db", acted.doors.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void unlock_log(sqlite3 *db)
{
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void what_the_log_refuses_is_refused_and_nothing_is_ahead(void **state)
{
    struct person chair, room;
    person_join(&chair, &acted, "ubnd-tinh", "chair");
    person_join(&room, &acted, "h-quan-hoa", "delegate");
    sqlite3 *db = lock_log();
    assert_refused(person_ask(&room, "raise-hand", NULL), "not-saved");
    assert_refused(person_ask(&room, "raise-hand", NULL), "not-saved"); /* it is not raised already */
    unlock_log(db);
    assert_false(person_has_heard(&chair, "event", "hand-raised"));
    assert_done(person_ask(&room, "raise-hand", NULL));
    json_decref(person_hears(&chair, "event", "hand-raised"));
    assert_false(person_has_heard(&chair, "event", "hand-raised")); /* once */
    person_free(&chair);
    person_free(&room);
}

static void a_mute_that_the_log_refuses_is_lifted_again(void **state)
{
    struct person chair;
    person_join(&chair, &acted, "ubnd-tinh", "chair");
    place(&chair, 0);
    assert_done(person_ask(&chair, "media", microphone(true)));
    sqlite3 *db = lock_log();
    int64_t id = person_send(&chair, "mute", json_pack("{s:I}", "endpoint", (json_int_t)chair.number));
    json_t *restrict_ = acted_expect(&acted, 0, "restrict", 2000);
    assert_non_null(restrict_); /* at once */
    json_t *reply = person_reply(&chair, id);
    unlock_log(db);
    assert_refused(reply, "not-saved");
    json_t *settled = acted_expect(&acted, 0, "settled", 5000);
    assert_true(json_equal(json_object_get(settled, "act"), json_object_get(restrict_, "act")));
    json_t *wish = acted_next(&acted, 0, 5000); /* which lifts it, though nothing else has changed */
    assert_string_equal(json_string_value(json_object_get(wish, "m")), "wish-delta");
    json_decref(wish);
    json_decref(settled);
    json_decref(restrict_);
    assert_true(has_microphone_on(&chair));
    person_free(&chair);
}

/* ---- wishes ---- */

static void a_stale_delta_is_followed_by_a_full_wish(void **state)
{
    struct person chair;
    person_join(&chair, &acted, "ubnd-tinh", "chair");
    place(&chair, 0);
    acted_say(&acted, 0,
              json_pack("{s:s, s:i, s:s, s:s}", "m", "refused", "req", 0, "code", "stale", "why", "another version"));
    json_t *wish = acted_expect(&acted, 0, "wish-begin", 5000);
    assert_non_null(wish);
    json_decref(wish);
    assert_int_equal(speaks_before(0, chair.number, "wish-end"), 0);
    person_free(&chair);
}

static void show(struct person *p, int width)
{
    assert_done(person_ask(p, "layout",
                           json_pack("{s:{s:i, s:i}, s:{s:i, s:i}, s:[]}", "stage", "width", width, "height", 360, "screen",
                                     "width", 0, "height", 0, "tiles")));
}

/* The width of the stage that the wish has for the endpoint once everything is read; how many full wishes; "again". */
static int width_after_all(unsigned w, uint32_t number, unsigned *ret_full, bool *ret_again)
{
    int width = -1;
    json_t *o, *e;
    *ret_full = 0;
    *ret_again = false;
    while ((o = acted_next(&acted, w, 1000)) != NULL) {
        const char *name = json_string_value(json_object_get(o, "m"));
        const json_t *size = NULL;
        size_t i;
        *ret_full += strcmp(name, "wish-end") == 0;
        *ret_again = *ret_again || strcmp(name, "again") == 0;
        if (strcmp(name, "wish-endpoint") == 0 && json_integer_value(json_object_get(o, "number")) == number)
            size = json_object_get(o, "stage_size");
        json_array_foreach(json_object_get(o, "endpoints"), i, e) {
            if (json_integer_value(json_object_get(e, "number")) == number)
                size = json_object_get(e, "stage_size");
        }
        if (size)
            width = (int)json_integer_value(json_array_get(size, 0));
        json_decref(o);
    }
    return width;
}

static void a_worker_that_does_not_read_gets_full_wishes_once_it_does(void **state)
{
    struct person chair;
    unsigned full;
    bool again;
    person_join(&chair, &acted, "ubnd-tinh", "chair");
    place(&chair, 0);
    for (int i = 0; i < 1500; i++)
        show(&chair, 320 + i % 2);
    show(&chair, 1280);
    assert_int_equal(width_after_all(0, chair.number, &full, &again), 1280);
    assert_int_equal(full, 1);
    assert_true(again);
    person_free(&chair);
}

static void no_wish_leaves_before_all_workers_have_said_what_is_on_them(void **state)
{
    struct person chair, room;
    person_join(&chair, &acted, "ubnd-tinh", "chair");
    person_join(&room, &acted, "h-quan-hoa", "delegate");
    place(&chair, 0);
    place(&room, 1);
    acted_kill(&acted);
    int64_t started_us = clock_now_us();
    acted_start(&acted, NULL);
    acted_hello(&acted, 0, on_worker(&chair), NULL);
    person_gone(&room);
    person_resume(&room, &acted);
    int64_t id = offer(&room); /* to worker 0 or 1, as it comes */
    json_t *early = acted_expect(&acted, 0, "wish-begin", 300);
    if (clock_now_us() - started_us < 900000) /* the hold lasts a second */
        assert_null(early);
    json_decref(early);
    acted_hello(&acted, 1, on_worker(&room), NULL);
    json_t *wish = acted_expect(&acted, 1, "wish-begin", 5000), *o = acted_expect(&acted, 1, "offer", 5000);
    assert_non_null(wish);
    assert_non_null(o); /* on the worker that it was on */
    acted_say(&acted, 1, json_pack("{s:s, s:O, s:s}", "m", "answer", "req", json_object_get(o, "req"), "sdp", "v=0\r\n"));
    assert_done(person_reply(&room, id));
    json_decref(wish);
    json_decref(o);
    person_free(&chair);
    person_free(&room);
}

/* Everything was killed, or this worker died while control was away: its endpoints' media end with it, and nobody but
 * control can know. */
static void after_a_restart_whom_no_worker_has_is_asked_to_join_again_and_nobody_else(void **state)
{
    struct person chair, room;
    person_join(&chair, &acted, "ubnd-tinh", "chair");
    person_join(&room, &acted, "h-quan-hoa", "delegate");
    place(&chair, 0);
    place(&room, 1);
    acted_kill(&acted);
    int64_t started_us = clock_now_us();
    acted_start(&acted, NULL);
    person_gone(&chair);
    person_resume(&chair, &acted);
    person_gone(&room);
    person_resume(&room, &acted);
    acted_hello(&acted, 0, on_worker(&chair), NULL);
    bool early = person_has_heard(&room, "notice", "rejoin");
    if (clock_now_us() - started_us < 900000) /* a worker has a second to say what is on it */
        assert_false(early);
    acted_hello(&acted, 1, NULL, NULL);
    json_t *rejoin = person_hears(&room, "notice", "rejoin");
    assert_non_null(rejoin);
    json_decref(rejoin);
    assert_false(person_has_heard(&chair, "notice", "rejoin"));
    person_free(&chair);
    person_free(&room);
}

/* ---- sites ---- */

/* Waits until worker `w` is told of that endpoint's site: "1 0 4000 2000". */
static void told_site(unsigned w, uint32_t number, const char *expected)
{
    char site[64] = "";
    while (strcmp(site, expected) != 0) {
        json_t *o = acted_next(&acted, w, 5000), *e, *list;
        size_t i;
        if (!o)
            fail_msg("endpoint %u: \"%s\", not \"%s\"", number, site, expected);
        json_t *changed = json_object_get(o, "endpoints");
        list = json_is_array(changed) ? json_incref(changed) : json_pack("[O]", o);
        json_array_foreach(list, i, e) {
            int n[4];
            if (json_integer_value(json_object_get(e, "number")) == number &&
                !json_unpack(json_object_get(e, "site"), "[iiii]", &n[0], &n[1], &n[2], &n[3]))
                snprintf(site, sizeof site, "%d %d %d %d", n[0], n[1], n[2], n[3]);
        }
        json_decref(list);
        json_decref(o);
    }
}

static void connects(const struct person *p, unsigned w)
{
    acted_say(&acted, w,
              json_pack("{s:s, s:s, s:[{s:I, s:I, s:b, s:{s:i}}], s:i}", "m", "state", "briefing", acted.briefing,
                        "endpoints", "number", (json_int_t)p->number, "incarnation", (json_int_t)p->incarnation, "connected",
                        1, "receive", "estimate_bps", 300000, "speaker", 0));
}

static void workers_are_told_of_a_site_and_how_many_of_it_others_have(void **state)
{
    struct person chair, room, other;
    static char out[65536];
    person_join(&chair, &acted, "ubnd-tinh", "chair");
    person_join(&room, &acted, "h-quan-hoa", "delegate");
    person_join(&other, &acted, "h-muong-lat", "delegate");
    place(&room, 0);
    place(&other, 1);
    connects(&room, 0);
    told_site(1, other.number, "1 1 4000 2000");
    connects(&other, 1);
    told_site(0, room.number, "1 1 4000 2000");
    assert_int_equal(acted_ctl(&acted, out, sizeof out, "metrics | grep ^giaoban_site | tr '\\n' ' '"), 0);
    assert_non_null(strstr(out, "giaoban_site_endpoints{site=\"west\"} 2 "));
    assert_non_null(strstr(out, "giaoban_site_down_bps{site=\"west\"} 600000 "));
    assert_non_null(strstr(out, "giaoban_site_endpoints{site=\"far\"} 0 "));
    person_free(&chair);
    person_free(&room);
    person_free(&other);
}

/* ---- absence ---- */

static int64_t hears_left_us(struct person *p, uint32_t number)
{
    json_t *left = person_hears(p, "event", "left");
    assert_non_null(left);
    assert_int_equal(json_integer_value(json_object_get(left, "number")), number);
    json_decref(left);
    return clock_now_us();
}

static void fifteen_seconds_without_a_socket_are_an_absence_and_a_restart_of_control_is_none(void **state)
{
    struct person chair, room, other;
    person_join(&chair, &acted, "ubnd-tinh", "chair");
    person_join(&room, &acted, "h-quan-hoa", "delegate");
    person_join(&other, &acted, "h-muong-lat", "delegate");
    person_gone(&room);
    int64_t gone_us = clock_now_us();
    int64_t away_us = hears_left_us(&chair, room.number) - gone_us;
    assert_in_range(away_us, 14900000, 19000000);

    person_gone(&other); /* and a restart begins the fifteen seconds anew, for everybody */
    acted_kill(&acted);
    int64_t restarted_us = clock_now_us();
    acted_start(&acted, NULL);
    for (unsigned w = 0; w < ACTED_WORKERS; w++)
        acted_hello(&acted, w, NULL, NULL);
    person_gone(&chair);
    person_resume(&chair, &acted);
    away_us = hears_left_us(&chair, other.number) - restarted_us;
    assert_in_range(away_us, 14900000, 19000000);
    assert_false(person_has_heard(&chair, "event", "left")); /* nobody else */
    person_free(&chair);
    person_free(&room);
    person_free(&other);
}

/* ---- what kills workers ---- */

static void an_endpoint_on_whose_offers_three_workers_die_is_kept_out_for_a_while(void **state)
{
    struct person chair, room;
    person_join(&chair, &acted, "ubnd-tinh", "chair");
    person_join(&room, &acted, "h-quan-hoa", "delegate");
    for (int i = 0; i < 3; i++) {
        int64_t id = offer(&room);
        unsigned w = 0;
        json_t *o = NULL;
        for (int turns = 0; !o && turns < 50; turns++)
            o = acted_expect(&acted, w = turns % 2, "offer", 100);
        assert_non_null(o);
        json_decref(o);
        acted_worker_dies(&acted, w);
        acted_hello(&acted, w, NULL, NULL);
        assert_refused(person_reply(&room, id), "no-worker");
    }
    assert_refused(person_reply(&room, offer(&room)), "quarantined");
    int64_t id = offer(&chair); /* others are not harmed */
    json_t *o = NULL;
    for (int turns = 0; !o && turns < 50; turns++)
        o = acted_expect(&acted, turns % 2, "offer", 100);
    assert_non_null(o);
    assert_int_equal(json_integer_value(json_object_get(o, "endpoint")), chair.number);
    json_decref(o);
    (void)id;
    int64_t until_us = clock_now_us() + 10000000;
    for (;;) { /* limits.quarantine_seconds later it may try again */
        id = offer(&room);
        o = NULL;
        for (unsigned w = 0; !o && w < ACTED_WORKERS; w++)
            o = acted_expect(&acted, w, "offer", 200);
        if (o)
            break;
        assert_refused(person_reply(&room, id), "quarantined");
        assert_true(clock_now_us() < until_us);
    }
    assert_int_equal(json_integer_value(json_object_get(o, "endpoint")), room.number);
    json_decref(o);
    person_free(&chair);
    person_free(&room);
}

/* ---- recorder ---- */

static void a_recorder_that_is_given_up_is_told_and_what_is_on_disk_is_composed(void **state)
{
    struct person chair;
    struct link_message m = {.kind = LINK_RECORDER, .a = 3, .b = 6}, told;
    char job[64];
    person_join(&chair, &acted, "ubnd-tinh", "chair");
    assert_done(person_ask(&chair, "record", json_pack("{s:b}", "on", 1)));
    assert_true(acted_told(&acted, LINK_RECORD, 5000, &told));
    assert_string_equal(told.text, acted.briefing);
    assert_done(person_ask(&chair, "close", NULL));
    assert_true(acted_told(&acted, LINK_RECORD_STOP, 5000, &told));
    snprintf(m.text, sizeof m.text, "%s", acted.briefing);
    acted_supervise(&acted, &m);
    json_t *notice;
    do
        notice = person_hears(&chair, "notice", "recorder");
    while (notice && strcmp(json_string_value(json_object_get(notice, "code")) ?: "", "recorder-given-up") != 0);
    assert_non_null(notice);
    assert_true(acted_told(&acted, LINK_COMPOSE, 5000, &told));
    snprintf(job, sizeof job, "%s mp4", acted.briefing);
    assert_string_equal(told.text, job);
    json_decref(notice);
    person_free(&chair);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_mute_that_the_log_lacks_is_appended_by_the_next_control),
        TEST(a_removal_that_the_log_lacks_is_appended_by_the_next_control),
        TEST(what_the_log_refuses_is_refused_and_nothing_is_ahead),
        TEST(a_mute_that_the_log_refuses_is_lifted_again),
        TEST(a_stale_delta_is_followed_by_a_full_wish),
        cmocka_unit_test_setup_teardown(a_worker_that_does_not_read_gets_full_wishes_once_it_does, begin_with_small_limits,
                                        end),
        TEST(no_wish_leaves_before_all_workers_have_said_what_is_on_them),
        TEST(after_a_restart_whom_no_worker_has_is_asked_to_join_again_and_nobody_else),
        cmocka_unit_test_setup_teardown(workers_are_told_of_a_site_and_how_many_of_it_others_have, begin_with_sites, end),
        TEST(fifteen_seconds_without_a_socket_are_an_absence_and_a_restart_of_control_is_none),
        cmocka_unit_test_setup_teardown(an_endpoint_on_whose_offers_three_workers_die_is_kept_out_for_a_while,
                                        begin_with_small_limits, end),
        TEST(a_recorder_that_is_given_up_is_told_and_what_is_on_disk_is_composed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
