#include "sim/endpoint.h"

#include "base/log.h"
#include "rtp/rtcp.h"
#include "sim/offer.h"

#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    BACK_MAX_US = 500000,
    CLIP_LOOK_US = 50000,
    RETRY_OFFER_US = 1000000,
    TILE_WIDTH = 320,
    TILE_HEIGHT = 180,
    TILES_AMONG = 6
};

struct endpoint {
    const struct endpoint_options *options;
    unsigned index, source;
    char *token;
    /* the seat */
    char briefing[64], id[64], secret[160], name[128];
    unsigned number;
    uint64_t last_seq;
    int64_t request, offer_request, hello_request, leave_request;
    bool live, over; /* websocket past hello; removed or taken over */
    bool resuming;   /* its hello asked for the seat it had */
    int64_t connect_at_us, offer_at_us;
    bool microphone, has_floor;
    unsigned stage, paused, rejoins, resumes;
    int64_t live_us, connected_us; /* since when `live`, since when the transport in use is connected; 0: not yet */
    /* media */
    uint32_t incarnation;
    struct net_transport *transport, *next; /* in use; waiting for its answer */
    struct sender *sender;
    unsigned wanted_layers; /* of the camera, as last told; each answer begins with all */
    struct receiver *receiver;
    struct hostile hostile;
    struct answer answer;
    /* the clip's thread */
    pthread_t clip_thread;
    bool clip_asked, clip_taken;
    struct clip *_Atomic clip;
};

struct endpoint *endpoint_new(const struct endpoint_options *options, unsigned index, unsigned source, const char *token,
                              int64_t now_us)
{
    struct endpoint *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->options = options;
    e->index = index;
    e->source = source;
    e->token = strdup(token);
    e->receiver = receiver_new();
    e->connect_at_us = e->offer_at_us = INT64_MAX;
    e->microphone = options->speaks;
    hostile_init(&e->hostile, options->hostile, options->hostile_rate, index);
    if (!e->token || !e->receiver) {
        endpoint_free(e);
        return NULL;
    }
    if (options->received)
        receiver_set_tap(e->receiver, options->received, options->tap_ctx);
    return e;
}

void endpoint_free(struct endpoint *e)
{
    if (!e)
        return;
    if (e->clip_asked)
        pthread_join(e->clip_thread, NULL);
    net_transport_free(e->transport);
    net_transport_free(e->next);
    sender_free(e->sender);
    receiver_free(e->receiver);
    clip_free(e->clip);
    hostile_finish(&e->hostile);
    free(e->token);
    free(e);
}

void endpoint_start(struct endpoint *e)
{
    sockets_connect(e->options->sockets, e->index, e->token);
}

/* --- requests -------------------------------------------------------------------------------------------------------------
 */

static int64_t request(struct endpoint *e, const char *method, json_t *params /* taken over */)
{
    json_t *o = json_pack("{s:I, s:s, s:o}", "id", (json_int_t)++e->request, "method", method, "params", params);
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    if (text)
        sockets_send(e->options->sockets, e->index, text);
    return e->request;
}

static void say_hello(struct endpoint *e)
{
    json_t *resume =
        e->secret[0] ? json_pack("{s:s, s:s, s:I}", "endpoint", e->id, "secret", e->secret, "last", (json_int_t)e->last_seq)
                     : json_null();
    e->hello_request =
        request(e, "hello", json_pack("{s:s, s:s, s:o}", "briefing", e->briefing, "kind", "sim", "resume", resume));
}

static void say_media(struct endpoint *e)
{
    bool camera = e->options->video && e->options->publishes;
    request(e, "media", json_pack("{s:b, s:b, s:b}", "microphone", e->microphone, "camera", camera, "screen", false));
}

