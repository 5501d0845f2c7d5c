/* What workers say about media, as notices to clients. Nothing here is kept in the log. */
#include "control/control.h"

#include <string.h>

static bool is_paused(const json_t *slot)
{
    return json_is_true(json_object_get(slot, "paused"));
}

static bool is_sound(const json_t *slot)
{
    const char *kind = json_string_value(json_object_get(slot, "kind"));
    return kind && strcmp(kind, "microphone") == 0;
}

static json_t *slots_notice(const json_t *slots)
{
    json_t *list = json_array();
    const json_t *slot;
    size_t i;
    json_array_foreach(slots, i, slot) {
        json_array_append_new(list, json_pack("{s:O, s:O, s:O, s:b}", "mid", json_object_get(slot, "mid"), "number",
                                              json_object_get(slot, "endpoint"), "kind", json_object_get(slot, "kind"),
                                              "paused", is_paused(slot)));
    }
    return list;
}

static unsigned pictures_paused(const json_t *slots)
{
    const json_t *slot;
    unsigned n = 0;
    size_t i;
    json_array_foreach(slots, i, slot)
        n += is_paused(slot) && !is_sound(slot);
    return n;
}

static void report_slots(struct seat *seat, const json_t *slots)
{
    json_t *list = slots_notice(slots);
    if (seat->slots && json_equal(seat->slots, list)) {
        json_decref(list);
        return;
    }
    json_decref(seat->slots);
    seat->slots = list;
    seat->paused = pictures_paused(list);
    if (seat->peer)
        peer_notice(seat->peer, "slots", json_pack("{s:O}", "slots", list));
}

/* {"camera":[layer …],"screen":[…]}: only what the worker has named so, with the schema's bounds. */
static json_t *send_notice(const json_t *wanted)
{
    json_t *notice = json_object(), *track, *layer;
    size_t i, k;
    json_array_foreach(wanted, i, track) {
        const char *kind = json_string_value(json_object_get(track, "kind"));
        json_t *list = json_array();
        json_array_foreach(json_object_get(track, "layers"), k, layer) {
            bool active = json_is_true(json_object_get(layer, "active"));
            json_int_t max_bps = json_integer_value(json_object_get(layer, "max_bps"));
            json_t *o = json_pack("{s:O, s:b}", "rid", json_object_get(layer, "rid"), "active", active);
            if (o && active && max_bps > 0)
                json_object_set_new(o, "max_bps", json_integer(max_bps));
            json_array_append_new(list, o);
        }
        json_object_set_new(notice, kind && !strcmp(kind, "screen") ? "screen" : "camera", list);
    }
    return notice;
}

static void report_wanted(struct seat *seat, const json_t *wanted)
{
    json_t *notice = send_notice(wanted);
    if (seat->send && json_equal(seat->send, notice)) {
        json_decref(notice);
        return;
    }
    json_decref(seat->send);
    seat->send = notice;
    if (seat->peer)
        peer_notice(seat->peer, "send", json_incref(notice));
}

static json_int_t number_in(const json_t *o, const char *key, json_int_t min, json_int_t max)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_real(v)) { /* may be beyond every integer */
        double x = json_real_value(v);
        return x <= (double)min ? min : x >= (double)max ? max : (json_int_t)x;
    }
    json_int_t n = json_integer_value(v);
    return n < min ? min : n > max ? max : n;
}

static void report_rates(struct seat *seat, const json_t *endpoint)
{
    const json_t *receive = json_object_get(endpoint, "receive"), *send = json_object_get(endpoint, "send"), *o;
    json_int_t sent_bps = 0, loss = 0;
    size_t i;
    json_array_foreach(send, i, o) {
        json_int_t l = number_in(o, "loss_permille", 0, 1000);
        sent_bps += number_in(o, "bps", 0, INT64_MAX / 64);
        loss = l > loss ? l : loss;
    }
    if (send) {
        seat->bps = (unsigned)sent_bps;
        seat->loss_permille = (unsigned)loss;
    }
    if (!receive)
        return;
    seat->estimate_bps = number_in(receive, "estimate_bps", 0, INT64_MAX / 4096);
    if (!seat->peer)
        return;
    json_int_t down = number_in(receive, "loss_permille", 0, 1000);
    peer_notice(seat->peer, "line",
                json_pack("{s:I, s:I, s:I, s:I, s:I}", "loss_permille", down > loss ? down : loss, "rtt_ms",
                          number_in(receive, "rtt_ms", 0, 600000), "receive_bps",
                          number_in(receive, "bps", 0, INT64_MAX / 4096), "send_bps", sent_bps, "estimate_bps",
                          seat->estimate_bps));
}

static void report_endpoint(struct meeting *m, unsigned worker, const json_t *o)
{
    json_int_t number = json_integer_value(json_object_get(o, "number"));
    if (number < 1 || number >= SEATS_MAX || m->seats[number].worker != worker)
        return;
    struct seat *seat = &m->seats[number];
    if (json_integer_value(json_object_get(o, "incarnation")) != seat->incarnation)
        return; /* of a connection that is over */
    const json_t *slots = json_object_get(o, "slots"), *connected = json_object_get(o, "connected");
    if (json_is_array(slots))
        report_slots(seat, slots);
    if (json_array_size(json_object_get(o, "wanted")))
        report_wanted(seat, json_object_get(o, "wanted"));
    if (json_is_boolean(connected))
        seat->connected = json_is_true(connected);
    if (json_object_get(o, "level"))
        seat->level = (int)number_in(o, "level", -127, 0);
    report_rates(seat, o);
}

/* Each worker runs the same algorithm; the home's answer is the one shown. With placement `spread` the first worker is it.
 */
static bool speaks_for(const struct meeting *m, unsigned worker)
{
    if (m->home != WISH_UNPLACED)
        return m->home == worker;
    for (unsigned w = 0; w < worker; w++)
        for (uint32_t n = 1; n < SEATS_MAX; n++)
            if (m->seats[n].worker == w)
                return false;
    return true;
}

void report_state(struct control *c, unsigned worker, const json_t *message)
{
    const char *id = json_string_value(json_object_get(message, "briefing"));
    struct meeting *m = id ? meeting_find(c, id) : NULL;
    const json_t *o, *speaker = json_object_get(message, "speaker");
    size_t i;
    if (!m)
        return;
    json_array_foreach(json_object_get(message, "endpoints"), i, o)
        report_endpoint(m, worker, o);
    if (!json_is_integer(speaker) || !speaks_for(m, worker))
        return;
    json_int_t number = json_integer_value(speaker);
    if (number >= 0 && number < SEATS_MAX && number != m->speaker) {
        m->speaker = (uint32_t)number;
        meeting_notice(m, false, "speaker", json_pack("{s:I}", "number", number));
    }
}

static json_t *line_json(uint32_t number, const struct seat *seat)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "number", (json_int_t)number, "loss_permille",
                     (json_int_t)seat->loss_permille, "bps", (json_int_t)seat->bps, "level", (json_int_t)seat->level,
                     "estimate_bps", seat->estimate_bps, "paused", (json_int_t)seat->paused);
}

void report_lines(struct control *c)
{
    for (struct meeting *m = c->meetings; m; m = m->next) {
        json_t *list = json_array();
        for (uint32_t n = 1; n < SEATS_MAX; n++) {
            const struct seat *seat = &m->seats[n];
            if (seat->worker != WISH_UNPLACED && seat->connected)
                json_array_append_new(list, line_json(n, seat));
        }
        if (json_array_size(list))
            meeting_notice(m, true, "lines", json_pack("{s:o}", "endpoints", list));
        else
            json_decref(list);
    }
}
