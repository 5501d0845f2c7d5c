/* `giaoband --check-config`: does everything exist that a start needs, and what must the supervisor open? */
#include "control/config.h"

#include "base/err.h"
#include "base/log.h"
#include "control/turn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ADDRESSES_MAX = 14 };

struct addresses {
    char text[ADDRESSES_MAX][INET6_ADDRSTRLEN];
    size_t n;
};

static int need_file(const char *key, const char *path, const char *hint, char *error)
{
    if (access(path, R_OK) == 0)
        return 0;
    snprintf(error, CONFIG_ERROR_BYTES, "%s: %.200s: %s. %s", key, path, strerror(errno), hint);
    return ERR_NOTFOUND;
}

static int need_addresses(const char *key, const struct config_list *l, char *error)
{
    struct in6_addr any;
    for (size_t i = 0; i < l->n; i++) {
        if (inet_pton(AF_INET, l->items[i], &any) == 1 || inet_pton(AF_INET6, l->items[i], &any) == 1)
            continue;
        snprintf(error, CONFIG_ERROR_BYTES, "\"%s\": \"%.100s\" is not an IP address", key, l->items[i]);
        return ERR_INVAL;
    }
    return 0;
}

static int need_data(const char *dir, char *error)
{
    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        snprintf(error, CONFIG_ERROR_BYTES, "data_dir: %.300s: %s", dir, strerror(errno));
        return ERR_IO;
    }
    if (access(dir, R_OK | W_OK | X_OK) == 0)
        return 0;
    snprintf(error, CONFIG_ERROR_BYTES, "data_dir: %.300s: this user may not write there", dir);
    return ERR_DENIED;
}

/* Every address of the machine that a packet can be received on; link-local ones need a scope that no client knows. */
static void find_addresses(struct addresses *found)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) < 0)
        return;
    for (struct ifaddrs *i = all; i && found->n < ADDRESSES_MAX; i = i->ifa_next) {
        if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
            continue;
        const void *bytes = NULL;
        if (i->ifa_addr->sa_family == AF_INET)
            bytes = &((struct sockaddr_in *)i->ifa_addr)->sin_addr;
        else if (i->ifa_addr->sa_family == AF_INET6 &&
                 !IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr))
            bytes = &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
        if (bytes && inet_ntop(i->ifa_addr->sa_family, bytes, found->text[found->n], INET6_ADDRSTRLEN))
            found->n++;
    }
    freeifaddrs(all);
}

/* Browsers throw at what they can't parse, and then there is no call at all. */
static int need_turn(const struct config *c, char *error)
{
    char secret[TURN_SECRET_MAX + 1];
    for (size_t i = 0; i < c->turn_urls.n; i++) {
        const char *url = c->turn_urls.items[i];
        if ((!strncmp(url, "turn:", 5) || !strncmp(url, "turns:", 6)) && !strpbrk(url, " \t/@\"") &&
            strlen(url) <= CONFIG_TURN_URL_MAX)
            continue;
        snprintf(error, CONFIG_ERROR_BYTES, "turn.urls: \"%.100s\" is not like turn:HOST:PORT?transport=udp", url);
        return ERR_INVAL;
    }
    int err = c->turn_urls.n ? turn_read_secret(c->turn_secret_file, secret) : 0;
    if (err)
        snprintf(error, CONFIG_ERROR_BYTES, "turn.secret_file: %.200s: %s", c->turn_secret_file,
                 err == ERR_IO ? strerror(errno) : "one line of 16 to 128 characters is needed");
    sodium_memzero(secret, sizeof secret);
    return err;
}

/* Half of the users would leave a directory that one half can't read. */
static int need_users(const struct config *c, char *error)
{
    const char *const names[] = {c->user_control, c->user_media, c->user_check, c->user_recorder};
    unsigned n = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        n += names[i][0] != 0;
    if (n == 0 || n == sizeof names / sizeof *names)
        return 0;
    snprintf(error, CONFIG_ERROR_BYTES, "users.control, users.media, users.check and users.recorder: all four or none");
    return ERR_INVAL;
}

static void print_list(FILE *to, const char *key, const struct config_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        fprintf(to, "%s=%s\n", key, l->items[i]);
}

static void print_media(FILE *to, const struct config *c)
{
    struct addresses found = {0};
    if (c->media_addresses.n == 0)
        find_addresses(&found);
    for (size_t i = 0; i < found.n; i++)
        fprintf(to, "media=%s\n", found.text[i]);
    print_list(to, "media", &c->media_addresses);
    fprintf(to, "media_port=%u\nmedia_tcp=%d\nmedia_trace=%d\nannounce=", c->media_port, c->media_tcp, c->media_trace);
    for (size_t i = 0; i < c->media_announce.n; i++)
        fprintf(to, "%s%s", i ? " " : "", c->media_announce.items[i]);
    fprintf(to, "\n");
}

static void print_settings(FILE *to, const struct config *c)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"}, *const sandboxes[] = {"enforce", "log", "off"};
    if (c->addresses.n == 0)
        fprintf(to, "listen=0.0.0.0 %u\nlisten=:: %u\n", c->port, c->port);
    for (size_t i = 0; i < c->addresses.n; i++)
        fprintf(to, "listen=%s %u\n", c->addresses.items[i], c->port);
    fprintf(to, "plain=127.0.0.1 %u\nplain=::1 %u\n", c->plain_port, c->plain_port);
    print_media(to, c);
    fprintf(to, "workers=%u\ndata=%s\nlog_level=%s\n", c->workers, c->data_dir, levels[c->log_level]);
    fprintf(to, "sandbox=%s\nuser_control=%s\nuser_media=%s\nuser_check=%s\nuser_recorder=%s\n", sandboxes[c->sandbox],
            c->user_control, c->user_media, c->user_check, c->user_recorder);
}

int config_check(const struct config *c, FILE *to, char error[CONFIG_ERROR_BYTES])
{
    static const char tls_hint[] = "config/make-certificate DIR makes a local authority and a certificate";
    int err = need_data(c->data_dir, error);
    if (!err)
        err = need_addresses("addresses", &c->addresses, error);
    if (!err)
        err = need_addresses("media.addresses", &c->media_addresses, error);
    if (!err)
        err = need_addresses("media.announce", &c->media_announce, error);
    if (!err)
        err = need_users(c, error);
    if (!err)
        err = need_turn(c, error);
    if (!err)
        err = need_file("certificate", c->certificate, tls_hint, error);
    if (!err)
        err = need_file("key", c->key, tls_hint, error);
    if (!err)
        err = need_file("units", c->units, "Set units to a file like units.thanhhoa.json", error);
    if (!err)
        print_settings(to, c);
    return err;
}