static void say_layout(struct endpoint *e)
{
    json_t *tiles = json_array();
    for (unsigned i = 1; e->options->tiles && i <= OFFER_TILES; i++) { /* of the first, who stay longest */
        unsigned neighbour = 1 + (e->number + i) % TILES_AMONG;
        json_array_append_new(
            tiles, json_pack("{s:i, s:i, s:i}", "endpoint", (int)neighbour, "width", TILE_WIDTH, "height", TILE_HEIGHT));
    }
    request(e, "layout",
            json_pack("{s:{s:i, s:i}, s:{s:i, s:i}, s:o}", "stage", "width", 1280, "height", 720, "screen", "width", 1280,
                      "height", 720, "tiles", tiles));
}

static void make_offer(struct endpoint *e)
{
    char sdp[OFFER_MAX];
    struct net_transport_config config = {.role = NET_CLIENT, .user = e};
    net_transport_free(e->next);
    e->next = NULL;
    e->offer_at_us = INT64_MAX;
    if (net_transport_new(e->options->net, &config, &e->next))
        return;
    struct offer_transport t = {.ufrag = net_transport_ufrag(e->next),
                                .pwd = net_transport_pwd(e->next),
                                .fingerprint = net_fingerprint(e->options->net)};
    if (offer_write(&t, sdp, sizeof sdp))
        return;
    e->offer_request = request(e, "offer", json_pack("{s:s, s:I}", "sdp", sdp, "incarnation", (json_int_t)++e->incarnation));
}

void endpoint_leave(struct endpoint *e)
{
    e->over = true;
    if (e->live)
        e->leave_request = request(e, "leave", json_object());
}

bool endpoint_is_live(const struct endpoint *e)
{
    return e->live;
}

/* --- media ----------------------------------------------------------------------------------------------------------------
 */

static bool sends_sound(const struct endpoint *e)
{
    return e->microphone || e->options->ignore_mute;
}

static void apply_sending(struct endpoint *e)
{
    if (e->sender)
        sender_set(e->sender, sends_sound(e), e->options->video);
}

static void *make_clip(void *arg)
{
    struct endpoint *e = arg;
    struct clip_spec spec = {.width = e->options->width,
                             .height = e->options->height,
                             .fps = e->options->fps,
                             .source = e->source,
                             .name = e->name};
    struct clip *clip = NULL;
    if (clip_open(e->options->cache_dir, &spec, &clip))
        log_error("endpoint", "no clip could be made in %s", e->options->cache_dir);
    else
        atomic_store(&e->clip, clip);
    return NULL;
}

static void ask_clip(struct endpoint *e)
{
    if (!e->clip_asked && e->options->publishes)
        e->clip_asked = pthread_create(&e->clip_thread, NULL, make_clip, e) == 0;
}

static void take_clip(struct endpoint *e, int64_t now_us)
{
    struct clip *clip = atomic_load(&e->clip);
    if (e->clip_taken || !clip)
        return;
    e->clip_taken = true;
    /* rooms begin at different moments of a frame, as real ones do */
    e->sender = sender_new(clip, 0x10000000u + (e->index + 1) * 64, now_us + (int64_t)(e->index * 7919 % 40000));
    if (!e->sender)
        return;
    if (e->options->frozen)
        sender_freeze(e->sender);
    if (e->options->no_keyframes)
        sender_ignore_keyframe_requests(e->sender);
    if (e->options->sent)
        sender_set_tap(e->sender, e->options->sent, e->options->tap_ctx);
    apply_sending(e);
    if (!e->transport)
        return;
    sender_attach(e->sender, e->transport, now_us);
    sender_want_layers(e->sender, e->wanted_layers);
}

