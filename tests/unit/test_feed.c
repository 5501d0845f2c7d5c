/* Feed: order, fullness, kills at random, and sides that lie. */
#include "base/feed.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Where the fields lie: a side that lies writes them itself. */
enum { AT_HEAD = 32, AT_RING = 4096, AT_ACK = 8, RING = 16384 };

struct pair {
    int data, tail, wake;
    struct feed_writer *w;
    struct feed_reader *r;
};

static struct pair pair_open(int wake)
{
    struct pair p = {.wake = wake};
    assert_int_equal(feed_create(RING, 7, &p.data, &p.tail), 0);
    assert_int_equal(feed_writer_open(p.data, p.tail, wake, 1, &p.w), 0);
    assert_int_equal(feed_reader_open(p.data, p.tail, wake, &p.r), 0);
    return p;
}

static void pair_close(struct pair *p)
{
    feed_writer_close(p->w);
    feed_reader_close(p->r);
    close(p->data);
    close(p->tail);
    if (p->wake >= 0)
        close(p->wake);
}

static size_t body_len(uint64_t seq)
{
    return (size_t)(seq * 7919 % 1201);
}

/* A body that tells whether it is whole: every byte follows from the number. */
static void fill_body(uint64_t seq, uint8_t *body)
{
    for (size_t i = 0; i < body_len(seq); i++)
        body[i] = (uint8_t)(seq * 31 + i);
}

static int write_numbered(struct feed_writer *w, uint64_t seq)
{
    uint8_t body[FEED_BODY_MAX];
    fill_body(seq, body);
    struct feed_record rec = {.len = (uint16_t)body_len(seq),
                              .kind = FEED_RTP,
                              .track = 29,
                              .incarnation = 2,
                              .ext_seq = seq,
                              .session_us = (int64_t)seq};
    return feed_write(w, &rec, body);
}

static bool is_whole(const struct feed_record *rec, const uint8_t *body)
{
    uint8_t expected[FEED_BODY_MAX];
    fill_body(rec->ext_seq, expected);
    return rec->track == 29 && rec->incarnation == 2 && rec->len == body_len(rec->ext_seq) &&
           rec->session_us == (int64_t)rec->ext_seq && memcmp(body, expected, rec->len) == 0;
}

static void records_come_out_as_they_went_in_over_many_laps(void **state)
{
    struct pair p = pair_open(-1);
    struct feed_record rec;
    uint8_t body[FEED_BODY_MAX];
    for (uint64_t seq = 0; seq < 2000; seq++) { /* about 70 laps of the ring; the step is no divisor of it */
        assert_int_equal(write_numbered(p.w, seq), 0);
        assert_int_equal(feed_read(p.r, &rec, body), 0);
        assert_int_equal(rec.ext_seq, seq);
        assert_true(is_whole(&rec, body));
        feed_ack(p.r, feed_position(p.r));
    }
    assert_int_equal(feed_read(p.r, &rec, body), ERR_AGAIN);
    assert_int_equal(feed_dropped(p.w), 0);
    assert_int_equal(feed_backlog(p.w), 0);
    pair_close(&p);
}

static void a_full_ring_drops_the_newest_and_the_next_record_follows_an_exact_gap(void **state)
{
    struct pair p = pair_open(-1);
    struct feed_record rec;
    uint8_t body[FEED_BODY_MAX];
    uint64_t seq = 0, kept;
    while (write_numbered(p.w, seq) == 0)
        seq++;
    kept = seq++;
    struct feed_record big = {.len = 1200, .kind = FEED_RTP};
    for (int i = 0; i < 4; i++)
        assert_int_equal(feed_write(p.w, &big, body), ERR_FULL);
    assert_int_equal(feed_dropped(p.w), 5);

    for (uint64_t i = 0; i < kept; i++) {
        assert_int_equal(feed_read(p.r, &rec, body), 0);
        assert_int_equal(rec.ext_seq, i);
        assert_true(is_whole(&rec, body));
    }
    assert_int_equal(feed_write(p.w, &big, body), ERR_FULL); /* read is not acknowledged */
    feed_ack(p.r, feed_position(p.r));
    assert_int_equal(write_numbered(p.w, 9000), 0);
    assert_int_equal(feed_read(p.r, &rec, body), 0);
    assert_int_equal(rec.kind, FEED_GAP);
    struct reader gap = reader_make(body, rec.len);
    assert_int_equal(read_u64(&gap), 6);
    assert_int_equal(feed_read(p.r, &rec, body), 0);
    assert_int_equal(rec.ext_seq, 9000);
    assert_int_equal(write_numbered(p.w, 9001), 0);
    assert_int_equal(feed_read(p.r, &rec, body), 0);
    assert_int_equal(rec.kind, FEED_RTP); /* announced once */
    pair_close(&p);
}

