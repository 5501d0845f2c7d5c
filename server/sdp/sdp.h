/* SDP: one offer in, one answer out (RFC 8866, 9429, 8843 BUNDLE, 8839 ICE, 8122 fingerprint, 8842 DTLS, 8853 simulcast,
 * 8851 rid, 4588 rtx, 5761 rtcp-mux, 5576 ssrc).
 *
 * gstreamer-sdp cuts the text into lines and attributes; it accepts nearly anything, so the strict pass here decides: size,
 * number of sections, what is required, what is unique, every number in its range. The result is a plain struct with fixed
 * arrays that owns nothing. An offer that is refused names why: a code for programs and a sentence for people.
 *
 * The role of a section follows from its direction, kind and order (signaling/protocol/README.md, "Media"). A section with
 * port 0 is not a rejection when it says bundle-only (Firefox). Direction "inactive", or port 0 without bundle-only:
 * SDP_ROLE_NONE, answered inactive. Data channels are refused section by section (port 0).
 *
 * Thread: any. Pure (gst_init is not needed). Not here: offers by us, renegotiation rules, trickled candidates (ICE-lite
 * needs none of the client's). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SDP_BYTES_MAX = 64 * 1024,
    SDP_SECTIONS_MAX = 64,
    SDP_CODECS_MAX = 6,
    SDP_RIDS_MAX = 3,
    SDP_MID_MAX = 17, /* with NUL: what fits a one-byte header extension */
    SDP_RID_MAX = 17,
    SDP_UFRAG_MAX = 257,
    SDP_PWD_MAX = 257,
    SDP_FINGERPRINT_MAX = 96, /* "AB:CD:…" of sha-256, with NUL */
    SDP_FMTP_MAX = 160,
    SDP_CNAME_MAX = 64,
    SDP_CANDIDATES_MAX = 16,
    SDP_ADDRESS_MAX = 48, /* an IP address as text */
};

enum sdp_kind { SDP_AUDIO, SDP_VIDEO, SDP_OTHER };

enum sdp_role {
    SDP_ROLE_NONE,       /* inactive, refused or unknown */
    SDP_ROLE_MICROPHONE, /* the client sends */
    SDP_ROLE_CAMERA,
    SDP_ROLE_SCREEN,
    SDP_ROLE_STAGE_SOUND, /* the client receives, from here on */
    SDP_ROLE_STAGE_PICTURE,
    SDP_ROLE_SHARED_SCREEN,
    SDP_ROLE_SOUND,
    SDP_ROLE_TILE,
};

static inline bool sdp_role_sends(enum sdp_role r) /* from the client's point of view */
{
    return r >= SDP_ROLE_MICROPHONE && r <= SDP_ROLE_SCREEN;
}

static inline bool sdp_role_receives(enum sdp_role r)
{
    return r >= SDP_ROLE_STAGE_SOUND;
}

enum sdp_codec_name { SDP_OPUS, SDP_VP8, SDP_VP9, SDP_H264 };

enum { SDP_NO_PT = 0xff };

struct sdp_codec {
    enum sdp_codec_name name;
    uint8_t pt;                              /* the client's number, used both ways */
    uint8_t rtx_pt;                          /* SDP_NO_PT: no retransmission */
    uint8_t red_pt;                          /* Opus that we send: RFC 2198 around it; SDP_NO_PT: not taken */
    bool nack, pli, fir, transport_cc, remb; /* feedback that the client offers */
    char fmtp[SDP_FMTP_MAX];                 /* "" without */
};

/* Header extension ids that we agree to; 0: not offered. Ids above 14 are not agreed to. */
struct sdp_ext_ids {
    uint8_t mid, rid, rrid, transport_seq, abs_time, audio_level;
};

struct sdp_section {
    /* filled for every section */
    enum sdp_kind kind;
    enum sdp_role role;
    uint8_t slot; /* index within its role: sound slots 0…, tiles 0… */
    char mid[SDP_MID_MAX];
    char kind_text[24]; /* as offered ("audio", "application"), for sections that are refused */
    char protocol[32];  /* as offered ("UDP/TLS/RTP/SAVPF") */
    char formats[32];   /* first format, for refused sections */
    struct sdp_codec
        codecs[SDP_CODECS_MAX]; /* those we speak, in the client's order; for sending sections only the chosen one */
    uint8_t n_codecs;
    struct sdp_ext_ids ext;
    uint8_t ext_directed; /* bit i: the i-th of `ext` was offered for one direction only, and is answered so */
    char rids[SDP_RIDS_MAX][SDP_RID_MAX]; /* simulcast send, lowest first; n_rids 0: no simulcast */
    uint8_t n_rids;
    uint32_t ssrc, rtx_ssrc; /* of a sending section when the offer names them, else 0 */
};

struct sdp_offer {
    char ufrag[SDP_UFRAG_MAX], pwd[SDP_PWD_MAX];
    char fingerprint[SDP_FINGERPRINT_MAX]; /* upper case */
    bool extmap_mixed;
    struct sdp_section sections[SDP_SECTIONS_MAX];
    uint8_t n_sections;
};

struct sdp_error {
    const char *code; /* static: "too-big", "not-sdp", "bad-line", "too-many-sections", "no-bundle", "no-mid",
                         "duplicate-mid", "no-rtcp-mux", "no-ice", "no-fingerprint", "bad-setup", "bad-direction",
                         "bad-codec", "no-codec", "bad-extension", "bad-simulcast", "bad-ssrc", "no-memory" */
    char text[160];   /* an English sentence */
};

/* `ret` and `ret_error` are big: not for the stack of a deep call. ERR_MALFORMED with `ret_error` filled, or ERR_RANGE for
 * what is too big. */
int sdp_offer_parse(const char *text, size_t len, struct sdp_offer *ret, struct sdp_error *ret_error);

struct sdp_candidate {
    char address[SDP_ADDRESS_MAX]; /* IPv4 or IPv6 text */
    uint16_t port;
};

/* Our end of a receive slot, by section index. */
struct sdp_slot {
    uint32_t ssrc, rtx_ssrc; /* rtx_ssrc 0: none (sound) */
};

struct sdp_answer {
    const char *ufrag, *pwd, *fingerprint; /* ours; sha-256 "AB:CD:…" */
    const char *cname;
    uint64_t session_id;
    const struct sdp_candidate *candidates;
    size_t n_candidates;
    bool tcp;                                /* each candidate takes TCP connections too (RFC 6544) */
    struct sdp_slot slots[SDP_SECTIONS_MAX]; /* for sections whose role receives */
};

/* Writes the NUL-terminated answer. ERR_FULL: `cap` is too small (64 KB always suffice for 64 sections). */
int sdp_answer_write(const struct sdp_offer *offer, const struct sdp_answer *answer, char *out, size_t cap, size_t *ret_len);

/* The msid of a receive slot: "stage", "screen", "sound1"…, "tile1"…. `out` holds 16 bytes. */
void sdp_slot_name(const struct sdp_section *s, char out[16]);
/* "stage", "screen", "sound", "tile", "microphone", "camera"; "none". */
const char *sdp_role_name(enum sdp_role r);
