/* The media worker as a process: real sockets, ICE, DTLS and SRTP on 127.0.0.1, the test as supervisor and control. */
#include "media_world.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static struct world *w;

static int end(void **state)
{
    world_free(w);
    return 0;
}

/* Endpoints 1 … n on one worker, all connected; 1 is on everybody's stage, 2 on its. */
static int begin_with(unsigned n)
{
    w = world_new(1);
    for (uint32_t i = 1; i <= n; i++) {
        world_place(w, i, 0);
        w->endpoints[i - 1].stage = i == 1 ? 2 : 1;
    }
    world_wish(w);
    for (uint32_t i = 1; i <= n; i++)
        world_join(w, i);
    return 0;
}

static int two(void **state)
{
    return begin_with(2);
}

static int three(void **state)
{
    return begin_with(3);
}

static void speak(uint32_t number, bool sound, bool picture)
{
    world_client(w, number)->sends_sound = sound;
    world_client(w, number)->sends_picture = picture;
}

static uint32_t newest_from(uint32_t number, enum offer_section section)
{
    const struct taken *t = world_newest(w, number, section);
    return t ? t->tag >> 24 : 0;
}

static void two_endpoints_see_and_hear_each_other(void **state)
{
    speak(1, true, true);
    speak(2, true, true);
    for (uint32_t n = 1; n <= 2; n++) {
        wait_until(w, world_got(w, n, OFFER_STAGE_SOUND) > 20 && world_got(w, n, OFFER_STAGE) > 30);
        assert_int_equal(newest_from(n, OFFER_STAGE), 3 - n);
        assert_int_equal(newest_from(n, OFFER_STAGE_SOUND), 3 - n);
        wait_until(w, world_slot(w, n, OFFER_STAGE) == 3 - n);
    }
    assert_true(world_client(w, 1)->plis >= 1); /* a picture begins with a keyframe that was asked for */
    wait_until(w, world_metric(w, 0, "forwarded_packets") > 100);
    uint64_t beats = *(_Atomic uint64_t *)&w->workers[0].heartbeat[5];
    wait_until(w, *(_Atomic uint64_t *)&w->workers[0].heartbeat[5] > beats);
}

static void the_floor_goes_from_one_to_another_within_one_stream(void **state)
{
    speak(1, true, true);
    speak(2, true, true);
    wait_until(w, world_got(w, 3, OFFER_STAGE) > 30);
    w->endpoints[2].stage = 2;
    w->wish.floor = w->wish.stage = 2;
    world_wish(w);
    wait_until(w, newest_from(3, OFFER_STAGE) == 2 && newest_from(3, OFFER_STAGE_SOUND) == 2);
    wait_until(w, world_slot(w, 3, OFFER_STAGE) == 2);
    world_let(w, 200000);
    const struct client *c = world_client(w, 3);
    const struct taken *former = NULL;
    unsigned changes = 0;
    for (size_t i = 0; i < c->n_taken; i++) {
        const struct taken *t = &c->taken[i];
        if (t->ssrc != c->answer.ssrc[OFFER_STAGE])
            continue;
        if (former) {
            assert_int_equal((uint16_t)(t->seq - former->seq), 1);
            assert_true((int32_t)(t->ts - former->ts) >= 0);
            if (t->tag >> 24 != former->tag >> 24) {
                changes++;
                assert_true(t->start && t->keyframe);
                assert_int_equal((t->picture_id - former->picture_id) & 0x7fff, 1);
            }
        }
        former = t;
    }
    assert_int_equal(changes, 1);
}

