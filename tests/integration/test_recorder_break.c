/* The recorder program when the whole server dies beneath it: what nobody recorded is in the ledger, two never write. */
#include "recordings_source.h"

#include "recordings/element.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/link.h"

#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { FRAMES = 50, STEP_US = 1000000 / ROOM_FPS, SOUND_STEP_US = 20000, AWAY_US = 7000000, RING = 8 << 20 };

static struct room rooms[2];
static char dir[200];

static int make_rooms(void **state)
{
    room_make(&rooms[0], 1, 7, "quan-hoa", FRAMES / ROOM_FPS);
    room_make(&rooms[1], 5, 9, "muong-lat", FRAMES / ROOM_FPS);
    return 0;
}

static int free_rooms(void **state)
{
    room_free(&rooms[0]);
    room_free(&rooms[1]);
    return 0;
}

static int fresh(void **state)
{
    make_dir(dir, sizeof dir);
    for (int i = 0; i < 2; i++) {
        rooms[i].incarnation = 1;
        rooms[i].picture_seq = rooms[i].sound_seq = 0x10000 + 100;
    }
    return 0;
}

static int drop(void **state)
{
    remove_dir(dir);
    return 0;
}

static bool acknowledged(void *ctx)
{
    return feed_backlog(((struct worker *)ctx)->feed) == 0;
}

static void send_all(struct worker *w, struct room *r)
{
    worker_meta(w, r);
    for (unsigned n = 0; n < FRAMES; n++)
        worker_send(w, r, n, true, true);
}

/* Both rooms are on file, then recorder, worker and feed are gone. */
static void first_life(int64_t base_us)
{
    struct worker w;
    struct child c;
    worker_open(&w, RING, base_us);
    child_start(&c, dir);
    child_feed(&c, &w);
    for (int i = 0; i < 2; i++)
        send_all(&w, &rooms[i]);
    assert_true(wait_until(acknowledged, &w, 10));
    child_kill(&c);
    worker_close(&w);
}

/* The interruption of one track: 1 when it is there, with its ends. */
static int interruption(uint32_t track, int64_t *ret_from_us, int64_t *ret_to_us)
{
    char path[300], line[2000];
    int found = 0;
    snprintf(path, sizeof path, "%s/ledger.jsonl", dir);
    FILE *in = fopen(path, "re");
    assert_non_null(in);
    while (fgets(line, sizeof line, in)) {
        json_t *o = json_loads(line, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(o, "reason")), "interrupted");
        if (json_integer_value(json_object_get(o, "track")) == track) {
            found++;
            *ret_from_us = json_integer_value(json_object_get(o, "from_us"));
            *ret_to_us = json_integer_value(json_object_get(o, "to_us"));
        }
        json_decref(o);
    }
    fclose(in);
    return found;
}

static void what_died_with_the_server_is_in_the_ledger_to_the_packet(void **state)
{
    int64_t base_us = clock_now_us(), from_us, to_us;
    struct worker w;
    struct child c;
    first_life(base_us);
    worker_open(&w, RING, base_us + AWAY_US);
    child_start(&c, dir);
    child_feed(&c, &w);
    for (int i = 0; i < 2; i++) {
        rooms[i].incarnation = 2;
        send_all(&w, &rooms[i]);
        worker_end(&w, &rooms[i]);
    }
    child_tell(&c, LINK_RECORD_STOP);
    assert_int_equal(child_wait(&c), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(interruption(rooms[i].number * 4 + 1, &from_us, &to_us), 1);
        assert_int_equal(from_us, base_us + (2 * FRAMES - 1) * SOUND_STEP_US);
        assert_int_equal(to_us, base_us + AWAY_US);
        assert_int_equal(interruption(rooms[i].number * 4 + 2, &from_us, &to_us), 1);
        assert_int_equal(from_us, base_us + (FRAMES - 1) * STEP_US);
        assert_int_equal(to_us, base_us + AWAY_US);
    }
    worker_close(&w);
}

static void a_room_that_never_comes_back_was_interrupted_until_it_could_have(void **state)
{
    int64_t base_us = clock_now_us() - 20000000, from_us, to_us, before_us;
    struct worker w;
    struct child c;
    first_life(base_us);
    worker_open(&w, RING, base_us + AWAY_US);
    before_us = clock_now_us();
    child_start(&c, dir);
    child_feed(&c, &w);
    rooms[0].incarnation = 2;
    send_all(&w, &rooms[0]);
    worker_end(&w, &rooms[0]);
    child_tell(&c, LINK_RECORD_STOP);
    assert_int_equal(child_wait(&c), 0);
    assert_int_equal(interruption(rooms[1].number * 4 + 1, &from_us, &to_us), 1);
    assert_int_equal(from_us, base_us + (2 * FRAMES - 1) * SOUND_STEP_US);
    assert_in_range(to_us, before_us, clock_now_us());
    worker_close(&w);
}

