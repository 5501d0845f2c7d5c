/* Events as JSON: the stored form and what clients are told. One table says which fields the `data` of a kind has. */
#include "base/err.h"
#include "briefing/event.h"
#include "briefing/internal.h"
#include "wish/fields.h"

#include <stdlib.h>
#include <string.h>

enum {
    DATA_NUMBER = 1,  /* "number": an endpoint */
    DATA_NOBODY = 2,  /* "number" may be 0 */
    DATA_BY = 4,      /* "by" */
    DATA_BY_KEPT = 8, /* "by" in the log only */
    DATA_SWITCHES = 16,
    DATA_ENDPOINT = 32,
    DATA_EXCEPT = 64,
    DATA_SCHEDULE = 128,
};

static const struct {
    unsigned fields;
    const char *on; /* name of the boolean, if any */
} forms[EVENT_KINDS] = {
    [EVENT_SCHEDULED] = {DATA_SCHEDULE},
    [EVENT_JOINED] = {DATA_ENDPOINT},
    [EVENT_LEFT] = {DATA_NUMBER},
    [EVENT_MEDIA] = {DATA_NUMBER | DATA_SWITCHES},
    [EVENT_HAND_RAISED] = {DATA_NUMBER},
    [EVENT_HAND_LOWERED] = {DATA_NUMBER},
    [EVENT_FLOOR_GRANTED] = {DATA_NUMBER},
    [EVENT_FLOOR_REVOKED] = {DATA_NUMBER},
    [EVENT_MUTED] = {DATA_NUMBER | DATA_BY},
    [EVENT_ALL_MUTED] = {DATA_EXCEPT},
    [EVENT_MICROPHONES_LOCKED] = {0, "locked"},
    [EVENT_SPOTLIGHTED] = {DATA_NUMBER | DATA_NOBODY},
    [EVENT_REMOVED] = {DATA_NUMBER | DATA_BY_KEPT},
    [EVENT_SCREEN_SHOWN] = {DATA_NUMBER | DATA_NOBODY},
    [EVENT_RECORDING] = {0, "on"},
};

/* ---- writing ---- */

static int set(json_t *o, const char *name, json_t *taken)
{
    return json_object_set_new(o, name, taken) ? ERR_NOMEM : 0;
}

json_t *briefing_seat_json(const struct briefing_seat *s, uint32_t number, bool hears)
{
    return json_pack("{sI ss ss ss ss ss ss ss sb}", "number", (json_int_t)number, "id", s->id, "unit", s->unit.id,
                     "unit_name", s->unit.name, "unit_short", s->unit.short_name, "name", s->name, "role",
                     role_name(s->role), "kind", endpoint_kind_name(s->kind), "hears", hears);
}

