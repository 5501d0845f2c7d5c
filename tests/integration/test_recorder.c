/* The recorder program against a feed: nothing lost over kills, the ledger exact, files as promised. */
#include "recordings_files.h"
#include "recordings_source.h"

#include "recordings/element.h"

#include "base/clock.h"
#include "base/link.h"

#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SECONDS = 12, FRAMES = SECONDS * ROOM_FPS };

static struct room rooms[2];
static char dir[200];

static int make_rooms(void **state)
{
    room_make(&rooms[0], 1, 7, "quan-hoa", SECONDS);
    room_make(&rooms[1], 5, 9, "muong-lat", SECONDS);
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
        rooms[i].picture_seq = 0x10000 + 65000;
        rooms[i].sound_seq = 0x10000 + 100;
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

/* A worker with a feed of that size, and a recorder that reads it. */
static void begin(struct worker *w, struct child *c, size_t ring_bytes, int64_t base_us)
{
    worker_open(w, ring_bytes, base_us);
    child_start(c, dir);
    child_feed(c, w);
}

static void stop_and_wait(struct child *c)
{
    child_tell(c, LINK_RECORD_STOP);
    assert_int_equal(child_wait(c), 0);
}

static void assert_all_is_there(const struct worker *w)
{
    for (int i = 0; i < 2; i++) {
        assert_track_is(dir, rooms[i].number * 4 + 2, rooms[i].pictures, FRAMES, w->base_us, 40000);
        assert_track_is(dir, rooms[i].number * 4 + 1, rooms[i].sounds, FRAMES * 2, w->base_us, 20000);
    }
    json_t *ledger = lines_of(dir, "ledger.jsonl");
    assert_int_equal(json_array_size(ledger), 0);
    json_decref(ledger);
}

static void assert_manifest_is_right(void)
{
    char path[600];
    snprintf(path, sizeof path, "%s/manifest.json", dir);
    json_t *m = json_load_file(path, 0, NULL), *line;
    size_t i, tracks = 0;
    assert_non_null(m);
    json_array_foreach(json_object_get(m, "files"), i, line) {
        const char *name = json_string_value(json_object_get(line, "name"));
        unsigned char sum[crypto_hash_sha256_BYTES];
        char hex[sizeof sum * 2 + 1];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", dir, name);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(json_integer_value(json_object_get(line, "bytes")), st.st_size);
        unsigned char *bytes = malloc((size_t)st.st_size + 1);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
        close(fd);
        crypto_hash_sha256(sum, bytes, (unsigned long long)st.st_size);
        free(bytes);
        assert_string_equal(sodium_bin2hex(hex, sizeof hex, sum, sizeof sum),
                            json_string_value(json_object_get(line, "sha256")));
        tracks += strncmp(name, "track-", 6) == 0;
    }
    assert_int_equal(tracks, json_array_size(json_object_get(m, "segments")));
    assert_true(tracks >= 4);
    json_decref(m);
}

static void everything_is_on_file_and_acknowledged(void **state)
{
    struct worker w;
    struct child c;
    begin(&w, &c, 16 << 20, clock_now_us());
    for (int i = 0; i < 2; i++)
        worker_meta(&w, &rooms[i]);
    for (unsigned n = 0; n < FRAMES; n++)
        for (int i = 0; i < 2; i++)
            worker_send(&w, &rooms[i], n, true, true);
    assert_true(wait_until(acknowledged, &w, 10)); /* before the stop: what is synced is acknowledged while recording */
    for (int i = 0; i < 2; i++)
        worker_end(&w, &rooms[i]);
    stop_and_wait(&c);
    assert_int_equal(feed_backlog(w.feed), 0);
    assert_all_is_there(&w);
    assert_manifest_is_right();
    struct stat st;
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    worker_close(&w);
}

/* The source sends its only keyframe at the start. The recorder is killed nine times at random, now and then before it could
 * open the feed, and is away while packets come. */
static void kills_at_random_lose_nothing_and_repeat_nothing(void **state)
{
    struct worker w;
    struct child c;
    unsigned x = 20261124;
    worker_open(&w, 16 << 20, clock_now_us());
    for (int i = 0; i < 2; i++)
        worker_meta(&w, &rooms[i]);
    unsigned n = 0;
    for (int life = 0; life < 10; life++) {
        child_start(&c, dir);
        child_feed(&c, &w);
        unsigned until = life == 9 ? FRAMES : (unsigned)(life + 1) * FRAMES / 10;
        for (; n < until; n++) {
            for (int i = 0; i < 2; i++)
                worker_send(&w, &rooms[i], n, true, true);
            usleep(1000); /* a worker's turn; the recorder reads beside it */
        }
        x = x * 1664525u + 1013904223u;
        if (life == 9)
            break;
        if (life % 3 == 0)
            assert_true(wait_until(acknowledged, &w, 10));
        usleep((x >> 12) % 300000);
        child_kill(&c);
    }
    stop_and_wait(&c);
    assert_int_equal(w.refused, 0);
    assert_all_is_there(&w);
    json_t *lines = lines_of(dir, "tracks.jsonl");
    assert_true(json_array_size(lines) > 4); /* it was taken up in new segments */
    json_decref(lines);
    assert_manifest_is_right();
    worker_close(&w);
}

/* A packet of sound is missing: what comes after it waits up to a second for it. Nobody will have the feed after a stop. */
static void a_stop_writes_what_was_held_back(void **state)
{
    struct worker w;
    struct child c;
    const uint64_t lost = 0x10000 + 100 + 2 * FRAMES - 20; /* 0.4 s before the end */
    const struct loss losses[] = {{29, lost, lost}};
    begin(&w, &c, 16 << 20, clock_now_us());
    w.losses = losses;
    w.n_losses = 1;
    worker_meta(&w, &rooms[0]);
    for (unsigned n = 0; n < FRAMES; n++)
        worker_send(&w, &rooms[0], n, true, true);
    child_tell(&c, LINK_STOP);
    assert_int_equal(child_wait(&c), 0);
    assert_true(acknowledged(&w));
    json_t *ledger = lines_of(dir, "ledger.jsonl");
    assert_int_equal(json_array_size(ledger), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(ledger, 0), "missing")), 1);
    json_decref(ledger);
    assert_track_is(dir, rooms[0].number * 4 + 2, rooms[0].pictures, FRAMES, w.base_us, 40000);
    worker_close(&w);
}

