#include "base/err.h"
#include "sdp/strict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { UFRAG_MIN = 4, PWD_MIN = 22, FINGERPRINT_BYTES = 32 };

/* How many sections of each kind have got a role. */
struct order {
    unsigned sends[2], receives[2]; /* by enum sdp_kind: audio, video */
};

/* Before the lexer: it skips what it doesn't know and stops at a NUL. */
static int check_lines(const struct strict *s, const char *text, size_t len)
{
    if (len == 0 || memchr(text, 0, len))
        return refuse(s, "not-sdp", "The offer is empty or holds a NUL byte.");
    if (len < 4 || memcmp(text, "v=0", 3) != 0 || (text[3] != '\r' && text[3] != '\n'))
        return refuse(s, "not-sdp", "The offer does not begin with v=0.");
    unsigned number = 0;
    for (const char *p = text, *end = text + len; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t line = (size_t)((stop ? stop : end) - p);
        number++;
        if (line > 0 && p[line - 1] == '\r')
            line--;
        if (line > 0 && (line < 2 || p[0] < 'a' || p[0] > 'z' || p[1] != '='))
            return refuse(s, "bad-line", "Line %u is not of the form x=….", number);
        for (size_t i = 0; i < line; i++)
            if ((unsigned char)p[i] < ' ' && p[i] != '\t')
                return refuse(s, "bad-line", "Line %u holds a control character.", number);
        p = stop ? stop + 1 : end;
    }
    return 0;
}

/* A media attribute, or the session's when the section has none of its own. */
static const char *attribute(const GstSDPMessage *msg, const GstSDPMedia *m, const char *key)
{
    const char *value = gst_sdp_media_get_attribute_val(m, key);
    return value ? value : gst_sdp_message_get_attribute_val(msg, key);
}

static bool has_flag(const GstSDPMedia *m, const char *key)
{
    for (guint i = 0; i < gst_sdp_media_attributes_len(m); i++)
        if (strcmp(gst_sdp_media_get_attribute(m, i)->key, key) == 0)
            return true;
    return false;
}

static bool copy_ice(char *out, size_t cap, size_t min, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    if (len < min || len >= cap)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!g_ascii_isalnum(text[i]) && text[i] != '+' && text[i] != '/' && text[i] != '-' && text[i] != '_' &&
            text[i] != '=')
            return false; /* RFC 8839 allows + and /; some stacks write base64url */
    memcpy(out, text, len + 1);
    return true;
}

static bool copy_fingerprint(char out[SDP_FINGERPRINT_MAX], const char *value)
{
    const char *hash, *hex;
    size_t hash_len = word(value, 0, &hash), len = word(value, 1, &hex);
    if (hash_len != 7 || strncasecmp(hash, "sha-256", 7) != 0 || len != FINGERPRINT_BYTES * 3 - 1)
        return false;
    for (size_t i = 0; i < len; i++)
        if (i % 3 == 2 ? hex[i] != ':' : !g_ascii_isxdigit(hex[i]))
            return false;
    for (size_t i = 0; i < len; i++)
        out[i] = g_ascii_toupper(hex[i]);
    out[len] = 0;
    return true;
}

/* The sha-256 one among the section's fingerprints, else among the session's. */
static bool find_fingerprint(const GstSDPMessage *msg, const GstSDPMedia *m, char out[SDP_FINGERPRINT_MAX])
{
    const char *value;
    for (guint k = 0; (value = gst_sdp_media_get_attribute_val_n(m, "fingerprint", k)); k++)
        if (copy_fingerprint(out, value))
            return true;
    if (gst_sdp_media_get_attribute_val(m, "fingerprint"))
        return false;
    for (guint k = 0; (value = gst_sdp_message_get_attribute_val_n(msg, "fingerprint", k)); k++)
        if (copy_fingerprint(out, value))
            return true;
    return false;
}

/* Transport of the whole bundle: that of its first section (RFC 8843, 7.1). */
static int parse_transport(const struct strict *s, const GstSDPMessage *msg, const GstSDPMedia *m, struct sdp_offer *offer)
{
    if (!copy_ice(offer->ufrag, sizeof offer->ufrag, UFRAG_MIN, attribute(msg, m, "ice-ufrag")) ||
        !copy_ice(offer->pwd, sizeof offer->pwd, PWD_MIN, attribute(msg, m, "ice-pwd")))
        return refuse(s, "no-ice", "a=ice-ufrag (4 to 256 characters) or a=ice-pwd (22 to 256) is missing or malformed.");
    if (!find_fingerprint(msg, m, offer->fingerprint))
        return refuse(s, "no-fingerprint", "there is no sha-256 certificate fingerprint.");
    const char *setup = attribute(msg, m, "setup");
    if (!setup || (strcmp(setup, "actpass") != 0 && strcmp(setup, "active") != 0))
        return refuse(s, "bad-setup", "a=setup must be actpass or active.");
    return 0;
}

