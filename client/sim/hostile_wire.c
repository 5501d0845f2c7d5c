/* Hostile datagrams as they are on the wire: no keys are needed for them, and no honest sender would make them. */
#include "sim/hostile_priv.h"

#include "base/bytes.h"
#include "base/openssl.h"
#include "net/net.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOVE_US = 1000000, HELLO = 1, HANDSHAKE = 22, ALERT = 21, RECORD = 13, FRAGMENT = 12 };

/* ---- sending ---- */

void hostile_raw_send(struct hostile *h, int fd, const struct answer *a, const uint8_t *bytes, size_t len)
{
    socklen_t to_len = a->remote.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (fd >= 0 && len && sendto(fd, bytes, len, MSG_DONTWAIT, (const struct sockaddr *)&a->remote, to_len) >= 0)
        h->sent++;
}

static struct sockaddr_in some_address(struct hostile *h)
{
    uint32_t low = 2 + hostile_draw(h, 0xfffffd - 2);
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 | low)};
}

/* Sockets of addresses that never joined; over IPv6 there is only one loopback address, and they differ in their ports. */
static void open_strangers(struct hostile *h, int family)
{
    while (h->n_strangers < HOSTILE_STRANGERS) {
        struct sockaddr_in from = some_address(h);
        int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
            return;
        if (family == AF_INET && bind(fd, (const struct sockaddr *)&from, sizeof from)) {
            close(fd);
            return;
        }
        h->strangers[h->n_strangers++] = fd;
    }
}

void hostile_close_strangers(struct hostile *h)
{
    while (h->n_strangers)
        close(h->strangers[--h->n_strangers]);
}

static int one_of_strangers(struct hostile *h, const struct answer *a, unsigned first)
{
    if (h->n_strangers < HOSTILE_STRANGERS)
        open_strangers(h, a->remote.ss_family);
    return h->n_strangers ? h->strangers[hostile_draw(h, first < h->n_strangers ? first : h->n_strangers)] : -1;
}

static int some_stranger(struct hostile *h, const struct answer *a)
{
    return one_of_strangers(h, a, HOSTILE_STRANGERS);
}

/* Nothing may come back: whoever sends with somebody else's address would aim our answers at him. */
static void count_answers(struct hostile *h)
{
    uint8_t bytes[HOSTILE_RAW_MAX];
    ssize_t got;
    for (unsigned i = 0; i < h->n_strangers; i++)
        while ((got = recv(h->strangers[i], bytes, sizeof bytes, MSG_DONTWAIT)) >= 0)
            h->back_bytes += (uint64_t)got;
}

/* ---- forged media ---- */

void hostile_forge(struct hostile *h, struct hostile_raw *ret)
{
    size_t len = 40 + hostile_draw(h, 1100);
    hostile_fill(h, ret->bytes, len);
    ret->bytes[0] = 0x80;
    switch (hostile_draw(h, 8)) {
    case 0: /* RTCP with the E bit, wrong tag */
        ret->bytes[1] = (uint8_t)(200 + hostile_draw(h, 8));
        ret->bytes[len - 4] |= 0x80;
        break;
    case 1: /* RTCP in the clear: a write beyond the buffer in libraries that believe it */
        ret->bytes[1] = 200;
        ret->bytes[len - 4] &= 0x7f;
        ret->bytes[len - 14] &= 0x7f;
        break;
    case 2: ret->bytes[0] = (uint8_t)(192 + hostile_draw(h, 64)); break; /* of no protocol */
    case 3:                                                              /* longer than a packet */
        len = HOSTILE_RAW_MAX;
        hostile_fill(h, ret->bytes + 1, len - 1);
        ret->bytes[1] = OFFER_VP8;
        break;
    case 4: /* cut off */
        len = 1 + hostile_draw(h, 30);
        ret->bytes[1] = hostile_draw(h, 2) ? OFFER_VP8 : 201;
        break;
    default: /* RTP, wrong tag, any extension length and any number of CSRCs */
        ret->bytes[0] = (uint8_t)(0x80 | hostile_draw(h, 64));
        ret->bytes[1] = OFFER_VP8;
        break;
    }
    ret->len = len;
}

