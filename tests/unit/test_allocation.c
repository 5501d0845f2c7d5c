/* The pure cores without memory: each scenario runs again and again, the n-th allocation failing in the n-th run, until it
 * runs through untouched. A failure is an error (or a feature less, where a header says so), the state is as before, nothing
 * is lost: the address sanitizer watches. Linked with --wrap for the allocator; Jansson is handed the same one. GLib's SDP
 * lexer aborts without memory and is left out. */
#include "base/err.h"
#include "briefing/briefing.h"
#include "bwe/pacer.h"
#include "rtp/history.h"
#include "sdp/sdp.h"
#include "sfu/router.h"
#include "wish/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t n);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);

static unsigned fail_at; /* 0: none; else that many allocations from now */
static bool failed;
static unsigned allocations; /* that have failed in the sweeps of a test */

static bool fails(void)
{
    if (fail_at == 0 || --fail_at > 0)
        return false;
    failed = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t n)
{
    return fails() ? NULL : __real_strndup(text, n);
}

/* `act` is called with the n-th allocation failing, n = 1 …, until none fails. It returns what it was told: 0, or an error.
 * `check` sees that and puts everything back. */
static void sweep(int (*act)(void), void (*check)(int err))
{
    enum { ALLOCATIONS_MAX = 20000 };
    unsigned n = 1;
    for (;; n++) {
        assert_true(n < ALLOCATIONS_MAX);
        failed = false;
        fail_at = n;
        int err = act();
        fail_at = 0;
        check(err);
        if (!failed)
            break;
    }
    allocations += n - 1;
}

/* ---- wish ---- */

static struct wish_briefing held, held_before, copied;
static json_t *object;
static struct wish_endpoint one = {
    .id = "e1", .number = 1, .may_send = 14, .stage = 2, .n_tiles = 1, .tiles = {{.endpoint = 3}}};
static struct wish_endpoint two = {.id = "e2", .number = 2, .may_send = 2, .stage = 1};

static void hold_wish(void)
{
    memset(&held, 0, sizeof held);
    strcpy(held.id, "b1");
    assert_int_equal(wish_put(&held, &one), 0);
    assert_int_equal(wish_briefing_copy(&held_before, &held), 0);
}

static void drop_wish(void)
{
    wish_briefing_free(&held);
    wish_briefing_free(&held_before);
}

static int put(void)
{
    return wish_put(&held, &two);
}

static void check_put(int err)
{
    assert_int_equal(err, failed ? ERR_NOMEM : 0);
    assert_true(wish_briefing_equal(&held, &held_before) == failed);
    drop_wish();
    hold_wish();
}

static int copy(void)
{
    memset(&copied, 0, sizeof copied);
    return wish_briefing_copy(&copied, &held);
}

static void check_copy(int err)
{
    assert_int_equal(err, failed ? ERR_NOMEM : 0);
    assert_true(failed ? !copied.endpoints : wish_briefing_equal(&copied, &held));
    wish_briefing_free(&copied);
}

static int make_delta(void)
{
    bool same = false;
    object = wish_delta(&held_before, &held, 1, 1, 2, &same);
    assert_false(same);
    return object ? 0 : ERR_NOMEM;
}

static void check_object(int err)
{
    assert_int_equal(err, failed ? ERR_NOMEM : 0);
    json_decref(object);
    object = NULL;
}

static int apply_delta(void)
{
    const char *why = "";
    return wish_apply_delta(&held, object, &why);
}

static void check_applied(int err)
{
    assert_true(failed ? err < 0 : err == 0);
    assert_true(wish_briefing_equal(&held, &held_before) == failed);
    drop_wish();
    hold_wish();
}

static int endpoint_to_json(void)
{
    object = wish_endpoint_to_json(&one);
    return object ? 0 : ERR_NOMEM;
}

static int layout_to_json(void)
{
    object = wish_layout_to_json(&one);
    return object ? 0 : ERR_NOMEM;
}

static void wishes_are_whole_or_as_before(void **state)
{
    hold_wish();
    sweep(put, check_put);
    sweep(copy, check_copy);
    sweep(endpoint_to_json, check_object);
    sweep(layout_to_json, check_object);
    assert_int_equal(wish_put(&held, &two), 0);
    sweep(make_delta, check_object);
    assert_int_equal(make_delta(), 0);
    drop_wish();
    hold_wish();
    sweep(apply_delta, check_applied);
    json_decref(object);
    drop_wish();
    assert_in_range(allocations, 50, 100000);
}

