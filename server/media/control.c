/* The link to control: the wish protocol (wish/message.h). */
#include "media/media.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { MESSAGES_A_TURN = 64 };

static void drop_queue(struct media *m)
{
    while (m->queue) {
        struct queued *q = m->queue;
        m->queue = q->next;
        free(q);
    }
    m->queue_end = &m->queue;
    m->n_queued = 0;
}

void control_close(struct media *m)
{
    if (m->control < 0)
        return;
    if (m->net)
        net_unwatch(m->net, m->control);
    close(m->control);
    m->control = -1;
    drop_queue(m);
    wish_briefing_free(&m->incoming); /* a wish that broke off leaves the former one */
    memset(&m->incoming, 0, sizeof m->incoming);
    m->receiving = false;
}

void control_flush(struct media *m)
{
    while (m->queue && m->control >= 0) {
        struct queued *q = m->queue;
        int err = link_send_body(m->control, q->body, q->len, NULL, 0);
        if (err == ERR_AGAIN)
            return;
        if (err == ERR_CLOSED || err == ERR_IO) {
            control_close(m);
            return;
        }
        m->queue = q->next;
        if (!m->queue)
            m->queue_end = &m->queue;
        m->n_queued--;
        free(q);
    }
}

void control_send(struct media *m, json_t *message)
{
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    size_t len = text ? strlen(text) : 0;
    json_decref(message);
    if (!text || m->control < 0 || len > LINK_BODY_MAX || m->n_queued >= MEDIA_QUEUE_MAX) {
        m->state_lost = m->hello_lost = true;
        free(text);
        return;
    }
    struct queued *q = malloc(sizeof *q + len + 1);
    if (q) {
        q->next = NULL;
        q->len = len;
        memcpy(q->body, text, len + 1);
        *m->queue_end = q;
        m->queue_end = &q->next;
        m->n_queued++;
    }
    free(text);
    control_flush(m);
}

void control_refuse(struct media *m, json_int_t req, const char *code, const char *why)
{
    log_info("media", "refused req=%lld code=%s why=\"%s\"", (long long)req, code, why);
    control_send(m, json_pack("{ss sI ss ss}", "m", "refused", "req", req, "code", code, "why", why));
}

static struct briefing *briefing_of(struct media *m, const json_t *o)
{
    const char *id = json_string_value(json_object_get(o, "briefing"));
    return id ? briefing_find(m, id) : NULL;
}