void hostile_send_forged(struct hostile *h, struct net_transport *t, const struct answer *a, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct hostile_raw r;
        hostile_forge(h, &r);
        hostile_raw_send(h, net_transport_fd(t), a, r.bytes, r.len);
    }
}

/* ---- DTLS records ---- */

static void write_record(struct hostile *h, struct writer *w, uint8_t type, uint16_t epoch, size_t len)
{
    write_u8(w, type);
    write_u16(w, hostile_draw(h, 8) ? 0xfefd : 0xfeff);
    write_u16(w, epoch);
    write_u24(w, 0);
    write_u24(w, hostile_draw(h, 1 << 24));
    write_u16(w, (uint16_t)len);
}

static void write_noise(struct hostile *h, struct writer *w, size_t len)
{
    uint8_t *room = writer_make_room(w, len);
    if (room)
        hostile_fill(h, room, len);
}

/* A ClientHello's bytes from `from` to `to`, as a fragment of what it says to be `whole` bytes long. */
static void write_hello(struct hostile *h, struct writer *w, size_t from, size_t to, uint32_t whole)
{
    static const uint8_t tail[] = {0,  0, 0,  2, 0xc0, 0x2b, 1, 0, 0,  23, 0, 10, 0, 4, 0, 2, 0,
                                   23, 0, 11, 0, 2,    1,    0, 0, 14, 0,  5, 0,  2, 0, 7, 0};
    uint8_t body[34 + sizeof tail];
    body[0] = 0xfe;
    body[1] = 0xfd;
    hostile_fill(h, body + 2, 32);
    memcpy(body + 34, tail, sizeof tail);
    size_t end = to < sizeof body ? to : sizeof body;
    size_t len = from < end ? end - from : 0;
    write_record(h, w, HANDSHAKE, 0, FRAGMENT + len);
    write_u8(w, HELLO);
    write_u24(w, whole ? whole : sizeof body);
    write_u16(w, (uint16_t)hostile_draw(h, 3));
    write_u24(w, (uint32_t)from);
    write_u24(w, (uint32_t)len);
    write_bytes(w, body + (from < end ? from : 0), len);
}

void hostile_record(struct hostile *h, struct hostile_raw *ret)
{
    static const uint16_t epochs[] = {0, 1, 1, 2, 65535};
    struct writer w = writer_make(ret->bytes, 1300);
    size_t len = 1 + hostile_draw(h, 200);
    switch (hostile_draw(h, 10)) {
    case 0: write_hello(h, &w, 0, 1000, 0); break;
    case 1: /* fragments, the last one first */
        write_hello(h, &w, 40, 1000, 0);
        write_hello(h, &w, 0, 40, 0);
        break;
    case 2: write_hello(h, &w, hostile_draw(h, 30), 60, 0xffffff); break;
    case 3: /* alerts: fatal, and goodbye */
        write_record(h, &w, ALERT, hostile_draw(h, 2) ? 0 : 1, 2);
        write_u16(&w, hostile_draw(h, 2) ? 0x0228 : 0x0100);
        break;
    case 4: /* many small ones */
        for (unsigned i = 0; i < 60; i++) {
            write_record(h, &w, HANDSHAKE, 1, 1);
            write_u8(&w, 20);
        }
        break;
    case 5: write_record(h, &w, (uint8_t)(20 + hostile_draw(h, 44)), epochs[hostile_draw(h, 5)], 0); break;
    case 6: /* cut off */
        write_record(h, &w, HANDSHAKE, 0, 500);
        write_noise(h, &w, len);
        break;
    case 7: /* again what came before */
        if (h->last.len) {
            *ret = h->last;
            return;
        }
        /* fall through */
    default:
        write_record(h, &w, (uint8_t)(20 + hostile_draw(h, 5)), epochs[hostile_draw(h, 5)], len);
        write_noise(h, &w, len);
        break;
    }
    ret->len = writer_len(&w);
    h->last = *ret;
}