/* ---- briefing ---- */

static struct briefing *briefing, *before, *other;
static struct briefing_events events;
static struct briefing_command command;
static const struct refusal *refusal;
static const struct briefing_event *event;
static struct briefing_event decoded;
static char *bytes;
static size_t bytes_len;

static int decide(void)
{
    refusal = briefing_command(briefing, &command, &events);
    return refusal ? ERR_NOMEM : 0;
}

static void check_decided(int err)
{
    assert_true(briefing_equal(briefing, before));
    assert_int_equal(err, failed ? ERR_NOMEM : 0);
    assert_int_equal(failed ? events.n : 0, 0);
    assert_string_equal(failed ? refusal->code : "internal", "internal");
    if (failed)
        briefing_events_free(&events);
}

static int apply(void)
{
    return briefing_apply(briefing, event);
}

static void check_applied_event(int err)
{
    assert_int_equal(err, failed ? ERR_NOMEM : 0);
    assert_true(briefing_equal(briefing, before) == (err != 0));
    if (err) /* what comes after a failure works */
        return;
    briefing_free(before);
    before = briefing_copy(briefing);
}

/* As sweep(), for an event that need not allocate. */
static void sweep_apply(void)
{
    for (unsigned n = 1;; n++) {
        failed = false;
        fail_at = n;
        int err = apply();
        fail_at = 0;
        check_applied_event(err);
        if (!err)
            return;
    }
}

static int encode(void)
{
    bytes = briefing_event_encode(event, &bytes_len);
    return bytes ? 0 : ERR_NOMEM;
}

static void check_bytes(int err)
{
    assert_int_equal(err, failed ? ERR_NOMEM : 0);
    if (failed)
        return; /* the last ones stay: they are decoded */
}

static int decode(void)
{
    memset(&decoded, 0, sizeof decoded);
    return briefing_event_decode(bytes, bytes_len, &decoded);
}

static void check_decoded(int err)
{
    assert_true(failed ? err < 0 : err == 0);
    if (!err)
        briefing_event_clear(&decoded);
}

static int message(void)
{
    object = briefing_event_message(event, 0);
    return object ? 0 : ERR_NOMEM;
}

static void run_command(const struct briefing_command *c)
{
    command = *c;
    sweep(decide, check_decided);
    for (size_t i = 0; i < events.n; i++) {
        event = &events.items[i];
        sweep(encode, check_bytes);
        sweep(decode, check_decoded);
        free(bytes);
        if (event->kind != EVENT_SCHEDULED)
            sweep(message, check_object);
        sweep_apply();
    }
    briefing_events_free(&events);
}

static int copy_briefing(void)
{
    other = briefing_copy(briefing);
    return other ? 0 : ERR_NOMEM;
}

static void check_copied(int err)
{
    assert_int_equal(err, failed ? ERR_NOMEM : 0);
    assert_true(failed || briefing_equal(other, briefing));
    briefing_free(other);
    other = NULL;
}

static int snapshot(void)
{
    object = briefing_state(briefing, ROLE_CHAIR);
    return object ? 0 : ERR_NOMEM;
}

static int summary(void)
{
    object = briefing_summary(briefing, ROLE_CHAIR);
    return object ? 0 : ERR_NOMEM;
}

static int export_head(void)
{
    object = briefing_export_head(briefing);
    return object ? 0 : ERR_NOMEM;
}

static int wish(void)
{
    memset(&copied, 0, sizeof copied);
    return briefing_wish(briefing, &copied);
}

static void check_wish(int err)
{
    assert_int_equal(err, failed ? ERR_NOMEM : 0);
    assert_true(failed ? !copied.endpoints : copied.n_endpoints == 2);
    wish_briefing_free(&copied);
}

