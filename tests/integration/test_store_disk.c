/* The log on a full disk: a small tmpfs in a mount namespace of this test's own. */
#include "base/err.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#define RESERVE_BYTES (4u << 20)

static char dir[64], database[96], reserve[96], other[96];
static struct store *store;

static int own_mounts(void **state)
{
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        return 0;
    fprintf(stderr, "no mount namespace: %s (run as root)\n", strerror(errno));
    return -1;
}

static void open_store(uint64_t reserve_bytes)
{
    const struct store_config config = {.path = database, .reserve_path = reserve, .reserve_bytes = reserve_bytes};
    const char *why = "";
    if (store_open(&config, &store, &why))
        fail_msg("%s", why);
}

static int fresh(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/store-disk-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(database, sizeof database, "%s/giaoban.db", dir);
    snprintf(reserve, sizeof reserve, "%s/log.reserve", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    return mount("disk", dir, "tmpfs", 0, "size=16m,mode=0700");
}

static int drop(void **state)
{
    store_close(store);
    store = NULL;
    int failed = umount(dir);
    return rmdir(dir) | failed;
}

static uint64_t room_left(void)
{
    struct statvfs fs;
    assert_int_equal(statvfs(dir, &fs), 0);
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* Somebody else's file takes all there is. */
static void fill_disk(void)
{
    static const char block[4096];
    int fd = open(other, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof block) > 0)
        ;
    assert_int_equal(errno, ENOSPC);
    close(fd);
    assert_int_equal(room_left(), 0);
}

static uint64_t reserve_left(void)
{
    uint64_t wanted, left = store_reserve(store, &wanted);
    struct stat st;
    assert_int_equal(stat(reserve, &st), 0);
    assert_int_equal(st.st_size, left);
    return left;
}

static void note(void *ctx, int err)
{
    *(int *)ctx = err;
}

static void settle(void)
{
    store_submit(store);
    while (store_queued(store)) {
        struct pollfd p = {.fd = store_event_fd(store), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 10000), 1);
        store_poll(store);
    }
}

static int append(struct briefing_event e)
{
    int outcome = 1;
    assert_int_equal(store_append(store, "b1", store_epoch(store), &e, 1, note, &outcome), 0);
    settle();
    return outcome;
}

static struct briefing_event scheduled(void)
{
    static struct briefing_unit invited[] = {{"h-b", "Huyện B", "H.B"}};
    static struct briefing_schedule s = {.id = "b1", .title = "Giao ban", .units = invited, .n_units = 1};
    return (struct briefing_event){.kind = EVENT_SCHEDULED, .seq = 1, .at_ms = 10, .at_us = 20, .schedule = &s};
}

static struct briefing_event lock_event(uint64_t seq)
{
    return (struct briefing_event){
        .kind = EVENT_MICROPHONES_LOCKED, .seq = seq, .at_ms = 1000 + (int64_t)seq, .at_us = 7, .on = seq & 1};
}

static int count_event(void *ctx, const struct briefing_event *e)
{
    uint64_t *last = ctx;
    assert_int_equal(e->seq, *last + 1);
    *last = e->seq;
    return 0;
}

static uint64_t log_end(void)
{
    uint64_t last = 0;
    assert_int_equal(store_read(store, "b1", 1, count_event, &last), 0);
    return last;
}

static void the_reserve_carries_the_log_over_a_full_disk_and_is_made_again(void **state)
{
    open_store(RESERVE_BYTES);
    assert_int_equal(reserve_left(), RESERVE_BYTES);
    assert_int_equal(append(scheduled()), 0);
    fill_disk();
    uint64_t seq = 2;
    for (; seq <= 1000; seq++)
        assert_int_equal(append(lock_event(seq)), 0);
    assert_false(store_disk_full(store));
    assert_int_equal(store_writes_failed(store), 0);
    uint64_t left = reserve_left();
    assert_true(left < RESERVE_BYTES && left > 0); /* in steps: not all at once */
    store_reserve_refill(store);
    settle();
    assert_int_equal(reserve_left(), left); /* there is no room yet */
    assert_int_equal(unlink(other), 0);
    store_reserve_refill(store);
    settle();
    assert_int_equal(reserve_left(), RESERVE_BYTES);
    assert_int_equal(append(lock_event(seq)), 0);
    store_close(store);
    open_store(RESERVE_BYTES);
    assert_int_equal(log_end(), seq);
}

static void a_start_on_a_full_disk_uses_the_reserve(void **state)
{
    open_store(RESERVE_BYTES);
    assert_int_equal(append(scheduled()), 0);
    store_close(store);
    fill_disk();
    open_store(RESERVE_BYTES);
    assert_true(reserve_left() < RESERVE_BYTES);
    assert_int_equal(append(lock_event(2)), 0);
    assert_int_equal(log_end(), 2);
}

static void a_start_without_any_room_says_why(void **state)
{
    open_store(0);
    store_close(store);
    store = NULL;
    fill_disk();
    const struct store_config config = {.path = database};
    const char *why = "";
    assert_int_equal(store_open(&config, &store, &why), ERR_IO);
    assert_string_equal(why, "the disk is full: free some space in the data directory");
    assert_null(store);
}

