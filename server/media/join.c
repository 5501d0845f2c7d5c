/* An offer becomes a transport and a peer, and an answer. Nobody is disturbed until the new transport is connected: then it
 * takes the place of the endpoint's former one. */
#include "media/media.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { FREED_A_TURN = 32 };

/* ---- candidates ---- */

static bool address_of(const struct sockaddr_storage *a, struct sdp_candidate *ret, int *ret_family)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)a;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a;
    *ret_family = a->ss_family;
    if (a->ss_family == AF_INET) {
        ret->port = ntohs(in->sin_port);
        return inet_ntop(AF_INET, &in->sin_addr, ret->address, sizeof ret->address) != NULL;
    }
    if (a->ss_family != AF_INET6 || IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
        return false; /* a link-local address means nothing without its interface */
    ret->port = ntohs(in6->sin6_port);
    return inet_ntop(AF_INET6, &in6->sin6_addr, ret->address, sizeof ret->address) != NULL;
}

static uint16_t port_of_family(const struct media *m, int family)
{
    struct sdp_candidate c = {.port = 0};
    uint16_t any = 0;
    for (size_t i = 0; i < m->n_sockets; i++) {
        struct sockaddr_storage a = {0};
        socklen_t len = sizeof a;
        int found;
        if (getsockname(m->sockets[i], (struct sockaddr *)&a, &len) || !address_of(&a, &c, &found))
            continue;
        if (found == family)
            return c.port;
        any = c.port;
    }
    return any;
}

static void announce(struct media *m)
{
    char text[LINK_TEXT_MAX], *rest = text, *word;
    snprintf(text, sizeof text, "%s", m->announced);
    while ((word = strsep(&rest, " ")) != NULL && m->n_candidates < MEDIA_CANDIDATES_MAX) {
        if (!*word)
            continue;
        struct sdp_candidate *c = &m->candidates[m->n_candidates++];
        snprintf(c->address, sizeof c->address, "%s", word);
        c->port = port_of_family(m, strchr(word, ':') ? AF_INET6 : AF_INET);
    }
}

void join_find_candidates(struct media *m)
{
    m->n_candidates = 0;
    announce(m);
    if (m->n_candidates)
        return;
    for (size_t i = 0; i < m->n_sockets && m->n_candidates < MEDIA_CANDIDATES_MAX; i++) {
        struct sockaddr_storage a = {0};
        socklen_t len = sizeof a;
        int family;
        if (!getsockname(m->sockets[i], (struct sockaddr *)&a, &len) &&
            address_of(&a, &m->candidates[m->n_candidates], &family))
            m->n_candidates++;
    }
}

/* ---- offer → peer ---- */

static enum rtp_codec codec_of(enum sdp_codec_name name)
{
    static const enum rtp_codec codecs[] = {
        [SDP_OPUS] = RTP_OPUS, [SDP_VP8] = RTP_VP8, [SDP_VP9] = RTP_VP9, [SDP_H264] = RTP_H264};
    return codecs[name];
}

static struct rtp_ext_ids ids_of(const struct sdp_ext_ids *e)
{
    return (struct rtp_ext_ids){
        .mid = e->mid,
        .rid = e->rid,
        .rrid = e->rrid,
        .transport_seq = e->transport_seq,
        .abs_time = e->abs_time,
        .audio_level = e->audio_level,
    };
}

static void configure_publish(struct peer_config *config, struct endpoint *e, const struct sdp_section *s)
{
    unsigned kind = s->role == SDP_ROLE_MICROPHONE ? WISH_MICROPHONE
                    : s->role == SDP_ROLE_CAMERA   ? WISH_CAMERA
                                                   : WISH_SCREEN;
    struct publish_config *c = &config->publish[kind];
    if (!s->n_codecs)
        return;
    *c = (struct publish_config){
        .used = true,
        .codec = codec_of(s->codecs[0].name),
        .pt = s->codecs[0].pt,
        .rtx_pt = s->codecs[0].rtx_pt,
        .ids = ids_of(&s->ext),
        .n_rids = s->n_rids,
        .ssrc = s->ssrc,
        .rtx_ssrc = s->rtx_ssrc,
        .nack = s->codecs[0].nack,
        .pli = s->codecs[0].pli,
        .fir = s->codecs[0].fir,
    };
    snprintf(c->mid, sizeof c->mid, "%s", s->mid);
    for (size_t i = 0; i < s->n_rids && i < SFU_LAYERS; i++)
        snprintf(c->rids[i], sizeof c->rids[i], "%s", s->rids[i]);
    snprintf(e->fmtp[kind], sizeof e->fmtp[kind], "%s", s->codecs[0].fmtp);
}

static bool ssrc_taken(const struct sdp_answer *a, uint32_t ssrc)
{
    for (size_t i = 0; i < SDP_SECTIONS_MAX; i++)
        if (a->slots[i].ssrc == ssrc || a->slots[i].rtx_ssrc == ssrc)
            return true;
    return ssrc == 0;
}