static void briefings_decide_fold_and_speak_or_stay_as_they_are(void **state)
{
    static struct briefing_unit units[] = {{"h-a", "Huyện A", "A"}, {"h-b", "Huyện B", "B"}};
    static const struct briefing_schedule schedule = {
        .id = "b1", .title = "Giao ban", .record = true, .units = units, .n_units = 2};
    struct briefing_seat chair = {.id = "e1", .name = "Chủ tọa", .key = "link:1", .role = ROLE_CHAIR};
    struct briefing_seat room = {.id = "e2", .unit = units[0], .key = "link:2", .role = ROLE_DELEGATE};
    const struct briefing_command commands[] = {
        {.kind = COMMAND_SCHEDULE, .role = ROLE_ADMINISTRATOR, .schedule = &schedule},
        {.kind = COMMAND_OPEN, .role = ROLE_ADMINISTRATOR, .at_ms = 1},
        {.kind = COMMAND_JOIN, .seat = &chair, .at_ms = 2},
        {.kind = COMMAND_JOIN, .seat = &room, .at_ms = 3},
        {.kind = COMMAND_MEDIA, .by = 1, .microphone = true, .camera = true, .at_ms = 4},
        {.kind = COMMAND_RAISE_HAND, .by = 2, .at_ms = 5},
        {.kind = COMMAND_GRANT, .by = 1, .endpoint = 2, .at_ms = 6},
        {.kind = COMMAND_MUTE_ALL, .by = 1, .at_ms = 7},
    };
    assert_true((briefing = briefing_new()) && (before = briefing_new()));
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        run_command(&commands[i]);
    sweep(copy_briefing, check_copied);
    sweep(snapshot, check_object);
    sweep(summary, check_object);
    sweep(export_head, check_object);
    sweep(wish, check_wish);
    briefing_free(briefing);
    briefing_free(before);
    assert_in_range(allocations, 500, 100000);
}

/* ---- sdp ---- */

static char offer_text[SDP_BYTES_MAX];
static struct sdp_offer offer;
static struct sdp_error sdp_error;

static int parse_offer(void)
{
    memset(&offer, 0xee, sizeof offer);
    return sdp_offer_parse(offer_text, strlen(offer_text), &offer, &sdp_error);
}

static void check_offer(int err)
{
    assert_true(failed ? err < 0 && !strcmp(sdp_error.code, "no-memory") : err == 0);
    assert_true(!failed || ((const uint8_t *)&offer)[0] == 0xee);
}

static void an_offer_is_read_or_refused(void **state)
{
    FILE *f = fopen(TEST_DATA "/offers/chromium-156-two-tiles.sdp", "r");
    assert_non_null(f);
    offer_text[fread(offer_text, 1, sizeof offer_text - 1, f)] = '\0';
    fclose(f);
    sweep(parse_offer, check_offer);
    assert_int_equal(allocations, 2);
}

/* ---- forwarding ---- */

enum { PACKETS = 512 };

static struct sfu sfu;
static struct packet_pool *pool;
static struct router *router;
static struct wish_endpoint wished[2];
static struct wish_briefing shown = {.id = "b1", .endpoints = wished, .n_endpoints = 2};
static uint16_t seq;

static int send_rtp(void *transport, enum sfu_class class, const uint8_t *header, size_t header_len, const uint8_t *payload,
                    size_t payload_len, uint8_t padding)
{
    return 0;
}

static int send_rtcp(void *transport, const uint8_t *rtcp, size_t len)
{
    return 0;
}

static void configure(struct peer_config *c, uint32_t number)
{
    static const enum slot_role roles[] = {SLOT_STAGE_SOUND, SLOT_STAGE_PICTURE};
    memset(c, 0, sizeof *c);
    c->number = number;
    c->incarnation = 1;
    for (unsigned kind = WISH_MICROPHONE; kind <= WISH_CAMERA; kind++)
        c->publish[kind] = (struct publish_config){.used = true,
                                                   .mid = {(char)('0' + kind)},
                                                   .codec = kind == WISH_CAMERA ? RTP_VP8 : RTP_OPUS,
                                                   .pt = kind == WISH_CAMERA ? 96 : 111,
                                                   .rtx_pt = SFU_NO_PT,
                                                   .ids = {.transport_seq = 3},
                                                   .ssrc = kind,
                                                   .pli = true};
    c->n_slots = 2;
    for (unsigned i = 0; i < 2; i++) {
        c->slots[i] = (struct slot_config){.role = roles[i], .ssrc = 100 + i, .rtx_ssrc = i ? 201 : 0};
        for (unsigned k = 0; k <= RTP_H264; k++)
            c->slots[i].codecs[k] = (struct slot_codec){.pt = (uint8_t)(96 + k), .rtx_pt = i ? 110 : SFU_NO_PT};
    }
}

