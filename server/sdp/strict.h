/* The strict pass, shared by its files: one section's attributes, and refusals with a reason. Internal to sdp. */
#pragma once

#include "sdp/sdp.h"

#include <gst/sdp/gstsdpmessage.h>

struct strict {
    struct sdp_error *error;
    int section; /* −1: session level */
};

/* Fills the error and returns ERR_MALFORMED. `format` makes an English sentence. */
int refuse(const struct strict *s, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A decimal number of at most `max` that ends at the end of the text or at one of `stops`; what follows in *ret_rest. */
bool parse_number(const char *text, uint32_t max, const char *stops, uint32_t *ret, const char **ret_rest);
/* RFC 8866 token characters only, 1 … cap − 1 of them; copied with NUL. */
bool copy_token(char *out, size_t cap, const char *text, size_t len);
/* Word `i` of a text cut at blanks; its length, 0: there is none. */
size_t word(const char *text, unsigned i, const char **ret);
bool word_is(const char *text, unsigned i, const char *expected);

int parse_codecs(const struct strict *s, const GstSDPMedia *m, struct sdp_section *section);
int parse_extensions(const struct strict *s, const GstSDPMedia *m, struct sdp_section *section, bool sends);
int parse_simulcast(const struct strict *s, const GstSDPMedia *m, struct sdp_section *section);
int parse_ssrcs(const struct strict *s, const GstSDPMedia *m, struct sdp_section *section);

extern const char *const sdp_ext_uris[6];
/* The i-th id of the struct, in the order of sdp_ext_uris. */
uint8_t *sdp_ext_id(struct sdp_ext_ids *ids, unsigned i);
