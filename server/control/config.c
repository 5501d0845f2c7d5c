#include "control/config.h"

#include "base/err.h"
#include "base/log.h"
#include "control/site_list.h"
#include "wish/wish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const placements[] = {"home", "spread", NULL};
static const char *const formats[] = {"mp4", "webm", NULL};
static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const sandboxes[] = {"enforce", "log", "off", NULL};

#define AT(member) offsetof(struct config, member)

static const struct config_key keys[] = {
    {"port", CONFIG_UINT, AT(port), 1, 65535, "port", "8443", false, "HTTPS and WSS, for everybody."},
    {"plain_port", CONFIG_UINT, AT(plain_port), 1, 65535, "port", "8080", false,
     "Plain HTTP on 127.0.0.1 and [::1] alone: for this machine's browser, giaobanctl and monitoring."},
    {"addresses", CONFIG_LIST, AT(addresses), .unit = "IP addresses", .fallback = "",
     .help = "Where HTTPS listens. Empty: on all addresses, IPv4 and IPv6."},
    {"certificate", CONFIG_TEXT, AT(certificate), .unit = "file", .fallback = "",
     .help = "Server certificate with its chain, PEM. Empty: tls/server.crt in the data directory."},
    {"key", CONFIG_TEXT, AT(key), .unit = "file", .fallback = "",
     .help = "Its private key, PEM. Empty: tls/server.key in the data directory."},
    {"ca", CONFIG_TEXT, AT(ca), .unit = "file", .fallback = "",
     .help = "The local authority's certificate, offered on the page /help. Empty: tls/ca.crt in the data directory, if it "
             "is there."},
    {"data_dir", CONFIG_TEXT, AT(data_dir), .unit = "directory", .fallback = "data",
     .help = "Database, secrets and recordings. Needs about 1 GB for an hour of a recorded briefing."},
    {"web_dir", CONFIG_TEXT, AT(web_dir), .unit = "directory", .fallback = "",
     .help = "The built web client. Empty: where it is installed or built beside the programs."},
    {"units", CONFIG_TEXT, AT(units), .unit = "file", .fallback = "",
     .help = "The province's units, read at every start. Empty: units.thanhhoa.json beside the configuration file."},
    {"media.port", CONFIG_UINT, AT(media_port), 0, 65000, "port", "7000", false,
     "UDP port of the first worker; the next ones follow. 0: the kernel chooses."},
    {"media.tcp", CONFIG_BOOL, AT(media_tcp), .fallback = "true",
     .help = "The same ports take TCP too, for networks that let no UDP out."},
    {"media.addresses", CONFIG_LIST, AT(media_addresses), .unit = "IP addresses", .fallback = "",
     .help = "Local addresses for sound and picture; each worker has a socket on every one.\nEmpty: every address of the "
             "machine's interfaces."},
    {"media.announce", CONFIG_LIST, AT(media_announce), .unit = "IP addresses", .fallback = "",
     .help = "Addresses to tell clients instead of the local ones, behind NAT."},
    {"media.dscp_sound", CONFIG_UINT, AT(dscp_sound), 0, 63, "DSCP", "46", true,
     "Mark on packets of sound, by which routers of a managed network let them pass first (46: EF, 34: AF41, 26: AF31).\n0: "
     "none."},
    {"media.dscp_picture", CONFIG_UINT, AT(dscp_picture), 0, 63, "DSCP", "34", true, "The same for cameras."},
    {"media.dscp_screen", CONFIG_UINT, AT(dscp_screen), 0, 63, "DSCP", "26", true, "The same for shared screens."},
    {"media.dscp_control", CONFIG_UINT, AT(dscp_control), 0, 63, "DSCP", "0", true,
     "The same for connectivity checks, handshakes and reports."},
    {"media.trace", CONFIG_BOOL, AT(media_trace), .fallback = "false",
     .help =
         "For technicians: each worker writes what it is told about the lines of its clients, and what it makes of that, "
         "to worker-N.trace\nin the data directory, anew at each start, 16 MB at most. Times and sizes of packets, nothing "
         "of "
         "their content. See docs/lines.md."},
    {"sites", CONFIG_SITES, AT(sites), .unit = "sites", .fallback = "",
     .help = "Rooms that share one line: what is sent to them together, and what they are told to send, stays within it.\n"
             "  - name: thuong-xuan                       # for monitoring: letters, digits, '-', '_'\n"
             "    addresses: [10.36.5.0/24, \"fd36:5::/48\"]  # of their connections, as this server sees them …\n"
             "    units: [thuong-xuan]                    # … or whose addresses don't tell: by their units' ids\n"
             "    down_kbps: 4000                         # 64…65535: of the line, less what other things need\n"
             "    up_kbps: 2000\n"
             "See docs/lines.md."},
    {"turn.urls", CONFIG_LIST, AT(turn_urls), .unit = "addresses", .fallback = "",
     .help = "TURN servers for clients behind firewalls, as browsers know them: turn:HOST:3478?transport=udp,\n"
             "turns:HOST:443?transport=tcp. Empty: none. See docs/administration.md."},
    {"turn.secret_file", CONFIG_TEXT, AT(turn_secret_file), .unit = "file", .fallback = "",
     .help = "Secret shared with the TURN server (coturn: static-auth-secret), one line. Empty: turn.secret in the data "
             "directory."},
    {"turn.lifetime_seconds", CONFIG_UINT, AT(turn_lifetime_s), 15, 2592000, "seconds", "86400", true,
     "How long the credentials are good that a client gets when it comes in or back."},
    {"workers", CONFIG_UINT, AT(workers), 0, 64, "processes", "0", false, "Media processes. 0: one for each core."},
    {"placement", CONFIG_CHOICE, AT(placement), .fallback = "home", .reloadable = true, .choices = placements,
     .help = "home: a briefing lives on one worker. spread: its endpoints go round all workers (tests, one very large "
             "briefing)."},
    {"recording.format", CONFIG_CHOICE, AT(recording_format), .fallback = "mp4", .reloadable = true, .choices = formats,
     .help = "What a closed briefing is composed to at once; the other one on demand."},
    {"recording.cameras", CONFIG_BOOL, AT(recording_cameras), .fallback = "false", .reloadable = true,
     .help = "Record every camera, not only the stage, the shared screen and all open microphones."},
    {"recording.min_free_mb", CONFIG_UINT, AT(min_free_mb), 1, 1000000000, "MB", "500", true,
     "With less free than this in the data directory no recording is begun."},
    {"recording.spare_mb", CONFIG_UINT, AT(spare_mb), 0, 1000000000, "MB", "200", true,
     "With less free than this a recorder waits until there is a quarter more: the log and the programme need room too. "
     "What "
     "it keeps\nin memory meanwhile lasts for about 30 s; what is missing after that is in the recording's gap ledger."},
    {"recording.planned_minutes", CONFIG_UINT, AT(planned_minutes), 1, 10000, "minutes", "120", true,
     "The chair is told before the opening when the disk lasts for less than this."},
    {"recording.alarm_minutes", CONFIG_UINT, AT(alarm_minutes), 1, 10000, "minutes", "15", true,
     "Staff is told while recording when the disk lasts for less than this at the present rate."},
    {"recording.feed_bytes", CONFIG_UINT, AT(feed_bytes), 1 << 20, 1 << 30, "bytes", "33554432", false,
     "Memory between a worker and a recorder: what is not on disk yet. 32 MB hold about 30 s."},
    {"store.reserve_mb", CONFIG_UINT, AT(reserve_mb), 0, 1000000, "MB", "64", false,
     "Room on the data directory's disk that is set aside for the log of events, for when something else has filled the "
     "disk. 0: none."},
    {"limits.sockets", CONFIG_UINT, AT(max_sockets), 16, 60000, "connections", "4000", false, "Connections in all."},
    {"limits.sockets_source", CONFIG_UINT, AT(max_sockets_source), 4, 60000, "connections", "1000", false,
     "Connections from one address (an office behind one router has many people)."},
    {"limits.body_bytes", CONFIG_UINT, AT(max_body_bytes), 4096, 64 << 20, "bytes", "1048576", false,
     "Largest body of a request."},
    {"limits.body_seconds", CONFIG_UINT, AT(body_seconds), 1, 3600, "seconds", "60", false,
     "A body that takes longer ends its connection: one that comes a byte at a time would hold it for days."},
    {"limits.message_bytes", CONFIG_UINT, AT(max_message_bytes), 4096, 1 << 20, "bytes", "131072", false,
     "Largest message on a websocket; an offer takes 20,000."},
    {"limits.messages_per_second", CONFIG_UINT, AT(messages_per_second), 5, 10000, "messages", "50", false,
     "Messages a websocket may send in a second."},
    {"limits.queue_bytes", CONFIG_UINT, AT(queue_bytes), 65536, 64 << 20, "bytes", "1048576", false,
     "What may wait for a slow client before it is disconnected (it comes back by itself)."},
    {"limits.logins_source", CONFIG_UINT, AT(logins_source), 1, 32, "passwords", "8", false,
     "Passwords of one address that wait to be checked (a fifth of a second each; 32 in all)."},
    {"limits.joins_per_second", CONFIG_UINT, AT(joins_per_second), 1, 10000, "joins", "50", true,
     "Endpoints let into briefings in a second; the others wait in order and are told their place."},
    {"limits.endpoints_briefing", CONFIG_UINT, AT(endpoints_briefing), 2, WISH_ENDPOINT_NUMBER_MAX, "endpoints", "511", true,
     "Endpoints of one briefing, those that have left included."},
    {"limits.endpoints_unit", CONFIG_UINT, AT(endpoints_unit), 1, WISH_ENDPOINT_NUMBER_MAX, "endpoints", "100", true,
     "Of them, those of one unit: one link handed round doesn't use up the briefing."},
    {"limits.worker_queue_bytes", CONFIG_UINT, AT(worker_queue_bytes), 65536, 1u << 28, "bytes", "8388608", true,
     "What may wait for a worker that does not read; beyond, all of it is dropped and full wishes follow when it reads "
     "again."},
    {"limits.handshakes_turn", CONFIG_UINT, AT(handshakes_turn), 1, 1000, "datagrams", "8", true,
     "Steps of media handshakes (DTLS) in one turn of a worker's loop; the others wait and take turns."},
    {"limits.half_open", CONFIG_UINT, AT(half_open), 16, 4096, "handshakes", "512", true,
     "Media handshakes begun and not finished, for each worker; then the oldest of the busiest address makes room."},
    {"limits.half_open_source", CONFIG_UINT, AT(half_open_source), 4, 4096, "handshakes", "256", true,
     "Of them, those of one address (IPv6: one /64)."},
    {"limits.quarantine_seconds", CONFIG_UINT, AT(quarantine_seconds), 1, 86400, "seconds", "600", true,
     "An endpoint on whose offers three workers died within ten seconds makes no offer for so long."},
    {"limits.handshake_seconds", CONFIG_UINT, AT(handshake_seconds), 2, 300, "seconds", "15", true,
     "A media handshake that is not finished by then has failed; its client begins anew."},
    {"limits.stun_source", CONFIG_UINT, AT(stun_source), 10, 100000, "messages", "1000", true,
     "Connectivity checks that prove nothing, from one address in a second; beyond, none of its new ones is looked at."},
    {"limits.tcp", CONFIG_UINT, AT(tcp), 16, 4096, "connections", "1024", true,
     "TCP connections of media, for each worker; then one without a connectivity check makes room."},
    {"limits.tcp_source", CONFIG_UINT, AT(tcp_source), 4, 4096, "connections", "256", true,
     "TCP connections of media of one address (one IPv6 /64); its next one is closed. An office behind one NAT is one."},
    {"limits.tcp_check_seconds", CONFIG_UINT, AT(tcp_check_seconds), 1, 60, "seconds", "5", true,
     "A TCP connection of media that has passed no connectivity check by then is closed."},
    {"limits.endpoint_bps", CONFIG_UINT, AT(endpoint_bps), 100000, 100000000, "bit/s", "2500000", true,
     "What an endpoint is told to send at most."},
    {"users.control", CONFIG_TEXT, AT(user_control), .unit = "user", .fallback = "",
     .help =
         "Who runs giaoband, when giaoban is started as root; the data directory is handed to this user once.\nAll four or "
         "none; none: everything runs as the user who starts it. config/giaoban.sysusers makes them."},
    {"users.media", CONFIG_TEXT, AT(user_media), .unit = "user", .fallback = "",
     .help = "Who runs the media workers: a user who owns nothing."},
    {"users.check", CONFIG_TEXT, AT(user_check), .unit = "user", .fallback = "",
     .help = "Who runs giaoban-check: a user who owns nothing."},
    {"users.recorder", CONFIG_TEXT, AT(user_recorder), .unit = "user", .fallback = "",
     .help = "Who runs recorders and composers; this user's group owns the recordings."},
    {"sandbox", CONFIG_CHOICE, AT(sandbox), .fallback = "enforce", .choices = sandboxes,
     .help =
         "What processes may not do is refused (enforce), only named in the kernel's log (log), or done (off): for finding "
         "out what a new library needs."},
    {"log_level", CONFIG_CHOICE, AT(log_level), .fallback = "info", .reloadable = true, .choices = levels,
     .help = "error, warn, info or debug."},
};
enum { KEYS = sizeof keys / sizeof *keys };

