#include "srtp/seal.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/openssl.h"
#include "base/seq.h"
#include "srtp/gcm.h"
#include "srtp/ssrcs.h"

#include <nss.h>
#include <openssl/crypto.h>
#include <srtp2/srtp.h>

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    RTP_FIXED = 12,
    RTCP_FIXED = 8,
    LABEL_RTP_KEY = 0, /* RFC 3711, 4.3.2 */
    LABEL_RTP_SALT = 2,
};

/* What NSS_NoDB_Init() sets, but NSS_INIT_OPTIMIZESPACE: with it NSS finds keys in 32 lists instead of 1,024, and a packet
 * that libsrtp opens takes 6 µs with the keys of 500 transports and 30 with those of 1,000, instead of 2 and 6. */
#define NSS_FLAGS (NSS_INIT_READONLY | NSS_INIT_NOCERTDB | NSS_INIT_NOMODDB | NSS_INIT_FORCEOPEN | NSS_INIT_NOROOTINIT)

static_assert(SEAL_TRAILER_MAX >= SRTP_MAX_TRAILER_LEN + 4, "SRTCP adds its index to the trailer");

struct seal {
    enum seal_suite suite;
    struct gcm *gcm; /* outgoing RTP; NULL: libsrtp does it */
    uint8_t salt[GCM_IV];
    srtp_t out, in;
    struct ssrc_table sent;
    struct ssrc_set heard;
};

size_t seal_key_bytes(enum seal_suite suite)
{
    return suite == SEAL_GCM_256 ? 32 : suite == SEAL_GCM_128 || suite == SEAL_SHA1_80 ? 16 : 0;
}

size_t seal_salt_bytes(enum seal_suite suite)
{
    return suite == SEAL_SHA1_80 ? 14 : suite == SEAL_GCM_128 || suite == SEAL_GCM_256 ? 12 : 0;
}

const char *seal_engine_str(enum seal_engine engine)
{
    switch (engine) {
    case SEAL_AUTO: return "auto";
    case SEAL_IPSEC_MB: return "ipsec-mb";
    case SEAL_EVP: return "evp";
    case SEAL_LIBSRTP: return "libsrtp";
    }
    return "unknown";
}

static int err_of_srtp(srtp_err_status_t status)
{
    switch (status) {
    case srtp_err_status_ok: return 0;
    case srtp_err_status_auth_fail:
    case srtp_err_status_cant_check: return ERR_AUTH;
    case srtp_err_status_replay_fail:
    case srtp_err_status_replay_old: return ERR_REPLAY;
    case srtp_err_status_bad_param:
    case srtp_err_status_parse_err: return ERR_MALFORMED;
    case srtp_err_status_alloc_fail: return ERR_NOMEM;
    default: return ERR_AUTH;
    }
}

static int libsrtp_session(enum seal_suite suite, const uint8_t *key_and_salt, bool out, srtp_t *ret_session)
{
    srtp_policy_t policy = {0};
    if (suite == SEAL_GCM_128)
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
    else if (suite == SEAL_GCM_256)
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtp);
    else
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtp);
    policy.rtcp = policy.rtp;
    policy.ssrc.type = out ? ssrc_any_outbound : ssrc_any_inbound;
    policy.key = (unsigned char *)key_and_salt;
    policy.window_size = SEAL_WINDOW;
    return err_of_srtp(srtp_create(ret_session, &policy));
}

int seal_start(void)
{
    static srtp_t kept[2];
    static const uint8_t key[SEAL_KEY_MAX];
    if (kept[1])
        return 0;
    if (NSS_Initialize("", "", "", "", NSS_FLAGS) != SECSuccess)
        return ERR_IO;
    int err = err_of_srtp(srtp_init());
    if (!err)
        err = libsrtp_session(SEAL_GCM_128, key, false, &kept[0]);
    if (!err)
        err = libsrtp_session(SEAL_SHA1_80, key, false, &kept[1]);
    return err ? err : gcm_start();
}

int seal_new(const struct seal_keys *keys, enum seal_engine engine, struct seal **ret_seal)
{
    size_t key_len = seal_key_bytes(keys->suite), salt_len = seal_salt_bytes(keys->suite);
    if (!key_len)
        return ERR_UNSUPPORTED;
    struct seal *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->suite = keys->suite;
    int err = libsrtp_session(keys->suite, keys->out, true, &s->out);
    if (!err)
        err = libsrtp_session(keys->suite, keys->in, false, &s->in);
    if (!err && keys->suite != SEAL_SHA1_80 && engine != SEAL_LIBSRTP) {
        const uint8_t *salt = keys->out + key_len;
        uint8_t key[32];
        err = srtp_derive(keys->out, key_len, salt, salt_len, LABEL_RTP_KEY, key, key_len);
        if (!err)
            err = srtp_derive(keys->out, key_len, salt, salt_len, LABEL_RTP_SALT, s->salt, GCM_IV);
        if (!err)
            err = gcm_new(engine == SEAL_AUTO ? seal_engine_default() : engine, key, key_len, &s->gcm);
        OPENSSL_cleanse(key, sizeof key);
    }
    if (err) {
        seal_free(s);
        return err;
    }
    *ret_seal = s;
    return 0;
}

