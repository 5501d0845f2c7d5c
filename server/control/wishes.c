/* Wishes of meetings: what has changed goes to the workers that home somebody of it, whole or as a difference. */
#include "control/control.h"

static void send_full(struct meeting *m, unsigned worker)
{
    struct control *c = m->control;
    json_t *begin = wish_briefing_to_json(&m->wish);
    if (!begin)
        return;
    json_object_set_new(begin, "m", json_string("wish-begin"));
    json_object_set_new(begin, "epoch", json_integer((json_int_t)c->epoch));
    json_object_set_new(begin, "version", json_integer((json_int_t)m->version));
    worker_send(c, worker, begin, NULL, 0);
    for (size_t i = 0; i < m->wish.n_endpoints; i++) {
        json_t *e = wish_endpoint_to_json(&m->wish.endpoints[i]);
        if (e)
            json_object_set_new(e, "m", json_string("wish-endpoint"));
        worker_send(c, worker, e, NULL, 0);
    }
    worker_send(c, worker,
                json_pack("{s:s, s:I, s:I}", "m", "wish-end", "version", (json_int_t)m->version, "count",
                          (json_int_t)m->wish.n_endpoints),
                NULL, 0);
    m->sent[worker] = m->version;
}

static bool has_place_on(const struct meeting *m, unsigned worker)
{
    for (uint32_t n = 1; n < SEATS_MAX; n++)
        if (m->seats[n].worker == worker)
            return true;
    return false;
}

static void flush_worker(struct meeting *m, unsigned w, json_t *delta, uint64_t base)
{
    struct control *c = m->control;
    if (!worker_lives(c, w))
        return;
    bool placed = has_place_on(m, w);
    if (!placed && m->sent[w]) {
        worker_send(c, w, json_pack("{s:s, s:s}", "m", "briefing-gone", "briefing", briefing_id(m->settled)), NULL, 0);
        m->sent[w] = 0;
        feeds_left(c, briefing_id(m->settled), w);
    } else if (placed && delta && m->sent[w] == base) {
        worker_send(c, w, json_incref(delta), NULL, 0);
        m->sent[w] = m->version;
    } else if (placed && m->sent[w] != m->version) {
        send_full(m, w);
    }
}

/* Restrictions are lifted by the next wish after they are settled, even if nothing else changes: a mute that the log did not
 * take must not stay in force. */
static json_t *unchanged(const struct meeting *m, uint64_t base)
{
    json_t *delta = wish_briefing_to_json(&m->wish);
    if (delta)
        json_object_update_new(delta, json_pack("{s:s, s:I, s:I, s:I, s:[], s:[]}", "m", "wish-delta", "epoch",
                                                (json_int_t)m->control->epoch, "base", (json_int_t)base, "version",
                                                (json_int_t)base + 1, "endpoints", "gone"));
    return delta;
}

void meeting_flush(struct meeting *m)
{
    struct wish_briefing next;
    m->dirty = wishes_held(m->control);
    if (m->dirty)
        return;
    if (briefing_seq(m->settled) == 0 || briefing_wish(m->settled, &next)) {
        m->dirty = briefing_seq(m->settled) != 0; /* no memory: again next turn */
        return;
    }
    sites_fill(m, &next);
    bool same = false;
    uint64_t base = m->version;
    json_t *delta = m->version ? wish_delta(&m->wish, &next, m->control->epoch, base, base + 1, &same) : NULL;
    if (!same || !m->version) {
        m->version++;
        wish_briefing_free(&m->wish);
        m->wish = next;
    } else {
        wish_briefing_free(&next);
        if (m->lift && (delta = unchanged(m, base)) != NULL)
            m->version++;
    }
    m->lift = false;
    for (unsigned w = 0; w < WORKERS_MAX; w++)
        flush_worker(m, w, delta, base);
    json_decref(delta);
}

void meetings_flush(struct control *c)
{
    for (struct meeting *m = c->meetings; m; m = m->next)
        if (m->dirty)
            meeting_flush(m);
}