static int parse_direction(const struct strict *s, const GstSDPMessage *msg, const GstSDPMedia *m, bool *ret_sends,
                           bool *ret_receives)
{
    static const char *const names[] = {"inactive", "sendonly", "recvonly", "sendrecv"};
    int found = -1;
    for (int i = 0; i < 4; i++)
        if (has_flag(m, names[i]))
            found = found < 0 ? i : 4;
    for (int i = 0; i < 4 && found < 0; i++)
        if (gst_sdp_message_get_attribute_val(msg, names[i]))
            found = i;
    if (found < 0 || found >= 3)
        return refuse(s, "bad-direction", "a section is sendonly, recvonly or inactive, and says so once.");
    *ret_sends = found == 1;
    *ret_receives = found == 2;
    return 0;
}

static enum sdp_role next_role(struct order *o, enum sdp_kind kind, bool sends, struct sdp_section *section)
{
    if (sends) {
        unsigned i = o->sends[kind]++;
        if (kind == SDP_AUDIO)
            return i == 0 ? SDP_ROLE_MICROPHONE : SDP_ROLE_NONE;
        return i == 0 ? SDP_ROLE_CAMERA : i == 1 ? SDP_ROLE_SCREEN : SDP_ROLE_NONE;
    }
    unsigned i = o->receives[kind]++;
    if (i == 0)
        return kind == SDP_AUDIO ? SDP_ROLE_STAGE_SOUND : SDP_ROLE_STAGE_PICTURE;
    if (kind == SDP_VIDEO && i == 1)
        return SDP_ROLE_SHARED_SCREEN;
    section->slot = (uint8_t)(kind == SDP_AUDIO ? i - 1 : i - 2);
    return kind == SDP_AUDIO ? SDP_ROLE_SOUND : SDP_ROLE_TILE;
}

static int parse_mid(const struct strict *s, const GstSDPMedia *m, struct sdp_offer *offer, struct sdp_section *section)
{
    const char *mid = gst_sdp_media_get_attribute_val(m, "mid");
    if (!mid || !copy_token(section->mid, sizeof section->mid, mid, strlen(mid)))
        return refuse(s, "no-mid", "a=mid is missing, or has more than 16 characters or strange ones.");
    for (unsigned i = 0; i < offer->n_sections; i++)
        if (strcmp(offer->sections[i].mid, section->mid) == 0)
            return refuse(s, "duplicate-mid", "a=mid:%s is used twice.", section->mid);
    return 0;
}

static int parse_head(const struct strict *s, const GstSDPMedia *m, struct sdp_section *section)
{
    const char *kind = gst_sdp_media_get_media(m), *protocol = gst_sdp_media_get_proto(m);
    const char *format = gst_sdp_media_formats_len(m) > 0 ? gst_sdp_media_get_format(m, 0) : NULL;
    section->kind = SDP_OTHER;
    if (kind && strcmp(kind, "audio") == 0)
        section->kind = SDP_AUDIO;
    else if (kind && strcmp(kind, "video") == 0)
        section->kind = SDP_VIDEO;
    if (!kind || !protocol || !format || strlen(protocol) >= sizeof section->protocol ||
        !copy_token(section->kind_text, sizeof section->kind_text, kind, strlen(kind)) ||
        !copy_token(section->formats, sizeof section->formats, format, strlen(format)))
        return refuse(s, "bad-line", "its m= line is malformed.");
    memcpy(section->protocol, protocol, strlen(protocol) + 1);
    if (section->kind != SDP_OTHER && strcmp(protocol, "UDP/TLS/RTP/SAVPF") != 0 &&
        strcmp(protocol, "TCP/TLS/RTP/SAVPF") != 0)
        return refuse(s, "bad-line", "the protocol of sound and picture is UDP/TLS/RTP/SAVPF.");
    return 0;
}

/* Everything behind the m= line of a section that takes part. */
static int parse_body(const struct strict *s, const GstSDPMedia *m, struct sdp_section *section, bool sends)
{
    if (!has_flag(m, "rtcp-mux"))
        return refuse(s, "no-rtcp-mux", "a=rtcp-mux is missing.");
    int err = parse_codecs(s, m, section);
    if (!err)
        err = parse_extensions(s, m, section, sends);
    if (!err && sends && section->kind == SDP_VIDEO)
        err = parse_simulcast(s, m, section);
    if (!err && sends)
        err = parse_ssrcs(s, m, section);
    if (!err && sends) {
        section->n_codecs = 1; /* the first that we speak is the one that is sent */
        section->codecs[0].red_pt = SDP_NO_PT;
    }
    return err;
}

