#include "sim/hostile.h"

#include "rtp/rtcp.h"
#include "rtp/transport_cc.h"

#include <stun/stunagent.h>

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* A test with noise proves something only if the noise gets past the first check, and breaks later ones. */
static void noise_is_taken_and_refused_in_good_measure(void **state)
{
    struct hostile h;
    unsigned taken = 0, refused = 0, named = 0, blocks = 0, broken = 0;
    hostile_init(&h, HOSTILE_NOISE, 0, 5);
    for (unsigned i = 0; i < 4000; i++) {
        uint8_t bytes[HOSTILE_MAX];
        size_t header, len = hostile_rtp(&h, bytes, &header);
        struct rtp_packet p;
        char mid[17];
        assert_true(len <= sizeof bytes && header <= len && header % 4 == 0);
        if (rtp_parse(bytes, len, &p)) {
            refused++;
        } else {
            taken++;
            named += rtp_ext_text(&p, offer_ext_ids.mid, mid, sizeof mid) && strcmp(mid, "1") == 0;
        }
        len = hostile_rtcp(&h, bytes);
        struct reader r = reader_make(bytes, len);
        struct rtcp_block b;
        int err = rtcp_next(&r, &b);
        blocks += err == 0;
        broken += err != 0;
    }
    assert_true(taken > 400 && refused > 400 && named > 200 && blocks > 400 && broken > 400);
}

static void a_seed_gives_the_same_noise_again(void **state)
{
    struct hostile a, b;
    uint8_t x[HOSTILE_MAX], y[HOSTILE_MAX];
    size_t header;
    hostile_init(&a, HOSTILE_NOISE, 0, 9);
    hostile_init(&b, HOSTILE_NOISE, 0, 9);
    for (unsigned i = 0; i < 100; i++) {
        size_t len = hostile_rtp(&a, x, &header);
        assert_int_equal(hostile_rtp(&b, y, &header), len);
        assert_memory_equal(x, y, len);
    }
}

static bool password(StunAgent *agent, StunMessage *message, uint8_t *username, uint16_t len, uint8_t **ret, size_t *ret_len,
                     void *data)
{
    *ret = data;
    *ret_len = strlen(data);
    return len == 8 && memcmp(username, "us:peers", 8) == 0;
}

/* By the library that the server asks: a third of those that may be good prove the password, none of the others. */
static void only_checks_that_may_be_good_prove_the_password(void **state)
{
    static const uint16_t known[] = {STUN_ATTRIBUTE_USERNAME,
                                     STUN_ATTRIBUTE_MESSAGE_INTEGRITY,
                                     STUN_ATTRIBUTE_PRIORITY,
                                     STUN_ATTRIBUTE_ICE_CONTROLLED,
                                     STUN_ATTRIBUTE_ICE_CONTROLLING,
                                     STUN_ATTRIBUTE_FINGERPRINT,
                                     0};
    static char right[] = "the right password of ours";
    struct hostile h;
    StunAgent agent;
    unsigned good[2] = {0}, unknown[2] = {0}, asked[2] = {0};
    hostile_init(&h, HOSTILE_STUN, 0, 3);
    stun_agent_init(&agent, known, STUN_COMPATIBILITY_RFC5389,
                    STUN_AGENT_USAGE_SHORT_TERM_CREDENTIALS | STUN_AGENT_USAGE_USE_FINGERPRINT);
    for (unsigned i = 0; i < 2400; i++) {
        struct hostile_check c = {.username = "us:peers", .password = right, .may_be_good = i % 2};
        struct hostile_raw r;
        StunMessage m;
        hostile_check(&h, &c, &r);
        assert_in_range(r.len, 1, sizeof r.bytes);
        StunValidationStatus status = stun_agent_validate(&agent, &m, r.bytes, r.len, password, right);
        good[i % 2] += status == STUN_VALIDATION_SUCCESS && stun_message_get_class(&m) == STUN_REQUEST;
        unknown[i % 2] += status == STUN_VALIDATION_UNKNOWN_REQUEST_ATTRIBUTE;
        asked[i % 2] += status == STUN_VALIDATION_UNAUTHORIZED;
    }
    assert_int_equal(good[0] + unknown[0], 0);
    assert_true(asked[0] > 200);
    assert_true(good[1] > 150 && unknown[1] > 60);
}

