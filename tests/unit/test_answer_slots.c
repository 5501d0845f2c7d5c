/* A worker's answer as the list of slots that a client is told. */
#include "control/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char answer[] =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=group:BUNDLE 0 1 2 3 4 5 6 7\r\n"
    "m=audio 7000 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\n"
    "m=video 7000 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=recvonly\r\n"
    "m=audio 7000 UDP/TLS/RTP/SAVPF 111\r\na=mid:2\r\na=sendonly\r\na=msid:stage stage-audio\r\n"
    "m=video 7000 UDP/TLS/RTP/SAVPF 96\r\na=sendonly\r\na=msid:stage stage-video\r\na=mid:3\r\n"
    "m=video 7000 UDP/TLS/RTP/SAVPF 96\r\na=mid:4\r\na=sendonly\r\na=msid:screen screen\r\n"
    "m=audio 7000 UDP/TLS/RTP/SAVPF 111\r\na=mid:5\r\na=sendonly\r\na=msid:sound1 sound1\r\n"
    "m=video 7000 UDP/TLS/RTP/SAVPF 96\r\na=mid:tile\r\na=sendonly\r\na=msid:tile12 tile12\r\n"
    "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:7\r\na=inactive\r\n";

static void sections_that_the_server_sends_on_are_slots_by_their_msid(void **state)
{
    static const struct {
        const char *mid, *slot, *kind;
    } rows[] = {
        {"2", "stage", "microphone"}, {"3", "stage", "camera"},   {"4", "screen", "screen"},
        {"5", "sound", "microphone"}, {"tile", "tile", "camera"},
    };
    json_t *slots = answer_slots(answer);
    assert_int_equal(json_array_size(slots), sizeof rows / sizeof *rows);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const json_t *slot = json_array_get(slots, i);
        assert_string_equal(json_string_value(json_object_get(slot, "mid")), rows[i].mid);
        assert_string_equal(json_string_value(json_object_get(slot, "slot")), rows[i].slot);
        assert_string_equal(json_string_value(json_object_get(slot, "kind")), rows[i].kind);
    }
    json_decref(slots);
}

static void texts_without_sections_have_no_slots(void **state)
{
    static const char *const texts[] = {"",
                                        "v=0",
                                        "v=0\r\na=sendonly\r\na=msid:stage x\r\n",
                                        "m=audio",
                                        "m=video 1\r\na=sendonly\r\n",
                                        "m=video 1\r\na=sendonly\r\na=msid:other x\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_t *slots = answer_slots(texts[i]);
        assert_int_equal(json_array_size(slots), 0);
        json_decref(slots);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_that_the_server_sends_on_are_slots_by_their_msid),
        cmocka_unit_test(texts_without_sections_have_no_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
