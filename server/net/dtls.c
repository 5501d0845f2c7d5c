#include "net/net_priv.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"

#include "base/openssl.h"
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <string.h>

enum {
    LINK_MTU = 1100,    /* bytes of a DTLS datagram, below any path's MTU with room for tunnels */
    RECORD_HEADER = 13, /* RFC 6347, 4.1 */
    EARLY_RECORDS = 8,  /* a client's last flight has one record of the next epoch, repeated after a loss */
    FIRST_TIMEOUT_US = 100000,
    LONGEST_TIMEOUT_US = 3200000,
};

static const char profiles[] = "SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM:SRTP_AES128_CM_SHA1_80";
static const char ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305";

/* The certificate is nobody's but the one whose fingerprint signaling named (RFC 8122, 6.2): checked before any key exists.
 */
static int verify_fingerprint(X509_STORE_CTX *store, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct net_transport *t = SSL_get_app_data(ssl);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (X509_digest(X509_STORE_CTX_get0_cert(store), EVP_sha256(), digest, &len) == 1 &&
        len == sizeof t->remote_fingerprint && !memcmp(digest, t->remote_fingerprint, len))
        return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return 0;
}

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    uint64_t serial = 0;
    if (!cert || RAND_bytes((uint8_t *)&serial, sizeof serial) != 1)
        goto fail;
    X509_NAME *name = X509_get_subject_name(cert);
    if (X509_set_version(cert, X509_VERSION_3) != 1 ||
        ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) != 1 ||
        !X509_gmtime_adj(X509_getm_notBefore(cert), -86400) || !X509_gmtime_adj(X509_getm_notAfter(cert), 365L * 86400) ||
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"giaoban", -1, -1, 0) != 1 ||
        X509_set_issuer_name(cert, name) != 1 || X509_set_pubkey(cert, key) != 1 || !X509_sign(cert, key, EVP_sha256()))
        goto fail;
    return cert;
fail:
    X509_free(cert);
    return NULL;
}

static SSL_CTX *make_context(const SSL_METHOD *method, X509 *cert, EVP_PKEY *key)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_fingerprint, NULL);
    SSL_CTX_set_max_send_fragment(ctx,
                                  LINK_MTU); /* nothing longer is sent: a buffer of 1 KB instead of 16, each transport */
    if (SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION) != 1 || SSL_CTX_set_cipher_list(ctx, ciphers) != 1 ||
        SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") != 1 || SSL_CTX_use_certificate(ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_set_tlsext_use_srtp(ctx, profiles) != 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static void print_fingerprint(const X509 *cert, char *out)
{
    static const char hex[] = "0123456789ABCDEF";
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};
    X509_digest(cert, EVP_sha256(), digest, NULL);
    for (int i = 0; i < 32; i++) {
        *out++ = hex[digest[i] >> 4];
        *out++ = hex[digest[i] & 15];
        *out++ = i < 31 ? ':' : '\0';
    }
}

int dtls_init(struct net *n)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? make_certificate(key) : NULL;
    if (cert) {
        n->server_ctx = make_context(DTLS_server_method(), cert, key);
        n->client_ctx = make_context(DTLS_client_method(), cert, key);
        print_fingerprint(cert, n->fingerprint);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    return n->server_ctx && n->client_ctx ? 0 : ERR_NOMEM;
}

void dtls_exit(struct net *n)
{
    SSL_CTX_free(n->server_ctx);
    SSL_CTX_free(n->client_ctx);
}

static unsigned timeout_us(SSL *ssl, unsigned before_us)
{
    return before_us ? (before_us * 2 < LONGEST_TIMEOUT_US ? before_us * 2 : LONGEST_TIMEOUT_US) : FIRST_TIMEOUT_US;
}