static void take_answer(struct endpoint *e, const char *sdp, int64_t now_us)
{
    struct answer a;
    if (!e->next || answer_parse(sdp, e->options->family, &a)) {
        log_error("endpoint", "endpoint=%u the answer makes no sense", e->index);
        return;
    }
    struct net_transport_config config = {.role = NET_CLIENT, .user = e, .remote = a.remote, .tcp = e->options->tcp};
    snprintf(config.remote_ufrag, sizeof config.remote_ufrag, "%s", a.ufrag);
    snprintf(config.remote_pwd, sizeof config.remote_pwd, "%s", a.pwd);
    snprintf(config.remote_fingerprint, sizeof config.remote_fingerprint, "%s", a.fingerprint);
    if (net_transport_connect(e->next, &config)) {
        e->offer_at_us = now_us + RETRY_OFFER_US;
        return;
    }
    net_transport_free(e->transport);
    e->transport = e->next;
    e->next = NULL;
    e->connected_us = 0;
    e->answer = a;
    hostile_detach(&e->hostile);
    receiver_attach(e->receiver, e->transport, &a, now_us);
    e->wanted_layers = (1u << OFFER_RIDS) - 1;
    if (e->sender)
        sender_attach(e->sender, e->transport, now_us);
}

void endpoint_transport_state(struct endpoint *e, struct net_transport *t, enum net_state state, int64_t now_us)
{
    if (t == e->transport && state == NET_CONNECTED)
        e->connected_us = now_us;
    if (t == e->transport && !e->next &&
        (state == NET_FAILED || state == NET_EXPIRED)) { /* not if a new one is on its way */
        e->rejoins++;
        e->offer_at_us = now_us;
    }
}

/* --- what the server says
 * --------------------------------------------------------------------------------------------------- */

static unsigned number_of(const json_t *data)
{
    return (unsigned)json_integer_value(json_object_get(data, "number"));
}

static void set_microphone(struct endpoint *e, bool on)
{
    e->microphone = on;
    apply_sending(e);
}

static bool is_spared(const struct endpoint *e, const json_t *except)
{
    size_t i;
    json_t *n;
    json_array_foreach(except, i, n)
        if (json_integer_value(n) == e->number)
            return true;
    return false;
}

static void take_floor(struct endpoint *e, bool ours)
{
    bool had = e->has_floor;
    e->has_floor = ours;
    if (ours && !had) {
        set_microphone(e, true);
        say_media(e);
    } else if (!ours && had && !e->options->speaks)
        set_microphone(e, false);
}

static void take_event(struct endpoint *e, const json_t *m)
{
    const char *name = json_string_value(json_object_get(m, "event"));
    const json_t *data = json_object_get(m, "data");
    json_int_t seq = json_integer_value(json_object_get(m, "seq"));
    e->last_seq = (uint64_t)seq;
    bool ours = number_of(data) == e->number;
    if (!strcmp(name, "floor-granted"))
        take_floor(e, ours);
    else if (!strcmp(name, "floor-revoked"))
        take_floor(e, false);
    else if ((!strcmp(name, "muted") && ours) ||
             (!strcmp(name, "all-muted") && !is_spared(e, json_object_get(data, "except"))))
        set_microphone(e, false);
    else if (!strcmp(name, "media") && ours)
        set_microphone(e, json_is_true(json_object_get(data, "microphone")));
    else if (!strcmp(name, "removed") && ours)
        e->over = true;
}

static void take_wanted(struct endpoint *e, const json_t *camera)
{
    unsigned layers = 0;
    size_t i;
    const json_t *layer;
    json_array_foreach(camera, i, layer) {
        const char *rid = json_string_value(json_object_get(layer, "rid"));
        for (unsigned k = 0; rid && k < OFFER_RIDS; k++)
            if (!strcmp(rid, offer_rids[k]) && json_is_true(json_object_get(layer, "active")))
                layers |= 1u << k;
    }
    e->wanted_layers = layers;
    if (e->sender)
        sender_want_layers(e->sender, layers);
}

static void take_notice(struct endpoint *e, const json_t *m, int64_t now_us)
{
    const char *name = json_string_value(json_object_get(m, "notice"));
    if (!strcmp(name, "rejoin")) {
        e->rejoins++;
        e->offer_at_us = now_us;
    } else if (!strcmp(name, "taken-over") || !strcmp(name, "removed"))
        e->over = true;
    else if (!strcmp(name, "send") && json_object_get(json_object_get(m, "data"), "camera"))
        take_wanted(e, json_object_get(json_object_get(m, "data"), "camera"));
    else if (!strcmp(name, "slots")) {
        size_t i;
        json_t *slot, *slots = json_object_get(json_object_get(m, "data"), "slots");
        e->paused = 0;
        json_array_foreach(slots, i, slot) {
            e->paused += json_is_true(json_object_get(slot, "paused"));
            if (atoi(json_string_value(json_object_get(slot, "mid"))) == OFFER_STAGE)
                e->stage = number_of(slot);
        }
    }
}