static void a_successor_announces_its_predecessors_drops_once(void **state)
{
    struct pair p = pair_open(-1);
    struct feed_record rec;
    uint8_t body[FEED_BODY_MAX];
    uint64_t seq = 0;
    while (write_numbered(p.w, seq) == 0)
        seq++;
    feed_writer_close(p.w);
    assert_int_equal(feed_writer_open(p.data, p.tail, -1, 1, &p.w), ERR_STALE);
    assert_int_equal(feed_writer_open(p.data, p.tail, -1, 2, &p.w), 0);
    feed_skip(p.r);
    assert_int_equal(write_numbered(p.w, 100), 0);
    assert_int_equal(feed_read(p.r, &rec, body), 0);
    assert_int_equal(rec.kind, FEED_GAP);
    struct reader gap = reader_make(body, rec.len);
    assert_int_equal(read_u64(&gap), 1);
    assert_int_equal(feed_read(p.r, &rec, body), 0);
    feed_writer_close(p.w);
    assert_int_equal(feed_writer_open(p.data, p.tail, -1, 3, &p.w), 0);
    assert_int_equal(write_numbered(p.w, 101), 0);
    assert_int_equal(feed_read(p.r, &rec, body), 0);
    assert_int_equal(rec.kind, FEED_RTP);
    pair_close(&p);
}

static void a_restarted_reader_begins_at_its_acknowledgement(void **state)
{
    struct pair p = pair_open(-1);
    struct feed_record rec;
    uint8_t body[FEED_BODY_MAX];
    for (uint64_t seq = 0; seq < 10; seq++)
        assert_int_equal(write_numbered(p.w, seq), 0);
    uint64_t after_four = 0;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(feed_read(p.r, &rec, body), 0);
        if (i == 3)
            after_four = feed_position(p.r);
    }
    feed_ack(p.r, after_four);
    feed_reader_close(p.r);
    assert_int_equal(feed_reader_open(p.data, p.tail, -1, &p.r), 0);
    for (uint64_t seq = 4; seq < 10; seq++) {
        assert_int_equal(feed_read(p.r, &rec, body), 0);
        assert_int_equal(rec.ext_seq, seq);
    }
    pair_close(&p);
}

static void the_end_comes_after_the_last_record(void **state)
{
    struct pair p = pair_open(-1);
    struct feed_record rec;
    uint8_t body[FEED_BODY_MAX];
    assert_int_equal(write_numbered(p.w, 1), 0);
    feed_end(p.w);
    assert_int_equal(feed_read(p.r, &rec, body), 0);
    assert_int_equal(feed_read(p.r, &rec, body), ERR_CLOSED);
    feed_writer_close(p.w);
    p.w = NULL;
    assert_int_equal(feed_writer_open(p.data, p.tail, -1, 9, &p.w), ERR_STATE);
    pair_close(&p);
}

static bool readable(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    return poll(&pfd, 1, 0) == 1;
}

