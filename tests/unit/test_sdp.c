#include "sdp/sdp.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define FINGERPRINT "75:67:1C:B2:87:94:96:D6:2B:16:85:4B:5F:73:C5:66:5F:B3:74:06:5F:14:87:17:C9:9D:9D:A6:BD:19:30:C6"

static struct sdp_offer offer;
static struct sdp_error error;
static struct sdp_answer answer;
static char text[SDP_BYTES_MAX * 2], out[SDP_BYTES_MAX * 2];

static size_t load(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, TEST_DATA "/offers/%s", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t len = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[len] = 0;
    return len;
}

static void accept_file(const char *name)
{
    size_t len = load(name);
    int err = sdp_offer_parse(text, len, &offer, &error);
    if (err)
        print_message("%s: %s\n", error.code, error.text);
    assert_int_equal(err, 0);
}

static void write_answer(void)
{
    static const struct sdp_candidate candidates[] = {{"192.0.2.1", 7000}, {"2001:db8::1", 7001}};
    answer = (struct sdp_answer){.ufrag = "abcdefgh",
                                 .pwd = "abcdefghijklmnopqrstuvwx",
                                 .fingerprint = FINGERPRINT,
                                 .cname = "giaoban",
                                 .session_id = 7,
                                 .candidates = candidates,
                                 .n_candidates = 2};
    for (unsigned i = 0; i < offer.n_sections; i++)
        answer.slots[i] = (struct sdp_slot){1000 + i * 2, offer.sections[i].kind == SDP_VIDEO ? 1001 + i * 2 : 0};
    size_t len = 0;
    assert_int_equal(sdp_answer_write(&offer, &answer, out, sizeof out, &len), 0);
    assert_int_equal(strlen(out), len);
}

/* The part of the answer that belongs to section `i`, cut off behind it. */
static const char *answer_section(unsigned i)
{
    char *p = out;
    for (unsigned k = 0; k <= i; k++) {
        p = strstr(p + 1, "\r\nm=");
        assert_non_null(p);
    }
    char *end = strstr(p + 1, "\r\nm=");
    if (end)
        end[2] = 0;
    return p + 2;
}

static void roles_follow_from_direction_kind_and_order_in_both_browsers(void **state)
{
    static const enum sdp_role roles[] = {SDP_ROLE_MICROPHONE,  SDP_ROLE_CAMERA,        SDP_ROLE_SCREEN,
                                          SDP_ROLE_STAGE_SOUND, SDP_ROLE_STAGE_PICTURE, SDP_ROLE_SHARED_SCREEN,
                                          SDP_ROLE_SOUND,       SDP_ROLE_SOUND,         SDP_ROLE_SOUND,
                                          SDP_ROLE_TILE,        SDP_ROLE_TILE};
    static const char *const files[] = {"chromium-156-two-tiles.sdp", "firefox-153-two-tiles.sdp"};
    for (unsigned f = 0; f < 2; f++) {
        accept_file(files[f]);
        assert_int_equal(offer.n_sections, 11);
        for (unsigned i = 0; i < 11; i++) {
            assert_int_equal(offer.sections[i].role, roles[i]);
            assert_int_equal(atoi(offer.sections[i].mid), i);
        }
        assert_int_equal(offer.sections[8].slot, 2);
        assert_int_equal(offer.sections[10].slot, 1);
        assert_int_equal(strlen(offer.fingerprint), 95);
    }
}

static void numbers_differ_between_the_browsers_and_are_kept(void **state)
{
    static const struct {
        const char *file;
        uint8_t opus, vp8, rtx, mid, rid, transport_seq, abs_time, level, n_receive;
    } rows[] = {{"chromium-156-two-tiles.sdp", 111, 96, 97, 4, 10, 3, 2, 1, 3},
                {"firefox-153-two-tiles.sdp", 109, 120, 124, 3, 9, 7, 4, 1, 2}};
    for (size_t i = 0; i < 2; i++) {
        accept_file(rows[i].file);
        const struct sdp_section *microphone = &offer.sections[0], *camera = &offer.sections[1], *stage = &offer.sections[4];
        assert_int_equal(microphone->codecs[0].pt, rows[i].opus);
        assert_int_equal(microphone->ext.audio_level, rows[i].level);
        assert_int_equal(microphone->codecs[0].rtx_pt, SDP_NO_PT);
        assert_int_not_equal(microphone->ssrc, 0);
        assert_int_equal(camera->n_codecs, 1);
        assert_int_equal(camera->codecs[0].name, SDP_VP8);
        assert_int_equal(camera->codecs[0].pt, rows[i].vp8);
        assert_int_equal(camera->codecs[0].rtx_pt, rows[i].rtx);
        assert_true(camera->codecs[0].nack && camera->codecs[0].pli && camera->codecs[0].fir &&
                    camera->codecs[0].transport_cc);
        assert_int_equal(camera->ext.mid, rows[i].mid);
        assert_int_equal(camera->ext.rid, rows[i].rid);
        assert_int_equal(camera->ext.transport_seq, rows[i].transport_seq);
        assert_int_equal(camera->ext.abs_time, rows[i].abs_time);
        assert_int_equal(camera->n_rids, 3);
        assert_string_equal(camera->rids[0], "l");
        assert_string_equal(camera->rids[2], "h");
        assert_int_equal(camera->ssrc, 0); /* told apart by rid */
        assert_int_not_equal(offer.sections[2].rtx_ssrc, 0);
        assert_int_equal(stage->n_codecs, rows[i].n_receive);
        assert_int_equal(stage->ext.rid, 0);
    }
}

