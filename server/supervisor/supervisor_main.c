/* giaoban: see supervisor.h. Every argument is giaoband's too; `giaoband --check-config` judges them. */
#include "supervisor/supervisor.h"
#include "supervisor/users.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 60, FILES_MAX = 65536 };

static struct supervisor supervisor; /* large: not on the stack */

static int find_programs(char dir[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", dir, PATH_MAX - 1);
    if (n <= 0)
        return ERR_IO;
    dir[n] = '\0';
    char *parent = dirname(dir); /* cuts in place, or is "." or "/" */
    memmove(dir, parent, strlen(parent) + 1);
    return 0;
}

/* Runs `giaoband --check-config …`: its standard error is ours. Returns its exit status, or 1. */
static int check_config(const char *programs, int argc, char **argv, struct settings *ret)
{
    char path[PATH_MAX + 16];
    char *arguments[ARGUMENTS_MAX + 2];
    int out[2], status, err = 0;
    if (argc >= ARGUMENTS_MAX) {
        fprintf(stderr, "giaoban: too many arguments\n");
        return 1;
    }
    snprintf(path, sizeof path, "%s/giaoband", programs);
    arguments[0] = path;
    arguments[1] = "--check-config";
    for (int i = 1; i < argc; i++)
        arguments[i + 1] = argv[i];
    arguments[argc + 1] = NULL;
    if (pipe2(out, O_CLOEXEC) < 0)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        execv(path, arguments);
        fprintf(stderr, "giaoban: can't run %s: %s\n", path, strerror(errno));
        _exit(1);
    }
    close(out[1]);
    FILE *lines = fdopen(out[0], "r");
    char line[PATH_MAX + 64];
    while (lines && fgets(line, sizeof line, lines)) {
        line[strcspn(line, "\n")] = '\0';
        int line_err = settings_line(ret, line);
        err = line_err ? line_err : err;
    }
    if (lines)
        fclose(lines);
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
        return 1;
    if (err && WEXITSTATUS(status) == 0) {
        fprintf(stderr, "giaoban: the configuration is too large: %s\n", err_str(err));
        return 1;
    }
    return WEXITSTATUS(status);
}

static int open_signals(struct supervisor *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return s->signal_fd < 0 ? ERR_IO : 0;
}

/* Two supervisors on one data directory would record everything twice. */
static int lock_data(const char *data)
{
    char path[PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/lock", data);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        log_error("supervisor", "data directory %s: %s", data, strerror(errno));
        return ERR_IO;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0; /* kept open as long as we live */
    log_error("supervisor", "data directory %s is in use by another giaoban: stop it or choose another with --data", data);
    return ERR_BUSY;
}

static void raise_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur =
            files.rlim_max < FILES_MAX ? files.rlim_max : FILES_MAX; /* libwebsockets has a table of that size */
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int open_sockets(struct supervisor *s)
{
    int smallest = INT32_MAX, bytes;
    int err = sockets_listen(&s->settings, s->listeners, &s->n_tls, &s->n_plain);
    for (unsigned i = 0; !err && i < s->settings.workers; i++) {
        err = sockets_media(&s->settings, i, &s->media[i], &bytes);
        smallest = !err && bytes < smallest ? bytes : smallest;
    }
    if (!err)
        sockets_warn_buffers(smallest);
    return err;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    static char programs[PATH_MAX];
    struct supervisor *s = &supervisor;
    if (find_programs(programs))
        return 1;
    if (wants_help(argc, argv)) {
        puts("giaoban --config FILE [--data DIR] [--port N] [--plain-port N] [--set KEY=VALUE]…\n"
             "Starts and supervises the server. Keys and defaults: giaoband --print-config.");
        return 0;
    }
    log_setup("giaoban", LOG_LEVEL_INFO);
    int status = check_config(programs, argc, argv, &s->settings);
    if (status != 0)
        return 1;
    log_setup("giaoban", s->settings.log_level);
    raise_limits();
    s->children.programs = programs;
    for (enum child_kind kind = 0; (int)kind < CHILD_KINDS; kind++) {
        s->children.program[kind][0] = s->children.program[kind][1] = -1;
        children_open_programs(&s->children, kind, 0);
    }
    s->children.data = s->settings.data;
    s->children.arguments = argv + 1;
    s->children.first_generation = (uint32_t)(clock_wall_us() / 1000000);
    s->children.sandbox = s->settings.sandbox[0] ? s->settings.sandbox : "enforce";
    if (users_find(&s->settings, &s->children.users) || lock_data(s->settings.data) ||
        users_prepare(&s->children.users, s->settings.data) || open_sockets(s))
        return 1;
    if (open_signals(s) || logs_open(s)) {
        log_error("supervisor", "can't start: %s", strerror(errno));
        return 1;
    }
    if (users_drop(&s->children.users)) {
        log_error("supervisor", "capabilities can't be dropped: %s", strerror(errno));
        return 1;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    supervisor_start(s, clock_now_us());
    return supervisor_run(s);
}
