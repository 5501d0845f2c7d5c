#include "sim/offer.h"

#include "base/err.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct rtp_ext_ids offer_ext_ids = {
    .mid = 4, .rid = 10, .rrid = 11, .transport_seq = 3, .abs_time = 2, .audio_level = 1};
const char *const offer_rids[OFFER_RIDS] = {"l", "m", "h"};

struct text {
    char *at, *end;
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(t->at, (size_t)(t->end - t->at), format, args);
    va_end(args);
    t->at = len < 0 || len >= t->end - t->at ? t->end : t->at + len;
}

static bool is_audio(unsigned section)
{
    return section == OFFER_MICROPHONE || section == OFFER_STAGE_SOUND ||
           (section >= OFFER_SOUND1 && section <= OFFER_SOUND3);
}

static void add_codecs(struct text *t, bool audio)
{
    if (audio) {
        add(t, "a=rtpmap:%d opus/48000/2\r\na=fmtp:%d minptime=10;useinbandfec=1\r\na=rtcp-fb:%d transport-cc\r\n",
            OFFER_OPUS, OFFER_OPUS, OFFER_OPUS);
        add(t, "a=extmap:%d urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n", offer_ext_ids.audio_level);
        return;
    }
    add(t, "a=rtpmap:%d VP8/90000\r\n", OFFER_VP8);
    static const char *const feedback[] = {"goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"};
    for (size_t i = 0; i < sizeof feedback / sizeof feedback[0]; i++)
        add(t, "a=rtcp-fb:%d %s\r\n", OFFER_VP8, feedback[i]);
    add(t, "a=rtpmap:%d rtx/90000\r\na=fmtp:%d apt=%d\r\n", OFFER_RTX, OFFER_RTX, OFFER_VP8);
    add(t, "a=extmap:%d urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n", offer_ext_ids.rid);
    add(t, "a=extmap:%d urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n", offer_ext_ids.rrid);
}

static void add_section(struct text *t, unsigned section, const struct offer_transport *transport)
{
    bool audio = is_audio(section), sends = section <= OFFER_SCREEN;
    if (audio)
        add(t, "m=audio 9 UDP/TLS/RTP/SAVPF %d\r\n", OFFER_OPUS);
    else
        add(t, "m=video 9 UDP/TLS/RTP/SAVPF %d %d\r\n", OFFER_VP8, OFFER_RTX);
    add(t, "c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\n", transport->ufrag,
        transport->pwd);
    add(t, "a=fingerprint:sha-256 %s\r\na=setup:actpass\r\na=mid:%u\r\n", transport->fingerprint, section);
    add(t, "a=extmap:%d http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n", offer_ext_ids.abs_time);
    add(t, "a=extmap:%d http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n",
        offer_ext_ids.transport_seq);
    add(t, "a=extmap:%d urn:ietf:params:rtp-hdrext:sdes:mid\r\n", offer_ext_ids.mid);
    add(t, "a=%s\r\na=rtcp-mux\r\na=rtcp-rsize\r\n", sends ? "sendonly" : "recvonly");
    add_codecs(t, audio);
    if (section == OFFER_CAMERA)
        add(t, "a=rid:l send\r\na=rid:m send\r\na=rid:h send\r\na=simulcast:send l;m;h\r\n");
}

int offer_write(const struct offer_transport *transport, char *text, size_t cap)
{
    struct text t = {.at = text, .end = text + cap};
    add(&t, "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE");
    for (unsigned i = 0; i < OFFER_SECTIONS; i++)
        add(&t, " %u", i);
    add(&t, "\r\n");
    for (unsigned i = 0; i < OFFER_SECTIONS; i++)
        add_section(&t, i, transport);
    return t.at == t.end ? ERR_FULL : 0;
}

static void take_text(const char *line, const char *name, char *ret, size_t cap)
{
    size_t len = strlen(name);
    if (ret[0] == '\0' && strncmp(line, name, len) == 0)
        snprintf(ret, cap, "%s", line + len);
}

/* a=candidate:foundation component transport priority address port typ host */
static void take_candidate(const char *line, int family, struct answer *a)
{
    char transport[16], address[64];
    unsigned port;
    if (sscanf(line, "a=candidate:%*s %*u %15s %*u %63s %u", transport, address, &port) != 3 ||
        strcasecmp(transport, "udp") != 0)
        return;
    if (a->remote.ss_family == family)
        return;
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, address, &v4) == 1) {
        struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = v4};
        if (a->remote.ss_family == AF_UNSPEC || family == AF_INET)
            memcpy(&a->remote, &sin, sizeof sin);
    } else if (inet_pton(AF_INET6, address, &v6) == 1) {
        struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = v6};
        if (a->remote.ss_family == AF_UNSPEC || family == AF_INET6)
            memcpy(&a->remote, &sin6, sizeof sin6);
    }
}

static void take_line(const char *line, int section, int family, struct answer *a)
{
    unsigned long first, second;
    take_text(line, "a=ice-ufrag:", a->ufrag, sizeof a->ufrag);
    take_text(line, "a=ice-pwd:", a->pwd, sizeof a->pwd);
    take_text(line, "a=fingerprint:sha-256 ", a->fingerprint, sizeof a->fingerprint);
    take_candidate(line, family, a);
    if (section < 0 || section >= OFFER_SECTIONS)
        return;
    if (sscanf(line, "a=ssrc-group:FID %lu %lu", &first, &second) == 2) {
        a->ssrc[section] = (uint32_t)first;
        a->rtx_ssrc[section] = (uint32_t)second;
    } else if (a->ssrc[section] == 0 && sscanf(line, "a=ssrc:%lu", &first) == 1)
        a->ssrc[section] = (uint32_t)first;
    else if (strcmp(line, "a=inactive") == 0)
        a->rejected[section] = true;
}

int answer_parse(const char *sdp, int family, struct answer *ret)
{
    struct answer a = {0};
    int section = -1;
    while (*sdp) {
        char line[1024];
        size_t len = strcspn(sdp, "\r\n");
        snprintf(line, sizeof line, "%.*s", (int)len, sdp);
        sdp += len + strspn(sdp + len, "\r\n");
        if (strncmp(line, "m=", 2) == 0)
            section++;
        take_line(line, section, family, &a);
    }
    if (!a.ufrag[0] || !a.pwd[0] || !a.fingerprint[0] || a.remote.ss_family == AF_UNSPEC)
        return ERR_MALFORMED;
    *ret = a;
    return 0;
}
