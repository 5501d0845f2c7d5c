#include "briefing/briefing.h"

#include "base/err.h"
#include "briefing/internal.h"

#include <stdlib.h>
#include <string.h>

struct briefing *briefing_new(void)
{
    return calloc(1, sizeof(struct briefing));
}

void briefing_free(struct briefing *b)
{
    if (!b)
        return;
    briefing_schedule_free(b->schedule);
    free(b->endpoints);
    free(b->places);
    free(b);
}

struct briefing *briefing_copy(const struct briefing *b)
{
    struct briefing *copy = briefing_new();
    if (!copy)
        return NULL;
    *copy = *b;
    copy->schedule = b->schedule ? briefing_schedule_copy(b->schedule) : NULL;
    copy->endpoints = calloc(b->n + 1, sizeof(*copy->endpoints));
    copy->places = calloc(b->n + 1, sizeof(*copy->places));
    if ((b->schedule && !copy->schedule) || !copy->endpoints || !copy->places) {
        briefing_free(copy);
        return NULL;
    }
    if (b->n) {
        memcpy(copy->endpoints, b->endpoints, b->n * sizeof(*b->endpoints));
        memcpy(copy->places, b->places, b->n * sizeof(*b->places));
    }
    return copy;
}

static bool unit_equal(const struct briefing_unit *a, const struct briefing_unit *b)
{
    return !strcmp(a->id, b->id) && !strcmp(a->name, b->name) && !strcmp(a->short_name, b->short_name);
}

static bool schedule_equal(const struct briefing_schedule *a, const struct briefing_schedule *b)
{
    if (!a || !b)
        return a == b;
    if (strcmp(a->id, b->id) != 0 || strcmp(a->title, b->title) != 0 || a->starts_ms != b->starts_ms ||
        a->record != b->record || a->n_units != b->n_units)
        return false;
    for (size_t i = 0; i < a->n_units; i++) {
        if (!unit_equal(&a->units[i], &b->units[i]))
            return false;
    }
    return true;
}

static bool endpoint_equal(const struct briefing_endpoint *a, const struct briefing_endpoint *b)
{
    return !strcmp(a->id, b->id) && a->number == b->number && unit_equal(&a->unit, &b->unit) && !strcmp(a->name, b->name) &&
           !strcmp(a->key, b->key) && a->role == b->role && a->kind == b->kind && a->connected == b->connected &&
           a->removed == b->removed && a->microphone == b->microphone && a->camera == b->camera && a->screen == b->screen &&
           a->hears == b->hears && a->hand_ms == b->hand_ms && a->hand_seq == b->hand_seq;
}

bool briefing_equal(const struct briefing *a, const struct briefing *b)
{
    if (!schedule_equal(a->schedule, b->schedule) || a->phase != b->phase || a->seq != b->seq ||
        memcmp(a->visible, b->visible, sizeof(a->visible)) != 0 || a->opened_ms != b->opened_ms ||
        a->closed_ms != b->closed_ms || a->floor_ms != b->floor_ms || a->floor != b->floor || a->former != b->former ||
        a->spotlight != b->spotlight || a->screen != b->screen || a->locked != b->locked || a->recording != b->recording ||
        a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (!endpoint_equal(&a->endpoints[i], &b->endpoints[i]))
            return false;
    }
    return true;
}

struct briefing_endpoint *briefing_member(const struct briefing *b, uint32_t number)
{
    return number >= 1 && number <= b->n ? &b->endpoints[number - 1] : NULL;
}

bool briefing_is_connected(const struct briefing *b, uint32_t number)
{
    const struct briefing_endpoint *e = briefing_member(b, number);
    return e && e->connected;
}

uint32_t briefing_chair(const struct briefing *b)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->endpoints[i].connected && b->endpoints[i].role == ROLE_CHAIR)
            return b->endpoints[i].number;
    }
    return 0;
}

static bool invited(const struct briefing *b, const char *unit)
{
    for (size_t i = 0; b->schedule && i < b->schedule->n_units; i++) {
        if (!strcmp(b->schedule->units[i].id, unit))
            return true;
    }
    return false;
}

const struct refusal *briefing_may_enter(const struct briefing *b, const struct identity *who)
{
    if (!b->schedule)
        return refusal_find("unknown-briefing");
    if (who->briefing[0] && strcmp(who->briefing, b->schedule->id) != 0)
        return refusal_find("foreign-briefing");
    if (who->role != ROLE_DELEGATE && who->role != ROLE_OBSERVER)
        return NULL;
    return invited(b, who->unit) ? NULL : refusal_find("not-invited");
}

int briefing_set_layout(struct briefing *b, uint32_t number, const struct briefing_layout *layout)
{
    const struct briefing_endpoint *e = briefing_endpoint(b, number);
    if (!e)
        return ERR_NOTFOUND;
    if (layout->n_tiles > WISH_TILES_MAX)
        return ERR_RANGE;
    b->places[number - 1].layout = *layout;
    return 0;
}

int briefing_set_placement(struct briefing *b, uint32_t number, uint8_t worker, uint32_t incarnation)
{
    if (!briefing_endpoint(b, number))
        return ERR_NOTFOUND;
    b->places[number - 1].worker = worker;
    b->places[number - 1].incarnation = incarnation;
    return 0;
}

void briefing_set_record_cameras(struct briefing *b, bool on)
{
    b->record_cameras = on;
}

const char *briefing_id(const struct briefing *b)
{
    return b->schedule ? b->schedule->id : "";
}

const char *briefing_title(const struct briefing *b)
{
    return b->schedule ? b->schedule->title : "";
}

const struct briefing_schedule *briefing_schedule_of(const struct briefing *b)
{
    return b->schedule;
}

enum briefing_phase briefing_phase(const struct briefing *b)
{
    return b->phase;
}

const char *briefing_phase_name(enum briefing_phase phase)
{
    static const char *const names[] = {"scheduled", "open", "closed"};
    return (unsigned)phase < 3 ? names[phase] : "closed";
}

uint64_t briefing_seq(const struct briefing *b)
{
    return b->seq;
}

uint64_t briefing_last_visible(const struct briefing *b, enum role role)
{
    return (unsigned)role < ROLE_COUNT ? b->visible[role] : 0;
}

uint32_t briefing_floor(const struct briefing *b)
{
    return b->floor;
}

bool briefing_recording(const struct briefing *b)
{
    return b->recording;
}

int64_t briefing_opened_ms(const struct briefing *b)
{
    return b->opened_ms;
}

int64_t briefing_closed_ms(const struct briefing *b)
{
    return b->closed_ms;
}

const struct briefing_endpoint *briefing_endpoints(const struct briefing *b, size_t *ret_n)
{
    *ret_n = b->n;
    return b->endpoints;
}

const struct briefing_endpoint *briefing_endpoint(const struct briefing *b, uint32_t number)
{
    const struct briefing_endpoint *e = briefing_member(b, number);
    return e && !e->removed ? e : NULL;
}

const struct briefing_endpoint *briefing_endpoint_by_id(const struct briefing *b, const char *id)
{
    for (size_t i = 0; i < b->n; i++) {
        if (!strcmp(b->endpoints[i].id, id))
            return &b->endpoints[i];
    }
    return NULL;
}

size_t briefing_connected(const struct briefing *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        n += b->endpoints[i].connected;
    return n;
}