static void the_longest_offers_fit(void **state)
{
    accept_file("chromium-156-eight-tiles.sdp");
    assert_int_equal(offer.n_sections, 17);
    assert_int_equal(offer.sections[16].slot, 7);
    accept_file("firefox-153-eight-tiles.sdp");
    assert_int_equal(offer.n_sections, 17);
}

static void the_answer_has_what_a_browser_asks_of_it(void **state)
{
    accept_file("firefox-153-two-tiles.sdp");
    write_answer();
    assert_non_null(strstr(out, "\r\na=ice-lite\r\na=group:BUNDLE 0 1 2 3 4 5 6 7 8 9 10\r\n"));
    assert_null(strstr(out, "m=video 0 ")); /* bundle-only is no rejection */
    const char *camera = answer_section(1);
    assert_non_null(strstr(camera, "m=video 9 UDP/TLS/RTP/SAVPF 120 124\r\n"));
    assert_non_null(strstr(camera, "a=recvonly\r\n"));
    assert_non_null(strstr(camera, "a=setup:passive\r\n"));
    assert_non_null(strstr(camera, "a=rid:l recv\r\na=rid:m recv\r\na=rid:h recv\r\na=simulcast:recv l;m;h\r\n"));
    assert_non_null(strstr(camera, "a=extmap:9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"));
    assert_non_null(strstr(camera, "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"));
    assert_null(strstr(camera, "a=candidate"));
    write_answer();
    const char *microphone = answer_section(0);
    assert_non_null(strstr(microphone, "a=candidate:1 1 udp 2130706431 192.0.2.1 7000 typ host\r\n"));
    assert_non_null(
        strstr(microphone, "a=candidate:2 1 udp 2130706175 2001:db8::1 7001 typ host\r\na=end-of-candidates\r\n"));
    assert_null(strstr(microphone, "a=ssrc"));
    write_answer();
    const char *tile = answer_section(10);
    assert_non_null(strstr(tile, "a=sendonly\r\n"));
    assert_non_null(strstr(tile, "a=msid:tile2 tile2-picture\r\na=ssrc-group:FID 1020 1021\r\na=ssrc:1020 "
                                 "cname:giaoban\r\na=ssrc:1021 cname:giaoban\r\n"));
    write_answer();
    assert_non_null(strstr(answer_section(3), "a=msid:stage stage-sound\r\na=ssrc:1006 cname:giaoban\r\n"));
}

static void tcp_candidates_stand_behind_every_udp_candidate(void **state)
{
    accept_file("firefox-153-two-tiles.sdp");
    write_answer();
    assert_null(strstr(out, " tcp "));
    answer.tcp = true;
    size_t len = 0;
    assert_int_equal(sdp_answer_write(&offer, &answer, out, sizeof out, &len), 0);
    assert_non_null(strstr(out, " udp 2130706175 2001:db8::1 7001 typ host\r\n"
                                "a=candidate:3 1 tcp 1520435199 192.0.2.1 7000 typ host tcptype passive\r\n"
                                "a=candidate:4 1 tcp 1520434943 2001:db8::1 7001 typ host tcptype passive\r\n"
                                "a=end-of-candidates\r\n"));
}

static void an_answer_that_does_not_fit_says_so(void **state)
{
    accept_file("firefox-153-two-tiles.sdp");
    write_answer();
    size_t len = 77, whole = strlen(out);
    assert_int_equal(sdp_answer_write(&offer, &answer, out, whole, &len), ERR_FULL);
    assert_int_equal(len, 77);
    assert_int_equal(sdp_answer_write(&offer, &answer, out, whole + 1, &len), 0);
}

/* Replaces every (or the first) `from` of the loaded text by `to`. */
static void edit(const char *from, const char *to, bool all)
{
    static char copy[sizeof text];
    strcpy(copy, text);
    char *w = text;
    const char *r = copy;
    bool done = false;
    while (*r) {
        if ((all || !done) && strncmp(r, from, strlen(from)) == 0) {
            strcpy(w, to);
            w += strlen(to);
            r += strlen(from);
            done = true;
        } else {
            *w++ = *r++;
        }
    }
    *w = 0;
    assert_true(done);
}

