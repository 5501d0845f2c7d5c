#include "sdp/strict.h"

#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int refuse(const struct strict *s, const char *code, const char *format, ...)
{
    int n = 0;
    s->error->code = code;
    if (s->section >= 0)
        n = snprintf(s->error->text, sizeof s->error->text, "Section %d: ", s->section);
    va_list args;
    va_start(args, format);
    vsnprintf(s->error->text + n, sizeof s->error->text - (size_t)n, format, args);
    va_end(args);
    return ERR_MALFORMED;
}

bool parse_number(const char *text, uint32_t max, const char *stops, uint32_t *ret, const char **ret_rest)
{
    uint64_t v = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (uint64_t)(*p - '0');
        if (v > max)
            return false;
    }
    if (p == text || (*p && !strchr(stops, *p)))
        return false;
    *ret = (uint32_t)v;
    if (ret_rest)
        *ret_rest = *p ? p + 1 : p;
    return true;
}

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`{|}~", c));
}

bool copy_token(char *out, size_t cap, const char *text, size_t len)
{
    if (len == 0 || len >= cap)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_token_char(text[i]))
            return false;
    memcpy(out, text, len);
    out[len] = 0;
    return true;
}

size_t word(const char *text, unsigned i, const char **ret)
{
    for (;; i--) {
        text += strspn(text, " \t");
        size_t len = strcspn(text, " \t");
        if (i == 0 || len == 0) {
            *ret = text;
            return len;
        }
        text += len;
    }
}

bool word_is(const char *text, unsigned i, const char *expected)
{
    const char *w;
    size_t len = word(text, i, &w);
    return len == strlen(expected) && memcmp(w, expected, len) == 0;
}

void sdp_slot_name(const struct sdp_section *s, char out[16])
{
    switch (s->role) {
    case SDP_ROLE_STAGE_SOUND:
    case SDP_ROLE_STAGE_PICTURE: snprintf(out, 16, "stage"); break;
    case SDP_ROLE_SHARED_SCREEN: snprintf(out, 16, "screen"); break;
    case SDP_ROLE_SOUND: snprintf(out, 16, "sound%u", s->slot + 1u); break;
    case SDP_ROLE_TILE: snprintf(out, 16, "tile%u", s->slot + 1u); break;
    default: snprintf(out, 16, "none"); break;
    }
}

const char *sdp_role_name(enum sdp_role r)
{
    static const char *const names[] = {"none",  "microphone", "camera", "screen", "stage",
                                        "stage", "screen",     "sound",  "tile"};
    return names[r];
}