static void a_restriction_mutes_before_the_wish_and_stays_until_it_is_settled(void **state)
{
    speak(1, true, false);
    wait_until(w, world_got(w, 2, OFFER_STAGE_SOUND) > 5);
    world_send(w, 0,
               json_pack("{ss ss sI si si sb}", "m", "restrict", "briefing", w->wish.id, "act", (json_int_t)77, "endpoint",
                         1, "kinds", WISH_BIT(WISH_MICROPHONE), "remove", 0),
               NULL, 0);
    wait_until(w, w->workers[0].acted);
    world_forget(w);
    world_let(w, 300000);
    assert_int_equal(world_got(w, 2, OFFER_STAGE_SOUND), 0); /* it goes on sending, nobody hears it */
    world_wish(w);                                           /* a wish that knows nothing of it does not lift it */
    world_let(w, 200000);
    assert_int_equal(world_got(w, 2, OFFER_STAGE_SOUND), 0);
    world_replace_control(w, 0);
    json_t *open = json_object_get(w->workers[0].hello, "restrictions");
    assert_int_equal(json_array_size(open), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(open, 0), "act")), 77);
    world_send(w, 0, json_pack("{ss si}", "m", "settled", "act", 77), NULL, 0);
    world_wish(w); /* the floor is given back: may_send has the microphone again */
    wait_until(w, world_got(w, 2, OFFER_STAGE_SOUND) > 5);
}

static void a_removed_endpoint_is_cut_at_once(void **state)
{
    speak(1, true, true);
    wait_until(w, world_got(w, 2, OFFER_STAGE) > 5);
    world_send(w, 0,
               json_pack("{ss ss si si si sb}", "m", "restrict", "briefing", w->wish.id, "act", 5, "endpoint", 1, "kinds", 0,
                         "remove", 1),
               NULL, 0);
    wait_until(w, w->workers[0].acted);
    world_forget(w);
    world_let(w, 200000);
    assert_int_equal(world_got(w, 2, OFFER_STAGE), 0);
    wait_until(w, world_slot(w, 2, OFFER_STAGE) == 0);
}

static void media_flows_while_control_is_away(void **state)
{
    speak(1, true, true);
    wait_until(w, world_got(w, 2, OFFER_STAGE) > 10);
    close(w->workers[0].control);
    w->workers[0].control = -1;
    uint16_t sent = world_client(w, 1)->seq[OFFER_MICROPHONE];
    size_t before = world_got(w, 2, OFFER_STAGE_SOUND);
    wait_until(w, (uint16_t)(world_client(w, 1)->seq[OFFER_MICROPHONE] - sent) >= 25);
    wait_until(w, world_got(w, 2, OFFER_STAGE_SOUND) >= before + 25);
    const struct client *c = world_client(w, 2);
    const struct taken *former = NULL;
    for (size_t i = 0; i < c->n_taken; i++) { /* no packet of it is lost */
        if (c->taken[i].ssrc != c->answer.ssrc[OFFER_STAGE_SOUND])
            continue;
        if (former)
            assert_int_equal((uint16_t)(c->taken[i].seq - former->seq), 1);
        former = &c->taken[i];
    }
    w->workers[0].control = dup(STDIN_FILENO);
    world_replace_control(w, 0);
    const json_t *hello = w->workers[0].hello;
    assert_int_equal(json_array_size(json_object_get(hello, "endpoints")), 2);
    const json_t *briefing = json_array_get(json_object_get(hello, "briefings"), 0);
    assert_string_equal(json_string_value(json_object_get(briefing, "id")), w->wish.id);
    assert_int_equal(json_integer_value(json_object_get(briefing, "version")), (json_int_t)w->version);
    const json_t *layouts = json_object_get(w->workers[0].layouts, "endpoints");
    assert_int_equal(json_array_size(layouts), 2);
    struct wish_endpoint told = {0}, *wished = wish_find(&w->wish, 2);
    const json_t *second = json_array_get(layouts, 0);
    if (json_integer_value(json_object_get(second, "number")) != 2)
        second = json_array_get(layouts, 1);
    assert_int_equal(wish_layout_from_json(json_object_get(second, "layout"), &told, NULL), 0);
    assert_true(told.stage_size.width == wished->stage_size.width && told.n_tiles == wished->n_tiles);
    json_object_clear(w->workers[0].states);
    wait_until(w, world_slot(w, 2, OFFER_STAGE) == 1); /* the state follows */
}