static void only_a_sleeping_reader_is_woken_and_at_most_once_a_millisecond(void **state)
{
    struct pair p = pair_open(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    struct feed_record rec;
    uint8_t body[FEED_BODY_MAX];
    write_numbered(p.w, 1);
    feed_flush(p.w, 1000000);
    assert_false(readable(p.wake)); /* awake */
    assert_false(feed_sleep(p.r));  /* a record came meanwhile */
    assert_int_equal(feed_read(p.r, &rec, body), 0);
    assert_true(feed_sleep(p.r));
    feed_flush(p.w, 1000000);
    assert_false(readable(p.wake)); /* nothing new */
    write_numbered(p.w, 2);
    feed_flush(p.w, 1000100);
    assert_true(readable(p.wake));
    assert_true(feed_next_flush_us(p.w) == INT64_MAX);

    feed_wake(p.r);
    assert_false(readable(p.wake));
    assert_int_equal(feed_read(p.r, &rec, body), 0);
    assert_true(feed_sleep(p.r));
    write_numbered(p.w, 3);
    feed_flush(p.w, 1000900);
    assert_false(readable(p.wake)); /* 0.8 ms after the last one */
    assert_true(feed_next_flush_us(p.w) == 1001100);
    feed_flush(p.w, 1001100);
    assert_true(readable(p.wake));
    feed_wake(p.r);
    assert_int_equal(feed_read(p.r, &rec, body), 0);
    assert_true(feed_sleep(p.r));
    feed_end(p.w);
    feed_flush(p.w, 1009000);
    assert_true(readable(p.wake));
    pair_close(&p);
}

static void wishes_travel_back_as_state(void **state)
{
    struct pair p = pair_open(-1);
    assert_int_equal(feed_wanted_layers(p.w, 15), 0);
    feed_want(p.r, 15, 5);
    feed_request_keyframe(p.r, 15, 2);
    for (unsigned i = 0; i < 257; i++)
        feed_request_keyframe(p.r, 15, 0);
    assert_int_equal(feed_wanted_layers(p.w, 15), 5);
    assert_int_equal(feed_keyframe_seq(p.w, 15, 0), 1); /* it wraps */
    assert_int_equal(feed_keyframe_seq(p.w, 15, 1), 0);
    assert_int_equal(feed_keyframe_seq(p.w, 15, 2), 1);
    feed_want(p.r, FEED_CELLS, 7); /* no such cell: no effect, no crash */
    feed_request_keyframe(p.r, FEED_CELLS, 0);
    feed_request_keyframe(p.r, 14, FEED_LAYERS);
    assert_int_equal(feed_wanted_layers(p.w, FEED_CELLS), 0);
    assert_int_equal(feed_keyframe_seq(p.w, 15, 0), 1);
    assert_int_equal(feed_keyframe_seq(p.w, 14, FEED_LAYERS), 0);
    pair_close(&p);
}

static void a_record_that_is_too_long_is_refused(void **state)
{
    struct pair p = pair_open(-1);
    struct feed_record rec = {.len = FEED_BODY_MAX + 1, .kind = FEED_RTP};
    assert_int_equal(feed_write(p.w, &rec, NULL), ERR_RANGE);
    int data, tail;
    assert_int_equal(feed_create(0, 1, &data, &tail), ERR_RANGE);
    assert_int_equal(feed_create((size_t)2 << 30, 1, &data, &tail), ERR_RANGE);
    pair_close(&p);
}

static void put64(int fd, off_t at, uint64_t value)
{
    assert_int_equal(pwrite(fd, &value, sizeof value, at), sizeof value);
}

static void a_lying_reader_frees_no_room(void **state)
{
    static const int64_t lies[] = {16, -16, 1 << 20, INT64_MAX, -1, 1, 8};
    struct pair p = pair_open(-1);
    uint64_t seq = 0;
    while (write_numbered(p.w, seq) == 0)
        seq++;
    uint64_t head;
    assert_int_equal(pread(p.data, &head, sizeof head, AT_HEAD), sizeof head);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        put64(p.tail, AT_ACK, i == 1 ? (uint64_t)0 - 16 : head + (uint64_t)lies[i]);
        struct feed_record big = {.len = 1200, .kind = FEED_RTP};
        uint8_t body[1200] = {0};
        assert_int_equal(feed_write(p.w, &big, body), ERR_FULL);
        assert_true(feed_backlog(p.w) <= RING);
    }
    put64(p.tail, AT_ACK, head);
    assert_int_equal(feed_backlog(p.w), 0);
    assert_int_equal(write_numbered(p.w, 1), 0);
    put64(p.tail, AT_ACK, 0); /* going back takes no room away either */
    assert_true(feed_backlog(p.w) < RING / 2);
    pair_close(&p);
}

