/* Header extensions, simulcast and SSRCs of one section. */
#include "base/err.h"
#include "sdp/strict.h"

#include <string.h>

enum { EXT_ID_ONE_BYTE_MAX = 14, EXT_ID_MAX = 255, EXT_RID = 1, EXT_RRID = 2 /* in sdp_ext_uris */ };

const char *const sdp_ext_uris[6] = {
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
};

uint8_t *sdp_ext_id(struct sdp_ext_ids *ids, unsigned i)
{
    uint8_t *const fields[] = {&ids->mid, &ids->rid, &ids->rrid, &ids->transport_seq, &ids->abs_time, &ids->audio_level};
    return fields[i];
}

/* "3/sendonly": does the direction allow what the section does? */
static bool direction_fits(const char *id_word, size_t len, bool sends, bool *ret_directed)
{
    const char *slash = memchr(id_word, '/', len);
    *ret_directed = false;
    if (!slash)
        return true;
    size_t n = len - (size_t)(slash + 1 - id_word);
    if (n == 8 && memcmp(slash + 1, "sendrecv", n) == 0)
        return true;
    *ret_directed = true;
    const char *wanted = sends ? "sendonly" : "recvonly";
    return n == 8 && memcmp(slash + 1, wanted, n) == 0;
}

int parse_extensions(const struct strict *s, const GstSDPMedia *m, struct sdp_section *section, bool sends)
{
    bool seen[EXT_ID_MAX + 1] = {0};
    for (guint k = 0;; k++) {
        const char *value = gst_sdp_media_get_attribute_val_n(m, "extmap", k);
        if (!value)
            return 0;
        uint32_t id;
        const char *id_word, *uri;
        size_t len = word(value, 0, &id_word), uri_len = word(value, 1, &uri);
        if (!parse_number(id_word, EXT_ID_MAX, "/ ", &id, NULL) || id == 0 || uri_len == 0)
            return refuse(s, "bad-extension", "a=extmap needs an id from 1 to 255 and a URI.");
        if (seen[id])
            return refuse(s, "bad-extension", "extension id %u is used twice.", id);
        seen[id] = true;
        bool directed;
        if (id > EXT_ID_ONE_BYTE_MAX || !direction_fits(id_word, len, sends, &directed))
            continue;
        for (unsigned i = 0; i < 6; i++) {
            uint8_t *cell = sdp_ext_id(&section->ext, i);
            if (strlen(sdp_ext_uris[i]) != uri_len || memcmp(sdp_ext_uris[i], uri, uri_len) != 0 || *cell)
                continue;
            if (!sends && (i == EXT_RID || i == EXT_RRID)) /* a slot's SSRCs are in the answer */
                continue;
            *cell = (uint8_t)id;
            section->ext_directed |= (uint8_t)(directed << i);
        }
    }
}

static bool rid_declared(const GstSDPMedia *m, const char *rid)
{
    for (guint k = 0;; k++) {
        const char *value = gst_sdp_media_get_attribute_val_n(m, "rid", k);
        if (!value)
            return false;
        if (word_is(value, 0, rid) && word_is(value, 1, "send"))
            return true;
    }
}

/* "l;m;h": of alternatives ("m,x") the first is taken, a paused one ("~h") is a layer like the others. */
static int parse_rids(const struct strict *s, const GstSDPMedia *m, const char *list, size_t len,
                      struct sdp_section *section)
{
    const char *end = list + len;
    while (list < end) {
        size_t layer = strcspn(list, "; \t"), first = strcspn(list, ",; \t");
        const char *rid = list;
        if (*rid == '~' && first > 0) {
            rid++;
            first--;
        }
        if (section->n_rids == SDP_RIDS_MAX)
            return refuse(s, "bad-simulcast", "more than %d layers are announced.", SDP_RIDS_MAX);
        char *out = section->rids[section->n_rids];
        if (!copy_token(out, SDP_RID_MAX, rid, first))
            return refuse(s, "bad-simulcast", "a restriction identifier has 1 to 16 letters or digits.");
        for (unsigned i = 0; i < section->n_rids; i++)
            if (strcmp(section->rids[i], out) == 0)
                return refuse(s, "bad-simulcast", "layer %s is announced twice.", out);
        if (!rid_declared(m, out))
            return refuse(s, "bad-simulcast", "layer %s has no a=rid line for sending.", out);
        section->n_rids++;
        list += layer + 1;
    }
    return 0;
}

int parse_simulcast(const struct strict *s, const GstSDPMedia *m, struct sdp_section *section)
{
    const char *value = gst_sdp_media_get_attribute_val(m, "simulcast");
    if (!value)
        return 0;
    if (gst_sdp_media_get_attribute_val_n(m, "simulcast", 1))
        return refuse(s, "bad-simulcast", "a=simulcast appears twice.");
    for (unsigned i = 0; i < 4; i += 2) {
        const char *list;
        size_t len = word(value, i + 1, &list);
        if (word_is(value, i, "send") && len > 0) {
            int err = parse_rids(s, m, list, len, section);
            if (err)
                return err;
        }
    }
    if (section->n_rids > 0 && (!section->ext.rid || !section->ext.mid))
        return refuse(s, "bad-simulcast", "layers need the header extensions mid and rtp-stream-id.");
    return 0;
}

int parse_ssrcs(const struct strict *s, const GstSDPMedia *m, struct sdp_section *section)
{
    if (section->n_rids > 0) /* layers are told apart by their rid, not by what Firefox writes here */
        return 0;
    const char *value = gst_sdp_media_get_attribute_val(m, "ssrc");
    if (!value)
        return 0;
    uint32_t ssrc, first = 0, second = 0;
    for (guint k = 0; (value = gst_sdp_media_get_attribute_val_n(m, "ssrc", k)); k++) {
        if (!parse_number(value, UINT32_MAX, " ", &ssrc, NULL) || ssrc == 0)
            return refuse(s, "bad-ssrc", "a=ssrc has no number from 1 to 4294967295.");
        if (first == 0)
            first = ssrc;
    }
    for (guint k = 0; (value = gst_sdp_media_get_attribute_val_n(m, "ssrc-group", k)); k++) {
        const char *rest;
        size_t len = word(value, 1, &rest);
        if (!word_is(value, 0, "FID"))
            continue;
        if (len == 0 || !parse_number(rest, UINT32_MAX, " ", &first, &rest) ||
            !parse_number(rest, UINT32_MAX, " ", &second, NULL))
            return refuse(s, "bad-ssrc", "a=ssrc-group:FID does not name two numbers.");
        break;
    }
    section->ssrc = first;
    section->rtx_ssrc = second;
    return 0;
}
