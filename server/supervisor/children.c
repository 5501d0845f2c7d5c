#include "supervisor/children.h"

#include "supervisor/users.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define STEADY_US 10000000 /* lived this long: the next death is a first one */
#define SILENT_US 1000000  /* processes.md: a second, ten for a recorder (it waits for disks) */
#define SILENT_RECORDER_US 10000000
#define FIRST_BEAT_US 15000000 /* loading a program from a cold disk */
#define PAGE_BYTES 4096
#define LINK_BUFFER_BYTES (2 * 1024 * 1024)

static const char *const kind_names[] = {"control", "worker", "check", "recorder", "composer"};
static const char *const program_names[] = {"giaoband", "giaoban-media", "giaoban-check", "giaoban-recorder",
                                            "giaoban-recorder"};

struct child *children_add(struct children *c, enum child_kind kind, uint32_t index, const char *job)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        struct child *child = &c->all[i];
        if (child->used)
            continue;
        *child = (struct child){
            .used = true, .kind = kind, .index = index, .link = -1, .set = c->set[kind], .generation = c->first_generation};
        snprintf(child->job, sizeof child->job, "%s", job);
        return child;
    }
    return NULL;
}

struct child *children_find(struct children *c, enum child_kind kind, uint32_t index, const char *job)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        struct child *child = &c->all[i];
        if (child->used && child->kind == kind && child->index == index && strcmp(child->job, job) == 0)
            return child;
    }
    return NULL;
}

struct child *children_by_pid(struct children *c, pid_t pid)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        if (c->all[i].used && c->all[i].pid == pid)
            return &c->all[i];
    return NULL;
}

static void release(struct child *child)
{
    if (child->link >= 0)
        close(child->link);
    child->link = -1;
    if (child->beat)
        munmap((void *)child->beat, PAGE_BYTES);
    child->beat = NULL;
    child->pid = 0;
    child->ready = false;
}

void children_remove(struct child *child)
{
    release(child);
    child->used = false;
}

unsigned children_running(const struct children *c)
{
    unsigned n = 0;
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        n += c->all[i].used && c->all[i].pid > 0;
    return n;
}

int64_t child_backoff_us(unsigned deaths)
{
    static const int64_t steps_us[] = {0, 100000, 500000, 2000000};
    size_t last = sizeof steps_us / sizeof *steps_us - 1;
    return steps_us[deaths <= 1 ? 0 : deaths - 1 < last ? deaths - 1 : last];
}

void child_died(struct child *child, int64_t now_us)
{
    bool steady = child->pid > 0 && now_us - child->started_us > STEADY_US;
    release(child);
    child->deaths = child->replaced ? 0 : steady ? 1 : child->deaths + 1;
    child->replaced = false;
    child->restarts++;
    child->start_at_us = now_us + child_backoff_us(child->deaths);
}

/* The rest of the child's life before exec: async-signal-safe calls only. */
static void become(struct children *c, const struct child *child, int link, char *const *argv, const char *path)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    if (child->kind == CHILD_COMPOSER && nice(10) < 0) {
        /* then it composes at full priority */
    }
    int null = open("/dev/null", O_RDONLY);
    int program = fcntl(c->program[child->kind][child->set], F_DUPFD_CLOEXEC, 10);
    int high_link = fcntl(link, F_DUPFD, 10), high_log = fcntl(c->log_pipe, F_DUPFD, 10);
    dup2(null, STDIN_FILENO);
    dup2(high_log, STDOUT_FILENO);
    dup2(high_log, STDERR_FILENO);
    dup2(high_link, LINK_FD);
    close_range(LINK_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
    if (users_become(&c->users, child->kind) < 0) {
        static const char text[] = "giaoban: can't change to the user of a child\n";
        _exit(write(STDERR_FILENO, text, sizeof text - 1) < 0 ? 126 : 125);
    }
    /* A recorder outlives us for the seconds it needs to finish its files; others would hold ports that a new supervisor
     * wants, or write the programme that its composer writes. A change of user clears it. */
    if (child->kind != CHILD_RECORDER)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (program < 0)
        execv(path, argv);
    execveat(program, "", argv, environ, AT_EMPTY_PATH);
    fcntl(program, F_SETFD, 0); /* a script's interpreter opens it once more */
    execveat(program, "", argv, environ, AT_EMPTY_PATH);
    static const char text[] = "giaoban: can't execute a program beside it\n";
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(126);
    _exit(127);
}

enum { ARGUMENTS_MAX = 64 };