static int open_session(struct net_transport *t)
{
    SSL *ssl = SSL_new(t->role == NET_CLIENT ? t->net->client_ctx : t->net->server_ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (!ssl || !in || !out) {
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        return ERR_NOMEM;
    }
    BIO_set_mem_eof_return(in, -1); /* empty means: later */
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(ssl, in, out);
    SSL_set_app_data(ssl, t);
    DTLS_set_timer_cb(ssl, timeout_us);
    DTLS_set_link_mtu(ssl, LINK_MTU);
    if (t->role == NET_CLIENT)
        SSL_set_connect_state(ssl);
    else
        SSL_set_accept_state(ssl);
    t->ssl = ssl;
    return 0;
}

/* A memory BIO forgets where datagrams end, so they are made again: whole records, together at most LINK_MTU. */
static void send_output(struct net_transport *t)
{
    uint8_t *at;
    BIO *out = SSL_get_wbio(t->ssl);
    size_t left = (size_t)BIO_get_mem_data(out, &at);
    while (left >= RECORD_HEADER) {
        size_t len = 0;
        while (left - len >= RECORD_HEADER) {
            size_t record = RECORD_HEADER + (size_t)(at[len + 11] << 8 | at[len + 12]);
            if (record > left - len || (len && len + record > LINK_MTU))
                break;
            len += record;
        }
        if (!len)
            break;
        if (t->path) {
            memcpy(send_room(t->net, len), at, len);
            send_commit(t->net, t->path->socket, NULL, &t->path->addr, NET_CONTROL, len);
        }
        at += len;
        left -= len;
    }
    (void)BIO_reset(out);
}

static void arm_timer(struct net_transport *t, int64_t now_us)
{
    struct timeval left;
    t->dtls_at_us = INT64_MAX;
    if (!SSL_is_init_finished(t->ssl) && DTLSv1_get_timeout(t->ssl, &left))
        t->dtls_at_us = now_us + left.tv_sec * 1000000LL + left.tv_usec;
    net_wake_at(t->net, t->dtls_at_us);
}

/* client key, server key, client salt, server salt (RFC 5764, 4.2). */
static int export_keys(const struct net_transport *t, struct seal_keys *ret_keys)
{
    static const char label[] = "EXTRACTOR-dtls_srtp";
    const SRTP_PROTECTION_PROFILE *profile = SSL_get_selected_srtp_profile(t->ssl);
    if (!profile)
        return ERR_UNSUPPORTED;
    struct seal_keys keys = {.suite = (enum seal_suite)profile->id};
    size_t key = seal_key_bytes(keys.suite), salt = seal_salt_bytes(keys.suite);
    uint8_t bytes[2 * SEAL_KEY_MAX];
    if (!key || SSL_export_keying_material(t->ssl, bytes, 2 * (key + salt), label, sizeof label - 1, NULL, 0, 0) != 1)
        return ERR_UNSUPPORTED;
    uint8_t *client = t->role == NET_CLIENT ? keys.out : keys.in, *server = t->role == NET_CLIENT ? keys.in : keys.out;
    memcpy(client, bytes, key);
    memcpy(server, bytes + key, key);
    memcpy(client + key, bytes + 2 * key, salt);
    memcpy(server + key, bytes + 2 * key + salt, salt);
    *ret_keys = keys;
    OPENSSL_cleanse(bytes, sizeof bytes);
    OPENSSL_cleanse(&keys, sizeof keys);
    return 0;
}

static int install_keys(struct net_transport *t)
{
    struct seal_keys keys;
    int err = export_keys(t, &keys);
    if (!err)
        err = seal_new(&keys, t->net->engine, &t->seal);
    OPENSSL_cleanse(&keys, sizeof keys);
    return err;
}

int net_transport_keys(const struct net_transport *t, struct seal_keys *ret_keys)
{
    return t->role == NET_CLIENT && t->state == NET_CONNECTED ? export_keys(t, ret_keys) : ERR_STATE;
}

void dtls_fail(struct net_transport *t, int64_t now_us)
{
    if (t->state != NET_CONNECTED)
        t->net->stats.handshakes_failed++;
    t->dtls_at_us = t->handshake_by_us = INT64_MAX;
    handshake_end(t);
    net_transport_set_state(t, NET_FAILED, now_us);
}

static void advance(struct net_transport *t, int64_t now_us)
{
    ERR_clear_error();
    int done = SSL_do_handshake(t->ssl), why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, done);
    send_output(t);
    if (done != 1 && why != SSL_ERROR_WANT_READ) {
        dtls_fail(t, now_us);
        return;
    }
    arm_timer(t, now_us);
    if (done != 1 || t->state != NET_CHECKED)
        return;
    if (install_keys(t)) {
        dtls_fail(t, now_us);
        return;
    }
    t->handshake_by_us = INT64_MAX;
    t->net->stats.handshakes_done++;
    handshake_end(t);
    net_transport_set_state(t, NET_CONNECTED, now_us);
}

