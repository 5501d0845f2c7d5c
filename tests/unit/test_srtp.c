/* Seal: what our engines make is what libsrtp makes, byte for byte, and what must not be sent or taken is refused. */
#include "srtp/seal.h"

#include "base/bytes.h"
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CAP = 2048 };

static uint32_t seed = 1;

static uint32_t random_u32(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    return seed ^= seed << 5;
}

static struct seal_keys make_keys(enum seal_suite suite)
{
    struct seal_keys k = {.suite = suite};
    for (int i = 0; i < SEAL_KEY_MAX; i++) {
        k.out[i] = (uint8_t)random_u32();
        k.in[i] = (uint8_t)random_u32();
    }
    return k;
}

static struct seal_keys turned(const struct seal_keys *k)
{
    struct seal_keys t = {.suite = k->suite};
    memcpy(t.out, k->in, SEAL_KEY_MAX);
    memcpy(t.in, k->out, SEAL_KEY_MAX);
    return t;
}

static struct seal *make(const struct seal_keys *k, enum seal_engine engine)
{
    struct seal *s = NULL;
    assert_int_equal(seal_new(k, engine, &s), 0);
    return s;
}

/* Fixed header, `csrcs` CSRCs, `words` words of one-byte extension (0: none). */
static size_t make_header(uint8_t *h, uint16_t seq, uint32_t ssrc, unsigned csrcs, unsigned words, bool padding)
{
    struct writer w = writer_make(h, SEAL_HEADER_MAX);
    write_u8(&w, (uint8_t)(0x80 | (padding ? 0x20 : 0) | (words ? 0x10 : 0) | csrcs));
    write_u8(&w, 96);
    write_u16(&w, seq);
    write_u32(&w, random_u32());
    write_u32(&w, ssrc);
    for (unsigned i = 0; i < csrcs; i++)
        write_u32(&w, random_u32());
    if (words) {
        write_u16(&w, 0xBEDE);
        write_u16(&w, (uint16_t)words);
        for (unsigned i = 0; i < words; i++)
            write_u32(&w, 0x13aabbcc);
    }
    assert_false(w.failed);
    return writer_len(&w);
}

static bool engine_is_here(enum seal_engine engine)
{
    return engine != SEAL_IPSEC_MB || seal_engine_default() == SEAL_IPSEC_MB;
}

static void cross(enum seal_suite suite, enum seal_engine engine)
{
    if (!engine_is_here(engine))
        skip();
    static const uint32_t ssrcs[] = {0x01020304, 0xfffffffe, 7};
    struct seal_keys keys = make_keys(suite), back = turned(&keys);
    struct seal *ours = make(&keys, engine), *reference = make(&keys, SEAL_LIBSRTP), *peer = make(&back, engine);
    uint32_t first[3] = {32700, 0, 12};
    /* 70,000 numbers of the first SSRC, so that its 16 bits wrap twice; the others in between. */
    for (uint32_t i = 0; i < 70000; i++) {
        unsigned which = i % 97 == 1 ? 1 : i % 53 == 2 ? 2 : 0;
        uint8_t header[SEAL_HEADER_MAX], payload[1400], a[CAP], b[CAP];
        uint8_t padding = random_u32() % 4 == 0 ? (uint8_t)random_u32() : 0;
        size_t header_len =
            make_header(header, (uint16_t)first[which]++, ssrcs[which], random_u32() % 16, random_u32() % 10, padding);
        size_t payload_len = random_u32() % 7 == 0 ? random_u32() % 20 : random_u32() % 1200;
        for (size_t j = 0; j < payload_len; j++)
            payload[j] = (uint8_t)(i + j);
        size_t a_len = 0, b_len = 0, n = 0;
        assert_int_equal(seal_rtp(ours, header, header_len, payload, payload_len, padding, a, CAP, &a_len), 0);
        assert_int_equal(seal_rtp(reference, header, header_len, payload, payload_len, padding, b, CAP, &b_len), 0);
        assert_int_equal(a_len, b_len);
        assert_memory_equal(a, b, a_len);
        assert_int_equal(seal_open_rtp(peer, a, a_len, &n), 0);
        assert_int_equal(n, header_len + payload_len + padding);
        assert_memory_equal(a, header, header_len);
        assert_memory_equal(a + header_len, payload, payload_len);
        if (padding)
            assert_int_equal(a[n - 1], padding);
    }
    seal_free(ours);
    seal_free(reference);
    seal_free(peer);
}

static void ipsec_mb_makes_the_bytes_of_libsrtp_under_gcm_128(void **state)
{
    cross(SEAL_GCM_128, SEAL_IPSEC_MB);
}