/* Everything that a worker says while control does not read: what finds no room is lost, and said anew in the end. */
static void a_worker_whose_reports_were_lost_says_hello_again(void **state)
{
    json_decref(w->workers[0].hello);
    w->workers[0].hello = NULL;
    for (int i = 0; i < 8000; i++) {
        world_send(w, 0,
                   json_pack("{ss si ss si si}", "m", "wish-delta", "epoch", 1, "briefing", w->wish.id, "base", 999999,
                             "version", 1000000),
                   NULL, 0);
        if (i % 20 == 0)
            usleep(1000); /* it refuses each */
    }
    json_object_clear(w->workers[0].states);
    wait_until(w, w->workers[0].hello && json_object_size(w->workers[0].states) == 2);
    assert_in_range(w->workers[0].refusals, 100, 7900); /* not all: the queue was full */
    assert_int_equal(json_array_size(json_object_get(w->workers[0].hello, "endpoints")), 2);
}

static void an_offer_without_fingerprint_is_refused(void **state)
{
    struct offer_transport t = {"abcd", "0123456789012345678901", "AA:BB"};
    char sdp[OFFER_MAX];
    world_place(w, 3, 0);
    world_wish(w);
    offer_write(&t, sdp, sizeof sdp);
    for (char *line = sdp; (line = strstr(line, "a=fingerprint")) != NULL; line++)
        memcpy(line, "a=fingerprunt", 13);
    world_offer(w, 3, sdp, 1);
    wait_until(w, world_client(w, 3)->refused[0]);
    assert_string_equal(world_client(w, 3)->refused, "no-fingerprint");
    world_offer(w, 3, "hello world", 1);
    w->clients[2].refused[0] = '\0';
    wait_until(w, world_client(w, 3)->refused[0]);
    world_offer(w, 4, sdp, 1); /* not in the wish */
    wait_until(w, world_client(w, 4)->refused[0]);
    assert_string_equal(world_client(w, 4)->refused, "unknown-endpoint");
}

static void a_lower_epoch_is_refused(void **state)
{
    world_send(w, 0, json_pack("{ss si}", "m", "hello", "epoch", 9), NULL, 0);
    world_wish(w); /* epoch 1 */
    wait_until(w, w->workers[0].refusals > 0);
    assert_string_equal(w->workers[0].refusal, "stale-epoch");
}

/* ---- feeds ---- */

struct seen_feed {
    struct feed_reader *reader;
    unsigned metas, packets, sounds, gaps, ends;
    bool first_is_keyframe, repeated;
    uint64_t newest[4];
    int64_t worst_us; /* largest distance of session time from now */
    uint32_t last_track;
};

static void read_feed(struct seen_feed *f)
{
    struct feed_record r;
    uint8_t body[FEED_BODY_MAX];
    while (feed_read(f->reader, &r, body) == 0) {
        uint32_t kind = r.track % 4;
        f->metas += r.kind == FEED_META;
        f->gaps += r.kind == FEED_GAP;
        f->ends += r.kind == FEED_END;
        if (r.kind != FEED_RTP)
            continue;
        struct rtp_packet v;
        assert_int_equal(rtp_parse(body, r.len, &v), 0);
        assert_int_equal(v.header_len, RTP_FIXED_HEADER);
        assert_int_equal(v.seq, (uint16_t)r.ext_seq);
        f->sounds += kind == WISH_MICROPHONE;
        if (kind == WISH_CAMERA && f->packets++ == 0)
            f->first_is_keyframe = r.flags & FEED_FLAG_KEYFRAME;
        f->repeated |= r.ext_seq == f->newest[kind] && r.track == f->last_track;
        f->newest[kind] = r.ext_seq;
        f->last_track = r.track;
        int64_t off_us = llabs(clock_now_us() - r.session_us);
        f->worst_us = off_us > f->worst_us ? off_us : f->worst_us;
    }
    feed_ack(f->reader, feed_position(f->reader));
}

static void open_recorder_feed(struct seen_feed *f)
{
    int fds[2];
    assert_int_equal(feed_create(1 << 20, 11, &fds[0], &fds[1]), 0);
    world_send(
        w, 0,
        json_pack("{ss si ss ss si}", "m", "feed-open", "feed", 11, "briefing", w->wish.id, "role", "recorder", "peer", 255),
        fds, 2);
    wait_until(w, w->workers[0].feeds_ready == 1);
    assert_int_equal(feed_reader_open(fds[0], fds[1], -1, &f->reader), 0);
    close(fds[0]);
    close(fds[1]);
}

