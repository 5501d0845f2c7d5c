/* A receiver's own estimate (REMB) of any size, number of SSRCs and length, through a peer that estimates: what it may get
 * stays within its bounds and, once told, never above the newest figure. Input: operations of one byte and what they need.
 */
#include "require.h"
#include "sfu/router.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 16, BYTES_MAX = HEADER + 4 + 4 * 255 };

static int send_rtp(void *transport, enum sfu_class class, const uint8_t *header, size_t header_len, const uint8_t *payload,
                    size_t payload_len, uint8_t padding)
{
    return 0;
}

static int send_rtcp(void *transport, const uint8_t *bytes, size_t len)
{
    return 0;
}

static struct peer *join(struct sfu *sfu, struct router *r, int64_t now_us)
{
    struct peer_config *c = calloc(1, sizeof *c);
    struct peer *p;
    require(c != NULL);
    c->number = c->incarnation = 1;
    c->transport = c;
    c->estimates = true;
    require(!peer_new(sfu, c, &p) && !router_attach(r, p, now_us));
    free(c);
    return p;
}

/* Exponent and mantissa as told; the count says what it likes, the length follows `cut`. Returns the bytes. */
static size_t write_remb(uint8_t out[BYTES_MAX], const uint8_t told[3], uint8_t count, uint8_t cut)
{
    struct writer w = writer_make(out, BYTES_MAX);
    write_u8(&w, 0x8f);
    write_u8(&w, 206);
    write_u16(&w, 0);
    write_u32(&w, 1);
    write_u32(&w, 0);
    write_bytes(&w, (const uint8_t *)"REMB", 4);
    write_u8(&w, count);
    write_bytes(&w, told, 3);
    for (unsigned i = 0; i < count % 8u; i++)
        write_u32(&w, i);
    size_t len = writer_len(&w);
    len -= len > cut * 4u ? cut * 4u : 0;
    put_u16(out + 2, (uint16_t)(len / 4 - 1));
    return len;
}

static void check(const struct peer *p, uint64_t told, bool fresh)
{
    uint64_t target = bwe_target_bps(&p->downlink->bwe), most = told < DOWNLINK_MAX_BPS ? told : DOWNLINK_MAX_BPS;
    require(target >= DOWNLINK_MIN_BPS && target <= DOWNLINK_MAX_BPS);
    require(!fresh || target <= (most > DOWNLINK_MIN_BPS ? most : DOWNLINK_MIN_BPS));
}

static void tell(struct sfu *sfu, struct peer *p, struct reader *in, int64_t now_us)
{
    uint8_t bytes[BYTES_MAX], told[3];
    for (unsigned i = 0; i < 3; i++)
        told[i] = read_u8(in);
    uint8_t count = read_u8(in), cut = read_u8(in);
    unsigned exponent = told[0] >> 2;
    uint64_t mantissa = (uint64_t)(told[0] & 3) << 16 | (uint64_t)told[1] << 8 | told[2];
    bool whole = cut % 8 == 0, absurd = exponent > 46;
    uint64_t before = sfu->stats.drops[SFU_DROP_MALFORMED];
    size_t len = write_remb(bytes, told, count, cut % 8);
    peer_input_rtcp(p, bytes, len, now_us);
    if (whole)
        require((sfu->stats.drops[SFU_DROP_MALFORMED] > before) == absurd);
    if (whole && !absurd)
        check(p, mantissa << exponent, true);
    check(p, 0, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct sfu_shell shell = {.send_rtp = send_rtp, .send_rtcp = send_rtcp};
    static struct sfu sfu;
    struct wish_briefing wish = {.id = "f"};
    struct reader in = reader_make(data, size);
    int64_t now_us = 1000000;
    sfu_init(&sfu, &shell, 1);
    struct router *r = router_new(&sfu, "f");
    require(r != NULL);
    router_apply(r, &wish, now_us);
    struct peer *p = join(&sfu, r, now_us);
    while (reader_left(&in)) {
        uint8_t op = read_u8(&in);
        if (op & 1)
            tell(&sfu, p, &in, now_us);
        else
            now_us += (int64_t)op * op * 500;
        sfu_turn(&sfu, now_us);
        check(p, 0, false);
    }
    sfu_finish(&sfu);
    return 0;
}