/* Our own line of the snapshot. False: it isn't what a room that comes back has told the server. */
static bool take_state(struct endpoint *e, const json_t *state)
{
    bool told = true, camera = e->options->video && e->options->publishes;
    size_t i;
    json_t *other;
    json_array_foreach(json_object_get(state, "endpoints"), i, other) {
        if (number_of(other) != e->number)
            continue;
        const char *name = json_string_value(json_object_get(other, "unit_short"));
        snprintf(e->name, sizeof e->name, "%s", name ? name : "");
        told = json_is_true(json_object_get(other, "camera")) == camera;
        if (e->resuming && told)
            set_microphone(e, json_is_true(json_object_get(other, "microphone")));
    }
    if (json_is_object(state))
        take_floor(e, json_integer_value(json_object_get(state, "floor")) == e->number);
    return told;
}

static void take_hello(struct endpoint *e, const json_t *result, int64_t now_us)
{
    size_t i;
    json_t *event;
    const json_t *state = json_object_get(result, "state");
    e->resuming = e->secret[0] != '\0';
    snprintf(e->id, sizeof e->id, "%s", json_string_value(json_object_get(result, "endpoint")));
    snprintf(e->secret, sizeof e->secret, "%s", json_string_value(json_object_get(result, "secret")));
    e->number = number_of(result);
    e->live = true;
    e->live_us = now_us;
    bool told = take_state(e, state) && e->resuming;
    json_array_foreach(json_object_get(result, "events"), i, event)
        take_event(e, event);
    e->last_seq = (uint64_t)json_integer_value(json_object_get(result, "last"));
    ask_clip(e);
    say_layout(e);
    if (!told) /* whoever was muted while it was away does not unmute itself by coming back */
        say_media(e);
    if (!e->transport || net_transport_state(e->transport) == NET_FAILED || net_transport_state(e->transport) == NET_EXPIRED)
        make_offer(e);
}

static void take_reply(struct endpoint *e, const json_t *m, int64_t now_us)
{
    json_int_t id = json_integer_value(json_object_get(m, "id"));
    const json_t *result = json_object_get(m, "result"), *error = json_object_get(m, "error");
    if (error)
        log_warn("endpoint", "endpoint=%u request=%lld refused code=%s", e->index, (long long)id,
                 json_string_value(json_object_get(error, "code")));
    if (id == e->hello_request && result)
        take_hello(e, result, now_us);
    else if (id == e->hello_request) {
        e->secret[0] = '\0'; /* a resume that the server doesn't know: begin anew */
        sockets_close(e->options->sockets, e->index);
    } else if (id == e->leave_request)
        e->live = false;
    else if (id == e->offer_request && result)
        take_answer(e, json_string_value(json_object_get(result, "sdp")), now_us);
    else if (id == e->offer_request)
        e->offer_at_us = now_us + RETRY_OFFER_US;
}

static void take_message(struct endpoint *e, const char *text, int64_t now_us)
{
    json_t *m = json_loads(text, 0, NULL);
    if (json_object_get(m, "event"))
        take_event(e, m);
    else if (json_object_get(m, "notice"))
        take_notice(e, m, now_us);
    else if (m)
        take_reply(e, m, now_us);
    json_decref(m);
}

