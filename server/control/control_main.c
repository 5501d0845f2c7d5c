/* giaoband: the control process. Started by giaoban with `--link`; `--check-config` and `--print-config` run alone. */
#include "control/control.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "box/box.h"
#include "control/aside.h"

#include <libgen.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TURN_MS = 20, BUSY_TURN_MS = 2, TICK_US = 20000, DRAIN_US = 700000 };

static const char *const modes[] = {"--link", "--check-config", "--print-config", NULL};

static volatile sig_atomic_t reload_asked;
static int saved_argc;
static char **saved_argv;

static bool has_mode(int argc, char **argv, const char *mode)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], mode) == 0)
            return true;
    return false;
}

static int open_store(struct control *c, const char **ret_why)
{
    char path[4096], reserve[4096];
    snprintf(path, sizeof path, "%s/giaoban.db", c->config.data_dir);
    snprintf(reserve, sizeof reserve, "%s/log.reserve", c->config.data_dir);
    struct store_config config = {.path = path,
                                  .units_path = c->config.units,
                                  .reserve_path = reserve,
                                  .reserve_bytes = (uint64_t)c->config.reserve_mb << 20};
    int err = store_open(&config, &c->store, ret_why);
    if (err)
        return err;
    c->epoch = store_epoch(c->store);
    c->next_act = c->epoch << 24 | 1;
    c->next_req = 1;
    c->next_feed = (uint32_t)(c->epoch << 12 | 1);
    return 0;
}

static int open_signaling(struct control *c, const char **ret_why)
{
    static const struct signaling_ops ops = {.request = request_on_peer,
                                             .closed = control_peer_closed,
                                             .http = http_request,
                                             .may_read_recording = archive_may_read,
                                             .metrics = metrics_text};
    const struct config *k = &c->config;
    struct signaling_config config = {.data_dir = k->data_dir,
                                      .web_dir = k->web_dir,
                                      .certificate = k->certificate,
                                      .key = k->key,
                                      .ca = access(k->ca, R_OK) == 0 ? k->ca : NULL,
                                      .max_sockets = k->max_sockets,
                                      .max_sockets_source = k->max_sockets_source,
                                      .max_body_bytes = k->max_body_bytes,
                                      .body_seconds = k->body_seconds,
                                      .max_message_bytes = k->max_message_bytes,
                                      .messages_per_second = k->messages_per_second,
                                      .queue_bytes = k->queue_bytes,
                                      .logins_source = k->logins_source};
    return signaling_new(&config, c->store, &ops, c, &c->signaling, ret_why);
}

void control_peer_closed(void *ctx, struct ws_peer *peer)
{
    entry_closed(ctx, peer);
}

static void store_readable(void *ctx, int fd)
{
    store_poll(((struct control *)ctx)->store);
}

static const char *config_path(void)
{
    for (int i = 1; i + 1 < saved_argc; i++)
        if (strcmp(saved_argv[i], "--config") == 0)
            return saved_argv[i + 1];
    return "/etc/giaoban/giaoban.yaml"; /* none: never read again */
}

/* Before there is a second thread. Libraries read their own files later; SQLite's temporary ones stay with the database. A
 * file is replaced by another of its name, so its directory is the place. */
static int enter_box(const struct config *c)
{
    const char *files[] = {c->units, c->certificate, c->key, c->ca, config_path()};
    enum { FILES = sizeof files / sizeof *files, FIXED = 8 };
    char parents[FILES][PATH_MAX];
    struct box_place places[FILES + FIXED] = {
        {c->data_dir, true},     {c->web_dir, false},
        {"/usr", false},         {"/lib", false},
        {"/etc", false},         {"/dev/null", true},
        {"/dev/urandom", false}, {"/proc/sys/kernel/random/boot_id", false}, /* whether the store's clock is of this boot */
    };
    for (size_t i = 0; i < FILES; i++) {
        snprintf(parents[i], sizeof parents[i], "%s", files[i]);
        places[FIXED + i].path = dirname(parents[i]);
    }
    setenv("SQLITE_TMPDIR", c->data_dir, 1);
    box_close_inherited(LINK_FD);
    return box_enter(BOX_CONTROL, (enum box_mode)c->sandbox, places, sizeof places / sizeof *places);
}

static int start(struct control *c)
{
    const char *why = "";
    int err = c->config.turn_urls.n ? turn_read_secret(c->config.turn_secret_file, c->turn_secret) : 0;
    why = err ? "turn.secret_file" : "";
    if (!err)
        err = enter_box(&c->config);
    if (!err)
        err = open_store(c, &why);
    if (!err)
        err = meetings_load(c, &why);
    if (!err)
        err = open_signaling(c, &why);
    if (!err)
        err = feeds_start(c);
    if (!err)
        err = aside_start(c);
    if (err) {
        log_error("control", "can't start: %s: %s", err_str(err), why ? why : "");
        return err;
    }
    signaling_watch(c->signaling, store_event_fd(c->store), store_readable, c);
    signaling_watch(c->signaling, LINK_FD, link_readable, c);
    c->linked = true;
    alarms_start(c);
    return 0;
}

/* A person who installs this sees at once how to begin. */
static void greet(struct control *c)
{
    char path[600];
    if (store_accounts(c->store) == 0 && first_link(c, path, sizeof path) == 0)
        log_info("control", "no account yet; the administrator's one-time link: http://127.0.0.1:%u%s", c->config.plain_port,
                 path);
}

static void ask_reload(int signal_number)
{
    reload_asked = 1;
}

