#include "net/net_priv.h"

#include "base/clock.h"
#include "base/err.h"

#include "base/openssl.h"
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ice-char of RFC 8839, 5.4: six bits each. */
static int random_ice_chars(char *out, size_t count)
{
    static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t bytes[32];
    if (RAND_bytes(bytes, (int)count) != 1)
        return ERR_IO;
    for (size_t i = 0; i < count; i++)
        out[i] = chars[bytes[i] & 63];
    out[count] = '\0';
    return 0;
}

static int take_slot(struct net *n, struct net_transport *t)
{
    for (unsigned i = 0; i < NET_TRANSPORTS; i++) {
        unsigned slot = (n->next_slot + i) % NET_TRANSPORTS;
        if (n->slots[slot])
            continue;
        n->slots[slot] = t;
        n->next_slot = slot + 1;
        if (slot >= n->n_slots)
            n->n_slots = slot + 1;
        t->slot = slot;
        return 0;
    }
    return ERR_BUSY;
}

static void release_slot(struct net_transport *t)
{
    struct net *n = t->net;
    n->slots[t->slot] = NULL;
    while (n->n_slots && !n->slots[n->n_slots - 1])
        n->n_slots--;
}

/* Our ufrag begins with the slot, so that a check finds its transport without a search; the other 48 bits are random. */
static int make_credentials(struct net_transport *t)
{
    snprintf(t->ufrag, sizeof t->ufrag, "%04x", t->slot & 0xffff);
    int err = random_ice_chars(t->ufrag + 4, 8);
    return err ? err : random_ice_chars(t->pwd, 24);
}

struct net_transport *net_transport_by_ufrag(struct net *n, const char *ufrag, size_t len)
{
    char hex[5] = {0};
    if (len != sizeof n->slots[0]->ufrag - 1)
        return NULL;
    memcpy(hex, ufrag, 4);
    unsigned long slot = strtoul(hex, NULL, 16);
    if (slot >= n->n_slots || !n->slots[slot])
        return NULL;
    struct net_transport *t = n->slots[slot];
    return memcmp(t->ufrag, ufrag, len) ? NULL : t;
}

static int parse_fingerprint(const char *text, uint8_t out[32])
{
    for (int i = 0; i < 32; i++) {
        unsigned value;
        int used = 0;
        if (sscanf(text, "%2x%n", &value, &used) != 1 || used != 2)
            return ERR_INVAL;
        out[i] = (uint8_t)value;
        text += 2;
        if (*text != (i < 31 ? ':' : '\0'))
            return ERR_INVAL;
        text++;
    }
    return 0;
}

static int copy_credential(char *out, size_t cap, const char *in)
{
    size_t len = strnlen(in, cap);
    if (!len || len == cap)
        return ERR_INVAL;
    memcpy(out, in, len + 1);
    return 0;
}

static int set_remote(struct net_transport *t, const struct net_transport_config *config)
{
    int err = copy_credential(t->remote_ufrag, sizeof t->remote_ufrag, config->remote_ufrag);
    if (!err)
        err = copy_credential(t->remote_pwd, sizeof t->remote_pwd, config->remote_pwd);
    return err ? err : parse_fingerprint(config->remote_fingerprint, t->remote_fingerprint);
}

int net_transport_connect(struct net_transport *t, const struct net_transport_config *config)
{
    if (t->role != NET_CLIENT || t->checker)
        return ERR_STATE;
    union net_addr remote;
    memcpy(&remote, &config->remote, sizeof remote);
    t->tcp = config->tcp;
    int err = set_remote(t, config);
    if (!err)
        err = ice_client_new(t, &remote);
    if (err)
        return err;
    t->checked_us = clock_now_us();
    net_wake_at(t->net, t->checked_us);
    return 0;
}