void hostile_send_records(struct hostile *h, struct net_transport *t, const struct answer *a, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct hostile_raw r;
        hostile_record(h, &r);
        hostile_raw_send(h, net_transport_fd(t), a, r.bytes, r.len);
    }
}

/* ---- connectivity checks (RFC 8489, 5 and 14) ---- */

enum {
    COOKIE = 0x2112a442,
    USERNAME = 0x0006,
    INTEGRITY = 0x0008,
    PRIORITY = 0x0024,
    SOFTWARE = 0x8022,
    FINGERPRINT = 0x8028,
    CONTROLLED = 0x8029,
    CONTROLLING = 0x802a,
    UNKNOWN = 0x7ffe,
    STUN_HEAD = 20
};

static uint32_t crc32_of(const uint8_t *bytes, size_t len)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static void write_attribute(struct writer *w, uint16_t type, const void *value, size_t len)
{
    static const uint8_t zero[4];
    write_u16(w, type);
    write_u16(w, (uint16_t)len);
    write_bytes(w, value, len);
    write_bytes(w, zero, (4 - len % 4) % 4);
}

/* The length in the header covers what is to follow too. */
static void set_length(struct hostile_raw *r, const struct writer *w, size_t more)
{
    put_u16(r->bytes + 2, (uint16_t)(writer_len(w) + more - STUN_HEAD));
}

static void write_proof(struct hostile_raw *r, struct writer *w, const char *password)
{
    uint8_t mac[EVP_MAX_MD_SIZE] = {0}, crc[4];
    unsigned mac_len = 20;
    set_length(r, w, 24);
    HMAC(EVP_sha1(), password, (int)strlen(password), r->bytes, writer_len(w), mac, &mac_len);
    write_attribute(w, INTEGRITY, mac, 20);
    set_length(r, w, 8);
    put_u32(crc, crc32_of(r->bytes, writer_len(w)) ^ 0x5354554e);
    write_attribute(w, FINGERPRINT, crc, sizeof crc);
}

static void write_begin(struct hostile *h, struct writer *w, uint16_t type)
{
    write_u16(w, type);
    write_u16(w, 0);
    write_u32(w, COOKIE);
    write_noise(h, w, 12);
}

/* What is wrong with one is drawn; `good` ones are of the wrong role, with an attribute unknown, or nothing but too many. */
enum fault {
    FAULT_PASSWORD,
    FAULT_NAME,
    FAULT_INDICATION,
    FAULT_ANSWER,
    FAULT_CUT,
    FAULT_LENGTH,
    FAULT_ATTRIBUTE_LENGTH,
    FAULT_SIZE,
    FAULT_NO_PROOF,
    FAULT_ROLE,
    FAULT_UNKNOWN,
    FAULT_NONE,
    FAULTS
};

