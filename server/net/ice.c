#include "net/net_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/openssl.h"

#include <openssl/rand.h>
#include <stun/usages/ice.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK_FIRST_US 50000LL     /* Ta of RFC 8445, 14.2 */
#define CHECK_SLOWEST_US 1600000LL /* without an answer */
#define CHECK_KEEP_US 2500000LL    /* consent, as browsers do */
#define CHECK_FAST_COUNT 10        /* checks at the first interval, then doubling */
#define CHECK_PRIORITY 0x6e0001ffU /* a peer-reflexive candidate, RFC 8445, 5.1.2.1 */

static const uint16_t known_attributes[] = {
    STUN_ATTRIBUTE_USERNAME,
    STUN_ATTRIBUTE_MESSAGE_INTEGRITY,
    STUN_ATTRIBUTE_ERROR_CODE,
    STUN_ATTRIBUTE_UNKNOWN_ATTRIBUTES,
    STUN_ATTRIBUTE_XOR_MAPPED_ADDRESS,
    STUN_ATTRIBUTE_MAPPED_ADDRESS,
    STUN_ATTRIBUTE_PRIORITY,
    STUN_ATTRIBUTE_USE_CANDIDATE,
    STUN_ATTRIBUTE_FINGERPRINT,
    STUN_ATTRIBUTE_ICE_CONTROLLED,
    STUN_ATTRIBUTE_ICE_CONTROLLING,
    STUN_ATTRIBUTE_SOFTWARE,
    0,
};

static void init_agent(StunAgent *agent)
{
    stun_agent_init(agent, known_attributes, STUN_COMPATIBILITY_RFC5389,
                    STUN_AGENT_USAGE_SHORT_TERM_CREDENTIALS | STUN_AGENT_USAGE_USE_FINGERPRINT);
}

void ice_init(struct net *n)
{
    init_agent(&n->agent);
}

struct validation {
    struct net *net;
    struct net_transport *t;
};

/* USERNAME is "ours:theirs" (RFC 8445, 7.2.2); the key is our password. */
static bool find_password(StunAgent *agent, StunMessage *message, uint8_t *username, uint16_t username_len,
                          uint8_t **password, size_t *password_len, void *user_data)
{
    struct validation *v = user_data;
    const uint8_t *colon = memchr(username, ':', username_len);
    if (!colon)
        return false;
    size_t ours = (size_t)(colon - username), theirs = username_len - ours - 1;
    struct net_transport *t = net_transport_by_ufrag(v->net, (const char *)username, ours);
    if (!t || t->role != NET_SERVER || t->state >= NET_FAILED || strlen(t->remote_ufrag) != theirs ||
        memcmp(t->remote_ufrag, colon + 1, theirs) != 0)
        return false;
    v->t = t;
    *password = (uint8_t *)t->pwd;
    *password_len = strlen(t->pwd);
    return true;
}

static void server_input(struct net *n, struct net_socket *s, struct packet *p, const union net_addr *from, int64_t now_us)
{
    struct validation v = {.net = n};
    StunMessage request, reply;
    if (!net_path_find(n, s, from) && !stun_may_come(n, from, now_us)) {
        net_drop(n, NET_DROP_STUN_RATE);
        return;
    }
    StunValidationStatus status = stun_agent_validate(&n->agent, &request, p->bytes, p->len, find_password, &v);
    bool authentic = v.t && (status == STUN_VALIDATION_SUCCESS || status == STUN_VALIDATION_UNKNOWN_REQUEST_ATTRIBUTE);
    if (!authentic || stun_message_get_class(&request) != STUN_REQUEST ||
        stun_message_get_method(&request) != STUN_BINDING) {
        net_drop(n, NET_DROP_STUN);
        stun_charge(n, from, now_us);
        return;
    }
    /* Whoever knows a password of his own could name somebody else's address as the sender's and take it over. */
    if (net_path_is_used(v.t, s, from, now_us)) {
        net_drop(n, NET_DROP_ADDRESS_USED);
        return;
    }
    if (s->stream && s->stream->t && s->stream->t != v.t) {
        net_drop(n, NET_DROP_ADDRESS_USED);
        return;
    }
    if (s->stream)
        stream_belongs(s, v.t, now_us);
    if (!allowance_take(&v.t->checks, NET_CHECKS_AT_ONCE, NET_CHECK_US, now_us)) {
        net_drop(n, NET_DROP_CHECK_FLOOD);
        return;
    }
    uint8_t *out = send_room(n, STUN_MAX_MESSAGE_SIZE);
    size_t len = STUN_MAX_MESSAGE_SIZE;
    if (status == STUN_VALIDATION_UNKNOWN_REQUEST_ATTRIBUTE) {
        len = stun_agent_build_unknown_attributes_error(&n->agent, &reply, out, len, &request);
        send_commit(n, s, NULL, from, NET_CONTROL, len);
        return;
    }
    bool controlling = false;
    struct sockaddr_storage to = {0};
    memcpy(&to, from, net_addr_len(from));
    /* With tie-breaker 0 a peer that believes itself controlled gets 487 and becomes controlling, as a lite peer needs. */
    StunUsageIceReturn done =
        stun_usage_ice_conncheck_create_reply(&n->agent, &request, &reply, out, &len, &to, net_addr_len(from), &controlling,
                                              0, STUN_USAGE_ICE_COMPATIBILITY_RFC5245);
    send_commit(n, s, NULL, from, NET_CONTROL, len);
    if (done == STUN_USAGE_ICE_RETURN_SUCCESS)
        net_path_checked(v.t, s, from, stun_usage_ice_conncheck_use_candidate(&request), now_us);
}