static void ipsec_mb_makes_the_bytes_of_libsrtp_under_gcm_256(void **state)
{
    cross(SEAL_GCM_256, SEAL_IPSEC_MB);
}

static void evp_makes_the_bytes_of_libsrtp_under_gcm_128(void **state)
{
    cross(SEAL_GCM_128, SEAL_EVP);
}

static void evp_makes_the_bytes_of_libsrtp_under_gcm_256(void **state)
{
    cross(SEAL_GCM_256, SEAL_EVP);
}

static void sha1_80_goes_both_ways(void **state)
{
    cross(SEAL_SHA1_80, SEAL_AUTO);
}

static int seal_number(struct seal *s, uint32_t ssrc, uint16_t seq)
{
    uint8_t header[SEAL_HEADER_MAX], out[CAP];
    size_t len = make_header(header, seq, ssrc, 0, 0, false), n;
    return seal_rtp(s, header, len, (const uint8_t *)"x", 1, 0, out, CAP, &n);
}

static void a_number_is_never_sealed_twice(void **state)
{
    static const struct {
        uint16_t seq;
        int err;
    } rows[] = {
        {40000, ERR_RANGE}, /* the first number is below 32768 */
        {100, 0},
        {100, ERR_REPLAY},
        {99, 0},
        {99, ERR_REPLAY},
        {105, 0},
        {102, 0},
        {102, ERR_REPLAY},
        {32767, 0},
        {65000, 0},
        {65535, 0},
        {3, 0}, /* over the wrap, and back */
        {65534, 0},
        {65535, ERR_REPLAY},
        {3, ERR_REPLAY},
        {0, 0},
        {300, 0},
        {44, ERR_RANGE},
        {45, 0}, /* 256 and 255 behind */
        {45, ERR_REPLAY},
    };
    struct seal_keys keys = make_keys(SEAL_GCM_128);
    struct seal *s = make(&keys, SEAL_AUTO);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(seal_number(s, 9, rows[i].seq), rows[i].err);
    seal_free(s);
}

static void a_number_before_the_first_wrap_has_no_index(void **state)
{
    struct seal_keys keys = make_keys(SEAL_GCM_128);
    struct seal *s = make(&keys, SEAL_AUTO);
    assert_int_equal(seal_number(s, 9, 5), 0);
    assert_int_equal(seal_number(s, 9, 65535), ERR_RANGE);
    assert_int_equal(seal_number(s, 9, 0), 0);
    seal_free(s);
}

static void one_ssrc_too_many_is_refused_on_either_way(void **state)
{
    struct seal_keys keys = make_keys(SEAL_GCM_128), back = turned(&keys);
    struct seal *out = make(&keys, SEAL_AUTO), *second = make(&keys, SEAL_AUTO), *in = make(&back, SEAL_AUTO);
    uint8_t header[SEAL_HEADER_MAX], packet[CAP];
    size_t n;
    for (uint32_t i = 0; i < SEAL_SSRCS; i++) {
        size_t len = make_header(header, 1, 1000 + i * 64, 0, 0, false);
        assert_int_equal(seal_rtp(out, header, len, NULL, 0, 0, packet, CAP, &n), 0);
        assert_int_equal(seal_open_rtp(in, packet, n, &n), 0);
    }
    size_t len = make_header(header, 1, 5, 0, 0, false);
    assert_int_equal(seal_rtp(out, header, len, NULL, 0, 0, packet, CAP, &n), ERR_BUSY);
    assert_int_equal(seal_rtp(second, header, len, NULL, 0, 0, packet, CAP, &n), 0);
    assert_int_equal(seal_open_rtp(in, packet, n, &n), ERR_BUSY);
    assert_int_equal(seal_number(out, 1000, 2), 0);
    seal_free(out);
    seal_free(second);
    seal_free(in);
}

static void lengths_out_of_range_are_refused(void **state)
{
    static const struct {
        size_t header_len, payload_len, cap;
    } rows[] = {
        {8, 10, CAP}, {14, 10, CAP}, {SEAL_HEADER_MAX + 4, 10, CAP}, {12, CAP, CAP}, {12, 100, 112 + SEAL_TRAILER_MAX - 1}};
    static uint8_t bytes[CAP], out[CAP];
    struct seal_keys keys = make_keys(SEAL_GCM_128);
    struct seal *s = make(&keys, SEAL_AUTO);
    size_t n;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(seal_rtp(s, bytes, rows[i].header_len, bytes, rows[i].payload_len, 0, out, rows[i].cap, &n),
                         ERR_RANGE);
    assert_int_equal(seal_rtcp(s, bytes, 4, out, CAP, &n), ERR_RANGE);
    assert_int_equal(seal_rtcp(s, bytes, 10, out, CAP, &n), ERR_RANGE);
    seal_free(s);
}