static void losses_are_in_the_ledger_to_the_packet(void **state)
{
    struct worker w;
    struct child c;
    const struct loss losses[] = {
        {29, 0x10000 + 100 + 50, 0x10000 + 100 + 54},   /* five packets of sound: 1.000 s to 1.100 s */
        {37, 0x10000 + 100 + 200, 0x10000 + 100 + 200}, /* one at 4 s */
    };
    begin(&w, &c, 16 << 20, 1000000000);
    w.losses = losses;
    w.n_losses = 2;
    for (int i = 0; i < 2; i++)
        worker_meta(&w, &rooms[i]);
    for (unsigned n = 0; n < FRAMES; n++)
        for (int i = 0; i < 2; i++)
            worker_send(&w, &rooms[i], n, true, true);
    for (int i = 0; i < 2; i++)
        worker_end(&w, &rooms[i]);
    stop_and_wait(&c);
    json_t *ledger = lines_of(dir, "ledger.jsonl"), *line;
    assert_int_equal(json_array_size(ledger), 2);
    for (int i = 0; i < 2; i++) {
        size_t k;
        bool found = false;
        json_array_foreach(ledger, k, line) {
            if (json_integer_value(json_object_get(line, "track")) != losses[i].track)
                continue;
            int64_t first = (int64_t)(losses[i].from - 0x10000 - 100), last = (int64_t)(losses[i].to - 0x10000 - 100);
            found = true;
            assert_int_equal(json_integer_value(json_object_get(line, "from_seq")), losses[i].from);
            assert_int_equal(json_integer_value(json_object_get(line, "to_seq")), losses[i].to);
            assert_int_equal(json_integer_value(json_object_get(line, "packets")), last - first + 1);
            assert_int_equal(json_integer_value(json_object_get(line, "missing")), last - first + 1);
            assert_int_equal(json_integer_value(json_object_get(line, "from_us")), w.base_us + (first - 1) * 20000);
            assert_int_equal(json_integer_value(json_object_get(line, "to_us")), w.base_us + (last + 1) * 20000);
            assert_string_equal(json_string_value(json_object_get(line, "reason")), "lost");
        }
        assert_true(found);
    }
    json_decref(ledger);
    worker_close(&w);
}