static uint32_t new_ssrc(const struct sdp_answer *a)
{
    uint32_t ssrc = 0;
    while (ssrc_taken(a, ssrc))
        if (getrandom(&ssrc, sizeof ssrc, 0) != sizeof ssrc)
            abort(); /* cannot fail for 4 bytes once the pool is initialised, which it is long before us */
    return ssrc;
}

static void configure_slot(struct peer_config *config, struct sdp_answer *answer, const struct sdp_section *s,
                           size_t section)
{
    static const enum slot_role roles[] = {
        [SDP_ROLE_STAGE_SOUND] = SLOT_STAGE_SOUND,
        [SDP_ROLE_STAGE_PICTURE] = SLOT_STAGE_PICTURE,
        [SDP_ROLE_SHARED_SCREEN] = SLOT_SHARED_SCREEN,
        [SDP_ROLE_SOUND] = SLOT_FURTHER_SOUND,
        [SDP_ROLE_TILE] = SLOT_TILE,
    };
    struct slot_config *c = &config->slots[config->n_slots++];
    bool rtx = false;
    *c = (struct slot_config){.role = roles[s->role], .index = s->slot, .ids = ids_of(&s->ext)};
    snprintf(c->mid, sizeof c->mid, "%s", s->mid);
    for (size_t i = 0; i <= RTP_H264; i++)
        c->codecs[i] = (struct slot_codec){.pt = SFU_NO_PT, .rtx_pt = SFU_NO_PT, .red_pt = SFU_NO_PT};
    config->estimates |= s->codecs[0].transport_cc && s->ext.transport_seq;
    for (size_t i = 0; i < s->n_codecs; i++) {
        struct slot_codec *codec = &c->codecs[codec_of(s->codecs[i].name)];
        if (codec->pt != SFU_NO_PT)
            continue; /* the first of a name counts */
        *codec = (struct slot_codec){
            .pt = s->codecs[i].pt, .rtx_pt = s->codecs[i].rtx_pt, .red_pt = s->codecs[i].red_pt, .nack = s->codecs[i].nack};
        rtx |= s->codecs[i].rtx_pt != SDP_NO_PT;
    }
    c->ssrc = answer->slots[section].ssrc = new_ssrc(answer);
    if (s->kind == SDP_VIDEO && rtx)
        c->rtx_ssrc = answer->slots[section].rtx_ssrc = new_ssrc(answer);
}

static int configure(struct media *m, struct endpoint *e, struct peer_config *config)
{
    memset(&m->answer, 0, sizeof m->answer);
    for (size_t i = 0; i < m->offer.n_sections; i++) {
        const struct sdp_section *s = &m->offer.sections[i];
        if (sdp_role_sends(s->role))
            configure_publish(config, e, s);
        else if (sdp_role_receives(s->role) && config->n_slots < SFU_SLOTS_MAX)
            configure_slot(config, &m->answer, s, i);
        else if (sdp_role_receives(s->role))
            return ERR_RANGE;
    }
    return 0;
}

static int write_answer(struct media *m, const struct endpoint *e)
{
    uint64_t id;
    size_t len;
    if (getrandom(&id, sizeof id, 0) != sizeof id)
        return ERR_IO;
    m->answer.ufrag = net_transport_ufrag(e->transport);
    m->answer.pwd = net_transport_pwd(e->transport);
    m->answer.fingerprint = net_fingerprint(m->net);
    m->answer.cname = "giaoban";
    m->answer.session_id = id >> 2; /* 62 bits, as JSEP asks */
    m->answer.candidates = m->candidates;
    m->answer.n_candidates = m->n_candidates;
    m->answer.tcp = m->n_listeners > 0;
    return sdp_answer_write(&m->offer, &m->answer, m->text, sizeof m->text, &len);
}

static int make_transport(struct media *m, struct endpoint *e)
{
    struct net_transport_config *config = calloc(1, sizeof *config);
    if (!config)
        return ERR_NOMEM;
    config->role = NET_SERVER;
    config->user = e;
    snprintf(config->remote_ufrag, sizeof config->remote_ufrag, "%s", m->offer.ufrag);
    snprintf(config->remote_pwd, sizeof config->remote_pwd, "%s", m->offer.pwd);
    snprintf(config->remote_fingerprint, sizeof config->remote_fingerprint, "%s", m->offer.fingerprint);
    int err = net_transport_new(m->net, config, &e->transport);
    free(config);
    return err;
}

static void endpoint_free(struct endpoint *e, int64_t now_us)
{
    peer_free(e->peer, now_us);
    net_transport_free(e->transport);
    free(e);
}

static int make_endpoint(struct briefing *b, uint32_t number, uint32_t incarnation, int64_t now_us, struct endpoint **ret)
{
    struct media *m = b->media;
    struct peer_config *config = calloc(1, sizeof *config);
    struct endpoint *e = calloc(1, sizeof *e);
    int err = ERR_NOMEM;
    if (!config || !e)
        goto fail;
    e->briefing = b;
    e->number = config->number = number;
    e->incarnation = config->incarnation = incarnation;
    if ((err = configure(m, e, config)) || (err = make_transport(m, e)))
        goto fail;
    config->transport = e->transport;
    config->user = e;
    if ((err = peer_new(&m->sfu, config, &e->peer)) || (err = write_answer(m, e)))
        goto fail;
    free(config);
    *ret = e;
    return 0;
fail:
    free(config);
    if (e && e->transport)
        endpoint_free(e, now_us);
    else
        free(e);
    return err;
}

