/* Proves an installation: the real programs over a temporary data directory, four simulated rooms on two workers, ten
 * seconds recorded, composed, decoded and looked at. One JSON line. */
#include "control/ctl/ctl.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROOMS = 4, RECORD_SECONDS = 10, SKEW_BOUND_MS = 60, ARGUMENTS_MAX = 24 };

struct selftest {
    struct ctl ctl;
    char programs[PATH_MAX / 2], briefing[40];
    int port, plain_port;
    pid_t server, sim;
    json_t *report;
};

/* ---- processes ---- */

static void child_output(const char *path)
{
    int null = open("/dev/null", O_RDONLY), out = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
}

/* A program with its output in `log`; −1: not started. It ends with us. */
static pid_t start(const char *path, const char *const *arguments, const char *log)
{
    char *argv[ARGUMENTS_MAX + 2] = {(char *)path};
    for (size_t i = 0; i < ARGUMENTS_MAX && arguments[i]; i++)
        argv[i + 1] = (char *)arguments[i];
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    child_output(log);
    execv(path, argv);
    fprintf(stderr, "can't run %s: %s\n", path, strerror(errno));
    _exit(127);
}

static bool ended(pid_t pid, int *ret_status)
{
    int status;
    if (waitpid(pid, &status, WNOHANG) != pid)
        return false;
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
}

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void stop(pid_t *pid)
{
    int status;
    if (*pid <= 0)
        return;
    kill(*pid, SIGTERM);
    for (int i = 0; i < 120 && !ended(*pid, &status); i++) {
        if (i == 119) {
            kill(*pid, SIGKILL);
            waitpid(*pid, &status, 0);
            break;
        }
        pause_ms(100);
    }
    *pid = 0;
}

/* Waits for a condition; false: in vain, or the server has ended. */
static bool until(struct selftest *t, bool (*condition)(struct selftest *), int seconds, const char *what)
{
    int64_t deadline_us = clock_now_us() + (int64_t)seconds * 1000000;
    while (clock_now_us() < deadline_us) {
        int status;
        if (t->server > 0 && ended(t->server, &status)) {
            t->server = 0;
            fprintf(stderr, "selftest: giaoban ended with status %d\n", status);
            return false;
        }
        if (condition(t))
            return true;
        pause_ms(100);
    }
    fprintf(stderr, "selftest: waited %d s in vain for %s\n", seconds, what);
    return false;
}

/* ---- steps ---- */

static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;
    if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && getsockname(fd, (struct sockaddr *)&a, &len) == 0)
        port = ntohs(a.sin_port);
    close(fd);
    return port;
}

static bool make_certificate(struct selftest *t)
{
    static const char *const places[] = {"../share/giaoban/make-certificate", "../../../config/make-certificate"};
    char path[PATH_MAX], tls[PATH_MAX], log[PATH_MAX];
    int status = 1;
    snprintf(tls, sizeof tls, "%s/tls", t->ctl.data);
    snprintf(log, sizeof log, "%s/certificate.log", t->ctl.data);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", t->programs, places[i]);
        if (access(path, X_OK) != 0)
            continue;
        pid_t pid = start(path, (const char *const[]){tls, NULL}, log);
        if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
            return true;
    }
    fprintf(stderr, "selftest: no certificate could be made\n");
    return false;
}

static bool serves(struct selftest *t)
{
    char *text = ctl_text(&t->ctl, "/healthz");
    free(text);
    return text != NULL;
}

static bool start_server(struct selftest *t)
{
    char path[PATH_MAX], port[16], plain[32], log[PATH_MAX];
    t->port = free_port();
    t->plain_port = free_port();
    snprintf(path, sizeof path, "%s/giaoban", t->programs);
    snprintf(port, sizeof port, "%d", t->port);
    snprintf(plain, sizeof plain, "%d", t->plain_port);
    snprintf(log, sizeof log, "%s/server.log", t->ctl.data);
    snprintf(t->ctl.server, sizeof t->ctl.server, "http://127.0.0.1:%d", t->plain_port);
    t->server = start(path,
                      (const char *const[]){"--data", t->ctl.data, "--port", port, "--plain-port", plain, "--set",
                                            "media.port=0", "--set", "media.addresses=127.0.0.1,::1", "--set",
                                            "placement=spread", "--set", "workers=2", NULL},
                      log);
    return t->server > 0 && until(t, serves, 15, "giaoban to serve") && ctl_open(&t->ctl) == 0;
}