static void reports_are_readable_and_absurd(void **state)
{
    struct hostile h;
    struct answer a = {0};
    unsigned seen[256] = {0}, nacked = 0, impossible = 0, most = 0;
    for (unsigned i = 0; i < OFFER_SECTIONS; i++)
        a.ssrc[i] = 100 + i;
    hostile_init(&h, HOSTILE_REPORTS, 0, 7);
    for (unsigned i = 0; i < 2000; i++) {
        static uint8_t bytes[HOSTILE_RAW_MAX];
        struct rtcp_block b;
        uint16_t seqs[4000];
        uint64_t bps;
        uint32_t ssrc;
        size_t n;
        size_t len = hostile_report(&h, &a, bytes, 1000000000);
        struct reader r = reader_make(bytes, len);
        assert_int_equal(rtcp_next(&r, &b), 0);
        assert_true(reader_left(&r) == 0 || (b.type == RTCP_RTPFB && b.count == RTCP_NACK));
        seen[b.type]++;
        if (b.type == RTCP_RTPFB && b.count == RTCP_NACK && rtcp_get_nack(&b, &ssrc, seqs, 4000, &n) == 0)
            nacked += n == 15 * 17;
        if (b.type == RTCP_RTPFB && b.count == RTCP_TRANSPORT_CC) {
            static struct transport_cc_feedback f;
            impossible += transport_cc_parse(&b, &f) != 0;
        }
        if (b.type == RTCP_PSFB && b.count == RTCP_AFB && rtcp_get_remb(&b, &bps) == 0)
            most += bps >> 62 != 0;
    }
    assert_true(seen[RTCP_BYE] > 50 && seen[RTCP_SR] > 50 && seen[RTCP_RR] > 50 && nacked > 100 && impossible > 20);
    assert_true(most > 10);
}

static void strangers_say_something_of_every_protocol(void **state)
{
    struct hostile h;
    unsigned stun = 0, dtls = 0, media = 0, none = 0, long_ones = 0;
    hostile_init(&h, HOSTILE_STRANGERS_KIND, 0, 11);
    for (unsigned i = 0; i < 4000; i++) {
        struct hostile_raw r;
        hostile_stranger(&h, &r);
        assert_in_range(r.len, 1, sizeof r.bytes);
        uint8_t first = r.bytes[0];
        stun += first <= 3;
        dtls += first >= 20 && first <= 63;
        media += first >= 128 && first <= 191;
        none += first >= 192;
        long_ones += r.len > 1500;
    }
    assert_true(stun > 500 && dtls > 500 && media > 500 && none > 100 && long_ones > 100);
}

static void kinds_are_known_by_name(void **state)
{
    enum hostile_kind kind = HOSTILE_NOT;
    assert_true(hostile_kind_of("keyframes", &kind));
    assert_int_equal(kind, HOSTILE_KEYFRAMES);
    assert_true(hostile_kind_of("noise", &kind));
    assert_int_equal(kind, HOSTILE_NOISE);
    assert_true(hostile_kind_of("strangers", &kind));
    assert_int_equal(kind, HOSTILE_STRANGERS_KIND);
    assert_false(hostile_kind_of("kind", &kind));
    assert_false(hostile_kind_of("", &kind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_is_taken_and_refused_in_good_measure),
        cmocka_unit_test(a_seed_gives_the_same_noise_again),
        cmocka_unit_test(only_checks_that_may_be_good_prove_the_password),
        cmocka_unit_test(reports_are_readable_and_absurd),
        cmocka_unit_test(strangers_say_something_of_every_protocol),
        cmocka_unit_test(kinds_are_known_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
