#include "sdp/sdp.h"

#include <stdio.h>

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