static bool make_briefing(struct selftest *t)
{
    static const char *const roles[ROOMS] = {"chair", "delegate", "delegate", "delegate"};
    char links[PATH_MAX], path[560], open_path[128];
    json_t *answer = ctl_call(&t->ctl, "GET", "units", NULL, false), *units = json_array();
    for (size_t i = 0; i < ROOMS; i++)
        json_array_append(units, json_object_get(json_array_get(json_object_get(answer, "units"), i), "id"));
    json_decref(answer);
    json_incref(units);
    bool ok = json_array_size(units) == ROOMS &&
              ctl_create(&t->ctl, "Tự kiểm tra", units, true, clock_wall_us() / 1000, t->briefing) == 0;
    snprintf(links, sizeof links, "%s/links.txt", t->ctl.data);
    FILE *file = fopen(links, "w");
    for (size_t i = 0; ok && file && i < ROOMS; i++) {
        ok = ctl_link(&t->ctl, t->briefing, json_string_value(json_array_get(units, i)), roles[i], 3600, path) == 0;
        fprintf(file, "%s%s\n", t->ctl.server, path);
    }
    if (file)
        fclose(file);
    json_decref(units);
    snprintf(open_path, sizeof open_path, "briefings/%s/open", t->briefing);
    json_t *opened = ok ? ctl_call(&t->ctl, "POST", open_path, NULL, false) : NULL;
    json_decref(opened);
    return opened != NULL;
}

/* The newest whole line of the simulator's output. */
static json_t *sim_status(struct selftest *t)
{
    char path[PATH_MAX], line[16384];
    json_t *newest = NULL;
    snprintf(path, sizeof path, "%s/sim.log", t->ctl.data);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        json_t *o = line[0] == '{' ? json_loads(line, 0, NULL) : NULL;
        if (!o)
            continue;
        json_decref(newest);
        newest = o;
    }
    if (file)
        fclose(file);
    return newest;
}

static bool all_joined(struct selftest *t)
{
    json_t *o = sim_status(t);
    json_int_t joined = json_integer_value(json_object_get(o, "joined"));
    json_object_set_new(t->report, "joined", json_integer(joined));
    json_decref(o);
    return joined == ROOMS;
}

static bool start_rooms(struct selftest *t)
{
    char path[PATH_MAX], links[PATH_MAX], log[PATH_MAX];
    snprintf(path, sizeof path, "%s/giaoban-sim", t->programs);
    snprintf(links, sizeof links, "%s/links.txt", t->ctl.data);
    snprintf(log, sizeof log, "%s/sim.log", t->ctl.data);
    t->sim = start(path, (const char *const[]){"--server", t->ctl.server, "--links", links, NULL}, log);
    return t->sim > 0 && until(t, all_joined, 40, "four rooms to be in");
}

static json_int_t forwarded(struct selftest *t)
{
    static const char name[] = "giaoban_media_sent_packets_total{";
    char *text = ctl_text(&t->ctl, "/metrics");
    json_int_t sum = 0;
    for (const char *line = text; line && *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] != '\0'))
        if (strncmp(line, name, sizeof name - 1) == 0)
            sum += atoll(line + strcspn(line, " "));
    free(text);
    return sum;
}

/* Somebody speaks: sound and picture of the same source, so that lips can be compared. */
static bool give_floor(struct selftest *t)
{
    char path[128];
    snprintf(path, sizeof path, "briefings/%s/grant", t->briefing);
    json_t *granted = ctl_call(&t->ctl, "POST", path, json_pack("{s:i}", "endpoint", 2), false);
    json_decref(granted);
    return granted != NULL;
}