static int join(uint32_t number)
{
    static struct peer_config config;
    struct peer *p = NULL;
    configure(&config, number);
    int err = peer_new(&sfu, &config, &p);
    if (!err && (err = router_attach(router, p, 0)))
        peer_free(p, 0);
    return err;
}

static void publish(uint32_t number, unsigned kind)
{
    static const uint8_t keyframe[] = {0x90, 0x80, 0x01, 0x10, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1};
    struct packet *p = packet_get(pool);
    struct writer w = writer_make(p->bytes, PACKET_CAPACITY);
    write_u8(&w, 0x90);
    write_u8(&w, kind == WISH_CAMERA ? 96 : 111);
    write_u16(&w, ++seq);
    write_u32(&w, 0);
    write_u32(&w, kind);
    write_u32(&w, 0xbede0001);
    write_u8(&w, 0x31);
    write_u16(&w, seq);
    write_u8(&w, 0);
    write_bytes(&w, keyframe, sizeof keyframe);
    p->len = (uint16_t)writer_len(&w);
    p->arrival_us = 1000;
    if (router->peers[number])
        peer_input_rtp(router->peers[number], p, 1000);
    packet_unref(p);
}

/* Two who see and hear each other; whatever cannot be had is left out. */
static int forward(void)
{
    static const struct sfu_shell shell = {.send_rtp = send_rtp, .send_rtcp = send_rtcp};
    sfu_init(&sfu, &shell, 1);
    router = router_new(&sfu, "b1");
    if (!router)
        return ERR_NOMEM;
    int err = join(1);
    if (!err)
        err = join(2);
    router_apply(router, &shown, 0);
    for (int64_t now_us = 0; now_us < 200000; now_us += 10000) {
        for (uint32_t n = 1; n <= 2; n++) {
            publish(n, WISH_MICROPHONE);
            publish(n, WISH_CAMERA);
        }
        sfu_turn(&sfu, now_us);
    }
    return err;
}

static void check_forwarded(int err)
{
    assert_true(failed || err == 0);
    assert_true(!err || err == ERR_NOMEM);
    if (router) {
        assert_null(router_check(router));
        assert_true(failed || sfu.stats.forwarded_packets > 60);
    }
    sfu_finish(&sfu);
    assert_int_equal(packet_pool_available(pool), PACKETS);
}

static int histories(void)
{
    struct history *h = history_new(16);
    struct pacer *p = h ? pacer_new() : NULL;
    pacer_free(p);
    history_free(h);
    return p ? 0 : ERR_NOMEM;
}

static void check_plain(int err)
{
    assert_int_equal(err, failed ? ERR_NOMEM : 0);
}

static int make_pool(void)
{
    struct packet_pool *made = packet_pool_new(4);
    packet_pool_free(made);
    return made ? 0 : ERR_NOMEM;
}

static void a_router_forwards_what_it_has_memory_for(void **state)
{
    for (unsigned i = 0; i < 2; i++)
        wished[i] =
            (struct wish_endpoint){.number = i + 1, .may_send = 14, .hears = true, .stage = 2 - i, .stage_size = {640, 360}};
    pool = packet_pool_new(1);
    assert_non_null(pool);
    packet_pool_free(pool);
    pool = packet_pool_new(PACKETS);
    sweep(make_pool, check_plain);
    sweep(histories, check_plain);
    sweep(forward, check_forwarded);
    packet_pool_free(pool);
    assert_in_range(allocations, 20, 1000);
}

static int count_anew(void **state)
{
    allocations = 0;
    return 0;
}

int main(void)
{
    json_set_alloc_funcs(__wrap_malloc, free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(wishes_are_whole_or_as_before, count_anew),
        cmocka_unit_test_setup(briefings_decide_fold_and_speak_or_stay_as_they_are, count_anew),
        cmocka_unit_test_setup(an_offer_is_read_or_refused, count_anew),
        cmocka_unit_test_setup(a_router_forwards_what_it_has_memory_for, count_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