static void a_writer_that_breaks_the_format_ends_the_feed(void **state)
{
    static const struct {
        const char *what;
        off_t at;
        uint64_t value;
    } lies[] = {
        {"head beyond the ring", AT_HEAD, RING + 32},
        {"head not aligned", AT_HEAD, 40},
        {"head inside a record's head", AT_HEAD, 16},
        {"head inside a body", AT_HEAD, 48},
        {"body too long", AT_RING, 0x010000ULL | (FEED_BODY_MAX + 1)},
        {"unknown kind", AT_RING, 0x630000ULL | 100},
        {"kind nought", AT_RING, 100},
        {"reserved field used", AT_RING + 8, 1ULL << 32},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct pair p = pair_open(-1);
        struct feed_record rec = {.len = 100, .kind = FEED_RTP};
        uint8_t body[FEED_BODY_MAX] = {0};
        assert_int_equal(feed_write(p.w, &rec, body), 0);
        put64(p.data, lies[i].at, lies[i].value);
        if (feed_read(p.r, &rec, body) != ERR_MALFORMED)
            fail_msg("%s: believed", lies[i].what);
        assert_int_equal(feed_read(p.r, &rec, body), ERR_MALFORMED);
        pair_close(&p);
    }
}

static void memfds_that_could_shrink_are_refused(void **state)
{
    struct pair p = pair_open(-1);
    struct feed_writer *w;
    struct feed_reader *r;
    int loose = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(loose, AT_RING + RING), 0);
    assert_int_equal(feed_writer_open(loose, p.tail, -1, 1, &w), ERR_DENIED);
    assert_int_equal(feed_reader_open(loose, p.tail, -1, &r), ERR_DENIED);
    assert_int_equal(fcntl(loose, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    assert_int_equal(feed_reader_open(loose, p.tail, -1, &r), ERR_MALFORMED); /* no head in it */
    assert_int_equal(feed_reader_open(p.tail, p.tail, -1, &r), ERR_MALFORMED);
    close(loose);
    assert_int_equal(ftruncate(p.data, 0), -1);
    int readonly;
    assert_int_equal(feed_readonly(p.data, &readonly), 0);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, readonly, 0), MAP_FAILED);
    assert_int_equal(feed_reader_open(readonly, p.tail, -1, &r), 0);
    feed_reader_close(r);
    close(readonly);
    pair_close(&p);
}

/* --- kills at random ---------------------------------------------------------------------------------------------- */

static void write_for_ever(int data, int tail, uint64_t generation, uint64_t from)
{
    struct feed_writer *w;
    if (feed_writer_open(data, tail, -1, generation, &w))
        _exit(9);
    for (uint64_t seq = from;; seq++)
        write_numbered(w, seq);
}