static void a_recorder_gets_open_microphones_and_the_stage_from_a_keyframe_on(void **state)
{
    struct seen_feed f = {0};
    speak(1, true, true);
    speak(2, true, true);
    wait_until(w, world_got(w, 2, OFFER_STAGE) > 10);
    open_recorder_feed(&f);
    world_let(w, 200000);
    read_feed(&f);
    assert_int_equal(f.packets + f.sounds, 0); /* not recording yet */
    w->wish.record = true;
    w->wish.stage = 1;
    world_wish(w);
    for (int i = 0; i < 20 && (f.packets < 30 || f.sounds < 30); i++) {
        world_let(w, 100000);
        read_feed(&f);
    }
    assert_true(f.packets >= 30 && f.sounds >= 30);
    assert_true(f.first_is_keyframe);
    assert_false(f.repeated);
    assert_true(f.metas >= 3);
    assert_true(f.worst_us < 1500000); /* it may begin with a keyframe out of the history, one second old */
    w->endpoints[0].may_send &= (uint8_t)~WISH_BIT(WISH_MICROPHONE); /* muted: not recorded either */
    w->endpoints[1].may_send &= (uint8_t)~WISH_BIT(WISH_MICROPHONE);
    world_wish(w);
    world_let(w, 100000);
    read_feed(&f);
    unsigned sounds = f.sounds;
    world_let(w, 200000);
    read_feed(&f);
    assert_int_equal(f.sounds, sounds);
    w->wish.n_endpoints = 1; /* 2 leaves: its track ends */
    w->endpoints[0].stage = 0;
    world_wish(w);
    world_let(w, 100000);
    read_feed(&f);
    assert_true(f.ends >= 1);
    feed_reader_close(f.reader);
}

/* Numbers of a camera as the recorder has them, in the order they came. */
struct seen_numbers {
    struct feed_reader *reader;
    bool has[2000];
    uint64_t first, newest;
    unsigned late; /* came after a higher one */
};

static void read_numbers(struct seen_numbers *s)
{
    struct feed_record r;
    uint8_t body[FEED_BODY_MAX];
    while (feed_read(s->reader, &r, body) == 0) {
        if (r.kind != FEED_RTP || r.track % 4 != WISH_CAMERA)
            continue;
        if (!s->first)
            s->first = s->newest = r.ext_seq;
        assert_in_range(r.ext_seq - s->first, 0, 1999);
        assert_false(s->has[r.ext_seq - s->first]);
        s->has[r.ext_seq - s->first] = true;
        s->late += r.ext_seq < s->newest;
        s->newest = r.ext_seq > s->newest ? r.ext_seq : s->newest;
    }
    feed_ack(s->reader, feed_position(s->reader));
}

/* What the line loses towards us is in the recorder's feed after all; what is never repaired is missing there, and only
 * that: of the recorder's tests test_recorder shows that the ledger then names it. */
static void what_is_lost_on_the_way_is_repaired_for_the_recorder_too(void **state)
{
    struct seen_feed opened = {0};
    struct client *c = world_client(w, 1);
    speak(1, true, true);
    wait_until(w, world_got(w, 2, OFFER_STAGE) > 10);
    open_recorder_feed(&opened);
    struct seen_numbers s = {.reader = opened.reader};
    w->wish.record = true;
    w->wish.stage = 1;
    world_wish(w);
    wait_until(w, (read_numbers(&s), s.first > 0));
    c->lose_every = 7;
    c->gives_up_every = 7 * 13;
    world_let(w, 3000000);
    c->lose_every = 0;
    world_let(w, 1500000); /* the last repairs */
    read_numbers(&s);
    unsigned missing = 0, given_up = 0;
    for (uint64_t n = s.first; n <= s.newest; n++) {
        missing += !s.has[n - s.first];
        given_up += !s.has[n - s.first] && (uint16_t)n % (7 * 13) == 0;
    }
    assert_true(c->lost > 25 && c->repaired > 20 && s.late > 20);
    assert_true(given_up >= 1);
    assert_int_equal(missing, given_up);
    feed_reader_close(s.reader);
}

