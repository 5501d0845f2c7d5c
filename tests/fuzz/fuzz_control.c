/* giaoband's side of the wish protocol: any messages from two workers over real links, their deaths and returns, beside
 * offers of endpoints (whose sockets are deaf) and a log that takes what a returning worker's restrictions add. Nothing
 * crashes; what a worker is told is a wish that it can take and, folded, is the wish that giaoband means it to hold; the two
 * folds of the briefing stay equal.
 *
 * Input: operations. '0' and '1', with a line of JSON: a message of that worker ("b00000" in it is the briefing's id). '!' n
 * i: endpoint n's offer of incarnation i. 'g' w: worker w dies and comes back. */
#include "base/clock.h"
#include "base/err.h"
#include "control/control.h"
#include "control/slots.h"
#include "require.h"

#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORKERS = 2, SEATS = 4, OPERATIONS_MAX = 40, COMMIT_TURNS_MAX = 4000, ID_BYTES = 6 };

struct input {
    const uint8_t *at, *end;
};

/* What a worker has been told. */
struct view {
    int fd;
    struct wish_briefing held, incoming;
    uint64_t version, incoming_version;
};

static struct control control;
static struct view views[WORKERS];
static uint32_t generations[WORKERS], next_generation = 1;
static char id[WISH_ID_MAX], dir[64];
static unsigned briefings;
static uint64_t fresh_seq; /* of a briefing that nothing has happened to */

static uint8_t byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

/* ---- a client's socket: linked with --wrap, what is said to it ends here ---- */

static char socket_of_client;
static struct visitor visitor;

static struct ws_peer *client(void)
{
    return (struct ws_peer *)&socket_of_client;
}

void __wrap_signaling_reply(struct ws_peer *peer, int64_t request, json_t *result);
void __wrap_signaling_refuse(struct ws_peer *peer, int64_t request, const struct refusal *why);
void __wrap_signaling_send(struct ws_peer *peer, struct ws_text *t);
void __wrap_signaling_close(struct ws_peer *peer, const char *reason);
void *__wrap_ws_peer_user(const struct ws_peer *peer);

void __wrap_signaling_reply(struct ws_peer *peer, int64_t request, json_t *result)
{
    require(peer == client() && result);
    json_decref(result);
}

void __wrap_signaling_refuse(struct ws_peer *peer, int64_t request, const struct refusal *why)
{
    require(peer == client() && why);
}

void __wrap_signaling_send(struct ws_peer *peer, struct ws_text *t)
{
    require(peer == client() && t);
}

void __wrap_signaling_close(struct ws_peer *peer, const char *reason)
{
}

void *__wrap_ws_peer_user(const struct ws_peer *peer)
{
    return &visitor;
}

/* ---- the server around it ---- */

static void on_request(void *ctx, struct ws_peer *peer, int64_t number, const char *method, const json_t *params)
{
}
static void on_closed(void *ctx, struct ws_peer *peer)
{
}

static void store_readable(void *ctx, int fd)
{
    store_poll(control.store);
}

static void clean_up(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    require(system(command) == 0);
}

static void start(void)
{
    static const struct signaling_ops ops = {
        .request = on_request, .closed = on_closed, .http = http_request, .metrics = metrics_text};
    const char *why = "", *base = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    char path[96];
    snprintf(dir, sizeof dir, "%s/fuzz-control-XXXXXX", base);
    require(mkdtemp(dir) && sodium_init() >= 0 && !atexit(clean_up));
    signal(SIGPIPE, SIG_IGN);
    config_defaults(&control.config);
    control.config.workers = WORKERS;
    snprintf(path, sizeof path, "%s/giaoban.db", dir);
    require(!store_open(&(struct store_config){.path = path}, &control.store, &why));
    struct signaling_config config = {.data_dir = dir, .web_dir = dir};
    require(!signaling_new(&config, control.store, &ops, &control, &control.signaling, &why));
    require(!signaling_watch(control.signaling, store_event_fd(control.store), store_readable, &control));
    control.epoch = store_epoch(control.store);
    control.next_act = control.next_req = control.next_feed = 1;
    control.feeds_known = true;
}