/* After the handshake: repeated flights are answered by OpenSSL, data is nobody's, close_notify and alerts end it. */
static void drain(struct net_transport *t, int64_t now_us)
{
    uint8_t data[PACKET_CAPACITY];
    int got;
    ERR_clear_error();
    while ((got = SSL_read(t->ssl, data, sizeof data)) > 0)
        ;
    int why = SSL_get_error(t->ssl, got);
    send_output(t);
    if (why != SSL_ERROR_WANT_READ)
        dtls_fail(t, now_us);
}

void dtls_connect(struct net_transport *t, int64_t now_us)
{
    if (open_session(t))
        dtls_fail(t, now_us);
    else
        advance(t, now_us);
}

/* Whole records of DTLS 1.0 or 1.2 and nothing else (RFC 6347, 4.1). OpenSSL keeps what belongs to the next epoch until the
 * handshake is done, a hundred records in buffers of 17 KB each: a few must do. */
static bool well_formed(struct net_transport *t, const struct packet *p)
{
    struct reader r = reader_make(p->bytes, p->len);
    bool handshake = !t->ssl || !SSL_is_init_finished(t->ssl);
    while (reader_left(&r)) {
        uint8_t type = read_u8(&r), version = read_u8(&r);
        read_u8(&r);
        uint16_t epoch = read_u16(&r);
        reader_take(&r, 6);
        reader_take(&r, read_u16(&r));
        if (r.failed || type < 20 || type > 63 || version != 0xfe)
            return false;
        if (handshake && epoch && t->early_records++ >= EARLY_RECORDS)
            return false;
    }
    return true;
}

/* Nothing but a ClientHello begins a session: record of type handshake (RFC 6347, 4.1), its message of type 1. */
static bool is_client_hello(const struct packet *p)
{
    return p->len > RECORD_HEADER && p->bytes[0] == 22 && p->bytes[RECORD_HEADER] == 1;
}

static bool begin(struct net_transport *t, const struct packet *p, int64_t now_us)
{
    if (t->role == NET_CLIENT || !t->path || !is_client_hello(p)) { /* its address may be somebody else's by now */
        net_drop(t->net, NET_DROP_DTLS);
        return false;
    }
    if (!handshake_begin(t, now_us))
        return false;
    if (!open_session(t))
        return true;
    handshake_end(t);
    net_drop(t->net, NET_DROP_DTLS);
    return false;
}

void dtls_input(struct net_transport *t, const struct packet *p, int64_t now_us)
{
    if (t->state >= NET_FAILED)
        return;
    if (!well_formed(t, p)) {
        net_drop(t->net, NET_DROP_DTLS);
        return;
    }
    if (!t->ssl && !begin(t, p, now_us))
        return;
    /* One datagram at a time: OpenSSL takes what a read returns for a datagram. */
    BIO *in = SSL_get_rbio(t->ssl);
    (void)BIO_reset(in);
    BIO_write(in, p->bytes, p->len);
    if (!SSL_is_init_finished(t->ssl))
        advance(t, now_us);
    if (!t->dead && t->state == NET_CONNECTED)
        drain(t, now_us);
}

void dtls_tick(struct net_transport *t, int64_t now_us)
{
    ERR_clear_error();
    int done = DTLSv1_handle_timeout(t->ssl);
    send_output(t);
    if (done < 0)
        dtls_fail(t, now_us);
    else
        arm_timer(t, now_us);
}

void dtls_close(struct net_transport *t)
{
    handshake_forget_datagrams(t);
    handshake_end(t);
    if (!t->ssl)
        return;
    if (t->state == NET_CONNECTED) {
        ERR_clear_error();
        SSL_shutdown(t->ssl);
        send_output(t);
    }
    /* Freed by the owner in the callback of a failed handshake: OpenSSL is not on the stack, dtls_fail() comes after it. */
    SSL_free(t->ssl);
    t->ssl = NULL;
}
