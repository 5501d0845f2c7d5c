/* The state of a briefing, for this folder's own files. */
#pragma once

#include "briefing/briefing.h"

/* What a wish needs and no event holds. */
struct briefing_place {
    struct briefing_layout layout;
    uint32_t incarnation;
    uint8_t worker;
};

struct briefing {
    struct briefing_schedule *schedule; /* NULL: empty */
    enum briefing_phase phase;
    uint64_t seq, visible[ROLE_COUNT];
    int64_t opened_ms, closed_ms, floor_ms;
    uint32_t floor, former, spotlight, screen; /* numbers; former: who had the floor before */
    bool locked, recording, record_cameras;
    struct briefing_endpoint *endpoints; /* endpoint `number` is at index number − 1, for ever */
    struct briefing_place *places;       /* the same index */
    size_t n;
};

/* Any endpoint, removed or not; NULL: none. */
struct briefing_endpoint *briefing_member(const struct briefing *b, uint32_t number);
/* The connected chair with the lowest number, 0: none. */
uint32_t briefing_chair(const struct briefing *b);
bool briefing_is_connected(const struct briefing *b, uint32_t number);
/* {"number","id","unit","unit_name","unit_short","name","role","kind","hears"} */
json_t *briefing_seat_json(const struct briefing_seat *s, uint32_t number, bool hears);
int briefing_event_parse_name(const char *name, enum briefing_event_kind *ret_kind);
