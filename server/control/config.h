/* Configuration of the whole server: one table (key, type, range, unit, default, reloadable, help). From it come the parser
 * of YAML and of `--set`, the committed config/giaoban.yaml (`giaoband --print-config`) and the documentation.
 *
 * Precedence: default < file < command line. An unknown key, a wrong type or a value out of range is an error with a
 * sentence that names the key. Modules receive their own small struct; nobody but control reads this one.
 *
 * Thread: one. A `struct config` owns its texts (config_free). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { CONFIG_LIST_MAX = 14, CONFIG_ERROR_BYTES = 512, CONFIG_TURN_URL_MAX = 256 };

struct config_list {
    char *items[CONFIG_LIST_MAX];
    size_t n;
};

enum config_placement { PLACEMENT_HOME, PLACEMENT_SPREAD };

struct config {
    unsigned port, plain_port;
    struct config_list addresses;
    char *certificate, *key, *ca; /* made absolute by config_finish(); so are the directories */
    char *data_dir, *web_dir, *units;
    unsigned media_port;
    bool media_tcp, media_trace;
    struct config_list media_addresses, media_announce;
    char *sites; /* as text, see site_list.h */
    struct config_list turn_urls;
    char *turn_secret_file;
    unsigned turn_lifetime_s;
    unsigned dscp_sound, dscp_picture, dscp_screen, dscp_control;
    unsigned workers;
    unsigned placement;        /* enum config_placement */
    unsigned recording_format; /* 0 mp4, 1 webm */
    bool recording_cameras;
    unsigned feed_bytes, min_free_mb, spare_mb, planned_minutes, alarm_minutes;
    unsigned reserve_mb;
    unsigned max_sockets, max_sockets_source, max_body_bytes, max_message_bytes, messages_per_second, queue_bytes;
    unsigned body_seconds;
    unsigned logins_source;
    unsigned joins_per_second, endpoints_briefing, endpoints_unit;
    unsigned quarantine_seconds, worker_queue_bytes;
    unsigned handshakes_turn, half_open, half_open_source, handshake_seconds, stun_source; /* a worker's */
    unsigned tcp, tcp_source, tcp_check_seconds;                                           /* a worker's, too */
    unsigned endpoint_bps;
    unsigned log_level;                                           /* enum log_level */
    unsigned sandbox;                                             /* enum box_mode */
    char *user_control, *user_media, *user_check, *user_recorder; /* "": as giaoban is started */
};

enum config_type { CONFIG_UINT, CONFIG_BOOL, CONFIG_TEXT, CONFIG_LIST, CONFIG_CHOICE, CONFIG_SITES };

struct config_key {
    const char *name; /* dotted: the part before the dot is a section of the file */
    enum config_type type;
    size_t offset;
    unsigned min, max; /* CONFIG_UINT */
    const char *unit;
    const char *fallback; /* as text */
    bool reloadable;      /* taken over at SIGHUP; others at the next start */
    const char *help;     /* lines separated by \n */
    const char *const *choices;
};

const struct config_key *config_keys(size_t *ret_n);

void config_defaults(struct config *c);
void config_free(struct config *c); /* frees what it owns */
/* One key from text; lists are separated by commas. ERR_NOTFOUND: no such key; ERR_RANGE, ERR_INVAL: value. `error` gets the
 * sentence. */
int config_set(struct config *c, const char *key, const char *value, char error[CONFIG_ERROR_BYTES]);
/* YAML. ERR_IO, ERR_MALFORMED, or config_set()'s; the sentence names file and line. */
int config_load(struct config *c, const char *path, char error[CONFIG_ERROR_BYTES]);
/* --config FILE, --data DIR, --port N, --plain-port N, --set KEY=VALUE, in any order; the file is read first. Other
 * arguments are an error, but for those in `skip` (NULL at the end). Then fills what depends on the place: certificate in
 * the data directory, web client and units beside the programs. */
int config_arguments(struct config *c, int argc, char **argv, const char *const *skip, char error[CONFIG_ERROR_BYTES]);
/* Takes the reloadable keys over from another reading of the configuration. */
void config_reload(struct config *c, const struct config *fresh);
/* The committed config/giaoban.yaml: every key with its default and help. */
void config_print(FILE *to);
/* Everything a start needs is there and makes sense: files, addresses. Prints the supervisor's lines (supervisor/settings.h)
 * to `to`. */
int config_check(const struct config *c, FILE *to, char error[CONFIG_ERROR_BYTES]);
