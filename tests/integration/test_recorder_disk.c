/* The recorder program on a disk that fills up: a small tmpfs in a mount namespace of this test's own. */
#include "recordings_files.h"
#include "recordings_source.h"

#include "recordings/element.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/link.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

enum { SECONDS = 8, FRAMES = SECONDS * ROOM_FPS };

static struct room room;
static char dir[200];

static int make_room(void **state)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        fprintf(stderr, "no mount namespace: %s (run as root)\n", strerror(errno));
        return -1;
    }
    room_make(&room, 1, 7, "quan-hoa", SECONDS);
    return 0;
}

static int free_room(void **state)
{
    room_free(&room);
    return 0;
}

static int fresh(void **state)
{
    make_dir(dir, sizeof dir);
    room.picture_seq = 0x10000 + 65000;
    room.sound_seq = 0x10000 + 100;
    return mount("disk", dir, "tmpfs", 0, "size=8m,mode=0700");
}

static int drop(void **state)
{
    if (umount(dir) < 0)
        perror(dir);
    remove_dir(dir);
    return 0;
}

static uint64_t room_left(void)
{
    struct statvfs fs;
    assert_int_equal(statvfs(dir, &fs), 0);
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* Somebody else's file: so much room stays. */
static void fill_up_to(uint64_t left)
{
    char path[300];
    snprintf(path, sizeof path, "%s/other", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)(room_left() - left)), 0);
    close(fd);
    assert_int_equal(room_left(), left);
}

static void make_room_again(void)
{
    char path[300];
    snprintf(path, sizeof path, "%s/other", dir);
    assert_int_equal(unlink(path), 0);
}

static bool disk_is_full(void *ctx)
{
    return room_left() == 0;
}

static bool acknowledged(void *ctx)
{
    return feed_backlog(((struct worker *)ctx)->feed) == 0;
}

struct health {
    bool healthy;
    const char *code;
};

static bool health_is(void *ctx)
{
    const struct health *h = ctx;
    char path[300];
    snprintf(path, sizeof path, "%s/synced.json", dir);
    json_t *o = json_load_file(path, 0, NULL);
    const char *code = json_string_value(json_object_get(o, "code"));
    bool is = code && strcmp(code, h->code) == 0 && json_is_true(json_object_get(o, "healthy")) == h->healthy;
    json_decref(o);
    return is;
}

static void send(struct worker *w, unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) {
        worker_send(w, &room, n, true, true);
        usleep(500); /* a worker's turn; the recorder reads beside it */
    }
}

static void assert_whole(const struct worker *w)
{
    assert_track_is(dir, room.number * 4 + 2, room.pictures, FRAMES, w->base_us, 40000);
    assert_track_is(dir, room.number * 4 + 1, room.sounds, FRAMES * 2, w->base_us, 20000);
    json_t *ledger = lines_of(dir, "ledger.jsonl");
    assert_int_equal(json_array_size(ledger), 0);
    json_decref(ledger);
}

static void begin(struct worker *w, struct child *c, size_t ring_bytes)
{
    worker_open(w, ring_bytes, clock_now_us());
    worker_meta(w, &room);
    child_start(c, dir);
    child_feed(c, w);
}

static void stop_and_wait(struct child *c)
{
    child_tell(c, LINK_RECORD_STOP);
    assert_int_equal(child_wait(c), 0);
}

/* A write fails in the middle of a file. What is there plays, nothing is acknowledged that isn't, and with room again it
 * goes on where it was. */
static void a_write_that_fails_tears_nothing_and_recording_goes_on(void **state)
{
    struct worker w;
    struct child c;
    begin(&w, &c, 16 << 20);
    send(&w, 0, 20);
    assert_true(wait_until(acknowledged, &w, 10));
    fill_up_to(3 * 4096);
    send(&w, 20, 150);
    assert_true(wait_until(disk_is_full, NULL, 10));
    usleep(1500000); /* a sync interval: what must not happen would have */
    assert_false(acknowledged(&w));
    size_t pictures = track_frames(dir, room.number * 4 + 2, room.pictures, FRAMES, w.base_us, 40000);
    assert_true(pictures >= 20 && pictures < 150);
    make_room_again();
    assert_true(wait_until(acknowledged, &w, 10));
    send(&w, 150, FRAMES);
    stop_and_wait(&c);
    assert_whole(&w);
    worker_close(&w);
}

static void a_recorder_killed_on_a_full_disk_is_replaced_and_nothing_is_missing(void **state)
{
    struct worker w;
    struct child c;
    begin(&w, &c, 16 << 20);
    send(&w, 0, 20);
    assert_true(wait_until(acknowledged, &w, 10));
    fill_up_to(3 * 4096);
    send(&w, 20, 150);
    assert_true(wait_until(disk_is_full, NULL, 10));
    child_kill(&c);
    child_start(&c, dir); /* on the full disk */
    child_feed(&c, &w);
    send(&w, 150, FRAMES);
    make_room_again();
    assert_true(wait_until(acknowledged, &w, 10));
    stop_and_wait(&c);
    assert_whole(&w);
    worker_close(&w);
}