const struct config_key *config_keys(size_t *ret_n)
{
    *ret_n = KEYS;
    return keys;
}

static void *field(struct config *c, const struct config_key *k)
{
    return (char *)c + k->offset;
}

static void list_clear(struct config_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i]);
    l->n = 0;
}

static int set_uint(struct config *c, const struct config_key *k, const char *value, char *error)
{
    char *end;
    errno = 0;
    unsigned long v = strtoul(value, &end, 10);
    if (errno || end == value || *end || *value == '-') {
        snprintf(error, CONFIG_ERROR_BYTES, "\"%s\" must be a whole number, not \"%s\"", k->name, value);
        return ERR_INVAL;
    }
    if (v < k->min || v > k->max) {
        snprintf(error, CONFIG_ERROR_BYTES, "\"%s\" must be from %u to %u %s, not %s", k->name, k->min, k->max, k->unit,
                 value);
        return ERR_RANGE;
    }
    *(unsigned *)field(c, k) = (unsigned)v;
    return 0;
}

static int set_bool(struct config *c, const struct config_key *k, const char *value, char *error)
{
    bool on = strcmp(value, "true") == 0 || strcmp(value, "yes") == 0;
    if (!on && strcmp(value, "false") != 0 && strcmp(value, "no") != 0) {
        snprintf(error, CONFIG_ERROR_BYTES, "\"%s\" must be true or false, not \"%s\"", k->name, value);
        return ERR_INVAL;
    }
    *(bool *)field(c, k) = on;
    return 0;
}