static void what_comes_twice_or_altered_is_refused(void **state)
{
    static const enum seal_suite suites[] = {SEAL_GCM_128, SEAL_GCM_256, SEAL_SHA1_80};
    for (int i = 0; i < 3; i++) {
        struct seal_keys keys = make_keys(suites[i]), back = turned(&keys);
        struct seal *out = make(&keys, SEAL_AUTO), *in = make(&back, SEAL_AUTO);
        uint8_t header[SEAL_HEADER_MAX], sealed[CAP], work[CAP];
        size_t len = make_header(header, 10, 3, 1, 2, false), sealed_len, n;
        assert_int_equal(seal_rtp(out, header, len, (const uint8_t *)"payload", 7, 0, sealed, CAP, &sealed_len), 0);
        for (size_t bit = 0; bit < sealed_len * 8; bit += 13) {
            memcpy(work, sealed, sealed_len);
            work[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_true(seal_open_rtp(in, work, sealed_len, &n) < 0);
        }
        for (size_t short_len = 0; short_len < sealed_len; short_len++) {
            memcpy(work, sealed, sealed_len);
            assert_true(seal_open_rtp(in, work, short_len, &n) < 0);
        }
        memcpy(work, sealed, sealed_len);
        assert_int_equal(seal_open_rtp(in, work, sealed_len, &n), 0);
        memcpy(work, sealed, sealed_len);
        assert_int_equal(seal_open_rtp(in, work, sealed_len, &n), ERR_REPLAY);
        seal_free(out);
        seal_free(in);
    }
}

static void rtcp_goes_round_and_is_refused_without_encryption(void **state)
{
    static const enum seal_suite suites[] = {SEAL_GCM_128, SEAL_GCM_256, SEAL_SHA1_80};
    static const uint8_t pli[12] = {0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2};
    for (int i = 0; i < 3; i++) {
        struct seal_keys keys = make_keys(suites[i]), back = turned(&keys);
        struct seal *out = make(&keys, SEAL_AUTO), *in = make(&back, SEAL_AUTO);
        uint8_t sealed[CAP], work[CAP];
        size_t len, n;
        assert_int_equal(seal_rtcp(out, pli, sizeof pli, sealed, CAP, &len), 0);
        size_t e = suites[i] == SEAL_SHA1_80 ? len - 14 : len - 4;
        assert_int_equal(sealed[e] & 0x80, 0x80);
        memcpy(work, sealed, len);
        work[e] &= 0x7f;
        assert_int_equal(seal_open_rtcp(in, work, len, &n), ERR_DENIED);
        for (size_t short_len = 0; short_len < len; short_len++) {
            memcpy(work, sealed, len);
            assert_true(seal_open_rtcp(in, work, short_len, &n) < 0);
        }
        memcpy(work, sealed, len);
        assert_int_equal(seal_open_rtcp(in, work, len, &n), 0);
        assert_int_equal(n, sizeof pli);
        assert_memory_equal(work, pli, sizeof pli);
        seal_free(out);
        seal_free(in);
    }
}

static void unknown_suites_have_no_keys(void **state)
{
    struct seal_keys keys = {.suite = (enum seal_suite)2};
    struct seal *s = NULL;
    assert_int_equal(seal_new(&keys, SEAL_AUTO, &s), ERR_UNSUPPORTED);
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipsec_mb_makes_the_bytes_of_libsrtp_under_gcm_128),
        cmocka_unit_test(ipsec_mb_makes_the_bytes_of_libsrtp_under_gcm_256),
        cmocka_unit_test(evp_makes_the_bytes_of_libsrtp_under_gcm_128),
        cmocka_unit_test(evp_makes_the_bytes_of_libsrtp_under_gcm_256),
        cmocka_unit_test(sha1_80_goes_both_ways),
        cmocka_unit_test(a_number_is_never_sealed_twice),
        cmocka_unit_test(a_number_before_the_first_wrap_has_no_index),
        cmocka_unit_test(one_ssrc_too_many_is_refused_on_either_way),
        cmocka_unit_test(lengths_out_of_range_are_refused),
        cmocka_unit_test(what_comes_twice_or_altered_is_refused),
        cmocka_unit_test(rtcp_goes_round_and_is_refused_without_encryption),
        cmocka_unit_test(unknown_suites_have_no_keys),
    };
    if (seal_start() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
