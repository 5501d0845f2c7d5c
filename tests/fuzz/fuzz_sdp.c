/* An offer; one that is accepted must be answerable, and the answer must itself be lines of text. */
#include "sdp/sdp.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sdp_offer offer;
static struct sdp_answer answer;
static char text[SDP_BYTES_MAX * 2];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sdp_error error = {0};
    int err = sdp_offer_parse((const char *)data, size, &offer, &error);
    if (err) {
        if (!error.code || !error.text[0])
            abort();
        return 0;
    }
    static const struct sdp_candidate candidate = {"127.0.0.1", 7000};
    answer = (struct sdp_answer){
        .ufrag = "ufrag", .pwd = "pwd", .fingerprint = "AB", .cname = "c", .candidates = &candidate, .n_candidates = 1};
    size_t len;
    if (sdp_answer_write(&offer, &answer, text, sizeof text, &len) || strlen(text) != len)
        abort();
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' && text[i] != '\r' && text[i] != '\n')
            abort();
    return 0;
}