static json_int_t integer_of(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

static bool epoch_holds(struct media *m, const json_t *o)
{
    json_int_t epoch = integer_of(o, "epoch");
    if (epoch < 0 || (uint64_t)epoch < m->epoch) {
        control_refuse(m, 0, "stale-epoch", "a newer control has spoken to this worker");
        return false;
    }
    m->epoch = (uint64_t)epoch;
    return true;
}

static void take_wish_begin(struct media *m, const json_t *o)
{
    const char *why = "";
    m->receiving = false;
    wish_briefing_free(&m->incoming);
    memset(&m->incoming, 0, sizeof m->incoming);
    if (!epoch_holds(m, o))
        return;
    if (wish_briefing_from_json(o, &m->incoming, &why)) {
        control_refuse(m, 0, "bad-wish", why);
        return;
    }
    m->incoming_version = (uint64_t)integer_of(o, "version");
    m->receiving = true;
}

static void take_wish_endpoint(struct media *m, const json_t *o)
{
    const char *why = "";
    struct wish_endpoint e;
    if (!m->receiving)
        return;
    if (wish_endpoint_from_json(o, &e, &why) || wish_put(&m->incoming, &e)) {
        control_refuse(m, 0, "bad-wish", why);
        m->receiving = false;
    }
}

static void take_wish_end(struct media *m, const json_t *o, int64_t now_us)
{
    if (!m->receiving)
        return;
    m->receiving = false;
    if ((uint64_t)integer_of(o, "version") != m->incoming_version ||
        (size_t)integer_of(o, "count") != m->incoming.n_endpoints) {
        control_refuse(m, 0, "bad-wish", "version or count of the end differs");
        return;
    }
    struct briefing *b = briefing_get(m, m->incoming.id);
    if (!b)
        return;
    briefing_set_wish(b, &m->incoming, m->incoming_version, now_us);
    memset(&m->incoming, 0, sizeof m->incoming);
}

static void take_wish_delta(struct media *m, const json_t *o, int64_t now_us)
{
    struct briefing *b = briefing_of(m, o);
    struct wish_briefing next;
    const char *why = "";
    if (!epoch_holds(m, o))
        return;
    if (!b || b->version != (uint64_t)integer_of(o, "base")) {
        control_refuse(m, 0, "stale", "the delta builds on another version");
        return;
    }
    if (wish_briefing_copy(&next, &b->wish))
        return;
    if (wish_apply_delta(&next, o, &why)) {
        wish_briefing_free(&next);
        control_refuse(m, 0, "stale", why);
        return;
    }
    briefing_set_wish(b, &next, (uint64_t)integer_of(o, "version"), now_us);
}

static void take_offer(struct media *m, const json_t *o, int64_t now_us)
{
    struct briefing *b = briefing_of(m, o);
    const char *sdp = json_string_value(json_object_get(o, "sdp"));
    json_int_t req = integer_of(o, "req");
    m->offer_taken = true;
    if (!b)
        control_refuse(m, req, "unknown-briefing", "this worker has no wish for that briefing");
    else if (!sdp)
        control_refuse(m, req, "not-sdp", "the offer has no text");
    else
        join_offer(b, req, (uint32_t)integer_of(o, "endpoint"), (uint32_t)integer_of(o, "incarnation"), sdp, now_us);
}

static void take_restrict(struct media *m, const json_t *o, int64_t now_us)
{
    struct briefing *b = briefing_of(m, o);
    struct restriction r = {
        .act = (uint64_t)integer_of(o, "act"),
        .endpoint = (uint32_t)integer_of(o, "endpoint"),
        .kinds = (uint8_t)integer_of(o, "kinds"),
        .remove = json_is_true(json_object_get(o, "remove")),
    };
    if (!b) {
        control_refuse(m, 0, "unknown-briefing", "nothing to restrict");
        return;
    }
    if (briefing_restrict(b, &r, now_us) == 0)
        control_send(m, json_pack("{ss sI sI}", "m", "acted", "act", (json_int_t)r.act, "at_us", (json_int_t)now_us));
}

static void take_feed_open(struct media *m, const json_t *o, const int *fds, size_t n_fds)
{
    static const struct {
        const char *name;
        enum feed_role role;
    } roles[] = {{"writer", FEED_ROLE_WRITER},
                 {"reader", FEED_ROLE_READER},
                 {"recorder", FEED_ROLE_RECORDER},
                 {"check", FEED_ROLE_CHECK}};
    struct briefing *b = briefing_of(m, o);
    const char *name = json_string_value(json_object_get(o, "role"));
    json_int_t id = integer_of(o, "feed");
    int err = ERR_NOTFOUND;
    for (size_t i = 0; b && name && i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(roles[i].name, name))
            err = feeds_open(b, (uint64_t)id, roles[i].role,
                             (unsigned)integer_of(o, roles[i].role == FEED_ROLE_CHECK ? "endpoint" : "peer"), fds, n_fds);
    if (err)
        log_warn("media", "feed=%lld refused: %s", (long long)id, err_str(err));
    if (err)
        control_send(m, json_pack("{ss sI ss ss sI}", "m", "refused", "req", (json_int_t)0, "code", "feed", "why",
                                  err_str(err), "feed", id));
    else
        control_send(m, json_pack("{ss sI}", "m", "feed-ready", "feed", id));
}

static void take_feed_close(struct media *m, const json_t *o, int64_t now_us)
{
    struct feed *f = feeds_find(m, (uint64_t)integer_of(o, "feed"));
    if (f)
        feed_close(f, now_us);
}

static unsigned limit_of(const json_t *limits, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(limits, name));
    return n > 0 && n < INT32_MAX ? (unsigned)n : 0;
}

static void take_marks(struct media *m, const json_t *o)
{
    static const char *const classes[] = {
        [NET_SOUND] = "sound", [NET_PICTURE] = "picture", [NET_SCREEN] = "screen", [NET_CONTROL] = "control"};
    int dscp[4];
    for (size_t i = 0; i < 4; i++) {
        json_int_t mark = json_integer_value(json_object_get(o, classes[i]));
        dscp[i] = mark > 0 && mark < 64 ? (int)mark : -1;
    }
    net_set_dscp(m->net, dscp);
}