static void wait_killed(pid_t pid, useconds_t after_us)
{
    int status;
    usleep(after_us); /* the moment of the kill is what is random here; nothing waits for a result */
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

struct tally {
    uint64_t next, records, missing, gaps;
};

static void drain(struct feed_reader *r, struct tally *t)
{
    struct feed_record rec;
    uint8_t body[FEED_BODY_MAX];
    int err;
    while ((err = feed_read(r, &rec, body)) == 0) {
        if (rec.kind == FEED_GAP) {
            struct reader g = reader_make(body, rec.len);
            t->gaps += read_u64(&g);
        } else {
            assert_true(is_whole(&rec, body));
            assert_true(rec.ext_seq >= t->next);
            t->missing += rec.ext_seq - t->next;
            t->next = rec.ext_seq + 1;
            t->records++;
        }
        feed_ack(r, feed_position(r));
    }
    assert_int_equal(err, ERR_AGAIN);
}

static void a_writer_killed_at_random_leaves_no_torn_record(void **state)
{
    int data, tail;
    struct feed_reader *r;
    struct tally t = {0};
    assert_int_equal(feed_create(65536, 1, &data, &tail), 0);
    assert_int_equal(feed_reader_open(data, tail, -1, &r), 0);
    for (unsigned round = 1; round <= 30; round++) {
        uint64_t first = round * 100000000ull;
        t.next = first;
        pid_t pid = fork();
        if (pid == 0)
            write_for_ever(data, tail, round, first);
        int64_t until_us = clock_now_us() + 500 + round * 137 % 2000;
        while (clock_now_us() < until_us)
            drain(r, &t);
        wait_killed(pid, round % 3 * 100);
        drain(r, &t);
    }
    assert_true(t.records > 300);
    assert_true(t.gaps >= t.missing); /* what a killed writer dropped last is announced by the next one */
    feed_reader_close(r);
    close(data);
    close(tail);
}

/* Exits (which fails the test) at a torn record, a hole, or a start beyond what a predecessor has read. */
static void read_for_ever(int data, int tail, _Atomic uint64_t *acked)
{
    struct feed_reader *r;
    struct feed_record rec;
    uint8_t body[FEED_BODY_MAX];
    uint64_t next = UINT64_MAX;
    if (feed_reader_open(data, tail, -1, &r))
        _exit(9);
    for (;;) {
        int err = feed_read(r, &rec, body);
        if (err == ERR_AGAIN || (err == 0 && rec.kind == FEED_GAP))
            continue;
        bool in_order = next == UINT64_MAX ? rec.ext_seq <= atomic_load(acked) : rec.ext_seq == next;
        if (err || !is_whole(&rec, body) || !in_order)
            _exit(8);
        next = rec.ext_seq + 1;
        /* Counted before it is acknowledged: after a kill in between the successor reads this record again. */
        atomic_store(acked, next);
        feed_ack(r, feed_position(r));
    }
}

static void a_reader_killed_at_random_misses_nothing_and_its_successor_goes_on(void **state)
{
    int data, tail;
    struct feed_writer *w;
    assert_int_equal(feed_create(65536, 1, &data, &tail), 0);
    assert_int_equal(feed_writer_open(data, tail, -1, 1, &w), 0);
    _Atomic uint64_t *acked = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t seq = 0;
    for (unsigned round = 1; round <= 30; round++) {
        pid_t pid = fork();
        if (pid == 0)
            read_for_ever(data, tail, acked);
        int64_t until_us = clock_now_us() + 500 + round * 173 % 2000;
        while (clock_now_us() < until_us)
            if (write_numbered(w, seq) == 0)
                seq++;
        wait_killed(pid, 0);
    }
    assert_true(atomic_load(acked) > 300);
    assert_true(seq - atomic_load(acked) < 2100); /* no more than the ring holds is still to be read */
    munmap((void *)acked, 4096);
    feed_writer_close(w);
    close(data);
    close(tail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_out_as_they_went_in_over_many_laps),
        cmocka_unit_test(a_full_ring_drops_the_newest_and_the_next_record_follows_an_exact_gap),
        cmocka_unit_test(a_successor_announces_its_predecessors_drops_once),
        cmocka_unit_test(a_restarted_reader_begins_at_its_acknowledgement),
        cmocka_unit_test(the_end_comes_after_the_last_record),
        cmocka_unit_test(only_a_sleeping_reader_is_woken_and_at_most_once_a_millisecond),
        cmocka_unit_test(wishes_travel_back_as_state),
        cmocka_unit_test(a_record_that_is_too_long_is_refused),
        cmocka_unit_test(a_lying_reader_frees_no_room),
        cmocka_unit_test(a_writer_that_breaks_the_format_ends_the_feed),
        cmocka_unit_test(memfds_that_could_shrink_are_refused),
        cmocka_unit_test(a_writer_killed_at_random_leaves_no_torn_record),
        cmocka_unit_test(a_reader_killed_at_random_misses_nothing_and_its_successor_goes_on),
    };
    return cmocka_run_group_tests_name("feed", tests, NULL, NULL);
}
