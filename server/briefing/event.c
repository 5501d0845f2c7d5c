#include "briefing/event.h"

#include "base/err.h"
#include "briefing/internal.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_names[EVENT_KINDS] = {
    [EVENT_SCHEDULED] = "scheduled",
    [EVENT_OPENED] = "opened",
    [EVENT_CLOSED] = "closed",
    [EVENT_JOINED] = "joined",
    [EVENT_LEFT] = "left",
    [EVENT_MEDIA] = "media",
    [EVENT_HAND_RAISED] = "hand-raised",
    [EVENT_HAND_LOWERED] = "hand-lowered",
    [EVENT_FLOOR_GRANTED] = "floor-granted",
    [EVENT_FLOOR_REVOKED] = "floor-revoked",
    [EVENT_MUTED] = "muted",
    [EVENT_ALL_MUTED] = "all-muted",
    [EVENT_MICROPHONES_LOCKED] = "microphones-locked",
    [EVENT_SPOTLIGHTED] = "spotlighted",
    [EVENT_REMOVED] = "removed",
    [EVENT_SCREEN_SHOWN] = "screen-shown",
    [EVENT_RECORDING] = "recording",
};

static const char *const endpoint_kinds[] = {
    [ENDPOINT_ROOM] = "room", [ENDPOINT_DESK] = "desk", [ENDPOINT_PHONE] = "phone", [ENDPOINT_SIM] = "sim"};
#define ENDPOINT_KINDS (sizeof(endpoint_kinds) / sizeof(endpoint_kinds[0]))

const char *briefing_event_name(enum briefing_event_kind kind)
{
    return (unsigned)kind < EVENT_KINDS ? kind_names[kind] : "unknown";
}

int briefing_event_parse_name(const char *name, enum briefing_event_kind *ret_kind)
{
    for (unsigned i = 0; i < EVENT_KINDS; i++) {
        if (!strcmp(kind_names[i], name)) {
            *ret_kind = (enum briefing_event_kind)i;
            return 0;
        }
    }
    return ERR_NOTFOUND;
}

const char *endpoint_kind_name(enum endpoint_kind kind)
{
    return (unsigned)kind < ENDPOINT_KINDS ? endpoint_kinds[kind] : "desk";
}

int endpoint_kind_parse(const char *name, enum endpoint_kind *ret_kind)
{
    for (unsigned i = 0; i < ENDPOINT_KINDS; i++) {
        if (!strcmp(endpoint_kinds[i], name)) {
            *ret_kind = (enum endpoint_kind)i;
            return 0;
        }
    }
    return ERR_NOTFOUND;
}

bool briefing_event_visible(enum briefing_event_kind kind, enum role role)
{
    return (unsigned)kind < EVENT_KINDS && (unsigned)role < ROLE_COUNT && kind != EVENT_SCHEDULED;
}

void briefing_schedule_free(struct briefing_schedule *s)
{
    if (!s)
        return;
    free(s->units);
    free(s);
}

struct briefing_schedule *briefing_schedule_copy(const struct briefing_schedule *s)
{
    struct briefing_schedule *copy = malloc(sizeof(*copy));
    if (!copy)
        return NULL;
    *copy = *s;
    copy->units = calloc(s->n_units ? s->n_units : 1, sizeof(*copy->units));
    if (!copy->units) {
        free(copy);
        return NULL;
    }
    if (s->n_units)
        memcpy(copy->units, s->units, s->n_units * sizeof(*copy->units));
    return copy;
}

void briefing_event_clear(struct briefing_event *e)
{
    if (!e)
        return;
    briefing_schedule_free(e->schedule);
    e->schedule = NULL;
}

void briefing_events_free(struct briefing_events *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->n; i++)
        briefing_event_clear(&l->items[i]);
    free(l->items);
    *l = (struct briefing_events){0};
}