/* As above, but the tracks had ended before: nobody was interrupted. */
static void an_end_that_was_announced_is_no_interruption(void **state)
{
    int64_t base_us = clock_now_us(), from_us, to_us;
    struct worker w;
    struct child c;
    worker_open(&w, RING, base_us);
    child_start(&c, dir);
    child_feed(&c, &w);
    send_all(&w, &rooms[0]);
    worker_end(&w, &rooms[0]);
    assert_true(wait_until(acknowledged, &w, 10));
    child_kill(&c);
    worker_close(&w);
    worker_open(&w, RING, base_us + AWAY_US);
    child_start(&c, dir);
    child_feed(&c, &w);
    rooms[0].incarnation = 2;
    send_all(&w, &rooms[0]);
    worker_end(&w, &rooms[0]);
    child_tell(&c, LINK_RECORD_STOP);
    assert_int_equal(child_wait(&c), 0);
    assert_int_equal(interruption(rooms[0].number * 4 + 1, &from_us, &to_us), 0);
    worker_close(&w);
}

/* Two workers have a feed each, and which is read first is chance: the end in the former may come behind what follows it. */
static void a_move_to_another_worker_is_no_interruption_and_a_worker_that_died_is_one(void **state)
{
    int64_t base_us = clock_now_us(), from_us, to_us;
    struct worker former, next;
    struct child c;
    worker_open(&former, RING, base_us);
    worker_open(&next, RING, base_us + AWAY_US);
    child_start(&c, dir);
    child_feed(&c, &former);
    child_feed(&c, &next);
    for (int i = 0; i < 2; i++)
        send_all(&former, &rooms[i]);
    assert_true(wait_until(acknowledged, &former, 10));
    for (int i = 0; i < 2; i++) {
        rooms[i].incarnation = 2;
        send_all(&next, &rooms[i]);
        worker_end(&next, &rooms[i]);
    }
    rooms[0].incarnation = 1; /* it says goodbye, the other's worker is dead */
    worker_end(&former, &rooms[0]);
    assert_true(wait_until(acknowledged, &next, 10));
    child_tell(&c, LINK_RECORD_STOP);
    assert_int_equal(child_wait(&c), 0);
    assert_int_equal(interruption(rooms[0].number * 4 + 1, &from_us, &to_us), 0);
    assert_int_equal(interruption(rooms[1].number * 4 + 1, &from_us, &to_us), 1);
    assert_int_equal(from_us, base_us + (2 * FRAMES - 1) * SOUND_STEP_US);
    assert_int_equal(to_us, base_us + AWAY_US);
    worker_close(&former);
    worker_close(&next);
}

static void a_second_recorder_waits_until_the_first_has_finished(void **state)
{
    struct worker w;
    struct child first, second;
    struct link_message m;
    int fds[LINK_FDS_MAX];
    size_t n_fds;
    worker_open(&w, RING, clock_now_us());
    child_start(&first, dir);
    assert_int_equal(link_receive(first.link, &m, fds, &n_fds), 0);
    assert_int_equal(m.kind, LINK_READY);
    child_start(&second, dir);
    child_feed(&first, &w);
    for (int i = 0; i < 2; i++) { /* acknowledged once a second: the other would have begun long ago */
        send_all(&w, &rooms[i]);
        assert_true(wait_until(acknowledged, &w, 10));
    }
    struct pollfd ready = {.fd = second.link, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 0), 0);
    child_tell(&first, LINK_STOP);
    assert_int_equal(child_wait(&first), 0);
    assert_int_equal(link_receive(second.link, &m, fds, &n_fds), 0);
    assert_int_equal(m.kind, LINK_READY);
    child_tell(&second, LINK_STOP);
    assert_int_equal(child_wait(&second), 0);
    worker_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_died_with_the_server_is_in_the_ledger_to_the_packet, fresh, drop),
        cmocka_unit_test_setup_teardown(a_room_that_never_comes_back_was_interrupted_until_it_could_have, fresh, drop),
        cmocka_unit_test_setup_teardown(an_end_that_was_announced_is_no_interruption, fresh, drop),
        cmocka_unit_test_setup_teardown(a_move_to_another_worker_is_no_interruption_and_a_worker_that_died_is_one, fresh,
                                        drop),
        cmocka_unit_test_setup_teardown(a_second_recorder_waits_until_the_first_has_finished, fresh, drop),
    };
    char why[200];
    if (gst_setup(why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    return cmocka_run_group_tests_name("recorder breaks", tests, make_rooms, free_rooms);
}