static void make_arguments(const struct children *c, const struct child *child, char dir[PATH_MAX], char **argv)
{
    const char *format = strchr(child->job, ' ');
    int id_len = format ? (int)(format - child->job) : (int)strlen(child->job);
    size_t n = 0;
    snprintf(dir, PATH_MAX, "%s/recordings/%.*s", c->data, id_len, child->job);
    argv[n++] = (char *)program_names[child->kind];
    if (child->kind == CHILD_COMPOSER) {
        argv[n++] = "--compose";
        argv[n++] = dir;
        argv[n++] = "--format";
        argv[n++] = (char *)(format ? format + 1 : "mp4");
    } else {
        argv[n++] = "--link";
    }
    if (child->kind == CHILD_RECORDER) {
        argv[n++] = "--dir";
        argv[n++] = dir;
    }
    if (child->kind != CHILD_CONTROL) {
        argv[n++] = "--sandbox";
        argv[n++] = (char *)c->sandbox;
    }
    if (c->users.apart && (child->kind == CHILD_RECORDER || child->kind == CHILD_COMPOSER))
        argv[n++] = "--shared";
    for (size_t i = 0; child->kind == CHILD_CONTROL && c->arguments[i] && n < ARGUMENTS_MAX - 1; i++)
        argv[n++] = c->arguments[i];
    argv[n] = NULL;
}

void children_open_programs(struct children *c, enum child_kind kind, unsigned set)
{
    char path[PATH_MAX];
    int *fd = &c->program[kind][set];
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    if (snprintf(path, sizeof path, "%s/%s", c->programs, program_names[kind]) < (int)sizeof path)
        *fd = open(path, O_PATH | O_CLOEXEC);
}

static int make_beat(struct child *child)
{
    int fd = memfd_create("giaoban-heartbeat", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    void *page = ftruncate(fd, PAGE_BYTES) == 0 ? mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (page == MAP_FAILED) {
        close(fd);
        return -1;
    }
    child->beat = page;
    child->beat_seen = 0;
    return fd;
}

/* After a restart, control is handed all kept feeds at once. */
static void enlarge(const int pair[2])
{
    int bytes = LINK_BUFFER_BYTES;
    for (int i = 0; i < 2; i++)
        if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
            setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

int child_start(struct children *c, struct child *child, int64_t now_us)
{
    char *argv[ARGUMENTS_MAX], path[PATH_MAX], dir[PATH_MAX];
    int pair[2];
    _cleanup_close_ int theirs = -1;
    _cleanup_close_ int beat = -1;
    make_arguments(c, child, dir, argv);
    if (snprintf(path, sizeof path, "%s/%s", c->programs, argv[0]) >= (int)sizeof path)
        return ERR_RANGE;
    child->started_us = child->beat_seen_us = now_us;
    child->generation++;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        goto fail;
    theirs = pair[1];
    child->link = pair[0];
    enlarge(pair);
    beat = make_beat(child);
    if (beat < 0)
        goto fail;
    pid_t pid = fork();
    if (pid < 0)
        goto fail;
    if (pid == 0)
        become(c, child, theirs, argv, path);
    child->pid = pid;
    struct link_message m = {.kind = LINK_START, .a = child->index, .b = child->generation};
    child_send(child, &m, &beat, 1);
    log_info("children", "started %s index=%u job=\"%s\" pid=%d", kind_names[child->kind], child->index, child->job,
             (int)pid);
    return 0;
fail:
    log_error("children", "can't start %s: %s", kind_names[child->kind], strerror(errno));
    child_died(child, now_us);
    return ERR_IO;
}

void child_send(struct child *child, const struct link_message *m, const int *fds, size_t n_fds)
{
    if (child->link < 0)
        return;
    int err = link_send(child->link, m, fds, n_fds);
    if (err == 0 || err == ERR_CLOSED) /* a death is noticed by SIGCHLD */
        return;
    log_error("children", "%s index=%u does not take messages (%s): killed", kind_names[child->kind], child->index,
              err_str(err));
    kill(child->pid, SIGKILL);
}

bool child_silent(struct child *child, int64_t now_us, bool late)
{
    uint64_t beat = atomic_load_explicit(child->beat, memory_order_relaxed);
    bool waits_for_disks = child->kind == CHILD_RECORDER || child->kind == CHILD_COMPOSER;
    if (beat != child->beat_seen || late) {
        child->beat_seen = beat;
        child->beat_seen_us = now_us;
        return false;
    }
    if (beat == 0 && child->kind == CHILD_COMPOSER)
        return false;
    int64_t limit_us = beat == 0 ? FIRST_BEAT_US : waits_for_disks ? SILENT_RECORDER_US : SILENT_US;
    return now_us - child->beat_seen_us > limit_us;
}
