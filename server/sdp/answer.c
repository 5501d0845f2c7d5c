#include "base/err.h"
#include "sdp/strict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { OPUS_MAX_BPS = 40000 }; /* a voice with all that it needs, and its forward error correction (RFC 7587, 6.1) */

/* Appends lines; `full` once something did not fit. */
struct text {
    char *out;
    size_t len, cap;
    bool full;
};

static void line(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t room = t->cap - t->len;
    int n = vsnprintf(t->out + t->len, room, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= room)
        t->full = true;
    else
        t->len += (size_t)n;
}

static void write_session(struct text *t, const struct sdp_offer *offer, const struct sdp_answer *a)
{
    line(t, "v=0\r\no=- %llu 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=group:BUNDLE",
         (unsigned long long)a->session_id);
    for (unsigned i = 0; i < offer->n_sections; i++)
        if (offer->sections[i].role != SDP_ROLE_NONE)
            line(t, " %s", offer->sections[i].mid);
    line(t, "\r\na=msid-semantic:WMS *\r\n");
}

/* RFC 8445, 5.1.2.1: host candidates, the first address preferred. */
static void write_candidates(struct text *t, const struct sdp_answer *a)
{
    for (size_t i = 0; i < a->n_candidates; i++)
        line(t, "a=candidate:%zu 1 udp %u %s %u typ host\r\n", i + 1, (unsigned)(126u << 24 | (65535u - i) << 8 | 255u),
             a->candidates[i].address, a->candidates[i].port);
    /* RFC 6544, 4.2: below every UDP candidate; direction preference of a passive host candidate is 4. */
    for (size_t i = 0; a->tcp && i < a->n_candidates; i++)
        line(t, "a=candidate:%zu 1 tcp %u %s %u typ host tcptype passive\r\n", a->n_candidates + i + 1,
             (unsigned)(90u << 24 | (4u << 13 | (8191u - i)) << 8 | 255u), a->candidates[i].address, a->candidates[i].port);
    line(t, "a=end-of-candidates\r\n");
}

/* What the client sends is bounded: on a weak line the voice shares it with nothing that is of no use. What it receives
 * stays as the publisher made it. */
static void write_fmtp(struct text *t, const struct sdp_codec *c, bool received)
{
    if (!c->fmtp[0])
        return;
    line(t, "a=fmtp:%u %s", c->pt, c->fmtp);
    if (c->name == SDP_OPUS && received)
        line(t, ";maxaveragebitrate=%d", OPUS_MAX_BPS);
    line(t, "\r\n");
}

static void write_codec(struct text *t, const struct sdp_codec *c, bool received)
{
    static const char *const names[] = {
        [SDP_OPUS] = "opus/48000/2", [SDP_VP8] = "VP8/90000", [SDP_VP9] = "VP9/90000", [SDP_H264] = "H264/90000"};
    line(t, "a=rtpmap:%u %s\r\n", c->pt, names[c->name]);
    write_fmtp(t, c, received);
    if (c->transport_cc)
        line(t, "a=rtcp-fb:%u transport-cc\r\n", c->pt);
    else if (c->remb)
        line(t, "a=rtcp-fb:%u goog-remb\r\n", c->pt);
    if (c->red_pt != SDP_NO_PT)
        line(t, "a=rtpmap:%u red/48000/2\r\na=fmtp:%u %u/%u\r\n", c->red_pt, c->red_pt, c->pt, c->pt);
    if (c->name == SDP_OPUS)
        return;
    if (c->fir)
        line(t, "a=rtcp-fb:%u ccm fir\r\n", c->pt);
    if (c->nack)
        line(t, "a=rtcp-fb:%u nack\r\n", c->pt);
    if (c->pli)
        line(t, "a=rtcp-fb:%u nack pli\r\n", c->pt);
    if (c->rtx_pt != SDP_NO_PT)
        line(t, "a=rtpmap:%u rtx/90000\r\na=fmtp:%u apt=%u\r\n", c->rtx_pt, c->rtx_pt, c->pt);
}