/* Clients get the endpoint as a snapshot has it; the log keeps its key instead of what is the same at every joining. */
static json_t *endpoint_data(const struct briefing_event *e, bool kept)
{
    json_t *o = briefing_seat_json(&e->seat, e->number, e->hears);
    if (!o)
        return NULL;
    int err = kept ? set(o, "key", json_string(e->seat.key))
                   : set(o, "connected", json_true()) || set(o, "microphone", json_false()) ||
                         set(o, "camera", json_false()) || set(o, "screen", json_false());
    if (err) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *numbers_data(const uint32_t *numbers, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++) {
        if (json_array_append_new(list, json_integer(numbers[i]))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *schedule_data(const struct briefing_schedule *s)
{
    json_t *units = json_array();
    for (size_t i = 0; units && i < s->n_units; i++) {
        const struct briefing_unit *u = &s->units[i];
        if (json_array_append_new(units, json_pack("{ss ss ss}", "id", u->id, "name", u->name, "short", u->short_name))) {
            json_decref(units);
            return NULL;
        }
    }
    return json_pack("{ss ss sI sb so}", "id", s->id, "title", s->title, "starts_ms", (json_int_t)s->starts_ms, "record",
                     s->record, "units", units);
}

static json_t *data_of(const struct briefing_event *e, bool kept)
{
    if ((unsigned)e->kind >= EVENT_KINDS)
        return NULL;
    unsigned has = forms[e->kind].fields;
    if (has & DATA_SCHEDULE)
        return e->schedule ? schedule_data(e->schedule) : NULL;
    json_t *o = json_object();
    int err = o ? 0 : ERR_NOMEM;
    if (!err && has & DATA_NUMBER)
        err = set(o, "number", json_integer(e->number));
    if (!err && (has & DATA_BY || (kept && has & DATA_BY_KEPT)))
        err = set(o, "by", json_integer(e->by));
    if (!err && has & DATA_SWITCHES)
        err = set(o, "microphone", json_boolean(e->microphone)) || set(o, "camera", json_boolean(e->camera)) ||
              set(o, "screen", json_boolean(e->screen));
    if (!err && has & DATA_ENDPOINT)
        err = set(o, "endpoint", endpoint_data(e, kept));
    if (!err && has & DATA_EXCEPT)
        err = set(o, "except", numbers_data(e->except, e->n_except));
    if (!err && forms[e->kind].on)
        err = set(o, forms[e->kind].on, json_boolean(e->on));
    if (err) {
        json_decref(o);
        return NULL;
    }
    return o;
}

json_t *briefing_event_data(const struct briefing_event *e)
{
    return data_of(e, false);
}

json_t *briefing_event_message(const struct briefing_event *e, uint64_t prev)
{
    return json_pack("{ss sI sI sI so}", "event", briefing_event_name(e->kind), "seq", (json_int_t)e->seq, "prev",
                     (json_int_t)prev, "at_ms", (json_int_t)e->at_ms, "data", data_of(e, false));
}

/* json_dumps() goes on when its buffer cannot grow and leaves a hole (Jansson 2.14, keys of objects); what is hashed and
 * kept for ever is therefore measured first. */
static char *dump(const json_t *o, size_t flags, size_t *ret_len)
{
    size_t len = json_dumpb(o, NULL, 0, flags);
    char *bytes = len ? malloc(len + 1) : NULL;
    if (!bytes)
        return NULL;
    if (json_dumpb(o, bytes, len, flags) != len) {
        free(bytes);
        return NULL;
    }
    bytes[len] = '\0';
    *ret_len = len;
    return bytes;
}

char *briefing_event_encode(const struct briefing_event *e, size_t *ret_len)
{
    json_t *o = json_pack("{si sI sI sI ss so}", "v", BRIEFING_EVENT_VERSION, "seq", (json_int_t)e->seq, "at_ms",
                          (json_int_t)e->at_ms, "at_us", (json_int_t)e->at_us, "event", briefing_event_name(e->kind), "data",
                          data_of(e, true));
    char *bytes = o ? dump(o, JSON_COMPACT | JSON_SORT_KEYS, ret_len) : NULL;
    json_decref(o);
    return bytes;
}

/* ---- reading ---- */

static void read_unit(struct fields *f, struct briefing_unit *u, const char *id, const char *name, const char *short_name)
{
    fields_string(f, id, u->id, sizeof(u->id));
    fields_string(f, name, u->name, sizeof(u->name));
    fields_string(f, short_name, u->short_name, sizeof(u->short_name));
}

static int read_endpoint(const json_t *o, struct briefing_event *e)
{
    struct fields f = fields_begin(o);
    char role[24] = "", kind[24] = "";
    e->number = (uint32_t)fields_integer(&f, "number", 1, WISH_ENDPOINT_NUMBER_MAX);
    fields_id(&f, "id", e->seat.id);
    read_unit(&f, &e->seat.unit, "unit", "unit_name", "unit_short");
    fields_string(&f, "name", e->seat.name, sizeof(e->seat.name));
    fields_string(&f, "key", e->seat.key, sizeof(e->seat.key));
    fields_string(&f, "role", role, sizeof(role));
    fields_string(&f, "kind", kind, sizeof(kind));
    e->hears = fields_bool(&f, "hears");
    if (!f.why && (role_parse(role, &e->seat.role) || endpoint_kind_parse(kind, &e->seat.kind)))
        f.why = "an unknown role or kind";
    return fields_end(&f, NULL, NULL);
}

static int read_except(const json_t *list, struct briefing_event *e)
{
    struct fields f = {0};
    uint16_t numbers[BRIEFING_EXCEPT_MAX];
    size_t n = json_array_size(list);
    if (n > BRIEFING_EXCEPT_MAX)
        return ERR_MALFORMED;
    fields_numbers(&f, list, numbers, n);
    if (f.why)
        return ERR_MALFORMED;
    for (size_t i = 0; i < n; i++) {
        if (numbers[i] < 1 || numbers[i] > WISH_ENDPOINT_NUMBER_MAX)
            return ERR_MALFORMED;
        e->except[i] = numbers[i];
    }
    e->n_except = n;
    return 0;
}

static int read_units(const json_t *list, struct briefing_schedule *s)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > BRIEFING_UNITS_MAX)
        return ERR_MALFORMED;
    s->units = calloc(n ? n : 1, sizeof(*s->units));
    if (!s->units)
        return ERR_NOMEM;
    for (s->n_units = 0; s->n_units < n; s->n_units++) {
        struct fields f = fields_begin(json_array_get(list, s->n_units));
        struct briefing_unit *u = &s->units[s->n_units];
        read_unit(&f, u, "id", "name", "short");
        if (fields_end(&f, NULL, NULL) || !wish_id_valid(u->id))
            return ERR_MALFORMED;
    }
    return 0;
}

static int read_schedule(const json_t *o, struct briefing_event *e)
{
    struct fields f = fields_begin(o);
    struct briefing_schedule *s = calloc(1, sizeof(*s));
    if (!s)
        return ERR_NOMEM;
    e->schedule = s;
    fields_id(&f, "id", s->id);
    fields_string(&f, "title", s->title, sizeof(s->title));
    s->starts_ms = fields_integer(&f, "starts_ms", 0, INT64_MAX);
    s->record = fields_bool(&f, "record");
    const json_t *units = fields_take(&f, "units");
    int err = fields_end(&f, NULL, NULL);
    return err ? err : read_units(units, s);
}

static int read_data(const json_t *o, struct briefing_event *e)
{
    unsigned has = forms[e->kind].fields;
    if (has & DATA_SCHEDULE)
        return read_schedule(o, e);
    struct fields f = fields_begin(o);
    const json_t *endpoint = NULL, *except = NULL;
    if (has & DATA_NUMBER)
        e->number = (uint32_t)fields_integer(&f, "number", has & DATA_NOBODY ? 0 : 1, WISH_ENDPOINT_NUMBER_MAX);
    if (has & (DATA_BY | DATA_BY_KEPT))
        e->by = (uint32_t)fields_integer(&f, "by", 0, WISH_ENDPOINT_NUMBER_MAX);
    if (has & DATA_SWITCHES) {
        e->microphone = fields_bool(&f, "microphone");
        e->camera = fields_bool(&f, "camera");
        e->screen = fields_bool(&f, "screen");
    }
    if (has & DATA_ENDPOINT)
        endpoint = fields_take(&f, "endpoint");
    if (has & DATA_EXCEPT)
        except = fields_take(&f, "except");
    if (forms[e->kind].on)
        e->on = fields_bool(&f, forms[e->kind].on);
    int err = fields_end(&f, NULL, NULL);
    if (!err && endpoint)
        err = read_endpoint(endpoint, e);
    if (!err && except)
        err = read_except(except, e);
    return err;
}

static int read_event(const json_t *o, struct briefing_event *e)
{
    struct fields f = fields_begin(o);
    char name[40] = "";
    int64_t v = fields_integer(&f, "v", 1, INT64_MAX);
    if (!f.why && v > BRIEFING_EVENT_VERSION)
        return ERR_UNSUPPORTED;
    e->seq = (uint64_t)fields_integer(&f, "seq", 1, INT64_MAX);
    e->at_ms = fields_integer(&f, "at_ms", 0, INT64_MAX);
    e->at_us = fields_integer(&f, "at_us", 0, INT64_MAX);
    fields_string(&f, "event", name, sizeof(name));
    const json_t *data = fields_take(&f, "data");
    int err = fields_end(&f, NULL, NULL);
    if (err)
        return err;
    if (briefing_event_parse_name(name, &e->kind))
        return ERR_MALFORMED;
    return read_data(data, e);
}

int briefing_event_decode(const char *bytes, size_t len, struct briefing_event *ret_event)
{
    struct briefing_event e = {0};
    if (len > BRIEFING_EVENT_BYTES_MAX)
        return ERR_MALFORMED;
    json_t *o = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, NULL);
    if (!o)
        return ERR_MALFORMED;
    int err = read_event(o, &e);
    json_decref(o);
    if (err) {
        briefing_event_clear(&e);
        return err;
    }
    *ret_event = e;
    return 0;
}
