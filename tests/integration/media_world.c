#include "media_world.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const char briefing_id[] = "phien-thu";

/* ---- the worker's process ---- */

static void pair(int fds[2])
{
    int bytes = 1 << 20;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    for (int i = 0; i < 2; i++)
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static int udp_socket(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void give_control(struct worker *k)
{
    int fds[2];
    struct link_message m = {.kind = LINK_CONTROL};
    pair(fds);
    assert_int_equal(link_send(k->link, &m, &fds[1], 1), 0);
    close(fds[1]);
    k->control = fds[0];
}

static void worker_start(struct worker *k, unsigned index)
{
    int fds[2], beat = memfd_create("heartbeat", MFD_CLOEXEC), udp = udp_socket();
    pair(fds);
    assert_int_equal(ftruncate(beat, 4096), 0);
    k->heartbeat = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, beat, 0);
    k->states = json_object();
    k->pid = fork();
    if (k->pid == 0) {
        dup2(fds[1], LINK_FD); /* the copy is not CLOEXEC */
        if (fds[1] == LINK_FD)
            fcntl(LINK_FD, F_SETFD, 0);
        execl(MEDIA_BIN, MEDIA_BIN, "--link", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    k->link = fds[0];
    struct link_message start = {.kind = LINK_START, .a = index, .b = 7, .c = 5};
    struct link_message sockets = {.kind = LINK_SOCKETS, .a = 1};
    assert_int_equal(link_send(k->link, &start, &beat, 1), 0);
    assert_int_equal(link_send(k->link, &sockets, &udp, 1), 0);
    give_control(k);
    close(beat);
    close(udp);
}

static void worker_stop(struct worker *k)
{
    int status = 0;
    close(k->link); /* a worker whose supervisor is gone goes too */
    if (k->control >= 0)
        close(k->control);
    waitpid(k->pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0); /* a sanitizer's complaint would show here */
    munmap(k->heartbeat, 4096);
    json_decref(k->hello);
    json_decref(k->layouts);
    json_decref(k->metrics);
    json_decref(k->states);
    json_decref(k->acted);
}

/* ---- its messages ---- */

static void keep(json_t **place, json_t *value)
{
    json_decref(*place);
    *place = json_incref(value);
}

static void take_answer(struct world *w, json_t *o)
{
    uint32_t number = (uint32_t)(json_integer_value(json_object_get(o, "req")) % 100);
    struct client *c = world_client(w, number);
    struct net_transport_config config = {.role = NET_CLIENT, .user = c};
    assert_int_equal(answer_parse(json_string_value(json_object_get(o, "sdp")), AF_INET, &c->answer), 0);
    snprintf(config.remote_ufrag, sizeof config.remote_ufrag, "%s", c->answer.ufrag);
    snprintf(config.remote_pwd, sizeof config.remote_pwd, "%s", c->answer.pwd);
    snprintf(config.remote_fingerprint, sizeof config.remote_fingerprint, "%s", c->answer.fingerprint);
    config.remote = c->answer.remote;
    assert_int_equal(net_transport_connect(c->t, &config), 0);
    c->answered = true;
}

static void take_refused(struct world *w, struct worker *k, json_t *o)
{
    json_int_t req = json_integer_value(json_object_get(o, "req"));
    const char *code = json_string_value(json_object_get(o, "code"));
    k->refusals++;
    snprintf(k->refusal, sizeof k->refusal, "%s", code);
    if (req)
        snprintf(world_client(w, (uint32_t)(req % 100))->refused, 64, "%s", code);
}

static void take_state(struct worker *k, json_t *o)
{
    json_t *e;
    size_t i;
    k->speaker = json_integer_value(json_object_get(o, "speaker"));
    json_array_foreach(json_object_get(o, "endpoints"), i, e) {
        char key[16];
        snprintf(key, sizeof key, "%d", (int)json_integer_value(json_object_get(e, "number")));
        json_object_set(k->states, key, e);
    }
}

static void take_message(struct world *w, struct worker *k, json_t *o)
{
    const char *m = json_string_value(json_object_get(o, "m"));
    if (!strcmp(m, "hello"))
        keep(&k->hello, o);
    else if (!strcmp(m, "layouts"))
        keep(&k->layouts, o);
    else if (!strcmp(m, "metrics"))
        keep(&k->metrics, json_object_get(o, "counters"));
    else if (!strcmp(m, "state"))
        take_state(k, o);
    else if (!strcmp(m, "answer"))
        take_answer(w, o);
    else if (!strcmp(m, "refused"))
        take_refused(w, k, o);
    else if (!strcmp(m, "acted"))
        keep(&k->acted, o);
    else if (!strcmp(m, "feed-ready"))
        k->feeds_ready++;
    else
        fail_msg("unknown message %s", m);
}

static void drain(struct world *w, struct worker *k)
{
    static char body[LINK_BODY_MAX];
    int fds[LINK_FDS_MAX];
    size_t len, n;
    while (k->control >= 0 && link_receive_body(k->control, body, sizeof body, &len, fds, &n) == 0) {
        json_t *o = json_loadb(body, len, 0, NULL);
        assert_non_null(o);
        take_message(w, k, o);
        json_decref(o);
    }
    struct link_message m;
    while (link_receive(k->link, &m, fds, &n) == 0)
        assert_int_equal(m.kind, LINK_READY);
}

/* ---- clients ---- */

static void got_rtp(void *ctx, struct net_transport *t, struct packet *p, int64_t now_us)
{
    struct client *c = net_transport_user(t);
    struct rtp_packet v;
    struct vp8_descriptor d;
    uint16_t transport_seq;
    assert_int_equal(rtp_parse(p->bytes, p->len, &v), 0);
    if (rtp_ext_transport_seq(&v, offer_ext_ids.transport_seq, &transport_seq))
        transport_cc_arrived(&c->feedback, transport_seq, now_us);
    if (c->n_taken == TAKEN || v.payload_len < 4)
        return;
    struct taken *k = &c->taken[c->n_taken++];
    const uint8_t *end = v.payload + v.payload_len;
    *k = (struct taken){.ssrc = v.ssrc, .ts = v.ts, .seq = v.seq, .marker = v.marker, .at_us = now_us};
    k->tag = (uint32_t)end[-4] << 24 | (uint32_t)end[-3] << 16 | (uint32_t)end[-2] << 8 | end[-1];
    if (v.pt == OFFER_VP8 && vp8_parse(v.payload, v.payload_len, &d) == 0) {
        k->start = d.start;
        k->keyframe = d.keyframe;
        k->picture_id = d.picture_id;
    }
}

static void changed(void *ctx, struct net_transport *t, enum net_state state, int64_t now_us)
{
    struct client *c = net_transport_user(t);
    if (state == NET_CONNECTED)
        c->connected = true;
}

/* Out of the history, by RTX (RFC 4588). */
static void repair(struct client *c, uint16_t seq)
{
    struct rtp_header h;
    uint8_t header[RTP_HEADER_MAX], bytes[1002];
    size_t at = seq % 64, len = c->kept[at].len;
    if (!len || c->kept[at].seq != seq || (c->gives_up_every && seq % c->gives_up_every == 0))
        return;
    struct rtp_header_plan plan = {
        .pt = OFFER_RTX, .ssrc = c->number * 100 + 52, .ids = offer_ext_ids, .mid = "1", .rrid = "l"};
    struct rtp_stamp stamp = {
        .marker = c->kept[at].marker, .seq = c->rtx_seq++, .transport_seq = c->transport_seq++, .ts = c->kept[at].ts};
    put_u16(bytes, seq);
    memcpy(bytes + 2, c->kept[at].bytes, len);
    assert_int_equal(rtp_header_build(&plan, &h), 0);
    rtp_header_stamp(&h, &stamp, header);
    net_send_rtp(c->t, NET_PICTURE, header, h.len, bytes, len + 2, 0);
    c->repaired++;
}

static void answer_nack(struct client *c, const struct rtcp_block *b)
{
    uint16_t seqs[64];
    uint32_t ssrc;
    size_t n;
    if (rtcp_get_nack(b, &ssrc, seqs, 64, &n) || ssrc != c->number * 100 + 2)
        return;
    for (size_t i = 0; i < n; i++)
        repair(c, seqs[i]);
}

/* True: it is lost on the way. */
static bool loses(struct client *c, enum offer_section section, const struct rtp_stamp *stamp, const uint8_t *payload,
                  size_t len)
{
    if (section != OFFER_CAMERA || !c->lose_every)
        return false;
    size_t at = stamp->seq % 64;
    c->kept[at].seq = stamp->seq;
    c->kept[at].ts = stamp->ts;
    c->kept[at].marker = stamp->marker;
    c->kept[at].len = len;
    memcpy(c->kept[at].bytes, payload, len);
    bool lost = stamp->seq % c->lose_every == 0;
    c->lost += lost;
    return lost;
}

static void got_rtcp(void *ctx, struct net_transport *t, const uint8_t *bytes, size_t len, int64_t now_us)
{
    struct client *c = net_transport_user(t);
    struct reader r = reader_make(bytes, len);
    struct rtcp_block b;
    while (rtcp_next(&r, &b) == 0) {
        if (b.type == RTCP_PSFB && b.count == RTCP_PLI) {
            c->plis++;
            c->keyframe_due = true;
        }
        answer_nack(c, &b);
    }
}

static int64_t no_turn(void *ctx, int64_t now_us)
{
    return INT64_MAX;
}

static void send_packet(struct client *c, enum offer_section section, uint32_t ssrc, uint8_t pt, const char *rid,
                        uint32_t ts, bool marker, const uint8_t *payload, size_t len)
{
    struct rtp_header h;
    uint8_t header[RTP_HEADER_MAX];
    char mid[4];
    snprintf(mid, sizeof mid, "%u", (unsigned)section);
    struct rtp_header_plan plan = {
        .pt = pt, .ssrc = ssrc, .ids = offer_ext_ids, .mid = mid, .rid = rid, .audio_level = section == OFFER_MICROPHONE};
    struct rtp_stamp stamp = {
        .marker = marker, .audio_level = 20, .seq = c->seq[section]++, .transport_seq = c->transport_seq++, .ts = ts};
    assert_int_equal(rtp_header_build(&plan, &h), 0);
    rtp_header_stamp(&h, &stamp, header);
    if (loses(c, section, &stamp, payload, len))
        return;
    net_send_rtp(c->t, section == OFFER_MICROPHONE ? NET_SOUND : NET_PICTURE, header, h.len, payload, len, 0);
}

static void send_sound(struct client *c, int64_t now_us)
{
    uint8_t payload[64];
    memset(payload, 0x5a, sizeof payload);
    put_u32(payload + 60, c->number << 24 | c->tag++);
    send_packet(c, OFFER_MICROPHONE, c->number * 100 + 1, OFFER_OPUS, NULL, (uint32_t)(now_us * 48 / 1000), false, payload,
                sizeof payload);
}

static void send_picture(struct client *c, enum offer_section section, bool keyframe, int64_t now_us)
{
    uint8_t payload[900];
    c->picture_id++;
    for (unsigned i = 0; i < 3; i++) {
        memset(payload, 0xa5, sizeof payload);
        size_t at = vp8_write_descriptor(payload, i == 0, c->picture_id);
        static const uint8_t start[] = {0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01}; /* 640 × 360 */
        if (i == 0)
            memcpy(payload + at, start, sizeof start);
        if (i == 0 && !keyframe)
            payload[at] |= 1;
        put_u32(payload + sizeof payload - 4, c->number << 24 | c->tag++);
        send_packet(c, section, c->number * 100 + 2 + (section == OFFER_SCREEN), OFFER_VP8,
                    section == OFFER_CAMERA ? "l" : NULL, (uint32_t)(now_us * 90 / 1000), i == 2, payload, sizeof payload);
    }
}

static void send_feedback(struct client *c, int64_t now_us)
{
    uint8_t bytes[1200];
    struct writer w = writer_make(bytes, sizeof bytes);
    if (now_us < c->feedback_us)
        return;
    c->feedback_us = now_us + 50000;
    while (transport_cc_build(&c->feedback, &w, 7, 1) == 0) {
        net_send_rtcp(c->t, bytes, writer_len(&w));
        w = writer_make(bytes, sizeof bytes);
    }
}

static void client_run(struct client *c, int64_t now_us)
{
    if (!c->connected)
        return;
    send_feedback(c, now_us);
    if (c->sends_sound && now_us >= c->sound_us) {
        c->sound_us = now_us + 20000;
        send_sound(c, now_us);
    }
    if (now_us < c->picture_us)
        return;
    c->picture_us = now_us + 33000;
    if (c->sends_picture)
        send_picture(c, OFFER_CAMERA, c->keyframe_due, now_us);
    if (c->sends_screen)
        send_picture(c, OFFER_SCREEN, c->keyframe_due, now_us);
    c->keyframe_due = false;
}

struct client *world_client(struct world *w, uint32_t number)
{
    assert_in_range(number, 1, CLIENTS);
    return &w->clients[number - 1];
}

/* ---- the whole ---- */

struct world *world_new(unsigned workers)
{
    static const struct net_events events = {.rtp = got_rtp, .rtcp = got_rtcp, .state = changed, .turn = no_turn};
    struct net_config config = {.packets = 1024, .dscp = {-1, -1, -1, -1}, .gso = true};
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    assert_int_equal(net_new(&config, &events, w, &w->net), 0);
    for (unsigned i = 0; i < workers; i++)
        worker_start(&w->workers[i], i);
    w->n_workers = workers;
    snprintf(w->wish.id, sizeof w->wish.id, "%s", briefing_id);
    w->wish.endpoints = w->endpoints;
    for (unsigned i = 0; i < CLIENTS; i++) {
        w->clients[i].world = w;
        w->clients[i].number = i + 1;
        w->clients[i].taken = calloc(TAKEN, sizeof(struct taken));
    }
    for (unsigned i = 0; i < workers; i++) {
        wait_until(w, w->workers[i].hello);
        world_send(w, i, json_pack("{ss si}", "m", "hello", "epoch", 1), NULL, 0);
    }
    return w;
}

void world_free(struct world *w)
{
    for (unsigned i = 0; i < w->n_workers; i++)
        worker_stop(&w->workers[i]);
    for (unsigned i = 0; i < CLIENTS; i++) {
        net_transport_free(w->clients[i].t);
        free(w->clients[i].taken);
    }
    net_free(w->net);
    free(w);
}

void world_step(struct world *w)
{
    int64_t now_us = clock_now_us();
    for (unsigned i = 0; i < w->n_workers; i++)
        drain(w, &w->workers[i]);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_run(&w->clients[i], now_us);
    net_run_once(w->net, now_us + 3000);
}

void world_let(struct world *w, int64_t us)
{
    int64_t end_us = clock_now_us() + us;
    while (clock_now_us() < end_us)
        world_step(w);
}

void world_send(struct world *w, unsigned worker, json_t *message, const int *fds, size_t n_fds)
{
    char *text = json_dumps(message, JSON_COMPACT);
    assert_int_equal(link_send_body(w->workers[worker].control, text, strlen(text), fds, n_fds), 0);
    free(text);
    json_decref(message);
}

static void send_wish(struct world *w, unsigned worker)
{
    json_t *begin = wish_briefing_to_json(&w->wish);
    json_object_set_new(begin, "m", json_string("wish-begin"));
    json_object_set_new(begin, "epoch", json_integer(1));
    json_object_set_new(begin, "version", json_integer((json_int_t)w->version));
    world_send(w, worker, begin, NULL, 0);
    for (size_t i = 0; i < w->wish.n_endpoints; i++) {
        json_t *e = wish_endpoint_to_json(&w->wish.endpoints[i]);
        json_object_set_new(e, "m", json_string("wish-endpoint"));
        world_send(w, worker, e, NULL, 0);
    }
    world_send(w, worker,
               json_pack("{ss sI sI}", "m", "wish-end", "version", (json_int_t)w->version, "count",
                         (json_int_t)w->wish.n_endpoints),
               NULL, 0);
}

void world_wish(struct world *w)
{
    w->version++;
    for (unsigned i = 0; i < w->n_workers; i++)
        send_wish(w, i);
}

void world_place(struct world *w, uint32_t number, unsigned worker)
{
    struct wish_endpoint *e = &w->endpoints[w->wish.n_endpoints++];
    *e = (struct wish_endpoint){.number = number,
                                .incarnation = 1,
                                .worker = (uint8_t)worker,
                                .may_send = 0xe,
                                .hears = true,
                                .stage_size = {640, 360},
                                .screen_size = {640, 360}};
    snprintf(e->id, sizeof e->id, "diem-%u", number);
    world_client(w, number)->worker = worker;
}

void world_offer(struct world *w, uint32_t number, const char *sdp, uint32_t incarnation)
{
    w->req += 100;
    world_send(w, world_client(w, number)->worker,
               json_pack("{ss sI ss sI sI ss}", "m", "offer", "req", w->req + number, "briefing", briefing_id, "endpoint",
                         (json_int_t)number, "incarnation", (json_int_t)incarnation, "sdp", sdp),
               NULL, 0);
}

void world_join(struct world *w, uint32_t number)
{
    struct client *c = world_client(w, number);
    struct net_transport_config config = {.role = NET_CLIENT, .user = c};
    char sdp[OFFER_MAX];
    assert_int_equal(net_transport_new(w->net, &config, &c->t), 0);
    struct offer_transport t = {net_transport_ufrag(c->t), net_transport_pwd(c->t), net_fingerprint(w->net)};
    assert_int_equal(offer_write(&t, sdp, sizeof sdp), 0);
    world_offer(w, number, sdp, 1);
    wait_until(w, c->answered);
    wait_until(w, c->connected);
}

void world_replace_control(struct world *w, unsigned worker)
{
    struct worker *k = &w->workers[worker];
    close(k->control);
    keep(&k->hello, NULL);
    give_control(k);
    wait_until(w, k->hello);
    world_send(w, worker, json_pack("{ss si}", "m", "hello", "epoch", 1), NULL, 0);
}

size_t world_got(struct world *w, uint32_t number, enum offer_section section)
{
    const struct client *c = world_client(w, number);
    size_t n = 0;
    for (size_t i = 0; i < c->n_taken; i++)
        n += c->taken[i].ssrc == c->answer.ssrc[section];
    return n;
}

const struct taken *world_newest(struct world *w, uint32_t number, enum offer_section section)
{
    const struct client *c = world_client(w, number);
    for (size_t i = c->n_taken; i-- > 0;)
        if (c->taken[i].ssrc == c->answer.ssrc[section])
            return &c->taken[i];
    return NULL;
}

void world_forget(struct world *w)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        w->clients[i].n_taken = 0;
}

json_int_t world_slot(struct world *w, uint32_t number, enum offer_section section)
{
    char key[16], mid[16];
    snprintf(key, sizeof key, "%u", number);
    snprintf(mid, sizeof mid, "%u", (unsigned)section);
    json_t *slots = json_object_get(json_object_get(w->workers[world_client(w, number)->worker].states, key), "slots"), *s;
    size_t i;
    json_array_foreach(slots, i, s) {
        if (!strcmp(json_string_value(json_object_get(s, "mid")), mid))
            return json_integer_value(json_object_get(s, "endpoint"));
    }
    return -1;
}

json_int_t world_metric(struct world *w, unsigned worker, const char *name)
{
    return json_integer_value(json_object_get(w->workers[worker].metrics, name));
}