static void write_body(struct hostile *h, struct writer *w, const struct hostile_check *c, enum fault fault)
{
    static const uint8_t big[900], priority[4] = {0x6e, 0, 1, 0xff}, tie[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    char nobody[32];
    snprintf(nobody, sizeof nobody, "%04xAAAAbbbb:peer", hostile_draw(h, 64));
    const char *name = fault == FAULT_NAME ? nobody : c->username;
    write_attribute(w, USERNAME, name, strlen(name));
    write_attribute(w, PRIORITY, priority, sizeof priority);
    write_attribute(w, fault == FAULT_ROLE ? CONTROLLED : CONTROLLING, tie, sizeof tie);
    if (fault == FAULT_UNKNOWN)
        write_attribute(w, UNKNOWN, tie, 4);
    if (fault == FAULT_SIZE)
        write_attribute(w, SOFTWARE, big, sizeof big);
    if (fault == FAULT_ATTRIBUTE_LENGTH) {
        write_u16(w, SOFTWARE);
        write_u16(w, (uint16_t)(hostile_draw(h, 2) ? 0xffff : 0x200));
    }
}

void hostile_check(struct hostile *h, const struct hostile_check *c, struct hostile_raw *ret)
{
    enum fault fault = (enum fault)hostile_draw(h, c->may_be_good ? FAULTS : FAULT_ROLE);
    struct writer w = writer_make(ret->bytes, sizeof ret->bytes);
    write_begin(h, &w, fault == FAULT_INDICATION ? 0x0011 : fault == FAULT_ANSWER ? 0x0101 : 0x0001);
    write_body(h, &w, c, fault);
    bool good = c->may_be_good && (fault >= FAULT_ROLE || fault == FAULT_INDICATION || fault == FAULT_ANSWER);
    if (fault == FAULT_NO_PROOF)
        set_length(ret, &w, 0);
    else
        write_proof(ret, &w, good ? c->password : "not the password it is");
    ret->len = writer_len(&w);
    if (fault == FAULT_CUT)
        ret->len = 1 + hostile_draw(h, (uint32_t)ret->len - 1);
    if (fault == FAULT_LENGTH)
        put_u16(ret->bytes + 2, (uint16_t)hostile_draw(h, 65536));
}

static struct hostile_check check_of(const struct net_transport *t, const struct answer *a, char *name, size_t cap)
{
    snprintf(name, cap, "%s:%s", a->ufrag, net_transport_ufrag(t));
    return (struct hostile_check){.username = name, .password = a->pwd};
}

void hostile_send_checks(struct hostile *h, struct net_transport *t, const struct answer *a, unsigned count)
{
    char name[sizeof a->ufrag + 32];
    struct hostile_check c = check_of(t, a, name, sizeof name);
    for (unsigned i = 0; i < count; i++) {
        struct hostile_raw r;
        c.may_be_good = i % 4 == 3; /* from the right address; half of them from one and the same stranger */
        hostile_check(h, &c, &r);
        int from = c.may_be_good ? net_transport_fd(t) : one_of_strangers(h, a, i % 4 == 2 ? HOSTILE_STRANGERS : 1);
        hostile_raw_send(h, from, a, r.bytes, r.len);
    }
    count_answers(h);
}

/* ---- strangers and wanderers ---- */

void hostile_stranger(struct hostile *h, struct hostile_raw *ret)
{
    static const struct hostile_check unknown = {.username = "0000AAAAbbbb:peer", .password = ""};
    switch (hostile_draw(h, 4)) {
    case 0: hostile_record(h, ret); break;
    case 1: hostile_check(h, &unknown, ret); break;
    default: hostile_forge(h, ret); break;
    }
}

void hostile_send_strangers(struct hostile *h, const struct answer *a, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct hostile_raw r;
        hostile_stranger(h, &r);
        hostile_raw_send(h, some_stranger(h, a), a, r.bytes, r.len);
    }
    count_answers(h);
}

void hostile_wander(struct hostile *h, struct net_transport *t, const struct answer *a, int64_t now_us)
{
    char name[sizeof a->ufrag + 32];
    struct hostile_check c = check_of(t, a, name, sizeof name);
    struct hostile_raw r;
    hostile_check(h, &c, &r);
    hostile_raw_send(h, some_stranger(h, a), a, r.bytes, r.len);
    count_answers(h);
    if (now_us < h->move_us)
        return;
    struct sockaddr_in from = some_address(h);
    if (a->remote.ss_family == AF_INET && net_transport_rebind(t, (const struct sockaddr *)&from) == 0)
        h->sent++;
    h->move_us = now_us + MOVE_US;
}