static struct endpoint *find_newest(const struct briefing *b, uint32_t number)
{
    struct endpoint *newest = NULL;
    for (struct endpoint *e = b->endpoints; e; e = e->next)
        if (e->number == number && !e->doomed && (!newest || e->incarnation > newest->incarnation))
            newest = e;
    return newest;
}

/* Only one offer waits at a time. */
static void drop_waiting(struct briefing *b, uint32_t number, int64_t now_us)
{
    for (struct endpoint *e = b->endpoints; e; e = e->next)
        if (e->number == number && !e->connected)
            endpoint_doom(e, now_us);
}

void join_offer(struct briefing *b, json_int_t req, uint32_t number, uint32_t incarnation, const char *sdp, int64_t now_us)
{
    struct media *m = b->media;
    struct endpoint *e = find_newest(b, number);
    if (!wish_find(&b->wish, number) || briefing_removed(b, number)) {
        control_refuse(m, req, "unknown-endpoint", "the wish does not have that endpoint");
        return;
    }
    if (e && incarnation <= e->incarnation) {
        control_refuse(m, req, "stale-incarnation", "a newer offer of that endpoint is here");
        return;
    }
    if (sdp_offer_parse(sdp, strlen(sdp), &m->offer, &m->sdp_error)) {
        control_refuse(m, req, m->sdp_error.code, m->sdp_error.text);
        return;
    }
    int err = make_endpoint(b, number, incarnation, now_us, &e);
    if (err) {
        control_refuse(m, req, err == ERR_RANGE ? "too-many-sections" : "busy", err_str(err));
        return;
    }
    drop_waiting(b, number, now_us);
    e->next = b->endpoints;
    b->endpoints = e;
    log_info("media", "offer briefing=%s endpoint=%u incarnation=%u", b->id, number, incarnation);
    control_send(m, json_pack("{ss sI ss}", "m", "answer", "req", req, "sdp", m->text));
}

/* ---- life of a transport ---- */

struct endpoint *join_connected(const struct briefing *b, uint32_t number)
{
    for (struct endpoint *e = b->endpoints; e; e = e->next)
        if (e->number == number && e->connected && !e->doomed)
            return e;
    return NULL;
}

void endpoint_doom(struct endpoint *e, int64_t now_us)
{
    if (e->doomed)
        return;
    e->doomed = e->briefing->media->doomed = true;
    e->connected = false;
    for (unsigned kind = WISH_MICROPHONE; e->peer && kind < SFU_KINDS; kind++)
        if (e->peer->sources[kind])
            feeds_track_ended(e->briefing, e->peer->sources[kind], now_us);
    if (e->peer)
        router_detach(e->peer, now_us);
}

/* Hundreds of handshakes may end in one moment; what is left over waits for the next turn. */
static void sweep(struct briefing *b, unsigned *budget, int64_t now_us)
{
    for (struct endpoint **at = &b->endpoints; *at;) {
        struct endpoint *e = *at;
        if (!e->doomed) {
            at = &e->next;
            continue;
        }
        if (*budget == 0) {
            b->media->doomed = true;
            return;
        }
        --*budget;
        *at = e->next;
        report_gone(e);
        endpoint_free(e, now_us);
    }
}

void endpoints_drop(struct briefing *b, int64_t now_us)
{
    unsigned all = UINT_MAX;
    for (struct endpoint *e = b->endpoints; e; e = e->next)
        endpoint_doom(e, now_us);
    sweep(b, &all, now_us);
}

void endpoints_sweep(struct media *m, int64_t now_us)
{
    unsigned budget = FREED_A_TURN;
    if (!m->doomed)
        return;
    m->doomed = false;
    for (struct briefing *b = m->briefings; b; b = b->next)
        sweep(b, &budget, now_us);
}

static void connected(struct endpoint *e, int64_t now_us)
{
    struct briefing *b = e->briefing;
    for (struct endpoint *former = b->endpoints; former; former = former->next)
        if (former != e && former->number == e->number && former->incarnation < e->incarnation)
            endpoint_doom(former, now_us);
    if (router_attach(b->router, e->peer, now_us)) {
        endpoint_doom(e, now_us);
        return;
    }
    e->connected = true;
    log_info("media", "connected briefing=%s endpoint=%u incarnation=%u", b->id, e->number, e->incarnation);
}

void join_state(struct endpoint *e, enum net_state state, int64_t now_us)
{
    if (e->doomed)
        return;
    if (state == NET_CONNECTED && !e->connected)
        connected(e, now_us);
    if (state != NET_FAILED && state != NET_EXPIRED)
        return;
    log_info("media", "%s briefing=%s endpoint=%u", state == NET_FAILED ? "failed" : "expired", e->briefing->id, e->number);
    endpoint_doom(e, now_us);
}