static void commit_all(void)
{
    for (int i = 0; control.commits; i++) {
        require(i < COMMIT_TURNS_MAX);
        store_submit(control.store);
        signaling_service(control.signaling, 2);
    }
}

static void command(struct meeting *m, struct briefing_command c)
{
    c.role = ROLE_ADMINISTRATOR;
    require(!meeting_command(m, &c, NULL));
    commit_all();
}

static void make_briefing(void)
{
    struct briefing_unit units[] = {{"h-a", "Huyện A", "A"}};
    struct briefing_schedule s = {.title = "Giao ban", .units = units, .n_units = 1};
    struct meeting *m = meeting_new(&control);
    snprintf(id, sizeof id, "b%05u", briefings++);
    memcpy(s.id, id, sizeof id);
    command(m, (struct briefing_command){.kind = COMMAND_SCHEDULE, .schedule = &s});
    command(m, (struct briefing_command){.kind = COMMAND_OPEN});
    for (uint32_t n = 1; n <= SEATS; n++) {
        struct briefing_seat seat = {.role = n == 1 ? ROLE_CHAIR : ROLE_DELEGATE, .unit = units[0], .name = "Phòng họp"};
        snprintf(seat.id, sizeof seat.id, "e%u", n);
        snprintf(seat.key, sizeof seat.key, "link:%u", n);
        command(m, (struct briefing_command){.kind = COMMAND_JOIN, .seat = &seat});
    }
    command(m, (struct briefing_command){.kind = COMMAND_MEDIA, .by = 1, .endpoint = 1, .microphone = true, .camera = true});
    fresh_seq = briefing_seq(m->settled);
}

/* ---- workers ---- */

static void view_forget(struct view *v)
{
    wish_briefing_free(&v->held);
    wish_briefing_free(&v->incoming);
    memset(&v->held, 0, sizeof v->held);
    memset(&v->incoming, 0, sizeof v->incoming);
    v->version = v->incoming_version = 0;
}