void seal_free(struct seal *s)
{
    if (!s)
        return;
    gcm_free(s->gcm);
    if (s->out)
        srtp_dealloc(s->out);
    if (s->in)
        srtp_dealloc(s->in);
    OPENSSL_cleanse(s, sizeof *s);
    free(s);
}

/* RFC 7714, 8.1: 00 00 | SSRC | rollover counter | sequence, xored with the salt. */
static void make_iv(const struct seal *s, uint32_t ssrc, uint64_t index, uint8_t iv[GCM_IV])
{
    put_u16(iv, 0);
    put_u32(iv + 2, ssrc);
    put_u32(iv + 6, (uint32_t)(index >> 16));
    put_u16(iv + 10, (uint16_t)index);
    for (int i = 0; i < GCM_IV; i++)
        iv[i] ^= s->salt[i];
}

static int seal_rtp_by_libsrtp(struct seal *s, const uint8_t *payload, size_t payload_len, uint8_t padding, uint8_t *out,
                               size_t header_len, size_t *ret_len)
{
    if (payload_len)
        memcpy(out + header_len, payload, payload_len);
    int len = (int)(header_len + payload_len + padding);
    if (padding) {
        memset(out + header_len + payload_len, 0, padding - 1U);
        out[len - 1] = padding;
    }
    int err = err_of_srtp(srtp_protect(s->out, out, &len));
    if (!err)
        *ret_len = (size_t)len;
    return err;
}

int seal_rtp(struct seal *s, const uint8_t *header, size_t header_len, const uint8_t *payload, size_t payload_len,
             uint8_t padding, uint8_t *out, size_t cap, size_t *ret_len)
{
    if (header_len < RTP_FIXED || header_len > SEAL_HEADER_MAX || header_len % 4 || payload_len > UINT16_MAX ||
        header_len + payload_len + padding + SEAL_TRAILER_MAX > cap)
        return ERR_RANGE;
    uint32_t ssrc = (uint32_t)header[8] << 24 | (uint32_t)header[9] << 16 | (uint32_t)header[10] << 8 | header[11];
    uint64_t index;
    int err = ssrc_table_advance(&s->sent, ssrc, (uint16_t)(header[2] << 8 | header[3]), &index);
    if (err)
        return err;
    memcpy(out, header, header_len);
    if (!s->gcm)
        return seal_rtp_by_libsrtp(s, payload, payload_len, padding, out, header_len, ret_len);

    uint8_t iv[GCM_IV], tail[UINT8_MAX];
    if (padding) {
        memset(tail, 0, padding - 1U);
        tail[padding - 1] = padding;
    }
    make_iv(s, ssrc, index, iv);
    err = gcm_seal(s->gcm, iv, header, header_len, payload, payload_len, tail, padding, out + header_len);
    if (!err)
        *ret_len = header_len + payload_len + padding + GCM_TAG;
    return err;
}

int seal_rtcp(struct seal *s, const uint8_t *bytes, size_t len, uint8_t *out, size_t cap, size_t *ret_len)
{
    if (len < RTCP_FIXED || len % 4 || len > UINT16_MAX || len + SEAL_TRAILER_MAX > cap)
        return ERR_RANGE;
    memcpy(out, bytes, len);
    int n = (int)len;
    int err = err_of_srtp(srtp_protect_rtcp(s->out, out, &n));
    if (!err)
        *ret_len = (size_t)n;
    return err;
}

int seal_open_rtp(struct seal *s, uint8_t *bytes, size_t len, size_t *ret_len)
{
    struct reader r = reader_make(bytes, len);
    read_u64(&r);
    uint32_t ssrc = read_u32(&r);
    if (r.failed)
        return ERR_TRUNCATED;
    if (!ssrc_set_may_hold(&s->heard, ssrc))
        return ERR_BUSY;
    int n = (int)len;
    int err = err_of_srtp(srtp_unprotect(s->in, bytes, &n));
    if (err)
        return err;
    ssrc_set_add(&s->heard, ssrc);
    *ret_len = (size_t)n;
    return 0;
}

int seal_open_rtcp(struct seal *s, uint8_t *bytes, size_t len, size_t *ret_len)
{
    /* The E bit and index are the last word of an SRTCP packet under GCM (RFC 7714, 9.1), before the tag under SHA1. */
    size_t tag = s->suite == SEAL_SHA1_80 ? 10 : GCM_TAG;
    if (len < RTCP_FIXED + 4 + tag)
        return ERR_TRUNCATED;
    size_t word = s->suite == SEAL_SHA1_80 ? len - tag - 4 : len - 4;
    if (!(bytes[word] & 0x80))
        return ERR_DENIED;
    struct reader r = reader_make(bytes + 4, 4);
    uint32_t ssrc = read_u32(&r);
    if (!ssrc_set_may_hold(&s->heard, ssrc))
        return ERR_BUSY;
    int n = (int)len;
    int err = err_of_srtp(srtp_unprotect_rtcp(s->in, bytes, &n));
    if (err)
        return err;
    ssrc_set_add(&s->heard, ssrc);
    *ret_len = (size_t)n;
    return 0;
}