static int set_choice(struct config *c, const struct config_key *k, const char *value, char *error)
{
    int n = snprintf(error, CONFIG_ERROR_BYTES, "\"%s\" must be", k->name);
    for (unsigned i = 0; k->choices[i]; i++) {
        if (strcmp(value, k->choices[i]) == 0) {
            *(unsigned *)field(c, k) = i;
            return 0;
        }
        n += snprintf(error + n, CONFIG_ERROR_BYTES - (size_t)n, "%s %s", i ? " or" : "", k->choices[i]);
    }
    snprintf(error + n, CONFIG_ERROR_BYTES - (size_t)n, ", not \"%.100s\"", value);
    return ERR_INVAL;
}

static int set_list(struct config *c, const struct config_key *k, const char *value, char *error)
{
    struct config_list *l = field(c, k);
    list_clear(l);
    while (*value) {
        size_t len = strcspn(value, ", ");
        if (len && l->n == CONFIG_LIST_MAX) {
            snprintf(error, CONFIG_ERROR_BYTES, "\"%s\" takes at most %d entries", k->name, CONFIG_LIST_MAX);
            return ERR_RANGE;
        }
        if (len && !(l->items[l->n++] = strndup(value, len)))
            return ERR_NOMEM;
        value += len + (value[len] != '\0');
    }
    return 0;
}