int net_transport_new(struct net *n, const struct net_transport_config *config, struct net_transport **ret_t)
{
    struct net_transport *t = calloc(1, sizeof *t);
    if (!t)
        return ERR_NOMEM;
    t->net = n;
    t->user = config->user;
    t->role = config->role;
    t->gso = n->gso;
    t->dtls_at_us = t->handshake_by_us = INT64_MAX;
    t->checked_us = clock_now_us();
    int err = take_slot(n, t);
    if (err) {
        free(t);
        return err;
    }
    err = make_credentials(t);
    if (!err && t->role == NET_SERVER)
        err = set_remote(t, config);
    else if (!err && config->remote_ufrag[0])
        err = net_transport_connect(t, config);
    if (err) {
        net_transport_free(t);
        return err;
    }
    net_wake_at(n, t->checked_us + NET_CONSENT_US);
    *ret_t = t;
    return 0;
}

void net_transport_free(struct net_transport *t)
{
    if (!t || t->dead)
        return;
    struct net *n = t->net;
    t->dead = true;
    dtls_close(t);
    streams_forget(t);
    net_paths_clear(t);
    release_slot(t);
    if (t->own_socket)
        net_socket_retire(t->own_socket);
    t->own_socket = NULL;
    t->next_dead = n->dead_transports;
    n->dead_transports = t;
}

void net_transports_reap(struct net *n)
{
    while (n->dead_transports) {
        struct net_transport *t = n->dead_transports;
        n->dead_transports = t->next_dead;
        seal_free(t->seal);
        free(t->checker);
        OPENSSL_cleanse(t, sizeof *t);
        free(t);
    }
}

void net_transport_set_state(struct net_transport *t, enum net_state state, int64_t now_us)
{
    t->state = state;
    if (t->net->events.state)
        t->net->events.state(t->net->ctx, t, state, now_us);
}

static int64_t next_of(const struct net_transport *t)
{
    int64_t next = t->checked_us + NET_CONSENT_US;
    if (t->dtls_at_us < next)
        next = t->dtls_at_us;
    if (t->handshake_by_us < next)
        next = t->handshake_by_us;
    if (t->checker && t->checker->next_us < next)
        next = t->checker->next_us;
    return next;
}

static void tick(struct net_transport *t, int64_t now_us)
{
    if (t->state >= NET_FAILED)
        return;
    if (now_us >= t->checked_us + NET_CONSENT_US) {
        handshake_end(t);
        net_transport_set_state(t, NET_EXPIRED, now_us);
        return;
    }
    if (now_us >= t->handshake_by_us) {
        t->net->stats.handshakes_late++;
        dtls_fail(t, now_us);
        return;
    }
    if (t->checker && now_us >= t->checker->next_us)
        ice_client_tick(t, now_us);
    if (now_us >= t->dtls_at_us)
        dtls_tick(t, now_us);
}

void net_transports_tick(struct net *n, int64_t now_us)
{
    if (now_us < n->timers_at_us)
        return;
    /* All are looked at, so not more often than every 2 ms: no timer here is finer. */
    n->timers_at_us = INT64_MAX;
    streams_tick(n, now_us);
    for (unsigned i = 0; i < n->n_slots; i++) {
        struct net_transport *t = n->slots[i];
        if (!t)
            continue;
        tick(t, now_us);
        if (n->slots[i] == t && t->state < NET_FAILED) {
            int64_t next = next_of(t);
            net_wake_at(n, next < now_us + 2000 ? now_us + 2000 : next);
        }
    }
}

void *net_transport_user(const struct net_transport *t)
{
    return t->user;
}

const char *net_transport_ufrag(const struct net_transport *t)
{
    return t->ufrag;
}

const char *net_transport_pwd(const struct net_transport *t)
{
    return t->pwd;
}

enum net_state net_transport_state(const struct net_transport *t)
{
    return t->state;
}

int net_transport_fd(const struct net_transport *t)
{
    return t->own_socket ? t->own_socket->fd : -1;
}

int64_t net_transport_rtt_us(const struct net_transport *t)
{
    return t->checker ? t->checker->rtt_us : -1;
}
