#include "sdp/sdp.h"
#include "sim/offer.h"

#include "base/err.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define FINGERPRINT "75:67:1C:B2:87:94:96:D6:2B:16:85:4B:5F:73:C5:66:5F:B3:74:06:5F:14:87:17:C9:9D:9D:A6:BD:19:30:C6"

static const struct offer_transport ours = {
    .ufrag = "simufrag", .pwd = "simulatorspasswordof28chars0", .fingerprint = FINGERPRINT};
static char offer_text[OFFER_MAX], answer_text[SDP_BYTES_MAX];
static struct sdp_offer offer;

static void parse_own_offer(void)
{
    struct sdp_error error;
    assert_int_equal(offer_write(&ours, offer_text, sizeof offer_text), 0);
    int err = sdp_offer_parse(offer_text, strlen(offer_text), &offer, &error);
    if (err)
        print_message("%s: %s\n", error.code, error.text);
    assert_int_equal(err, 0);
}

static void the_server_takes_the_simulators_offer_for_what_it_is(void **state)
{
    static const enum sdp_role roles[OFFER_SECTIONS] = {
        [OFFER_MICROPHONE] = SDP_ROLE_MICROPHONE, [OFFER_CAMERA] = SDP_ROLE_CAMERA,
        [OFFER_SCREEN] = SDP_ROLE_SCREEN,         [OFFER_STAGE_SOUND] = SDP_ROLE_STAGE_SOUND,
        [OFFER_STAGE] = SDP_ROLE_STAGE_PICTURE,   [OFFER_SCREEN_SLOT] = SDP_ROLE_SHARED_SCREEN,
        [OFFER_SOUND1] = SDP_ROLE_SOUND,          [OFFER_SOUND2] = SDP_ROLE_SOUND,
        [OFFER_SOUND3] = SDP_ROLE_SOUND,          [OFFER_TILE] = SDP_ROLE_TILE,
        [OFFER_TILE + 1] = SDP_ROLE_TILE,
    };
    parse_own_offer();
    assert_int_equal(offer.n_sections, OFFER_SECTIONS);
    for (unsigned i = 0; i < OFFER_SECTIONS; i++)
        assert_int_equal(offer.sections[i].role, roles[i]);
    const struct sdp_section *camera = &offer.sections[OFFER_CAMERA];
    assert_int_equal(camera->codecs[0].pt, OFFER_VP8);
    assert_int_equal(camera->codecs[0].rtx_pt, OFFER_RTX);
    assert_int_equal(camera->n_rids, OFFER_RIDS);
    assert_string_equal(camera->rids[0], offer_rids[0]);
    assert_int_equal(camera->ext.mid, offer_ext_ids.mid);
    assert_int_equal(camera->ext.rid, offer_ext_ids.rid);
    assert_int_equal(camera->ext.rrid, offer_ext_ids.rrid);
    assert_int_equal(camera->ext.transport_seq, offer_ext_ids.transport_seq);
    assert_int_equal(offer.sections[OFFER_MICROPHONE].ext.audio_level, offer_ext_ids.audio_level);
}

static void the_simulator_finds_its_slots_in_the_servers_answer(void **state)
{
    static const struct sdp_candidate candidates[] = {{"192.0.2.1", 7000}, {"::1", 7001}};
    static struct sdp_answer answer;
    struct answer got;
    size_t len;
    parse_own_offer();
    answer = (struct sdp_answer){.ufrag = "srv1",
                                 .pwd = "theserverspasswordof28chars0",
                                 .fingerprint = FINGERPRINT,
                                 .cname = "giaoban",
                                 .candidates = candidates,
                                 .n_candidates = 2};
    for (unsigned i = OFFER_STAGE_SOUND; i < OFFER_SECTIONS; i++)
        answer.slots[i] = (struct sdp_slot){0xf0000000 + i, offer.sections[i].kind == SDP_VIDEO ? 0xf1000000 + i : 0};
    assert_int_equal(sdp_answer_write(&offer, &answer, answer_text, sizeof answer_text, &len), 0);
    assert_int_equal(answer_parse(answer_text, AF_INET, &got), 0);
    assert_string_equal(got.ufrag, answer.ufrag);
    assert_string_equal(got.pwd, answer.pwd);
    assert_string_equal(got.fingerprint, FINGERPRINT);
    assert_int_equal(got.remote.ss_family, AF_INET);
    assert_int_equal(ntohs(((struct sockaddr_in *)&got.remote)->sin_port), 7000);
    for (unsigned i = 0; i < OFFER_SECTIONS; i++) {
        assert_int_equal(got.ssrc[i], answer.slots[i].ssrc);
        assert_int_equal(got.rtx_ssrc[i], answer.slots[i].rtx_ssrc);
        assert_false(got.rejected[i]);
    }
    assert_int_equal(answer_parse(answer_text, AF_INET6, &got), 0);
    assert_int_equal(got.remote.ss_family, AF_INET6);
    assert_int_equal(ntohs(((struct sockaddr_in6 *)&got.remote)->sin6_port), 7001);
}

static void an_answer_without_what_is_needed_is_refused(void **state)
{
    struct answer got = {.ssrc = {77}};
    assert_int_equal(answer_parse("v=0\r\na=ice-ufrag:x\r\na=ice-pwd:y\r\n", AF_INET, &got), ERR_MALFORMED);
    assert_int_equal(got.ssrc[0], 77);
    assert_int_equal(offer_write(&ours, offer_text, 1000), ERR_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_takes_the_simulators_offer_for_what_it_is),
        cmocka_unit_test(the_simulator_finds_its_slots_in_the_servers_answer),
        cmocka_unit_test(an_answer_without_what_is_needed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