void endpoint_socket_event(struct endpoint *e, const struct socket_event *event, int64_t now_us)
{
    switch (event->kind) {
    case SOCKET_OPEN:
        snprintf(e->briefing, sizeof e->briefing, "%s", event->text ? event->text : "");
        say_hello(e);
        return;
    case SOCKET_MESSAGE:
        if (event->text)
            take_message(e, event->text, now_us);
        return;
    case SOCKET_CLOSED:
        if (e->live)
            e->resumes++;
        e->live = false;
        e->live_us = 0;
        net_transport_free(e->next); /* its offer will not be answered */
        e->next = NULL;
        if (!e->over)
            e->connect_at_us = now_us + (int64_t)(drand48() * BACK_MAX_US);
        return;
    }
}

/* --- the media loop
 * ---------------------------------------------------------------------------------------------------------- */

void endpoint_packet(struct endpoint *e, struct packet *p, int64_t now_us)
{
    receiver_packet(e->receiver, p, now_us);
}

void endpoint_rtcp(struct endpoint *e, const uint8_t *bytes, size_t len, int64_t now_us)
{
    struct reader r = reader_make(bytes, len);
    struct rtcp_block b;
    while (rtcp_next(&r, &b) == 0) {
        receiver_report(e->receiver, &b, now_us);
        if (e->sender)
            sender_feedback(e->sender, &b, now_us);
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t endpoint_run(struct endpoint *e, int64_t now_us)
{
    int64_t next = INT64_MAX;
    if (now_us >= e->connect_at_us) {
        e->connect_at_us = INT64_MAX;
        endpoint_start(e);
    }
    if (now_us >= e->offer_at_us && e->live)
        make_offer(e);
    if (e->transport && e->live && !e->next && hostile_joins_again(&e->hostile, now_us))
        make_offer(e);
    if (e->clip_asked && !e->clip_taken) {
        take_clip(e, now_us);
        next = now_us + CLIP_LOOK_US;
    }
    if (e->sender)
        next = earlier(next, sender_run(e->sender, now_us));
    next = earlier(next, receiver_run(e->receiver, now_us));
    next = earlier(next, hostile_run(&e->hostile, e->transport, &e->answer, now_us));
    next = earlier(next, e->connect_at_us);
    return e->live ? earlier(next, e->offer_at_us) : next;
}

void endpoint_status(const struct endpoint *e, struct endpoint_status *ret)
{
    *ret =
        (struct endpoint_status){.joined = e->live && e->transport && net_transport_state(e->transport) == NET_CONNECTED &&
                                           (!e->options->publishes || e->sender),
                                 .microphone = e->microphone,
                                 .has_floor = e->has_floor,
                                 .stage = e->stage,
                                 .paused = e->paused,
                                 .rejoins = e->rejoins,
                                 .resumes = e->resumes,
                                 .hostile = e->hostile.sent,
                                 .hostile_back_bytes = e->hostile.back_bytes,
                                 .received = *receiver_counts(e->receiver)};
    if (e->sender)
        ret->sent = *sender_counts(e->sender);
}

static unsigned port_of(const struct sockaddr_storage *a)
{
    return ntohs(a->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)a)->sin6_port
                                          : ((const struct sockaddr_in *)a)->sin_port);
}

void endpoint_hearing(const struct endpoint *e, int64_t now_us, struct endpoint_hearing *ret)
{
    const struct receiver_counts *c = receiver_counts(e->receiver);
    bool connected = e->transport && net_transport_state(e->transport) == NET_CONNECTED;
    *ret = (struct endpoint_hearing){.number = e->number,
                                     .port = e->transport ? port_of(&e->answer.remote) : 0,
                                     .rejoins = e->rejoins,
                                     .resumes = e->resumes,
                                     .stage_sound = c->stage_sound,
                                     .lost = receiver_lost(e->receiver),
                                     .stage_gap_us = receiver_stage_gap_us(e->receiver, now_us),
                                     .live_us = e->live_us,
                                     .connected_us = connected ? e->connected_us : 0,
                                     .heard_us = c->heard_us};
}

void endpoint_reset_gap(struct endpoint *e, int64_t now_us)
{
    receiver_reset_gap(e->receiver, now_us);
}

void endpoint_ignore_keyframe_requests(struct endpoint *e)
{
    if (e->sender)
        sender_ignore_keyframe_requests(e->sender);
}