/* SIGHUP, handed on by the supervisor. A broken file changes nothing. */
static void reload(struct control *c)
{
    char error[CONFIG_ERROR_BYTES] = "";
    struct config fresh;
    reload_asked = 0;
    config_defaults(&fresh);
    if (config_arguments(&fresh, saved_argc, saved_argv, modes, error)) {
        log_error("control", "configuration not taken over: %s", error);
    } else {
        config_reload(&c->config, &fresh);
        log_setup("giaoband", (enum log_level)c->config.log_level);
        for (struct meeting *m = c->meetings; m; m = m->next) {
            briefing_set_record_cameras(m->settled, c->config.recording_cameras);
            m->dirty = true;
        }
        workers_tell_limits(c);
        recordings_reload(c);
        log_info("control", "configuration taken over");
    }
    config_free(&fresh);
}

static void expire(struct control *c)
{
    int64_t steady_ms = clock_steady_us() / 1000, wall_ms = clock_wall_us() / 1000;
    store_sessions_expire(c->store, steady_ms);
    store_tokens_expire(c->store, steady_ms < wall_ms ? steady_ms : wall_ms);
}

static void tick(struct control *c)
{
    int64_t now_us = clock_now_us();
    if (c->beat)
        atomic_fetch_add_explicit(&c->beat[c->beat_cell], 1, memory_order_relaxed);
    if (reload_asked)
        reload(c);
    admissions_tick(c, now_us);
    if (now_us >= c->tick_us) { /* a busy second has a thousand turns */
        c->tick_us = now_us + TICK_US;
        entries_tick(c, now_us);
        offers_tick(c, now_us);
        moves_tick(c, now_us);
        sites_tick(c);
        checks_tick(c, now_us);
        feeds_update(c);
    }
    if (now_us >= c->second_us) {
        c->second_us = now_us + 1000000;
        alarms_tick(c, now_us);
        recordings_tick(c);
        meetings_tick(c, now_us);
    }
    if (now_us >= c->two_seconds_us) {
        c->two_seconds_us = now_us + 2000000;
        report_lines(c);
        expire(c);
    }
}

/* Stops when what is queued for clients and store has had time to leave. */
static bool done(struct control *c)
{
    if (!c->stopping)
        return false;
    if (!c->stop_at_us)
        c->stop_at_us = clock_now_us() + DRAIN_US;
    return clock_now_us() >= c->stop_at_us && store_queued(c->store) == 0;
}

static void turn_over(struct control *c)
{
    int64_t us = clock_now_us() - signaling_woken_us(c->signaling);
    if (us > c->longest_turn_us)
        c->longest_turn_us = us;
    if (us > SLOW_TURN_US)
        c->slow_turns++;
    int64_t cpu_us = clock_thread_us() - signaling_woken_cpu_us(c->signaling);
    if (cpu_us > c->longest_turn_cpu_us)
        c->longest_turn_cpu_us = cpu_us;
    if (cpu_us > SLOW_TURN_US)
        c->slow_turns_cpu++;
}

static void loop(struct control *c)
{
    while (!done(c)) {
        int err = signaling_service(c->signaling, workers_waiting(c) ? BUSY_TURN_MS : TURN_MS);
        if (err && err != ERR_AGAIN) {
            log_error("control", "the loop ended: %s", err_str(err));
            return;
        }
        tick(c);
        meetings_flush(c);
        workers_drain(c);
        store_submit(c->store);
        turn_over(c);
    }
}

/* Signaling last but one: its peers' last calls still find their meetings. */
static void stop(struct control *c)
{
    aside_stop(c);
    checks_free(c);
    feeds_stop(c);
    workers_free(c);
    store_close(c->store); /* completions of what was queued are called here */
    signaling_free(c->signaling);
    recordings_free(c);
    meetings_free(c);
    config_free(&c->config);
    site_list_free(&c->sites);
}

static int configure(struct control *c, int argc, char **argv)
{
    char error[CONFIG_ERROR_BYTES] = "";
    config_defaults(&c->config);
    int err = config_arguments(&c->config, argc, argv, modes, error);
    if (!err)
        err = site_list_parse(c->config.sites, &c->sites, error, sizeof error);
    if (!err && has_mode(argc, argv, "--check-config"))
        err = config_check(&c->config, stdout, error);
    if (err)
        fprintf(stderr, "giaoban: %s\n", error);
    return err;
}

/* glibc raises its own thresholds with what is freed, and keeps what a burst of joins took; fixed ones give it back. */
static void bound_heap(void)
{
    mallopt(M_MMAP_THRESHOLD, 64 * 1024);
    mallopt(M_TRIM_THRESHOLD, 128 * 1024);
}

int main(int argc, char **argv)
{
    static struct control control = {.checker_fd = -1};
    if (has_mode(argc, argv, "--print-config")) {
        config_print(stdout);
        return 0;
    }
    if (configure(&control, argc, argv))
        return 1;
    if (has_mode(argc, argv, "--check-config"))
        return 0;
    if (!has_mode(argc, argv, "--link")) {
        fprintf(stderr, "giaoband is started by giaoban; by itself it knows --check-config and --print-config\n");
        return 1;
    }
    bound_heap();
    saved_argc = argc;
    saved_argv = argv;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, ask_reload);
    log_setup("giaoband", (enum log_level)control.config.log_level);
    if (sodium_init() < 0 || start(&control))
        return 1;
    control.checker_gone_us = clock_now_us(); /* it is on its way */
    greet(&control);
    loop(&control);
    stop(&control);
    return 0;
}