/* The check that this answers, or NULL. */
static struct net_check *find_check(struct net_checker *c, const StunMessage *response)
{
    StunTransactionId id;
    stun_message_id(response, id);
    for (int i = 0; i < NET_CHECKS; i++)
        if (c->checks[i].sent_us && !memcmp(c->checks[i].id, id, sizeof id))
            return &c->checks[i];
    return NULL;
}

static void client_input(struct net_transport *t, struct packet *p, const union net_addr *from, int64_t now_us)
{
    struct net_checker *c = t->checker;
    StunMessage response;
    union {
        struct sockaddr_storage storage;
        struct sockaddr sa;
    } mapped;
    socklen_t mapped_len = sizeof mapped;
    if (!net_addr_equal(from, &c->remote) || /* RFC 8445, 7.2.5.2.1: an answer comes from where the check went */
        stun_agent_validate(&c->agent, &response, p->bytes, p->len, NULL, NULL) != STUN_VALIDATION_SUCCESS ||
        stun_usage_ice_conncheck_process(&response, &mapped.storage, &mapped_len, STUN_USAGE_ICE_COMPATIBILITY_RFC5245) !=
            STUN_USAGE_ICE_RETURN_SUCCESS) {
        net_drop(t->net, NET_DROP_STUN);
        return;
    }
    struct net_check *check = find_check(c, &response);
    if (check) {
        c->rtt_us = now_us - check->sent_us;
        check->sent_us = 0;
    }
    c->interval_us = CHECK_KEEP_US;
    c->next_us = now_us + CHECK_KEEP_US;
    bool first = t->state == NET_NEW;
    net_path_checked(t, t->own_socket, from, true, now_us);
    if (first && !t->dead)
        dtls_connect(t, now_us);
}

void ice_input(struct net *n, struct net_socket *s, struct packet *p, const union net_addr *from, int64_t now_us)
{
    if (!s->owner)
        server_input(n, s, p, from, now_us);
    else if (!s->owner->dead && s->owner->state < NET_FAILED)
        client_input(s->owner, p, from, now_us);
}

static int make_socket(struct net_transport *t, const struct sockaddr *from)
{
    if (t->tcp)
        return stream_connect(t, &t->checker->remote, &t->own_socket);
    int family = t->checker->remote.sa.sa_family, fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    if (from && bind(fd, from, family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in))) {
        close(fd);
        return ERR_IO;
    }
    return net_socket_new(t->net, fd, t, &t->own_socket);
}

int ice_client_new(struct net_transport *t, const union net_addr *remote)
{
    struct net_checker *c = t->checker = calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    init_agent(&c->agent);
    c->remote = *remote;
    c->interval_us = CHECK_FIRST_US;
    c->rtt_us = -1;
    int err = RAND_bytes((uint8_t *)&c->tie_breaker, sizeof c->tie_breaker) == 1 ? make_socket(t, NULL) : ERR_IO;
    if (err) {
        free(c);
        t->checker = NULL;
    }
    return err;
}

void ice_client_tick(struct net_transport *t, int64_t now_us)
{
    struct net_checker *c = t->checker;
    struct net_check *check = &c->checks[c->sent % NET_CHECKS];
    if (check->sent_us)
        stun_agent_forget_transaction(&c->agent, check->id);

    char username[sizeof t->remote_ufrag + sizeof t->ufrag];
    int username_len = snprintf(username, sizeof username, "%s:%s", t->remote_ufrag, t->ufrag);
    StunMessage request;
    uint8_t *out = send_room(t->net, STUN_MAX_MESSAGE_SIZE);
    size_t len = stun_usage_ice_conncheck_create(
        &c->agent, &request, out, STUN_MAX_MESSAGE_SIZE, (uint8_t *)username, (size_t)username_len, (uint8_t *)t->remote_pwd,
        strlen(t->remote_pwd), true, true, CHECK_PRIORITY, c->tie_breaker, NULL, STUN_USAGE_ICE_COMPATIBILITY_RFC5245);
    if (len) {
        stun_message_id(&request, check->id);
        check->sent_us = now_us;
        send_commit(t->net, t->own_socket, NULL, &c->remote, NET_CONTROL, len);
    }
    c->sent++;
    if (t->state == NET_NEW && c->sent > CHECK_FAST_COUNT && c->interval_us < CHECK_SLOWEST_US)
        c->interval_us *= 2;
    c->next_us = now_us + c->interval_us;
}

int net_transport_rebind(struct net_transport *t, const struct sockaddr *from)
{
    if (t->role != NET_CLIENT || t->dead || !t->checker)
        return ERR_INVAL;
    struct net_socket *old = t->own_socket;
    int err = make_socket(t, from);
    if (err)
        return err;
    bool had_path = t->path;
    net_paths_clear(t);
    net_socket_retire(old);
    int64_t now_us = clock_now_us(), checked_us = t->checked_us;
    if (had_path)
        net_path_checked(t, t->own_socket, &t->checker->remote, true, now_us);
    t->checked_us = checked_us; /* the new way has proved nothing yet */
    t->checker->next_us = now_us;
    net_wake_at(t->net, now_us);
    return 0;
}