/* Without a reserve, or when it is used up: refused, and the log goes on where it was once there is room. */
static void what_can_t_be_written_is_refused_and_the_log_goes_on_where_it_was(void **state)
{
    open_store(0);
    assert_int_equal(append(scheduled()), 0);
    fill_disk();
    uint64_t seq = 2;
    int err;
    while ((err = append(lock_event(seq))) == 0)
        assert_true(++seq < 5000);
    assert_int_equal(err, ERR_IO);
    assert_true(store_disk_full(store));
    assert_true(store_writes_failed(store) > 0);
    assert_int_equal(append(lock_event(seq)), ERR_IO);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(append(lock_event(seq)), 0);
    assert_false(store_disk_full(store));
    store_close(store);
    open_store(0);
    assert_int_equal(log_end(), seq);
}

/* Fails the appends of a log until one is refused: from here on nothing can be written. */
static void exhaust(void)
{
    assert_int_equal(append(scheduled()), 0);
    fill_disk();
    uint64_t seq = 2;
    while (append(lock_event(seq)) == 0)
        assert_true(++seq < 5000);
}

static void memory_is_not_ahead_of_the_disk_after_a_write_that_failed(void **state)
{
    int outcomes[8] = {0};
    struct store_account a = {.login = "an", .name = "An", .role = ROLE_SECRETARY, .hash = "one"}, back, b = a;
    struct store_session x = {.hash = {7}, .expires_ms = 5000}, found, longer = x;
    uint8_t secret[STORE_HASH_BYTES] = {1}, other_secret[STORE_HASH_BYTES] = {2}, got[STORE_HASH_BYTES];
    open_store(0);
    assert_int_equal(store_account_add(store, &a, NULL, NULL), 0);
    assert_int_equal(store_session_put(store, &x, NULL, NULL), 0);
    assert_int_equal(store_secret_put(store, "b1", "e1", secret, NULL, NULL), 0);
    settle();
    exhaust();
    snprintf(b.login, sizeof b.login, "binh");
    longer.expires_ms = 9000;
    struct store_session fresh_one = {.hash = {8}, .expires_ms = 5000};
    assert_int_equal(store_account_add(store, &b, note, &outcomes[0]), 0);
    assert_int_equal(store_account_set_hash(store, "an", "two", note, &outcomes[1]), 0);
    assert_int_equal(store_account_set_hash(store, "an", "three", note, &outcomes[2]), 0);
    assert_int_equal(store_session_put(store, &longer, note, &outcomes[3]), 0);
    assert_int_equal(store_session_put(store, &fresh_one, note, &outcomes[4]), 0);
    assert_int_equal(store_secret_put(store, "b1", "e1", other_secret, note, &outcomes[5]), 0);
    assert_int_equal(store_secret_put(store, "b1", "e2", other_secret, note, &outcomes[6]), 0);
    assert_int_equal(store_token_use(store, "n1", 5000, note, &outcomes[7]), 0);
    settle();
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(outcomes[i], ERR_IO);
    assert_int_equal(store_accounts(store), 1);
    assert_int_equal(store_account_find(store, "binh", &back), ERR_NOTFOUND);
    assert_int_equal(store_account_find(store, "an", &back), 0);
    assert_string_equal(back.hash, "one");
    assert_int_equal(store_session_find(store, x.hash, 6000, &found), ERR_NOTFOUND);
    assert_int_equal(store_session_find(store, x.hash, 4000, &found), 0);
    assert_int_equal(store_session_find(store, fresh_one.hash, 4000, &found), ERR_NOTFOUND);
    assert_int_equal(store_secret_get(store, "b1", "e1", got), 0);
    assert_int_equal(got[0], 1);
    assert_int_equal(store_secret_get(store, "b1", "e2", got), ERR_NOTFOUND);
    assert_false(store_token_used(store, "n1"));
}

static void a_wrong_password_counts_even_when_it_can_t_be_written(void **state)
{
    struct store_account a = {.login = "an", .name = "An", .role = ROLE_SECRETARY, .hash = "one"}, back;
    bool locked = false;
    open_store(0);
    assert_int_equal(store_account_add(store, &a, NULL, NULL), 0);
    settle();
    exhaust();
    for (int i = 0; i < STORE_FAILURES_MAX; i++) {
        assert_int_equal(store_login_failed(store, "an", 1000, &locked), 0);
        settle();
    }
    assert_true(locked);
    assert_int_equal(store_account_find(store, "an", &back), 0);
    assert_true(store_account_locked(&back, 1001));
}

/* What was written before the kill is there, what was refused is not, whatever the last write left behind. */
static void a_kill_on_a_full_disk_loses_nothing_that_was_acknowledged(void **state)
{
    open_store(0);
    exhaust();
    uint64_t before = log_end();
    store_close(store); /* closing folds the log into the database: there is no room for that either */
    assert_int_equal(unlink(other), 0);
    open_store(0);
    assert_int_equal(log_end(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_reserve_carries_the_log_over_a_full_disk_and_is_made_again),
        TEST(a_start_on_a_full_disk_uses_the_reserve),
        TEST(a_start_without_any_room_says_why),
        TEST(what_can_t_be_written_is_refused_and_the_log_goes_on_where_it_was),
        TEST(memory_is_not_ahead_of_the_disk_after_a_write_that_failed),
        TEST(a_wrong_password_counts_even_when_it_can_t_be_written),
        TEST(a_kill_on_a_full_disk_loses_nothing_that_was_acknowledged),
    };
    return cmocka_run_group_tests_name("store on a full disk", tests, own_mounts, NULL);
}