/* A recorder that is stopped while the ring runs full: the newest is dropped, the ledger has it to the packet. */
static void a_stopped_recorder_loses_the_newest_and_the_ledger_knows(void **state)
{
    struct worker w;
    struct child c;
    begin(&w, &c, 32 << 10, 1000000000);
    worker_meta(&w, &rooms[0]);
    for (unsigned n = 0; n < 60; n++)
        worker_send(&w, &rooms[0], n, false, true);
    assert_true(wait_until(acknowledged, &w, 10));
    kill(c.pid, SIGSTOP);
    unsigned n = 60;
    for (; n < 280; n++)
        worker_send(&w, &rooms[0], n, false, true);
    kill(c.pid, SIGCONT);
    assert_true(w.refused > 0);
    assert_true(wait_until(acknowledged, &w, 10));
    for (; n < FRAMES; n++)
        worker_send(&w, &rooms[0], n, false, true);
    worker_end(&w, &rooms[0]);
    stop_and_wait(&c);
    json_t *ledger = lines_of(dir, "ledger.jsonl"), *line = json_array_get(ledger, 0);
    assert_int_equal(json_array_size(ledger), 1);
    assert_string_equal(json_string_value(json_object_get(line, "reason")), "ring-full");
    assert_int_equal(json_integer_value(json_object_get(line, "missing")), w.refused);
    assert_int_equal(json_integer_value(json_object_get(line, "packets")), w.refused);
    json_decref(ledger);
    worker_close(&w);
}

/* Muted for a while: the numbers go on at the source, nothing was lost. */
static void a_pause_is_not_in_the_ledger(void **state)
{
    struct worker w;
    struct child c;
    begin(&w, &c, 4 << 20, 1000000000);
    worker_meta(&w, &rooms[0]);
    for (unsigned n = 0; n < 50; n++)
        worker_send(&w, &rooms[0], n, false, true);
    worker_end(&w, &rooms[0]);
    rooms[0].sound_seq += 100;
    for (unsigned n = 100; n < 150; n++)
        worker_send(&w, &rooms[0], n, false, true);
    stop_and_wait(&c);
    json_t *ledger = lines_of(dir, "ledger.jsonl");
    assert_int_equal(json_array_size(ledger), 0);
    json_decref(ledger);
    worker_close(&w);
}

static bool synced_is_there(void *ctx)
{
    char path[300];
    snprintf(path, sizeof path, "%s/synced.json", dir);
    json_t *o = json_load_file(path, 0, NULL);
    bool there = o && json_integer_value(json_object_get(o, "synced_us")) > *(int64_t *)ctx;
    if (there)
        assert_true(json_is_true(json_object_get(o, "healthy")));
    json_decref(o);
    return there;
}

static bool broken_feed_is_told(void *ctx)
{
    char path[300];
    snprintf(path, sizeof path, "%s/synced.json", dir);
    json_t *o = json_load_file(path, 0, NULL);
    const char *code = json_string_value(json_object_get(o, "code"));
    bool told = code && strcmp(code, "feed-broken") == 0;
    json_decref(o);
    return told;
}

static void a_vanished_supervisor_leaves_whole_files_and_a_writer_that_lies_is_told(void **state)
{
    struct worker w;
    struct child c;
    int64_t now_us = clock_now_us();
    begin(&w, &c, 4 << 20, now_us);
    worker_meta(&w, &rooms[0]);
    for (unsigned n = 0; n < 50; n++)
        worker_send(&w, &rooms[0], n, true, true);
    assert_true(wait_until(synced_is_there, &now_us, 10));
    assert_true(wait_until(acknowledged, &w, 10));
    uint64_t beyond = 1ull << 40;
    assert_int_equal(pwrite(w.data_fd, &beyond, sizeof beyond, 32), sizeof beyond); /* the head, as in test_feed */
    assert_true(wait_until(broken_feed_is_told, NULL, 10));
    close(c.link);
    c.link = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(child_wait(&c), 0);
    assert_track_is(dir, 30, rooms[0].pictures, 50, w.base_us, 40000);
    json_t *ledger = lines_of(dir, "ledger.jsonl");
    assert_string_equal(json_string_value(json_object_get(json_array_get(ledger, 0), "reason")), "feed-broken");
    json_decref(ledger);
    worker_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_is_on_file_and_acknowledged, fresh, drop),
        cmocka_unit_test_setup_teardown(kills_at_random_lose_nothing_and_repeat_nothing, fresh, drop),
        cmocka_unit_test_setup_teardown(a_stop_writes_what_was_held_back, fresh, drop),
        cmocka_unit_test_setup_teardown(losses_are_in_the_ledger_to_the_packet, fresh, drop),
        cmocka_unit_test_setup_teardown(a_stopped_recorder_loses_the_newest_and_the_ledger_knows, fresh, drop),
        cmocka_unit_test_setup_teardown(a_pause_is_not_in_the_ledger, fresh, drop),
        cmocka_unit_test_setup_teardown(a_vanished_supervisor_leaves_whole_files_and_a_writer_that_lies_is_told, fresh,
                                        drop),
    };
    char why[200];
    if (gst_setup(why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    return cmocka_run_group_tests_name("recorder", tests, make_rooms, free_rooms);
}
