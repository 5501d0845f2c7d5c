#include "control/turn.h"

#include "base/err.h"
#include "base/openssl.h"
#include "control/config.h"

#include <openssl/hmac.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

int turn_credential(const char *secret, const char *user, int64_t expires_s, char *ret_name, char *ret_password)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    char name[TURN_NAME_BYTES];
    int len = snprintf(name, sizeof name, "%lld:%s", (long long)expires_s, user);
    if (len < 0 || (size_t)len >= sizeof name)
        return ERR_FULL;
    if (!HMAC(EVP_sha1(), secret, (int)strlen(secret), (const uint8_t *)name, (size_t)len, mac, &mac_len))
        return ERR_NOMEM;
    sodium_bin2base64(ret_password, TURN_PASSWORD_BYTES, mac, mac_len, sodium_base64_VARIANT_ORIGINAL);
    memcpy(ret_name, name, (size_t)len + 1);
    return 0;
}

int turn_read_secret(const char *path, char *ret_secret)
{
    char line[TURN_SECRET_MAX + 2] = "";
    FILE *f = fopen(path, "re");
    if (!f)
        return ERR_IO;
    bool got = fgets(line, sizeof line, f);
    fclose(f);
    size_t len = got ? strcspn(line, "\r\n") : 0;
    line[len] = '\0';
    if (len < TURN_SECRET_MIN || len > TURN_SECRET_MAX)
        return ERR_RANGE;
    memcpy(ret_secret, line, len + 1);
    return 0;
}

json_t *turn_servers(const struct config *c, const char *secret, const char *user, int64_t now_s)
{
    char name[TURN_NAME_BYTES], password[TURN_PASSWORD_BYTES];
    json_t *servers = json_array(), *urls = json_array();
    for (size_t i = 0; i < c->turn_urls.n; i++)
        json_array_append_new(urls, json_string(c->turn_urls.items[i]));
    if (c->turn_urls.n && !turn_credential(secret, user, now_s + c->turn_lifetime_s, name, password))
        json_array_append_new(servers, json_pack("{s:O, s:s, s:s}", "urls", urls, "username", name, "credential", password));
    json_decref(urls);
    return servers;
}