/* No file can be made for a track that begins and ends meanwhile. */
static void a_track_that_ends_before_it_has_a_file_waits_for_one(void **state)
{
    struct worker w;
    struct child c;
    assert_int_equal(mount("disk", dir, "tmpfs", MS_REMOUNT, "size=8m,nr_inodes=4"), 0); /* root, tracks, ledger, one more */
    begin(&w, &c, 16 << 20);
    send(&w, 0, FRAMES);
    worker_end(&w, &room);
    usleep(1500000);
    assert_false(acknowledged(&w));
    assert_int_equal(mount("disk", dir, "tmpfs", MS_REMOUNT, "size=8m,nr_inodes=100"), 0);
    assert_true(wait_until(acknowledged, &w, 10));
    stop_and_wait(&c);
    assert_whole(&w);
    worker_close(&w);
}

/* The last megabyte is the log's: the recorder stops by itself, says so, and goes on when a quarter more is free. What the
 * small ring could not keep is in the ledger, to the packet and with its reason. */
static void the_recorder_leaves_the_last_room_to_the_log_and_goes_on_by_itself(void **state)
{
    struct worker w;
    struct child c;
    begin(&w, &c, 16 << 10);
    struct link_message spare = {.kind = LINK_RECORD, .a = 1};
    assert_int_equal(link_send(c.link, &spare, NULL, 0), 0);
    for (unsigned n = 0; n < 20; n++)
        worker_send(&w, &room, n, false, true);
    assert_true(wait_until(acknowledged, &w, 10));
    assert_int_equal(w.refused, 0);
    fill_up_to((1 << 20) - 8192);
    assert_true(wait_until(health_is, &(struct health){false, "disk-full"}, 10));
    uint64_t left = room_left();
    for (unsigned n = 20; n < 120; n++)
        worker_send(&w, &room, n, false, true);
    assert_true(w.refused > 0); /* the ring is too small on purpose */
    usleep(700000);
    assert_true(room_left() + 4096 >= left); /* synced.json's replacement comes and goes */
    make_room_again();
    assert_true(wait_until(health_is, &(struct health){true, ""}, 10));
    assert_true(wait_until(acknowledged, &w, 10));
    unsigned long long refused = w.refused;
    for (unsigned n = 120; n < FRAMES; n++) {
        worker_send(&w, &room, n, false, true);
        usleep(40000); /* a second of it must fit into the ring */
    }
    stop_and_wait(&c);
    assert_int_equal(w.refused, refused);
    json_t *ledger = lines_of(dir, "ledger.jsonl"), *line = json_array_get(ledger, 0);
    assert_int_equal(json_array_size(ledger), 1);
    assert_string_equal(json_string_value(json_object_get(line, "reason")), "disk-full");
    assert_int_equal(json_integer_value(json_object_get(line, "missing")), refused);
    json_decref(ledger);
    worker_close(&w);
}

/* The next records are not to blame on the disk any more. */
static void a_ring_that_is_full_later_is_no_matter_of_the_disk(void **state)
{
    struct worker w;
    struct child c;
    begin(&w, &c, 32 << 10);
    struct link_message spare = {.kind = LINK_RECORD, .a = 1};
    assert_int_equal(link_send(c.link, &spare, NULL, 0), 0);
    fill_up_to(1 << 19);
    assert_true(wait_until(health_is, &(struct health){false, "disk-full"}, 10));
    make_room_again();
    for (unsigned n = 0; n < 20; n++)
        worker_send(&w, &room, n, false, true);
    assert_true(wait_until(acknowledged, &w, 10));
    for (unsigned n = 20; n < 200; n++) /* faster than anybody reads and acknowledges */
        worker_send(&w, &room, n, false, true);
    assert_true(w.refused > 0);
    assert_true(wait_until(acknowledged, &w, 10));
    worker_send(&w, &room, 200 - 1, false, true);
    stop_and_wait(&c);
    json_t *ledger = lines_of(dir, "ledger.jsonl");
    assert_int_equal(json_array_size(ledger), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(ledger, 0), "reason")), "ring-full");
    json_decref(ledger);
    worker_close(&w);
}

/* The supervisor kills the worker whose feed is named. */
static void a_feed_whose_writer_broke_the_format_is_named_once(void **state)
{
    struct worker w;
    struct child c;
    begin(&w, &c, 4 << 20);
    send(&w, 0, 20);
    assert_true(wait_until(acknowledged, &w, 10));
    uint64_t beyond = 1ull << 40;
    assert_int_equal(pwrite(w.data_fd, &beyond, sizeof beyond, 32), sizeof beyond); /* the head, as in test_feed */
    struct link_message m;
    int fds[LINK_FDS_MAX], broken = 0;
    size_t n_fds;
    while (!broken && link_receive(c.link, &m, fds, &n_fds) == 0) /* blocks */
        broken = m.kind == LINK_FEED_BROKEN && m.a == 1;
    assert_true(broken);
    assert_true(wait_until(health_is, &(struct health){false, "feed-broken"}, 10));
    child_feed(&c, &w); /* as after a restart: refused, and named again */
    stop_and_wait(&c);
    assert_track_is(dir, room.number * 4 + 2, room.pictures, 20, w.base_us, 40000);
    worker_close(&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_write_that_fails_tears_nothing_and_recording_goes_on),
        TEST(a_recorder_killed_on_a_full_disk_is_replaced_and_nothing_is_missing),
        TEST(a_track_that_ends_before_it_has_a_file_waits_for_one),
        TEST(the_recorder_leaves_the_last_room_to_the_log_and_goes_on_by_itself),
        TEST(a_ring_that_is_full_later_is_no_matter_of_the_disk),
        TEST(a_feed_whose_writer_broke_the_format_is_named_once),
    };
    char why[200];
    if (gst_setup(why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    return cmocka_run_group_tests_name("recorder on a full disk", tests, make_room, free_room);
}