static int set_text(struct config *c, const struct config_key *k, const char *value)
{
    char **text = field(c, k), *copy = strdup(value);
    if (!copy)
        return ERR_NOMEM;
    free(*text);
    *text = copy;
    return 0;
}

static int set_sites(struct config *c, const struct config_key *k, const char *value, char *error)
{
    struct site_list list;
    int err = site_list_parse(value, &list, error, CONFIG_ERROR_BYTES);
    if (err)
        return err;
    site_list_free(&list);
    return set_text(c, k, value);
}

int config_set(struct config *c, const char *key, const char *value, char error[CONFIG_ERROR_BYTES])
{
    for (size_t i = 0; i < KEYS; i++) {
        const struct config_key *k = &keys[i];
        if (strcmp(key, k->name) != 0)
            continue;
        switch (k->type) {
        case CONFIG_UINT: return set_uint(c, k, value, error);
        case CONFIG_BOOL: return set_bool(c, k, value, error);
        case CONFIG_TEXT: return set_text(c, k, value);
        case CONFIG_LIST: return set_list(c, k, value, error);
        case CONFIG_SITES: return set_sites(c, k, value, error);
        case CONFIG_CHOICE: return set_choice(c, k, value, error);
        }
    }
    snprintf(error, CONFIG_ERROR_BYTES, "unknown configuration key \"%.100s\": giaoband --print-config lists all keys", key);
    return ERR_NOTFOUND;
}

