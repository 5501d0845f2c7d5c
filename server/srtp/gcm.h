/* AES-GCM with one key, by ipsec-mb or EVP, and the key derivation of SRTP. Internal to srtp.
 *
 * Thread: one a process (EVP context and ipsec-mb context are reused). No allocation after gcm_new(). */
#pragma once

#include "srtp/seal.h"

enum { GCM_TAG = 16, GCM_IV = 12 };

struct gcm;

/* Makes what the engines need for the process's life. */
int gcm_start(void);

/* `key_len` 16 or 32; ERR_UNSUPPORTED for another length or an engine that is not here. */
int gcm_new(enum seal_engine engine, const uint8_t *key, size_t key_len, struct gcm **ret_gcm);
void gcm_free(struct gcm *g); /* wipes the key; NULL is fine */

/* Encrypts `text` followed by `tail` into `out`, then appends the tag. */
int gcm_seal(struct gcm *g, const uint8_t iv[GCM_IV], const uint8_t *aad, size_t aad_len, const uint8_t *text, size_t len,
             const uint8_t *tail, size_t tail_len, uint8_t *out);

/* RFC 3711, 4.3.3 with the 96-bit salt of RFC 7714, 11: AES in counter mode over label and salt; rate 0. */
int srtp_derive(const uint8_t *key, size_t key_len, const uint8_t *salt, size_t salt_len, uint8_t label, uint8_t *out,
                size_t out_len);