static void write_media_line(struct text *t, const struct sdp_section *s)
{
    line(t, "m=%s 9 %s", s->kind_text, s->protocol);
    for (unsigned i = 0; i < s->n_codecs; i++) {
        line(t, " %u", s->codecs[i].pt);
        if (s->codecs[i].rtx_pt != SDP_NO_PT)
            line(t, " %u", s->codecs[i].rtx_pt);
        if (s->codecs[i].red_pt != SDP_NO_PT)
            line(t, " %u", s->codecs[i].red_pt);
    }
    line(t, "\r\nc=IN IP4 0.0.0.0\r\n");
}

static void write_extensions(struct text *t, const struct sdp_section *s)
{
    struct sdp_ext_ids ids = s->ext;
    for (unsigned i = 0; i < 6; i++) {
        uint8_t id = *sdp_ext_id(&ids, i);
        const char *direction = sdp_role_sends(s->role) ? "/recvonly" : "/sendonly";
        if (id)
            line(t, "a=extmap:%u%s %s\r\n", id, s->ext_directed >> i & 1 ? direction : "", sdp_ext_uris[i]);
    }
}

static void write_layers(struct text *t, const struct sdp_section *s)
{
    for (unsigned i = 0; i < s->n_rids; i++)
        line(t, "a=rid:%s recv\r\n", s->rids[i]);
    for (unsigned i = 0; i < s->n_rids; i++)
        line(t, "%s%s%s", i == 0 ? "a=simulcast:recv " : ";", s->rids[i], i + 1u == s->n_rids ? "\r\n" : "");
}

static void write_streams(struct text *t, const struct sdp_section *s, const struct sdp_slot *slot, const char *cname)
{
    char name[16];
    sdp_slot_name(s, name);
    line(t, "a=msid:%s %s-%s\r\n", name, name, s->kind == SDP_AUDIO ? "sound" : "picture");
    if (slot->rtx_ssrc)
        line(t, "a=ssrc-group:FID %u %u\r\n", slot->ssrc, slot->rtx_ssrc);
    line(t, "a=ssrc:%u cname:%s\r\n", slot->ssrc, cname);
    if (slot->rtx_ssrc)
        line(t, "a=ssrc:%u cname:%s\r\n", slot->rtx_ssrc, cname);
}

static void write_section(struct text *t, const struct sdp_section *s, const struct sdp_answer *a, unsigned i, bool first)
{
    if (s->role == SDP_ROLE_NONE) {
        line(t, "m=%s 0 %s %s\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:%s\r\n", s->kind_text, s->protocol, s->formats,
             s->mid);
        return;
    }
    write_media_line(t, s);
    line(t, "a=mid:%s\r\na=%s\r\n", s->mid, sdp_role_sends(s->role) ? "recvonly" : "sendonly");
    line(t, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:sha-256 %s\r\na=setup:passive\r\n", a->ufrag, a->pwd,
         a->fingerprint);
    line(t, "a=rtcp-mux\r\na=rtcp-rsize\r\n");
    if (first)
        write_candidates(t, a);
    write_extensions(t, s);
    for (unsigned k = 0; k < s->n_codecs; k++)
        write_codec(t, &s->codecs[k], sdp_role_sends(s->role));
    if (sdp_role_sends(s->role))
        write_layers(t, s);
    else
        write_streams(t, s, &a->slots[i], a->cname);
}

int sdp_answer_write(const struct sdp_offer *offer, const struct sdp_answer *answer, char *out, size_t cap, size_t *ret_len)
{
    struct text t = {.out = out, .cap = cap};
    bool first = true;
    write_session(&t, offer, answer);
    for (unsigned i = 0; i < offer->n_sections; i++) {
        const struct sdp_section *s = &offer->sections[i];
        write_section(&t, s, answer, i, first && s->role != SDP_ROLE_NONE);
        first &= s->role == SDP_ROLE_NONE;
    }
    if (t.full)
        return ERR_FULL;
    *ret_len = t.len;
    return 0;
}