static bool record(struct selftest *t)
{
    char path[128];
    pause_ms(RECORD_SECONDS * 1000L);
    pause_ms(1100); /* the workers' counters come once a second */
    json_object_set_new(t->report, "forwarded_packets", json_integer(forwarded(t)));
    snprintf(path, sizeof path, "briefings/%s/close", t->briefing);
    json_t *closed = ctl_call(&t->ctl, "POST", path, NULL, false);
    json_decref(closed);
    stop(&t->sim);
    json_t *o = sim_status(t);
    json_t *lost = json_object_get(o, "lost_packets");
    json_object_set(t->report, "lost_packets", lost ? lost : json_null());
    json_decref(o);
    return closed != NULL;
}

static bool composed(struct selftest *t)
{
    char path[128];
    snprintf(path, sizeof path, "archive/%s", t->briefing);
    json_t *o = ctl_call(&t->ctl, "GET", path, NULL, true);
    const char *state = json_string_value(json_object_get(o, "state"));
    bool over = state && (strcmp(state, "ready") == 0 || strcmp(state, "failed") == 0);
    if (over)
        json_object_set(t->report, "recording_seconds", json_object_get(o, "seconds"));
    json_decref(o);
    return over;
}

/* The recorder decodes the programme and says what is in it: {"seconds","av_skew_ms",…}. */
static bool check(struct selftest *t)
{
    char path[PATH_MAX], programme[PATH_MAX], log[PATH_MAX], line[4096] = "";
    int status = 1;
    snprintf(path, sizeof path, "%s/giaoban-recorder", t->programs);
    snprintf(programme, sizeof programme, "%s/recordings/%s/programme.mp4", t->ctl.data, t->briefing);
    snprintf(log, sizeof log, "%s/check.log", t->ctl.data);
    pid_t pid = start(path, (const char *const[]){"--check", programme, NULL}, log);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        fprintf(stderr, "selftest: the programme could not be decoded: see %s\n", log);
        return false;
    }
    FILE *file = fopen(log, "r");
    json_t *found = NULL;
    while (file && fgets(line, sizeof line, file))
        if (line[0] == '{' && !found)
            found = json_loads(line, 0, NULL);
    if (file)
        fclose(file);
    json_t *skew = json_object_get(found, "av_skew_ms");
    bool ok = json_is_number(skew) && json_number_value(skew) <= SKEW_BOUND_MS && json_number_value(skew) >= -SKEW_BOUND_MS;
    json_object_set(t->report, "av_skew_ms", skew ? skew : json_null());
    json_decref(found);
    return ok;
}

static bool figures_hold(const struct selftest *t)
{
    double seconds = json_number_value(json_object_get(t->report, "recording_seconds"));
    return json_integer_value(json_object_get(t->report, "forwarded_packets")) > 0 && seconds > RECORD_SECONDS - 1;
}

static bool steps(struct selftest *t)
{
    return make_certificate(t) && start_server(t) && make_briefing(t) && start_rooms(t) && give_floor(t) && record(t) &&
           until(t, composed, 120, "the programme to be composed") && check(t) && figures_hold(t);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

int selftest_run(int argc, char **argv)
{
    static const char *const names[] = {"joined", "forwarded_packets", "lost_packets", "recording_seconds", "av_skew_ms"};
    struct selftest t = {.report = json_object()};
    bool keep = flag(argc, argv, "--keep");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        json_object_set_new(t.report, names[i], json_null());
    snprintf(t.ctl.data, sizeof t.ctl.data, "/tmp/giaoban-selftest-XXXXXX");
    if (!mkdtemp(t.ctl.data)) {
        fprintf(stderr, "selftest: no temporary directory: %s\n", strerror(errno));
        return 1;
    }
    programs_dir(t.programs, sizeof t.programs);
    bool ok = steps(&t);
    stop(&t.sim);
    stop(&t.server);
    json_object_set_new(t.report, "ok", json_boolean(ok));
    char *line = json_dumps(t.report, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(5));
    puts(line ? line : "{\"ok\":false}");
    free(line);
    json_decref(t.report);
    if (ok && !keep)
        nftw(t.ctl.data, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    else
        fprintf(stderr, "selftest: logs and files are in %s\n", t.ctl.data);
    return ok ? 0 : 1;
}