static void every_refusal_has_its_code(void **state)
{
    static const struct {
        const char *from, *to;
        bool all;
        const char *code;
    } rows[] = {
        {"v=0", "hello world", false, "not-sdp"},
        {"t=0 0", "t=0 0\r\nhello world", false, "bad-line"},
        {"t=0 0", "t=0\x01 0", false, "bad-line"},
        {"a=fingerprint:sha-256", "a=fingerprint:sha-1", true, "no-fingerprint"},
        {"a=fingerprint:sha-256 ", "a=fingerprint:sha-256 7", true, "no-fingerprint"},
        {"a=fingerprint:sha-256 75", "a=fingerprint:sha-256 7G", true, "no-fingerprint"},
        {"a=ice-ufrag:bda4c267\r\n", "", true, "no-ice"},
        {"a=ice-ufrag:bda4c267", "a=ice-ufrag:bda", true, "no-ice"},
        {"a=ice-pwd:b031b2d1ff2c", "a=ice-pwd:", true, "no-ice"},
        {"a=ice-pwd:b031", "a=ice-pwd:b0 31", true, "no-ice"},
        {"a=setup:actpass", "a=setup:passive", true, "bad-setup"},
        {"a=setup:actpass\r\n", "", true, "bad-setup"},
        {"a=group:BUNDLE 0 1 2 3 4 5 6 7 8 9 10\r\n", "", false, "no-bundle"},
        {"a=group:BUNDLE 0 1 2 3 4 5 6 7 8 9 10", "a=group:BUNDLE 0 1 2 3 4 5 6 7 8 9", false, "no-bundle"},
        {"a=mid:4\r\n", "", false, "no-mid"},
        {"a=mid:4", "a=mid:3", false, "duplicate-mid"},
        {"a=mid:4", "a=mid:a mid", false, "no-mid"},
        {"a=mid:4", "a=mid:seventeen-letters", false, "no-mid"},
        {"a=rtcp-mux\r\n", "", false, "no-rtcp-mux"},
        {"a=sendonly", "a=sendrecv", false, "bad-direction"},
        {"a=sendonly", "a=sendonly\r\na=recvonly", false, "bad-direction"},
        {"opus/48000/2", "opus/16000/1", false, "no-codec"},
        {"a=rtpmap:109 ", "a=rtpmap:200 ", false, "bad-codec"},
        {"a=rtpmap:9 G722/8000/1", "a=rtpmap:109 G722/8000/1", false, "bad-codec"},
        {"SAVPF 109 9 0", "SAVPF 109 9 9", false, "bad-codec"},
        {"SAVPF 109 9 0", "SAVPF 109 900 0", false, "bad-codec"},
        {"UDP/TLS/RTP/SAVPF", "RTP/AVP", false, "bad-line"},
        {"a=extmap:1 ", "a=extmap:0 ", false, "bad-extension"},
        {"a=extmap:1 ", "a=extmap:3 ", false, "bad-extension"},
        {"a=extmap:1 ", "a=extmap:256 ", false, "bad-extension"},
        {"a=simulcast:send l;m;h", "a=simulcast:send l;m;h;x", false, "bad-simulcast"},
        {"a=simulcast:send l;m;h", "a=simulcast:send l;m;l", false, "bad-simulcast"},
        {"a=simulcast:send l;m;h", "a=simulcast:send l;m;x", false, "bad-simulcast"},
        {"a=simulcast:send l;m;h", "a=simulcast:send ;;;;;;;;;;", false, "bad-simulcast"},
        {"a=simulcast:send l;m;h", "a=simulcast:send ~", false, "bad-simulcast"},
        {"a=simulcast:send l;m;h", "a=simulcast:send l\r\na=simulcast:send m", false, "bad-simulcast"},
        {"rtp-hdrext:sdes:rtp-stream-id", "other", false, "bad-simulcast"},
        {"a=ssrc:2139853457", "a=ssrc:99999999999999999999", false, "bad-ssrc"},
        {"a=ssrc:2139853457", "a=ssrc:0", false, "bad-ssrc"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        load("firefox-153-two-tiles.sdp");
        edit(rows[i].from, rows[i].to, rows[i].all);
        memset(&offer, 0xaa, sizeof offer);
        error = (struct sdp_error){0};
        print_message("%s → %s\n", rows[i].from, rows[i].to);
        assert_int_equal(sdp_offer_parse(text, strlen(text), &offer, &error), ERR_MALFORMED);
        assert_string_equal(error.code, rows[i].code);
        assert_true(strlen(error.text) > 10);
        assert_int_equal(offer.n_sections, 0xaa); /* untouched */
    }
}

static void a_size_beyond_the_limits_is_refused(void **state)
{
    size_t len = load("firefox-153-two-tiles.sdp");
    memset(text + len, ' ', SDP_BYTES_MAX + 1 - len);
    assert_int_equal(sdp_offer_parse(text, SDP_BYTES_MAX + 1, &offer, &error), ERR_RANGE);
    assert_string_equal(error.code, "too-big");
    strcpy(text, "v=0\r\ns=-\r\n");
    for (unsigned i = 0; i < 65; i++)
        sprintf(text + strlen(text), "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:%u\r\n", i);
    assert_int_equal(sdp_offer_parse(text, strlen(text), &offer, &error), ERR_MALFORMED);
    assert_string_equal(error.code, "too-many-sections");
    assert_int_equal(sdp_offer_parse("v=0\r\n\0s=-", 9, &offer, &error), ERR_MALFORMED);
    assert_string_equal(error.code, "not-sdp");
    assert_int_equal(sdp_offer_parse("", 0, &offer, &error), ERR_MALFORMED);
}

static void what_takes_no_part_is_answered_as_refused(void **state)
{
    load("firefox-153-two-tiles.sdp");
    edit("a=mid:10", "a=mid:10\r\na=inactive", false);
    edit("a=recvonly\r\na=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:4", "a=extmap:4", true);
    strcat(text, "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:11\r\n");
    assert_int_equal(sdp_offer_parse(text, strlen(text), &offer, &error), ERR_MALFORMED); /* those without direction now */
    assert_string_equal(error.code, "bad-direction");

    load("firefox-153-two-tiles.sdp");
    strcat(text, "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:11\r\nm=video 0 UDP/TLS/RTP/SAVPF "
                 "120\r\na=mid:12\r\na=recvonly\r\n");
    assert_int_equal(sdp_offer_parse(text, strlen(text), &offer, &error), 0);
    assert_int_equal(offer.sections[11].role, SDP_ROLE_NONE);
    assert_int_equal(offer.sections[12].role, SDP_ROLE_NONE);
    write_answer();
    assert_non_null(strstr(out, "a=group:BUNDLE 0 1 2 3 4 5 6 7 8 9 10\r\n"));
    assert_non_null(
        strstr(out, "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:11\r\n"));
    assert_non_null(strstr(out, "m=video 0 UDP/TLS/RTP/SAVPF 120\r\n"));
}

static void the_clients_order_of_codecs_decides_what_it_sends(void **state)
{
    load("chromium-156-two-tiles.sdp");
    edit("m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103", "m=video 9 UDP/TLS/RTP/SAVPF 102 108 96 97 103", false);
    assert_int_equal(sdp_offer_parse(text, strlen(text), &offer, &error), ERR_MALFORMED); /* 108 stands there twice now */
    load("chromium-156-two-tiles.sdp");
    edit("96 97 102 103 104 107 108", "102 108 96 97 103 104 107", false);
    assert_int_equal(sdp_offer_parse(text, strlen(text), &offer, &error), 0);
    assert_int_equal(offer.sections[1].codecs[0].name, SDP_H264); /* 102 is another profile */
    assert_int_equal(offer.sections[1].codecs[0].pt, 108);
    assert_int_equal(offer.sections[1].codecs[0].rtx_pt, 109);
    write_answer();
    assert_non_null(
        strstr(answer_section(1), "a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"));
}

static void ids_beyond_the_one_byte_form_are_not_agreed_to(void **state)
{
    load("firefox-153-two-tiles.sdp");
    edit("a=extmap:7 http", "a=extmap:15 http", true);
    assert_int_equal(sdp_offer_parse(text, strlen(text), &offer, &error), 0);
    assert_int_equal(offer.sections[0].ext.transport_seq, 0);
    write_answer();
    assert_null(strstr(out, "transport-wide"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles_follow_from_direction_kind_and_order_in_both_browsers),
        cmocka_unit_test(numbers_differ_between_the_browsers_and_are_kept),
        cmocka_unit_test(the_longest_offers_fit),
        cmocka_unit_test(the_answer_has_what_a_browser_asks_of_it),
        cmocka_unit_test(tcp_candidates_stand_behind_every_udp_candidate),
        cmocka_unit_test(an_answer_that_does_not_fit_says_so),
        cmocka_unit_test(every_refusal_has_its_code),
        cmocka_unit_test(a_size_beyond_the_limits_is_refused),
        cmocka_unit_test(what_takes_no_part_is_answered_as_refused),
        cmocka_unit_test(the_clients_order_of_codecs_decides_what_it_sends),
        cmocka_unit_test(ids_beyond_the_one_byte_form_are_not_agreed_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
