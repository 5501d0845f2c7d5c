/* Dependency descriptor (AV1 RTP specification 1.0, appendix A): an RTP header extension that says of each packet's frame
 * which layer it is of and what may be decoded without it, whatever the codec.
 *
 * A keyframe's descriptor brings a structure: templates, one a kind of frame, and decode targets, each a set of layers that
 * may be watched (L3T3 has nine). Later frames name a template. So the structure is kept for each source; a descriptor
 * that breaks its format leaves it as it was. Everything is bounded: 64 templates, 32 targets and chains, 4 spatial and 8
 * temporal layers. Thread: one a state. Pure. Not here: frame and chain differences (read over; a forwarder that sends
 * whole targets needs none). Nothing negotiates the extension yet: VP9's own descriptor (vp9.h) says as much, and AV1 is not
 * accepted because it could not be recorded. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DEPENDENCY_TEMPLATES_MAX = 64,
    DEPENDENCY_TARGETS_MAX = 32,
    DEPENDENCY_SIDS_MAX = 4,
    DEPENDENCY_TIDS_MAX = 8,
};

/* What a frame is to a decode target. */
enum dependency_role {
    DEPENDENCY_ABSENT,      /* not of it */
    DEPENDENCY_DISCARDABLE, /* of it, and nothing else of it needs this frame */
    DEPENDENCY_SWITCH,      /* from here on it may be decoded by who has all frames of a lower target */
    DEPENDENCY_REQUIRED,
};

struct dependency_template {
    uint8_t sid, tid;
    uint64_t roles; /* two bits a target */
};

struct dependency_structure {
    uint8_t first_id; /* of the templates, modulo 64 */
    uint8_t n_templates, n_targets, n_chains, n_sids;
    struct dependency_template templates[DEPENDENCY_TEMPLATES_MAX];
    struct {
        uint8_t sid, tid; /* the highest of its layers */
    } targets[DEPENDENCY_TARGETS_MAX];
    bool has_sizes;
    uint32_t width[DEPENDENCY_SIDS_MAX], height[DEPENDENCY_SIDS_MAX]; /* 1 … 65536 */
};

/* Of one source; zeroed to begin with. */
struct dependency_state {
    struct dependency_structure structure; /* n_templates 0: none yet */
    uint32_t active;                       /* bit mask of the decode targets that the publisher sends at present */
};

struct dependency_frame {
    bool start, end; /* first and last packet of the frame */
    bool structure;  /* it brought one: a keyframe */
    uint16_t number;
    uint8_t sid, tid;
    uint64_t roles;
};

static inline enum dependency_role dependency_role(uint64_t roles, unsigned target)
{
    return (enum dependency_role)(roles >> (2 * target) & 3);
}

/* ERR_TRUNCATED, ERR_MALFORMED; ERR_STATE: it names a template that the structure does not have, or there is none. */
int dependency_parse(struct dependency_state *s, const uint8_t *value, size_t len, struct dependency_frame *ret);
