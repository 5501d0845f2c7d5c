#include "supervisor/settings.h"

#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_number(const char *text, unsigned long max, unsigned long *ret)
{
    char *end;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || v > max)
        return ERR_MALFORMED;
    *ret = v;
    return 0;
}

static int copy_text(char *to, size_t cap, const char *text)
{
    size_t len = strlen(text);
    if (len >= cap)
        return ERR_FULL;
    memcpy(to, text, len + 1);
    return 0;
}

static int add_listener(struct settings *s, struct address *list, size_t *n, const char *value)
{
    const char *space = strchr(value, ' ');
    struct address a = {0};
    unsigned long port;
    if (!space || (size_t)(space - value) >= sizeof a.host || parse_number(space + 1, UINT16_MAX, &port))
        return ERR_MALFORMED;
    if (s->n_listen + s->n_plain >= SETTINGS_LISTENERS_MAX)
        return ERR_FULL;
    memcpy(a.host, value, (size_t)(space - value));
    a.port = (uint16_t)port;
    list[(*n)++] = a;
    return 0;
}

static int set_level(struct settings *s, const char *value)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(value, names[i]) == 0) {
            s->log_level = (enum log_level)i;
            return 0;
        }
    }
    return ERR_MALFORMED;
}

static int set_number(struct settings *s, const char *key, const char *value)
{
    unsigned long v;
    bool port = strcmp(key, "media_port") == 0;
    int err = parse_number(value, port ? UINT16_MAX : SETTINGS_WORKERS_MAX, &v);
    if (err)
        return err;
    if (port)
        s->media_port = (uint16_t)v;
    else
        s->workers = (unsigned)v;
    return 0;
}

static int set_text(struct settings *s, const char *key, const char *value)
{
    const struct {
        const char *key;
        char *to;
        size_t cap;
    } texts[] = {
        {"announce", s->announce, sizeof s->announce},
        {"data", s->data, sizeof s->data},
        {"sandbox", s->sandbox, sizeof s->sandbox},
        {"user_control", s->user_control, sizeof s->user_control},
        {"user_media", s->user_media, sizeof s->user_media},
        {"user_check", s->user_check, sizeof s->user_check},
        {"user_recorder", s->user_recorder, sizeof s->user_recorder},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(key, texts[i].key) == 0)
            return copy_text(texts[i].to, texts[i].cap, value);
    return 0;
}

int settings_line(struct settings *s, const char *line)
{
    const char *equals = strchr(line, '=');
    char key[32];
    if (!equals || (size_t)(equals - line) >= sizeof key)
        return ERR_MALFORMED;
    memcpy(key, line, (size_t)(equals - line));
    key[equals - line] = '\0';
    const char *value = equals + 1;

    if (strcmp(key, "listen") == 0)
        return add_listener(s, s->listen, &s->n_listen, value);
    if (strcmp(key, "plain") == 0)
        return add_listener(s, s->plain, &s->n_plain, value);
    if (strcmp(key, "media") == 0) {
        if (s->n_media >= SETTINGS_MEDIA_MAX)
            return ERR_FULL;
        int err = copy_text(s->media[s->n_media], sizeof s->media[0], value);
        if (!err)
            s->n_media++;
        return err;
    }
    if (strcmp(key, "log_level") == 0)
        return set_level(s, value);
    if (strcmp(key, "media_tcp") == 0) {
        s->media_tcp = strcmp(value, "1") == 0;
        return 0;
    }
    if (strcmp(key, "media_trace") == 0) {
        s->media_trace = strcmp(value, "1") == 0;
        return 0;
    }
    if (strcmp(key, "media_port") == 0 || strcmp(key, "workers") == 0)
        return set_number(s, key, value);
    return set_text(s, key, value);
}