void config_defaults(struct config *c)
{
    char error[CONFIG_ERROR_BYTES];
    *c = (struct config){0};
    for (size_t i = 0; i < KEYS; i++)
        config_set(c, keys[i].name, keys[i].fallback, error); /* test_config checks that every default is valid */
}

void config_free(struct config *c)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (keys[i].type == CONFIG_TEXT || keys[i].type == CONFIG_SITES)
            free(*(char **)field(c, &keys[i]));
        else if (keys[i].type == CONFIG_LIST)
            list_clear(field(c, &keys[i]));
    }
    *c = (struct config){0};
}

void config_reload(struct config *c, const struct config *fresh)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (!keys[i].reloadable)
            continue;
        if (keys[i].type == CONFIG_BOOL)
            *(bool *)field(c, &keys[i]) = *(const bool *)((const char *)fresh + keys[i].offset);
        else /* test_config: only numbers, choices and switches are reloadable */
            *(unsigned *)field(c, &keys[i]) = *(const unsigned *)((const char *)fresh + keys[i].offset);
    }
}

static void print_help(FILE *to, const char *indent, const struct config_key *k)
{
    fprintf(to, "\n");
    for (const char *line = k->help; line;) {
        size_t len = strcspn(line, "\n");
        fprintf(to, "%s# %.*s\n", indent, (int)len, line);
        line = line[len] ? line + len + 1 : NULL;
    }
    fprintf(to, "%s# ", indent);
    if (k->type == CONFIG_UINT)
        fprintf(to, "%u…%u %s; ", k->min, k->max, k->unit);
    else if (k->unit)
        fprintf(to, "%s; ", k->unit);
    for (unsigned i = 0; k->choices && k->choices[i]; i++)
        fprintf(to, "%s%s", k->choices[i], k->choices[i + 1] ? ", " : "; ");
    fprintf(to, "%s\n", k->reloadable ? "taken over at SIGHUP" : "at the next start");
}

void config_print(FILE *to)
{
    char section[32] = "";
    fprintf(to, "# giaoban's configuration. Every key is here with its default; `giaoband --print-config` makes this file.\n"
                "# On the command line: --set KEY=VALUE (lists with commas, sections with a dot: --set media.port=7100).\n");
    for (size_t i = 0; i < KEYS; i++) {
        const struct config_key *k = &keys[i];
        const char *dot = strchr(k->name, '.');
        const char *indent = dot ? "  " : "";
        if (dot && strncmp(section, k->name, (size_t)(dot - k->name) + 1) != 0) {
            snprintf(section, sizeof section, "%.*s.", (int)(dot - k->name), k->name);
            fprintf(to, "\n%.*s:", (int)(dot - k->name), k->name);
        }
        print_help(to, indent, k);
        fprintf(to, "%s%s: ", indent, dot ? dot + 1 : k->name);
        if (k->type == CONFIG_LIST || k->type == CONFIG_SITES)
            fprintf(to, "[%s]\n", k->fallback);
        else if (k->type == CONFIG_TEXT)
            fprintf(to, "\"%s\"\n", k->fallback);
        else
            fprintf(to, "%s\n", k->fallback);
    }
}
