#include "control/slots.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static json_t *slot_of(const char *mid, const char *msid, bool audio)
{
    static const struct {
        const char *msid, *slot;
    } rows[] = {{"stage", "stage"}, {"screen", "screen"}, {"sound", "sound"}, {"tile", "tile"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strncmp(msid, rows[i].msid, strlen(rows[i].msid)) == 0)
            return json_pack("{s:s, s:s, s:s}", "mid", mid, "slot", rows[i].slot, "kind",
                             audio                         ? "microphone"
                             : strcmp(msid, "screen") == 0 ? "screen"
                                                           : "camera");
    return NULL;
}

json_t *answer_slots(const char *sdp)
{
    json_t *slots = json_array();
    char mid[17] = "", msid[33] = "";
    bool audio = false, sends = false, section = false;
    for (const char *line = sdp;; line += strcspn(line, "\n") + 1) {
        bool end = strcspn(line, "\n") == strlen(line);
        if (strncmp(line, "m=", 2) == 0 || end) {
            json_t *slot = section && sends ? slot_of(mid, msid, audio) : NULL;
            if (slot)
                json_array_append_new(slots, slot);
            section = true;
            audio = strncmp(line, "m=audio", 7) == 0;
            sends = false;
            mid[0] = msid[0] = '\0';
        }
        if (end)
            return slots;
        if (sscanf(line, "a=mid:%16[^ \r\n]", mid) == 1 || sscanf(line, "a=msid:%32[^ \r\n]", msid) == 1)
            continue;
        sends = sends || strncmp(line, "a=sendonly", 10) == 0;
    }
}
