#include "base/err.h"
#include "sdp/strict.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { PT_MAX = 127 };

/* What the attributes of one section say about its payload types. */
struct table {
    const char *rtpmap[PT_MAX + 1]; /* "VP8/90000" */
    const char *fmtp[PT_MAX + 1];
};

static int read_table(const struct strict *s, const GstSDPMedia *m, struct table *t)
{
    for (guint i = 0; i < gst_sdp_media_attributes_len(m); i++) {
        const GstSDPAttribute *a = gst_sdp_media_get_attribute(m, i);
        bool is_map = strcmp(a->key, "rtpmap") == 0;
        if (!is_map && strcmp(a->key, "fmtp") != 0)
            continue;
        uint32_t pt;
        const char *rest;
        if (!a->value || !parse_number(a->value, PT_MAX, " ", &pt, &rest))
            return refuse(s, "bad-codec", "a=%s has no payload type from 0 to 127.", a->key);
        const char **cell = is_map ? &t->rtpmap[pt] : &t->fmtp[pt];
        if (*cell)
            return refuse(s, "bad-codec", "a=%s names payload type %u twice.", a->key, pt);
        *cell = rest + strspn(rest, " ");
    }
    return 0;
}

/* The value of "key=" among parameters cut at semicolons; its length, 0 when there is none. */
static size_t parameter(const char *fmtp, const char *key, const char **ret)
{
    size_t key_len = strlen(key);
    for (const char *p = fmtp; p && *p; p = strchr(p, ';') ? strchr(p, ';') + 1 : NULL) {
        p += strspn(p, " ");
        if (strncasecmp(p, key, key_len) == 0 && p[key_len] == '=') {
            *ret = p + key_len + 1;
            return strcspn(*ret, "; ");
        }
    }
    return 0;
}

static bool parameter_is(const char *fmtp, const char *key, const char *expected)
{
    const char *value;
    size_t len = parameter(fmtp, key, &value);
    return len == strlen(expected) && strncasecmp(value, expected, len) == 0;
}

static bool has_parameter(const char *fmtp, const char *key)
{
    const char *value;
    return parameter(fmtp, key, &value) > 0;
}

/* A codec that we speak? What we answer as its format parameters is ours, never an echo. */
static bool recognise(enum sdp_kind kind, const char *rtpmap, const char *fmtp, struct sdp_codec *c)
{
    static const struct {
        enum sdp_kind kind;
        const char *rtpmap, *fmtp;
    } known[] = {
        [SDP_OPUS] = {SDP_AUDIO, "opus/48000/2", "minptime=10;useinbandfec=1"},
        [SDP_VP8] = {SDP_VIDEO, "VP8/90000", ""},
        [SDP_VP9] = {SDP_VIDEO, "VP9/90000", "profile-id=0"},
        [SDP_H264] = {SDP_VIDEO, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].kind != kind || strcasecmp(known[i].rtpmap, rtpmap) != 0)
            continue;
        if (i == SDP_VP9 && has_parameter(fmtp, "profile-id") && !parameter_is(fmtp, "profile-id", "0"))
            return false;
        if (i == SDP_H264 &&
            (!parameter_is(fmtp, "packetization-mode", "1") || !parameter_is(fmtp, "profile-level-id", "42e01f")))
            return false;
        *c = (struct sdp_codec){.name = (enum sdp_codec_name)i, .rtx_pt = SDP_NO_PT, .red_pt = SDP_NO_PT};
        snprintf(c->fmtp, sizeof c->fmtp, "%s", known[i].fmtp);
        return true;
    }
    return false;
}

static uint8_t find_rtx(const struct table *t, const GstSDPMedia *m, uint32_t pt)
{
    for (guint i = 0; i < gst_sdp_media_formats_len(m); i++) {
        uint32_t rtx, apt;
        const char *value;
        if (!parse_number(gst_sdp_media_get_format(m, i), PT_MAX, "", &rtx, NULL) || !t->rtpmap[rtx] || !t->fmtp[rtx])
            continue;
        if (strcasecmp(t->rtpmap[rtx], "rtx/90000") == 0 && parameter(t->fmtp[rtx], "apt", &value) > 0 &&
            parse_number(value, PT_MAX, "; ", &apt, NULL) && apt == pt)
            return (uint8_t)rtx;
    }
    return SDP_NO_PT;
}

/* RFC 2198, 5: its parameters name the payload types that it carries; all must be the one meant. */
static uint8_t find_red(const struct table *t, const GstSDPMedia *m, uint32_t pt)
{
    for (guint i = 0; i < gst_sdp_media_formats_len(m); i++) {
        uint32_t red, carried = PT_MAX + 1;
        if (!parse_number(gst_sdp_media_get_format(m, i), PT_MAX, "", &red, NULL) || !t->rtpmap[red] || !t->fmtp[red] ||
            strcasecmp(t->rtpmap[red], "red/48000/2") != 0)
            continue;
        const char *at = t->fmtp[red];
        while (*at && parse_number(at, PT_MAX, "/", &carried, &at) && carried == pt) {
        }
        if (carried == pt && *at == '\0')
            return (uint8_t)red;
    }
    return SDP_NO_PT;
}

static void read_feedback(const GstSDPMedia *m, struct sdp_codec *c)
{
    for (guint i = 0; i < gst_sdp_media_attributes_len(m); i++) {
        const GstSDPAttribute *a = gst_sdp_media_get_attribute(m, i);
        if (strcmp(a->key, "rtcp-fb") != 0 || !a->value)
            continue;
        uint32_t pt;
        if (!word_is(a->value, 0, "*") && (!parse_number(a->value, PT_MAX, " ", &pt, NULL) || pt != c->pt))
            continue;
        const char *w;
        bool alone = word(a->value, 2, &w) == 0;
        c->nack |= alone && word_is(a->value, 1, "nack");
        c->pli |= word_is(a->value, 1, "nack") && word_is(a->value, 2, "pli");
        c->fir |= word_is(a->value, 1, "ccm") && word_is(a->value, 2, "fir");
        c->transport_cc |= alone && word_is(a->value, 1, "transport-cc");
        c->remb |= alone && word_is(a->value, 1, "goog-remb");
    }
}

int parse_codecs(const struct strict *s, const GstSDPMedia *m, struct sdp_section *section)
{
    struct table t = {0};
    int err = read_table(s, m, &t);
    if (err)
        return err;
    bool seen[PT_MAX + 1] = {0};
    for (guint i = 0; i < gst_sdp_media_formats_len(m); i++) {
        uint32_t pt;
        if (!parse_number(gst_sdp_media_get_format(m, i), PT_MAX, "", &pt, NULL))
            return refuse(s, "bad-codec", "a format is no payload type from 0 to 127.");
        if (seen[pt])
            return refuse(s, "bad-codec", "payload type %u is listed twice.", pt);
        seen[pt] = true;
        struct sdp_codec c;
        if (!t.rtpmap[pt] || section->n_codecs == SDP_CODECS_MAX || !recognise(section->kind, t.rtpmap[pt], t.fmtp[pt], &c))
            continue;
        c.pt = (uint8_t)pt;
        if (section->kind == SDP_VIDEO)
            c.rtx_pt = find_rtx(&t, m, pt);
        else
            c.red_pt = find_red(&t, m, pt);
        read_feedback(m, &c);
        section->codecs[section->n_codecs++] = c;
    }
    if (section->n_codecs == 0)
        return refuse(s, "no-codec", "none of its codecs is spoken here (%s).",
                      section->kind == SDP_AUDIO ? "Opus" : "VP8, VP9 profile 0, H.264 42e01f");
    return 0;
}
