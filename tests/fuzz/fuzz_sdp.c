/* An offer; one that is accepted must be answerable. The answer is lines of text, with a section for each of the offer's, in
 * order, of the same kind and mid (RFC 9429, 5.3.1); what we take of an offer is within its bounds. */
#include "sdp/sdp.h"

#include "require.h"

#include <stdlib.h>
#include <string.h>

static struct sdp_offer offer;
static struct sdp_answer answer;
static char text[SDP_BYTES_MAX * 2];

static void check_offer(void)
{
    require(offer.n_sections <= SDP_SECTIONS_MAX && offer.fingerprint[0] && offer.ufrag[0]);
    for (size_t i = 0; i < offer.n_sections; i++) {
        const struct sdp_section *x = &offer.sections[i];
        require(x->n_codecs <= SDP_CODECS_MAX && x->n_rids <= SDP_RIDS_MAX);
        require(x->ext.mid <= 14 && x->ext.rid <= 14 && x->ext.transport_seq <= 14 && x->ext.audio_level <= 14);
        for (size_t k = 0; k < i; k++)
            require(strcmp(x->mid, offer.sections[k].mid));
        for (size_t k = 0; k < x->n_codecs; k++)
            require(x->codecs[k].pt < 128 && (x->codecs[k].rtx_pt < 128 || x->codecs[k].rtx_pt == SDP_NO_PT));
    }
}

static void check_sections(void)
{
    size_t n = 0;
    char mid[SDP_MID_MAX + 8];
    for (const char *at = text; (at = strstr(at, "\r\nm=")) != NULL; n++) {
        at += 4;
        require(n < offer.n_sections);
        const struct sdp_section *x = &offer.sections[n];
        const char *end = strstr(at, "\r\nm=");
        snprintf(mid, sizeof mid, "a=mid:%s\r\n", x->mid);
        const char *found = strstr(at, mid);
        require(!strncmp(at, x->kind_text, strlen(x->kind_text)) && at[strlen(x->kind_text)] == ' ');
        require(found && (!end || found < end));
    }
    require(n == offer.n_sections);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sdp_error error = {0};
    int err = sdp_offer_parse((const char *)data, size, &offer, &error);
    if (err) {
        if (!error.code || !error.text[0])
            abort();
        return 0;
    }
    check_offer();
    static const struct sdp_candidate candidate = {"127.0.0.1", 7000};
    answer = (struct sdp_answer){
        .ufrag = "ufrag", .pwd = "pwd", .fingerprint = "AB", .cname = "c", .candidates = &candidate, .n_candidates = 1};
    size_t len;
    if (sdp_answer_write(&offer, &answer, text, sizeof text, &len) || strlen(text) != len)
        abort();
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' && text[i] != '\r' && text[i] != '\n')
            abort();
    check_sections();
    return 0;
}
