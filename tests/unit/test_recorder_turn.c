/* The recorder's turn on virtual time, with a disk that hangs. */
#include "recordings/recorder.h"

#include "recordings/element.h"

#include "base/err.h"
#include "base/feed.h"

#include <dirent.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND_US 1000000

/* fdatasync(2) and fsync(2) of this program: the sync thread hangs in them while the disk is said to. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool hangs;
static int hanging;

static void set_hangs(bool on)
{
    pthread_mutex_lock(&lock);
    hangs = on;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_for_hang(void)
{
    pthread_mutex_lock(&lock);
    while (!hanging)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static int disk(void)
{
    pthread_mutex_lock(&lock);
    hanging++;
    pthread_cond_broadcast(&changed);
    while (hangs)
        pthread_cond_wait(&changed, &lock);
    hanging--;
    pthread_mutex_unlock(&lock);
    return 0;
}

int fdatasync(int fd)
{
    return disk();
}

int fsync(int fd)
{
    return disk();
}

struct fixture {
    char dir[64];
    struct recorder *recorder;
    int data_fd, tail_fd;
    struct feed_writer *feed;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/recorder-turn-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    set_hangs(false);
    assert_int_equal(recorder_open(f->dir, &f->recorder), 0);
    assert_int_equal(feed_create(1 << 16, 1, &f->data_fd, &f->tail_fd), 0);
    assert_int_equal(feed_writer_open(f->data_fd, f->tail_fd, -1, 1, &f->feed), 0);
    assert_int_equal(recorder_add_feed(f->recorder, 1, f->data_fd, f->tail_fd), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    set_hangs(false);
    recorder_free(f->recorder);
    feed_writer_close(f->feed);
    close(f->data_fd);
    close(f->tail_fd);
    DIR *d = opendir(f->dir);
    struct dirent *e;
    while (d && (e = readdir(d)))
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    int left = rmdir(f->dir);
    free(f);
    return left;
}

static void write_record(struct fixture *f)
{
    struct feed_record end = {.kind = FEED_END, .track = 29, .incarnation = 1};
    assert_int_equal(feed_write(f->feed, &end, NULL), 0);
}

static int turn(struct fixture *f, int64_t now_us)
{
    bool more;
    return recorder_turn(f->recorder, now_us, &more);
}

/* synced.json is that of this moment. */
static bool told_at(const struct fixture *f, int64_t now_us)
{
    char path[96];
    snprintf(path, sizeof path, "%s/synced.json", f->dir);
    json_t *o = json_load_file(path, 0, NULL);
    bool told = json_integer_value(json_object_get(o, "updated_us")) == now_us;
    json_decref(o);
    return told;
}

static void a_disk_that_hangs_for_20_s_ends_the_process_and_nothing_is_acknowledged(void **state)
{
    struct fixture *f = *state;
    write_record(f);
    set_hangs(true);
    assert_int_equal(turn(f, 100 * SECOND_US), 0); /* reads, and hands the sync thread a job */
    wait_for_hang();
    assert_int_equal(turn(f, 110 * SECOND_US), 0);
    assert_int_equal(turn(f, 120 * SECOND_US), 0);
    assert_int_equal(turn(f, 120 * SECOND_US + 1), ERR_TIMEOUT);
    assert_true(feed_backlog(f->feed) > 0);
}

static void a_disk_that_comes_back_in_time_is_forgiven(void **state)
{
    struct fixture *f = *state;
    write_record(f);
    set_hangs(true);
    assert_int_equal(turn(f, 100 * SECOND_US), 0);
    wait_for_hang();
    assert_int_equal(turn(f, 119 * SECOND_US), 0);
    set_hangs(false);
    for (int i = 0; feed_backlog(f->feed) > 0; i++) { /* the sync thread needs a moment */
        assert_true(i < 5000);
        assert_int_equal(turn(f, 119 * SECOND_US + i), 0);
        usleep(1000);
    }
    assert_int_equal(turn(f, 130 * SECOND_US), 0);
}

static void a_disk_kept_for_others_is_no_hang(void **state)
{
    struct fixture *f = *state;
    recorder_spare(f->recorder, UINT64_MAX / 2);
    write_record(f);
    for (int64_t second = 100; second < 160; second++)
        while (!told_at(f, second * SECOND_US)) /* the sync thread lives in real time */
            assert_int_equal(turn(f, second * SECOND_US), 0);
    assert_true(feed_backlog(f->feed) > 0); /* not even read */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_disk_that_hangs_for_20_s_ends_the_process_and_nothing_is_acknowledged),
        TEST(a_disk_that_comes_back_in_time_is_forgiven),
        TEST(a_disk_kept_for_others_is_no_hang),
    };
    char why[200];
    if (gst_setup(why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    return cmocka_run_group_tests_name("recorder's turn", tests, NULL, NULL);
}