static void open_mirror(unsigned writer, unsigned reader, int id)
{
    int fds[3];
    assert_int_equal(feed_create(4 << 20, (uint64_t)id, &fds[0], &fds[1]), 0);
    fds[2] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    world_send(w, writer,
               json_pack("{ss si ss ss si}", "m", "feed-open", "feed", id, "briefing", w->wish.id, "role", "writer", "peer",
                         reader),
               fds, 3);
    unsigned *ready = &w->workers[writer].feeds_ready, before = *ready;
    wait_until(w, *ready > before);
    world_send(w, reader,
               json_pack("{ss si ss ss si}", "m", "feed-open", "feed", id, "briefing", w->wish.id, "role", "reader", "peer",
                         writer),
               fds, 3);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

static void endpoints_on_two_workers_see_and_hear_each_other(void **state)
{
    w = world_new(2);
    for (uint32_t n = 1; n <= 2; n++) {
        world_place(w, n, n - 1);
        w->endpoints[n - 1].stage = 3 - n;
    }
    world_wish(w);
    open_mirror(0, 1, 1);
    open_mirror(1, 0, 2);
    world_join(w, 1);
    world_join(w, 2);
    speak(1, true, true);
    speak(2, true, true);
    for (uint32_t n = 1; n <= 2; n++) {
        wait_until(w, world_got(w, n, OFFER_STAGE_SOUND) > 20 && world_got(w, n, OFFER_STAGE) > 30);
        assert_int_equal(newest_from(n, OFFER_STAGE), 3 - n);
        assert_true(world_client(w, 3 - n)->plis >= 1); /* the wish for a keyframe crossed the feed */
    }
    wait_until(w, world_metric(w, 0, "feed_records_written") > 50 && world_metric(w, 1, "feed_records_read") > 50);
    w->endpoints[1].stage = 0; /* nobody there watches 1 any more: its picture stops crossing, its sound does not */
    world_wish(w);
    world_let(w, 300000);
    json_int_t written = world_metric(w, 0, "feed_records_written");
    world_let(w, 2200000);
    json_int_t crossed = world_metric(w, 0, "feed_records_written") - written;
    assert_in_range(crossed, 50, 200); /* 50 sounds a second and the announcements, not 90 pictures too */
}

static void the_supervisors_end_is_the_workers_end(void **state)
{
    struct link_message stop = {.kind = LINK_STOP};
    w = world_new(1);
    struct worker *k = &w->workers[0];
    assert_int_equal(link_send(k->link, &stop, NULL, 0), 0);
    int status = -1;
    for (int i = 0; i < 200 && waitpid(k->pid, &status, WNOHANG) == 0; i++)
        world_let(w, 10000);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    w->n_workers = 0;
    close(k->link);
    close(k->control);
    json_decref(k->hello);
    json_decref(k->states);
    json_decref(k->metrics);
    world_free(w);
}

int main(void)
{
#define TEST(t, begin) cmocka_unit_test_setup_teardown(t, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(two_endpoints_see_and_hear_each_other, two),
        TEST(the_floor_goes_from_one_to_another_within_one_stream, three),
        TEST(a_restriction_mutes_before_the_wish_and_stays_until_it_is_settled, two),
        TEST(a_removed_endpoint_is_cut_at_once, two),
        TEST(media_flows_while_control_is_away, two),
        TEST(an_offer_without_fingerprint_is_refused, two),
        TEST(a_lower_epoch_is_refused, two),
        TEST(a_worker_whose_reports_were_lost_says_hello_again, two),
        TEST(a_recorder_gets_open_microphones_and_the_stage_from_a_keyframe_on, two),
        TEST(what_is_lost_on_the_way_is_repaired_for_the_recorder_too, two),
        TEST(endpoints_on_two_workers_see_and_hear_each_other, NULL),
        cmocka_unit_test(the_supervisors_end_is_the_workers_end),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
