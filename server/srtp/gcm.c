#include "srtp/gcm.h"

#include "base/err.h"
#include "base/openssl.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#if GB_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct gcm {
    EVP_CIPHER_CTX *evp; /* NULL: ipsec-mb */
    bool wide;           /* 256-bit key */
#if GB_IPSEC_MB
    struct gcm_key_data mb __attribute__((aligned(64)));
#endif
};

#if GB_IPSEC_MB
static IMB_MGR *manager; /* read-only after gcm_start(): a table of functions for this CPU */
#endif

int gcm_start(void)
{
#if GB_IPSEC_MB
    if (manager)
        return 0;
    manager = alloc_mb_mgr(0);
    if (!manager)
        return ERR_NOMEM;
    init_mb_mgr_auto(manager, NULL);
#endif
    return 0;
}

enum seal_engine seal_engine_default(void)
{
#if GB_IPSEC_MB
    return SEAL_IPSEC_MB;
#else
    return SEAL_EVP;
#endif
}

static int gcm_init_evp(struct gcm *g, const uint8_t *key)
{
    g->evp = EVP_CIPHER_CTX_new();
    if (!g->evp || EVP_EncryptInit_ex(g->evp, g->wide ? EVP_aes_256_gcm() : EVP_aes_128_gcm(), NULL, key, NULL) != 1)
        return ERR_NOMEM;
    return 0;
}

static int gcm_init_ipsec_mb(struct gcm *g, const uint8_t *key)
{
#if GB_IPSEC_MB
    if (!manager)
        return ERR_STATE;
    if (g->wide)
        IMB_AES256_GCM_PRE(manager, key, &g->mb);
    else
        IMB_AES128_GCM_PRE(manager, key, &g->mb);
    return 0;
#else
    return ERR_UNSUPPORTED;
#endif
}

int gcm_new(enum seal_engine engine, const uint8_t *key, size_t key_len, struct gcm **ret_gcm)
{
    if (key_len != 16 && key_len != 32)
        return ERR_UNSUPPORTED;
    struct gcm *g = aligned_alloc(64, (sizeof *g + 63) / 64 * 64);
    if (!g)
        return ERR_NOMEM;
    memset(g, 0, sizeof *g);
    g->wide = key_len == 32;
    int err = engine == SEAL_IPSEC_MB ? gcm_init_ipsec_mb(g, key) : gcm_init_evp(g, key);
    if (err) {
        gcm_free(g);
        return err;
    }
    *ret_gcm = g;
    return 0;
}

void gcm_free(struct gcm *g)
{
    if (!g)
        return;
    EVP_CIPHER_CTX_free(g->evp);
    OPENSSL_cleanse(g, sizeof *g);
    free(g);
}

static int seal_by_evp(struct gcm *g, const uint8_t *iv, const uint8_t *aad, size_t aad_len, const uint8_t *text, size_t len,
                       const uint8_t *tail, size_t tail_len, uint8_t *out)
{
    int n = 0;
    bool ok = EVP_EncryptInit_ex(g->evp, NULL, NULL, NULL, iv) == 1 &&
              EVP_EncryptUpdate(g->evp, NULL, &n, aad, (int)aad_len) == 1 &&
              (!len || EVP_EncryptUpdate(g->evp, out, &n, text, (int)len) == 1) &&
              (!tail_len || EVP_EncryptUpdate(g->evp, out + len, &n, tail, (int)tail_len) == 1) &&
              EVP_EncryptFinal_ex(g->evp, out + len + tail_len, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(g->evp, EVP_CTRL_AEAD_GET_TAG, GCM_TAG, out + len + tail_len) == 1;
    return ok ? 0 : ERR_IO;
}

#if GB_IPSEC_MB
static int seal_by_ipsec_mb(struct gcm *g, const uint8_t *iv, const uint8_t *aad, size_t aad_len, const uint8_t *text,
                            size_t len, const uint8_t *tail, size_t tail_len, uint8_t *out)
{
    struct gcm_context_data work;
    uint8_t *tag = out + len + tail_len;
    if (!tail_len) {
        if (g->wide)
            IMB_AES256_GCM_ENC(manager, &g->mb, &work, out, text, len, iv, aad, aad_len, tag, GCM_TAG);
        else
            IMB_AES128_GCM_ENC(manager, &g->mb, &work, out, text, len, iv, aad, aad_len, tag, GCM_TAG);
    } else if (g->wide) {
        IMB_AES256_GCM_INIT(manager, &g->mb, &work, iv, aad, aad_len);
        IMB_AES256_GCM_ENC_UPDATE(manager, &g->mb, &work, out, text, len);
        IMB_AES256_GCM_ENC_UPDATE(manager, &g->mb, &work, out + len, tail, tail_len);
        IMB_AES256_GCM_ENC_FINALIZE(manager, &g->mb, &work, tag, GCM_TAG);
    } else {
        IMB_AES128_GCM_INIT(manager, &g->mb, &work, iv, aad, aad_len);
        IMB_AES128_GCM_ENC_UPDATE(manager, &g->mb, &work, out, text, len);
        IMB_AES128_GCM_ENC_UPDATE(manager, &g->mb, &work, out + len, tail, tail_len);
        IMB_AES128_GCM_ENC_FINALIZE(manager, &g->mb, &work, tag, GCM_TAG);
    }
    return 0;
}
#endif

int gcm_seal(struct gcm *g, const uint8_t iv[GCM_IV], const uint8_t *aad, size_t aad_len, const uint8_t *text, size_t len,
             const uint8_t *tail, size_t tail_len, uint8_t *out)
{
#if GB_IPSEC_MB
    if (!g->evp)
        return seal_by_ipsec_mb(g, iv, aad, aad_len, text, len, tail, tail_len, out);
#endif
    return seal_by_evp(g, iv, aad, aad_len, text, len, tail, tail_len, out);
}

int srtp_derive(const uint8_t *key, size_t key_len, const uint8_t *salt, size_t salt_len, uint8_t label, uint8_t *out,
                size_t out_len)
{
    static const uint8_t zeros[64];
    if (out_len > sizeof zeros || salt_len > 14)
        return ERR_RANGE;
    uint8_t iv[16] = {0}; /* salt, padded on the right, then the 16-bit block counter */
    memcpy(iv, salt, salt_len);
    iv[7] ^= label;

    EVP_CIPHER_CTX *evp = EVP_CIPHER_CTX_new();
    int n = 0;
    bool ok = evp && EVP_EncryptInit_ex(evp, key_len == 32 ? EVP_aes_256_ctr() : EVP_aes_128_ctr(), NULL, key, iv) == 1 &&
              EVP_EncryptUpdate(evp, out, &n, zeros, (int)out_len) == 1;
    EVP_CIPHER_CTX_free(evp);
    return ok ? 0 : ERR_NOMEM;
}