static void link_up(unsigned w)
{
    int pair[2];
    require(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
    views[w].fd = pair[1];
    generations[w] = next_generation++;
    worker_linked(&control, w, generations[w], false, pair[0]);
}

static void die(unsigned w)
{
    worker_gone(&control, w, generations[w]);
    close(views[w].fd);
    view_forget(&views[w]);
}

static void take_full(struct view *v, const json_t *o, const char *name)
{
    const char *why = "";
    struct wish_endpoint e;
    if (!strcmp(name, "wish-begin")) {
        wish_briefing_free(&v->incoming);
        require(!wish_briefing_from_json(o, &v->incoming, &why));
        v->incoming_version = (uint64_t)json_integer_value(json_object_get(o, "version"));
    } else if (!strcmp(name, "wish-endpoint")) {
        require(!wish_endpoint_from_json(o, &e, &why) && !wish_put(&v->incoming, &e));
    } else {
        require(json_integer_value(json_object_get(o, "count")) == (json_int_t)v->incoming.n_endpoints);
        require((uint64_t)json_integer_value(json_object_get(o, "version")) == v->incoming_version);
        wish_briefing_free(&v->held);
        v->held = v->incoming;
        memset(&v->incoming, 0, sizeof v->incoming);
        v->version = v->incoming_version;
    }
}

static void take(struct view *v, const json_t *o)
{
    const char *why = "", *name = json_string_value(json_object_get(o, "m"));
    require(name);
    if (!strcmp(name, "wish-delta")) {
        require((uint64_t)json_integer_value(json_object_get(o, "base")) == v->version);
        require(!wish_apply_delta(&v->held, o, &why));
        v->version = (uint64_t)json_integer_value(json_object_get(o, "version"));
    } else if (!strcmp(name, "wish-begin") || !strcmp(name, "wish-endpoint") || !strcmp(name, "wish-end")) {
        take_full(v, o, name);
    } else if (!strcmp(name, "briefing-gone")) {
        if (!strcmp(json_string_value(json_object_get(o, "briefing")), id))
            view_forget(v);
    } else if (!strcmp(name, "offer")) {
        require(wish_find(&v->held, (uint32_t)json_integer_value(json_object_get(o, "endpoint")))); /* known first */
    }
}

static void hear(struct view *v)
{
    static char body[LINK_BODY_MAX];
    int fds[LINK_FDS_MAX];
    size_t len, n_fds;
    while (link_receive_body(v->fd, body, sizeof body, &len, fds, &n_fds) == 0) {
        json_t *o = json_loadb(body, len, 0, NULL);
        require(o && n_fds == 0);
        take(v, o);
        json_decref(o);
    }
}

/* ---- one input ---- */

static void begin(void)
{
    struct meeting *m = meeting_find(&control, id);
    if (!m || briefing_seq(m->settled) != fresh_seq || m->fold) {
        if (m)
            meeting_remove(m);
        make_briefing();
        m = meeting_find(&control, id);
    }
    for (uint32_t n = 1; n < SEATS_MAX; n++) {
        json_decref(m->seats[n].slots);
        m->seats[n] = (struct seat){.worker = WISH_UNPLACED, .peer = n <= SEATS ? client() : NULL};
        briefing_set_placement(m->settled, n, WISH_UNPLACED, 0);
        briefing_set_layout(m->settled, n, &(struct briefing_layout){0});
    }
    m->home = WISH_UNPLACED;
    control.hold_until_us = 0;
    control.next_req = 1; /* so that inputs know their answers' numbers */
    for (unsigned w = 0; w < WORKERS; w++)
        link_up(w);
}

static void say(struct input *in, unsigned w)
{
    char text[LINK_BODY_MAX];
    const uint8_t *end = memchr(in->at, '\n', (size_t)(in->end - in->at));
    size_t len = (size_t)((end ? end : in->end) - in->at);
    if (len > sizeof text)
        len = sizeof text;
    memcpy(text, in->at, len);
    in->at += len + (end != NULL);
    for (char *at = text; (at = memmem(at, len - (size_t)(at - text), "b00000", ID_BYTES)); at += ID_BYTES)
        memcpy(at, id, ID_BYTES);
    if (len)
        link_send_body(views[w].fd, text, len, NULL, 0);
}

static void offer(struct input *in)
{
    uint32_t number = byte(in) % SEATS + 1, incarnation = byte(in);
    struct meeting *m = meeting_find(&control, id);
    const struct briefing_endpoint *e = briefing_endpoint(m->settled, number);
    if (!e || !e->connected)
        return;
    json_t *params = json_pack("{s:i, s:s}", "incarnation", (int)incarnation, "sdp", "v=0");
    offer_request(m, number, client(), 1, params);
    json_decref(params);
}

static void check(void)
{
    struct meeting *m = meeting_find(&control, id);
    require(m && briefing_equal(m->ahead, m->settled));
    require(m->home == WISH_UNPLACED || m->home < WORKERS);
    for (uint32_t n = 1; n < SEATS_MAX; n++) {
        const struct seat *seat = &m->seats[n];
        require(seat->worker == WISH_UNPLACED || (seat->worker < WORKERS && briefing_endpoint(m->settled, n)));
        require(seat->level >= -127 && seat->level <= 0 && seat->loss_permille <= 1000);
    }
    require(m->speaker < SEATS_MAX && !m->dirty);
    for (unsigned w = 0; w < WORKERS; w++)
        if (m->sent[w] == m->version)
            require(views[w].version == m->version && wish_briefing_equal(&views[w].held, &m->wish));
}

static void operate(struct input *in)
{
    uint8_t op = byte(in), w;
    switch (op) {
    case '!': offer(in); break;
    case 'g':
        w = byte(in) % WORKERS;
        die(w);
        link_up(w);
        break;
    default: say(in, op % WORKERS); break;
    }
    signaling_service(control.signaling, 0);
    commit_all();
    control.hold_until_us = 0;
    report_lines(&control);
    meetings_flush(&control);
    workers_drain(&control);
    for (w = 0; w < WORKERS; w++)
        hear(&views[w]);
    check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    if (!control.store)
        start();
    begin();
    for (int i = 0; in.at < in.end && i < OPERATIONS_MAX; i++)
        operate(&in);
    for (unsigned w = 0; w < WORKERS; w++)
        die(w);
    offer_forget_peer(&control, client());
    offers_tick(&control, INT64_MAX);
    require(!control.offers_open);
    return 0;
}