static int parse_section(const struct strict *s, const GstSDPMessage *msg, const GstSDPMedia *m, struct order *order,
                         struct sdp_offer *offer)
{
    struct sdp_section *section = &offer->sections[offer->n_sections];
    int err = parse_head(s, m, section);
    if (!err)
        err = parse_mid(s, m, offer, section);
    if (err)
        return err;
    offer->n_sections++;
    if (section->kind == SDP_OTHER || (gst_sdp_media_get_port(m) == 0 && !has_flag(m, "bundle-only")))
        return 0;
    bool sends = false, receives = false;
    err = parse_direction(s, msg, m, &sends, &receives);
    if (err || (!sends && !receives))
        return err;
    section->role = next_role(order, section->kind, sends, section);
    return section->role == SDP_ROLE_NONE ? 0 : parse_body(s, m, section, sends);
}

/* a=group:BUNDLE must name every section that takes part. */
static int check_bundle(const struct strict *s, const GstSDPMessage *msg, const struct sdp_offer *offer)
{
    const char *group = NULL;
    for (guint k = 0; (group = gst_sdp_message_get_attribute_val_n(msg, "group", k)); k++)
        if (word_is(group, 0, "BUNDLE"))
            break;
    if (!group)
        return refuse(s, "no-bundle", "The offer has no a=group:BUNDLE.");
    for (unsigned i = 0; i < offer->n_sections; i++) {
        bool found = offer->sections[i].role == SDP_ROLE_NONE;
        const char *w;
        for (unsigned k = 1; !found && k <= SDP_SECTIONS_MAX && word(group, k, &w) > 0; k++)
            found = word_is(group, k, offer->sections[i].mid);
        if (!found)
            return refuse(s, "no-bundle", "Section %u is not in the BUNDLE group.", i);
    }
    return 0;
}

static int parse_message(struct strict *s, const GstSDPMessage *msg, struct sdp_offer *offer)
{
    guint n = gst_sdp_message_medias_len(msg);
    if (n == 0)
        return refuse(s, "not-sdp", "The offer has no section.");
    if (n > SDP_SECTIONS_MAX)
        return refuse(s, "too-many-sections", "The offer has %u sections, more than %d.", n, SDP_SECTIONS_MAX);
    struct order order = {0};
    const GstSDPMedia *first = NULL;
    for (guint i = 0; i < n; i++) {
        s->section = (int)i;
        const GstSDPMedia *m = gst_sdp_message_get_media(msg, i);
        int err = parse_section(s, msg, m, &order, offer);
        if (err)
            return err;
        if (!first && offer->sections[i].role != SDP_ROLE_NONE) {
            first = m;
            err = parse_transport(s, msg, m, offer);
            if (err)
                return err;
        }
    }
    s->section = -1;
    if (!first)
        return refuse(s, "not-sdp", "No section of the offer sends or receives sound or picture.");
    return check_bundle(s, msg, offer);
}

int sdp_offer_parse(const char *text, size_t len, struct sdp_offer *ret, struct sdp_error *ret_error)
{
    struct strict s = {.error = ret_error, .section = -1};
    if (len > SDP_BYTES_MAX) {
        refuse(&s, "too-big", "The offer has %zu bytes, more than %d.", len, SDP_BYTES_MAX);
        return ERR_RANGE;
    }
    int err = check_lines(&s, text, len);
    if (err)
        return err;
    char *copy = malloc(len + 1); /* the lexer reads up to a NUL */
    struct sdp_offer *offer = calloc(1, sizeof *offer);
    GstSDPMessage *msg = NULL;
    if (!copy || !offer || gst_sdp_message_new(&msg) != GST_SDP_OK) {
        refuse(&s, "no-memory", "The server is out of memory.");
        err = ERR_NOMEM;
        goto out;
    }
    memcpy(copy, text, len);
    copy[len] = 0;
    if (gst_sdp_message_parse_buffer((const guint8 *)copy, (guint)len, msg) != GST_SDP_OK)
        err = refuse(&s, "not-sdp", "The offer is not SDP.");
    else
        err = parse_message(&s, msg, offer);
    if (!err)
        *ret = *offer;
out:
    if (msg)
        gst_sdp_message_free(msg);
    free(offer);
    free(copy);
    return err;
}