static void take_hello(struct media *m, const json_t *o)
{
    const json_t *l = json_object_get(o, "limits");
    if (!epoch_holds(m, o)) {
        control_close(m);
        return;
    }
    net_set_limits(m->net, &(struct net_limits){.handshake_steps = limit_of(l, "handshakes_turn"),
                                                .half_open = limit_of(l, "half_open"),
                                                .half_open_source = limit_of(l, "half_open_source"),
                                                .handshake_s = limit_of(l, "handshake_seconds"),
                                                .stun_source = limit_of(l, "stun_source"),
                                                .tcp = limit_of(l, "tcp"),
                                                .tcp_source = limit_of(l, "tcp_source"),
                                                .tcp_check_s = limit_of(l, "tcp_check_seconds")});
    /* Its browser keeps to endpoint_bps for each picture; camera, screen, sound, repairs and probes make it more. */
    uint64_t bps = 4 * (uint64_t)limit_of(l, "endpoint_bps");
    m->sfu.peer_bps = bps < UINT32_MAX ? (uint32_t)bps : UINT32_MAX;
    take_marks(m, json_object_get(o, "dscp"));
}

static void dispatch(struct media *m, const char *name, const json_t *o, const int *fds, size_t n_fds, int64_t now_us)
{
    struct briefing *b;
    if (!strcmp(name, "hello"))
        take_hello(m, o);
    else if (!strcmp(name, "again"))
        report_hello(m);
    else if (!strcmp(name, "wish-begin"))
        take_wish_begin(m, o);
    else if (!strcmp(name, "wish-endpoint"))
        take_wish_endpoint(m, o);
    else if (!strcmp(name, "wish-end"))
        take_wish_end(m, o, now_us);
    else if (!strcmp(name, "wish-delta"))
        take_wish_delta(m, o, now_us);
    else if (!strcmp(name, "offer"))
        take_offer(m, o, now_us);
    else if (!strcmp(name, "restrict"))
        take_restrict(m, o, now_us);
    else if (!strcmp(name, "settled"))
        briefing_settled(m, (uint64_t)integer_of(o, "act"));
    else if (!strcmp(name, "feed-open"))
        take_feed_open(m, o, fds, n_fds);
    else if (!strcmp(name, "feed-close"))
        take_feed_close(m, o, now_us);
    else if (!strcmp(name, "briefing-gone") && (b = briefing_of(m, o)) != NULL)
        briefing_gone(b, now_us);
    else if (strcmp(name, "briefing-gone") != 0)
        log_warn("media", "unknown message m=%s from control", name);
}

static void take_body(struct media *m, size_t len, const int *fds, size_t n_fds, int64_t now_us)
{
    json_error_t error;
    json_t *o = json_loadb(m->body, len, 0, &error);
    const char *name = json_string_value(json_object_get(o, "m"));
    if (name)
        dispatch(m, name, o, fds, n_fds, now_us);
    else
        log_warn("media", "control sent no message: %s", o ? "no name" : error.text);
    json_decref(o);
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
}

/* What waits beyond is read in the next turn: packets come in between. */
static void readable(void *ctx, uint32_t events, int64_t now_us)
{
    struct media *m = ctx;
    m->offer_taken = false;
    for (int i = 0; i < MESSAGES_A_TURN && m->control >= 0 && !m->offer_taken; i++) {
        int fds[LINK_FDS_MAX];
        size_t len, n_fds;
        int err = link_receive_body(m->control, m->body, LINK_BODY_MAX, &len, fds, &n_fds);
        if (err == ERR_AGAIN)
            return;
        if (err == ERR_MALFORMED)
            continue;
        if (err) { /* control is gone: media goes on, and a new link will come */
            log_warn("media", "link to control ended");
            control_close(m);
            return;
        }
        take_body(m, len, fds, n_fds, now_us);
    }
}

void control_replace(struct media *m, int fd)
{
    control_close(m);
    m->control = fd;
    m->queue_end = &m->queue;
    m->state_lost = true;
    if (m->net)
        control_watch(m);
}

void control_watch(struct media *m)
{
    if (m->control < 0)
        return;
    net_watch(m->net, m->control, EPOLLIN, readable, m);
    report_hello(m);
}
