/* Signed tokens and the secret that signs them. HMAC-SHA-256 by libsodium; comparison in constant time. */
#include "signaling/signaling.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TOKEN_MAX 512
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

static int secret_make(const char *path, uint8_t ret_secret[32])
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return ERR_IO;
    uint8_t secret[32];
    randombytes_buf(secret, sizeof secret);
    if (write(fd, secret, sizeof secret) != sizeof secret || fsync(fd) < 0) {
        unlink(path); /* half a secret would be refused at every later start */
        return ERR_IO;
    }
    memcpy(ret_secret, secret, sizeof secret);
    return 0;
}

int secret_load(const char *data_dir, uint8_t ret_secret[32])
{
    char path[4096];
    if (sodium_init() < 0)
        return ERR_IO;
    if (snprintf(path, sizeof path, "%s/secret.key", data_dir) >= (int)sizeof path)
        return ERR_RANGE;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? secret_make(path, ret_secret) : ERR_IO;
    struct stat st;
    uint8_t secret[33];
    if (fstat(fd, &st) < 0)
        return ERR_IO;
    if ((st.st_mode & 077) || !S_ISREG(st.st_mode) || read(fd, secret, sizeof secret) != 32)
        return ERR_MALFORMED;
    memcpy(ret_secret, secret, 32);
    return 0;
}

int token_sign(const uint8_t secret[32], const json_t *payload, char *ret_token, size_t cap)
{
    _cleanup_free_ char *text = json_dumps(payload, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return ERR_NOMEM;
    size_t len = strlen(text);
    size_t head = sodium_base64_ENCODED_LEN(len, BASE64) - 1; /* without NUL */
    size_t tail = sodium_base64_ENCODED_LEN(crypto_auth_hmacsha256_BYTES, BASE64);
    if (head + 1 + tail > cap || head + 1 + tail > TOKEN_MAX)
        return ERR_FULL;
    uint8_t mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256(mac, (const uint8_t *)text, len, secret);
    sodium_bin2base64(ret_token, head + 1, (const uint8_t *)text, len, BASE64);
    ret_token[head] = '.';
    sodium_bin2base64(ret_token + head + 1, tail, mac, sizeof mac, BASE64);
    return 0;
}

int token_verify(const uint8_t secret[32], const char *token, int64_t now_s, json_t **ret_payload)
{
    const char *dot = strchr(token, '.');
    if (!dot || strlen(token) >= TOKEN_MAX)
        return ERR_MALFORMED;
    uint8_t text[TOKEN_MAX], mac[crypto_auth_hmacsha256_BYTES];
    size_t len, mac_len;
    const char *end;
    if (sodium_base642bin(text, sizeof text, token, (size_t)(dot - token), NULL, &len, &end, BASE64) < 0 || end != dot)
        return ERR_MALFORMED;
    if (sodium_base642bin(mac, sizeof mac, dot + 1, strlen(dot + 1), NULL, &mac_len, &end, BASE64) < 0 || *end != '\0' ||
        mac_len != sizeof mac)
        return ERR_MALFORMED;
    if (crypto_auth_hmacsha256_verify(mac, text, len, secret) != 0)
        return ERR_AUTH;
    json_t *payload = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *exp = json_object_get(payload, "exp");
    if (!json_is_integer(exp) || !json_is_string(json_object_get(payload, "t"))) {
        json_decref(payload);
        return ERR_MALFORMED;
    }
    if (json_integer_value(exp) <= now_s) {
        json_decref(payload);
        return ERR_TIMEOUT;
    }
    *ret_payload = payload;
    return 0;
}
