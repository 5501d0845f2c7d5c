/* Each role's box: a process enters it and tries one act that is none of its business. How the kernel answers is asserted
 * for each act and role, as the user that runs the test and, when that is root, as nobody too. */
#include "box/box.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

enum { NOBODY = 65534, DONE = 10, REFUSED = 11, NOT_READY = 12 };
enum outcome { WORKS, ERROR, KILLED };

static char base[64];                          /* inside/, outside/, outside/file */
static char inside[80], outside[80], file[96]; /* file: outside/file, anybody may write it */
static pid_t victim;                           /* a process of the same user */
static int udp = -1, tcp = -1;                 /* held before the box is closed, bound to nothing */

static void path_in(char *out, size_t cap, const char *dir, const char *name)
{
    snprintf(out, cap, "%s/%s", dir, name);
}

static int open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd;
}

/* --- acts: −1 with errno when refused ------------------------------------------------------------------------------ */

static int read_outside(void)
{
    return open_file(file, O_RDONLY);
}
static int read_passwords(void)
{
    return open_file("/etc/passwd", O_RDONLY);
}
static int list_outside(void)
{
    return open_file(outside, O_RDONLY | O_DIRECTORY);
}
static int write_outside(void)
{
    return open_file(file, O_WRONLY);
}
static int append_outside(void)
{
    return open_file(file, O_RDWR | O_APPEND);
}
static int truncate_outside(void)
{
    return truncate(file, 0);
}
static int empty_outside(void)
{
    return open_file(file, O_RDONLY | O_TRUNC);
}
static int unlink_outside(void)
{
    return unlink(file);
}
static int chmod_outside(void)
{
    return chmod(file, 0777);
}
static int chown_outside(void)
{
    return chown(file, getuid(), getgid());
}

static int create_outside(void)
{
    char path[120];
    path_in(path, sizeof path, outside, "new");
    return open_file(path, O_RDONLY | O_CREAT);
}

static int climb_out(void)
{
    char path[120];
    path_in(path, sizeof path, inside, "../outside/file");
    return open_file(path, O_RDONLY);
}

static int mkdir_outside(void)
{
    char path[120];
    path_in(path, sizeof path, outside, "directory");
    return mkdir(path, 0700);
}

static int rename_outside(void)
{
    char path[120];
    path_in(path, sizeof path, inside, "file");
    return rename(path, file);
}

static int link_outside(void)
{
    char path[120];
    path_in(path, sizeof path, inside, "link");
    return link(file, path);
}

static int make_symlink(void)
{
    char path[120];
    path_in(path, sizeof path, inside, "symlink");
    return symlink(file, path);
}

static int make_device(void)
{
    char path[120];
    path_in(path, sizeof path, inside, "device");
    return mknod(path, S_IFIFO | 0600, 0);
}

static int make_setuid(void)
{
    char path[120];
    path_in(path, sizeof path, inside, "file");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? fd : fchmod(fd, 04755);
}

static int read_anothers_memory(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)victim);
    return open_file(path, O_RDONLY);
}

static int read_own_memory_file(void)
{
    return open_file("/proc/self/mem", O_RDWR);
}

static int copy_anothers_memory(void)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {&victim, 1};
    return (int)process_vm_readv(victim, &here, 1, &there, 1, 0);
}

static int udp_socket(void)
{
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}
static int tcp_socket(void)
{
    return socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
}
static int unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}
static int netlink_socket(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static int pair_of_sockets(void)
{
    int pair[2];
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
}

static int connect_somewhere(int fd)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(9)};
    int result = connect(fd, (struct sockaddr *)&to, sizeof to);
    return result < 0 && (errno == ECONNREFUSED || errno == EINPROGRESS) ? 0 : result; /* it got as far as the other side */
}

static int connect_udp(void)
{
    return connect_somewhere(udp);
}
static int connect_tcp(void)
{
    return connect_somewhere(tcp);
}

static int bind_tcp(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return bind(tcp, (struct sockaddr *)&to, sizeof to);
}

static int listen_tcp(void)
{
    return listen(tcp, 1);
}
static int accept_tcp(void)
{
    return accept4(tcp, NULL, NULL, SOCK_CLOEXEC) >= 0 || errno == EINVAL ? 0 : -1;
}

static int execute(void)
{
    char *arguments[] = {"true", NULL};
    return execv("/bin/true", arguments); /* which ends with 0: neither DONE nor REFUSED */
}

static int fork_process(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid;
}

static int clone_process(void)
{
    int pid = (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid;
}

/* Shares memory, but is a process. */
static int clone_sharing(void)
{
    int pid = (int)syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid;
}

static int clone_newly(void)
{
    uint64_t arguments[11] = {[4] = SIGCHLD};
    int pid = (int)syscall(SYS_clone3, arguments, sizeof arguments);
    if (pid == 0)
        _exit(0);
    return pid;
}

static void *nothing(void *arg)
{
    return arg;
}

static int start_thread(void)
{
    pthread_t thread;
    int err = pthread_create(&thread, NULL, nothing, NULL);
    if (!err)
        pthread_join(thread, NULL);
    errno = err;
    return err ? -1 : 0;
}

static int trace(void)
{
    return (int)ptrace(PTRACE_ATTACH, victim, NULL, NULL);
}
static int be_traced(void)
{
    return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static int signal_process(void)
{
    return kill(victim, SIGCONT);
}
static int signal_group(void)
{
    return kill(0, SIGCONT);
}
static int signal_thread(void)
{
    return (int)syscall(SYS_tgkill, victim, victim, SIGCONT);
}
static int hold_process(void)
{
    return (int)syscall(SYS_pidfd_open, victim, 0);
}
static int own_signals(void)
{
    return fcntl(udp, F_SETOWN, victim);
}
static int become_root(void)
{
    return setuid(0);
}
static int become_root_group(void)
{
    return setresgid(0, 0, 0);
}
static int leave_groups(void)
{
    return setgroups(0, NULL);
}
static int mount_tmpfs(void)
{
    return mount("tmpfs", outside, "tmpfs", 0, NULL);
}
static int unmount(void)
{
    return umount2("/proc", MNT_DETACH);
}
static int change_root(void)
{
    return chroot(inside);
}
static int new_user_namespace(void)
{
    return unshare(CLONE_NEWUSER);
}
static int new_network(void)
{
    return unshare(CLONE_NEWNET);
}
static int change_personality(void)
{
    return personality(READ_IMPLIES_EXEC);
}
static int set_up_ring(void)
{
    char parameters[120] = {0};
    return (int)syscall(SYS_io_uring_setup, 4, parameters);
}
static int load_bpf(void)
{
    return (int)syscall(SYS_bpf, 0, NULL, 0);
}
static int count_events(void)
{
    return (int)syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0);
}
static int use_keys(void)
{
    return (int)syscall(SYS_keyctl, 0, -3, 1);
}
static int handle_faults(void)
{
    return (int)syscall(SYS_userfaultfd, 0);
}
static int file_in_memory(void)
{
    return memfd_create("x", MFD_CLOEXEC);
}
static int log_of_the_kernel(void)
{
    return (int)syscall(SYS_syslog, 10, NULL, 0);
}
static int reboot_machine(void)
{
    return (int)syscall(SYS_reboot, 0, 0, 0, NULL);
}
static int open_by_number(void)
{
    return (int)syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, O_RDONLY);
}

static int writable_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? -1 : 0;
}

static int data_becomes_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static int dump_core(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    return setrlimit(RLIMIT_CORE, &limit);
}

static int be_dumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
#ifdef __x86_64__
/* The other tables of system calls of the same machine. */
static int call_as_32_bit(void)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20 /* getpid */) : "memory");
    return result;
}

static int call_as_x32(void)
{
    return (int)syscall(0x40000000 + SYS_getpid);
}
#endif

/* --- what must go on working -------------------------------------------------------------------------------------- */

static int work_inside(void)
{
    char path[120], other[120], dir[120];
    struct statvfs fs;
    path_in(path, sizeof path, inside, "a");
    path_in(other, sizeof other, inside, "b");
    path_in(dir, sizeof dir, inside, "d");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool good = fd >= 0 && pwrite(fd, "abc", 3, 0) == 3 && ftruncate(fd, 2) == 0 && fdatasync(fd) == 0 && syncfs(fd) == 0 &&
                fchmod(fd, 0600) == 0 && rename(path, other) == 0 && mkdir(dir, 0700) == 0 && rmdir(dir) == 0 &&
                statvfs(inside, &fs) == 0 && unlink(other) == 0;
    return good ? 0 : -1;
}

static int send_a_datagram(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(9)};
    return (int)sendto(udp, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
}

static int an_unknown_call_only_fails(void)
{
    uint64_t before = box_refused();
    if (syscall(SYS_setpriority, PRIO_PROCESS, 0, 5) == 0 || errno != EPERM || box_refused() != before + 1)
        return -1;
    return 0;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

struct act {
    const char *name;
    int (*run)(void);
    int landlock; /* the version that refuses it to roles with files; negative: to control alone; 0: the filter does */
    enum outcome media, recorder, composer, check, control;
};

#define ALL(outcome) outcome, outcome, outcome, outcome, outcome

static const struct act acts[] = {
    {"read a file outside", read_outside, 1, ALL(ERROR)},
    {"read a file through ..", climb_out, 1, ALL(ERROR)},
    {"read the users' list", read_passwords, 1, ALL(ERROR)},
    {"list a directory outside", list_outside, 1, ALL(ERROR)},
    {"write a file outside", write_outside, 1, KILLED, ERROR, ERROR, KILLED, ERROR},
    {"append to a file outside", append_outside, 1, KILLED, ERROR, ERROR, KILLED, ERROR},
    {"truncate a file outside", truncate_outside, -3, ALL(ERROR)},
    {"empty a file outside", empty_outside, 1, KILLED, ERROR, ERROR, KILLED, ERROR},
    {"make a file outside", create_outside, 1, KILLED, ERROR, ERROR, KILLED, ERROR},
    {"make a directory outside", mkdir_outside, 1, ALL(ERROR)},
    {"remove a file outside", unlink_outside, 1, ALL(ERROR)},
    {"replace a file outside", rename_outside, 1, ALL(ERROR)},
    {"link to a file outside", link_outside, -1, ALL(ERROR)},
    {"make a symbolic link", make_symlink, -1, ALL(ERROR)},
    {"make a device", make_device, 0, ALL(KILLED)},
    {"change the mode of a file outside", chmod_outside, 0, ERROR, ERROR, ERROR, ERROR, WORKS},
    {"give a file away", chown_outside, 0, ERROR, ERROR, ERROR, ERROR, WORKS},
    {"make a program that changes the user", make_setuid, 0, ERROR, ERROR, ERROR, ERROR, WORKS},
    {"read another's memory", read_anothers_memory, 1, ALL(ERROR)},
    {"write own memory through /proc", read_own_memory_file, 1, KILLED, ERROR, ERROR, KILLED, ERROR},
    {"copy another's memory", copy_anothers_memory, 0, ALL(KILLED)},
    {"a UDP socket", udp_socket, 0, KILLED, KILLED, KILLED, KILLED, WORKS},
    {"a TCP socket", tcp_socket, 0, KILLED, KILLED, KILLED, KILLED, WORKS},
    {"a UNIX socket", unix_socket, 0, KILLED, KILLED, KILLED, KILLED, WORKS},
    {"a netlink socket", netlink_socket, 0, KILLED, KILLED, KILLED, KILLED, WORKS},
    {"a pair of sockets", pair_of_sockets, 0, KILLED, WORKS, WORKS, KILLED, WORKS},
    {"connect by UDP", connect_udp, 0, KILLED, KILLED, KILLED, KILLED, WORKS},
    {"connect by TCP", connect_tcp, -4, KILLED, KILLED, KILLED, KILLED, ERROR},
    {"bind a TCP port", bind_tcp, -4, KILLED, KILLED, KILLED, KILLED, ERROR},
    {"listen", listen_tcp, 0, KILLED, KILLED, KILLED, KILLED, WORKS},
    {"accept", accept_tcp, 0, WORKS, KILLED, KILLED, KILLED, WORKS},
    {"another program", execute, 0, ALL(KILLED)},
    {"another process", fork_process, 0, ALL(KILLED)},
    {"another process by clone()", clone_process, 0, ALL(KILLED)},
    {"another process that shares memory", clone_sharing, 0, ALL(KILLED)},
    {"another process by clone3()", clone_newly, 0, ALL(ERROR)},
    {"a thread", start_thread, 0, KILLED, WORKS, WORKS, WORKS, WORKS},
    {"trace a process", trace, 0, ALL(KILLED)},
    {"be traced by the parent", be_traced, 0, ALL(KILLED)},
    {"a signal to a process", signal_process, 0, ALL(KILLED)},
    {"a signal to the group", signal_group, 0, ALL(KILLED)},
    {"a signal to a thread of another", signal_thread, -6, ALL(ERROR)},
    {"a descriptor of a process", hold_process, 0, ALL(KILLED)},
    {"signals of a socket to another", own_signals, 0, ERROR, ERROR, ERROR, ERROR, WORKS},
    {"become root", become_root, 0, ALL(KILLED)},
    {"become root's group", become_root_group, 0, ALL(KILLED)},
    {"change groups", leave_groups, 0, ALL(KILLED)},
    {"mount", mount_tmpfs, 0, ALL(KILLED)},
    {"unmount", unmount, 0, ALL(KILLED)},
    {"change the root", change_root, 0, ALL(KILLED)},
    {"a user namespace", new_user_namespace, 0, ALL(KILLED)},
    {"a network namespace", new_network, 0, ALL(KILLED)},
    {"personality", change_personality, 0, ALL(KILLED)},
    {"io_uring", set_up_ring, 0, ALL(KILLED)},
    {"bpf", load_bpf, 0, ALL(KILLED)},
    {"perf events", count_events, 0, ALL(KILLED)},
    {"keys", use_keys, 0, ALL(KILLED)},
    {"userfaultfd", handle_faults, 0, ALL(KILLED)},
    {"a file by its number", open_by_number, 0, ALL(KILLED)},
    {"the kernel's log", log_of_the_kernel, 0, ALL(KILLED)},
    {"reboot", reboot_machine, 0, ALL(KILLED)},
    {"a file in memory", file_in_memory, 0, KILLED, KILLED, KILLED, KILLED, WORKS},
    {"writable code", writable_code, 0, KILLED, KILLED, WORKS, KILLED, WORKS},
    {"data becomes code", data_becomes_code, 0, KILLED, KILLED, WORKS, KILLED, WORKS},
    {"dump core", dump_core, 0, ALL(ERROR)},
    {"be dumpable", be_dumpable, 0, ERROR, ERROR, ERROR, ERROR, WORKS},
#ifdef __x86_64__
    {"a 32-bit system call", call_as_32_bit, 0, ALL(KILLED)},
    {"an x32 system call", call_as_x32, 0, ALL(KILLED)},
#endif
    {"files inside", work_inside, 0, KILLED, WORKS, WORKS, KILLED, WORKS},
    {"a datagram from a held socket", send_a_datagram, 0, WORKS, ERROR, ERROR, ERROR, WORKS},
    {"an unknown call only fails and is counted", an_unknown_call_only_fails, 0, WORKS, WORKS, WORKS, WORKS, ERROR},
};
enum { ACTS = sizeof acts / sizeof *acts };

/* --- running it --------------------------------------------------------------------------------------------------- */

static uid_t uid; /* of the processes that try */

static gid_t gid_of(uid_t who)
{
    return who == geteuid() ? getegid() : who; /* nobody's are the same */
}

static void become(uid_t to)
{
    if (to != geteuid() && (setgroups(0, NULL) < 0 || setresgid(to, to, to) < 0 || setresuid(to, to, to) < 0))
        _exit(NOT_READY);
    prctl(PR_SET_DUMPABLE, 1); /* as after exec; the change of user takes it away */
}

static bool enter(enum box_role role)
{
    const struct box_place places[] = {{inside, true}};
    bool has_files = role == BOX_RECORDER || role == BOX_COMPOSER || role == BOX_CONTROL;
    return box_enter(role, BOX_ENFORCE, places, has_files ? 1 : 0) == 0;
}

/* In a process of its own: what came of it. */
static int try_act(const struct act *act, bool boxed, enum box_role role)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        alarm(5); /* nothing here waits */
        become(uid);
        if (boxed && !enter(role))
            _exit(NOT_READY);
        _exit(act->run() < 0 ? REFUSED : DONE);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    if (WIFSTOPPED(status)) { /* it let itself be traced: never */
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        return -1;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_READY)
        fail_msg("%s: the box can't be entered", act->name);
    if (WIFEXITED(status))
        return WEXITSTATUS(status) == DONE ? WORKS : WEXITSTATUS(status) == REFUSED ? ERROR : -1;
    return WTERMSIG(status) == SIGSYS ? KILLED : -1;
}

static void make_file(const char *dir)
{
    char path[120];
    path_in(path, sizeof path, dir, "file");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(fchown(fd, uid, gid_of(uid)), 0);
    close(fd);
}

/* The same things for each act: the former one may have changed them. */
static void prepare(void)
{
    char command[160];
    close(udp);
    close(tcp);
    udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(udp >= 0 && tcp >= 0);
    snprintf(command, sizeof command, "rm -rf %s/inside %s/outside", base, base);
    assert_int_equal(system(command), 0);
    const char *const dirs[] = {inside, outside};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mkdir(dirs[i], 0700), 0);
        make_file(dirs[i]);
        assert_int_equal(chown(dirs[i], uid, gid_of(uid)), 0);
    }
}

static pid_t start_victim(void)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    become(uid);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user clears it */
    for (;;)
        pause();
}

static int landlock_here(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* version */);
    return abi < 0 ? 0 : (int)abi;
}

static enum outcome expected(const struct act *act, enum box_role role)
{
    const enum outcome by_role[] = {act->media, act->recorder, act->composer, act->check, act->control};
    bool only_control = act->landlock < 0;
    int needed = only_control ? -act->landlock : act->landlock;
    bool applies = role == BOX_CONTROL || (!only_control && (role == BOX_RECORDER || role == BOX_COMPOSER));
    return applies && landlock_here() < needed ? WORKS : by_role[role];
}

static void assert_all(enum box_role role)
{
    static const char *const words[] = {"works", "is refused", "kills"};
    for (size_t i = 0; i < ACTS; i++) {
        prepare();
        int got = try_act(&acts[i], true, role);
        if (got != (int)expected(&acts[i], role))
            fail_msg("uid %u, %s: %s, not: %s", (unsigned)uid, acts[i].name, got < 0 ? "something else" : words[got],
                     words[expected(&acts[i], role)]);
    }
}

static void as_both_users(void (*run)(enum box_role role), enum box_role role)
{
#ifdef BOX_WEAK
    skip();
#endif
    uid_t self = geteuid();
    for (int i = 0; i < (self == 0 ? 2 : 1); i++) {
        uid = i ? NOBODY : self;
        victim = start_victim();
        run(role);
        kill(victim, SIGKILL);
        waitpid(victim, NULL, 0);
    }
}

static void a_worker_can_only_talk_on_what_it_holds(void **state)
{
    as_both_users(assert_all, BOX_MEDIA);
}
static void a_recorder_can_only_write_in_its_directory(void **state)
{
    as_both_users(assert_all, BOX_RECORDER);
}
static void a_composer_can_only_write_in_its_directory(void **state)
{
    as_both_users(assert_all, BOX_COMPOSER);
}
static void a_check_can_only_compute(void **state)
{
    as_both_users(assert_all, BOX_CHECK);
}
static void control_can_do_nothing_outside_its_places(void **state)
{
    as_both_users(assert_all, BOX_CONTROL);
}

/* What the box answers with an error does work without it: the rows above say something. */
static void assert_works_unboxed(enum box_role role)
{
    for (size_t i = 0; i < ACTS; i++) {
        const struct act *act = &acts[i];
        bool refused = act->media == ERROR || act->recorder == ERROR || act->control == ERROR;
        /* some kernels refuse the first to all but parents; the other two are about the box itself */
        if (!refused || act->run == read_anothers_memory || act->run == an_unknown_call_only_fails)
            continue;
        prepare();
        if (try_act(act, false, role) != WORKS)
            fail_msg("uid %u, %s: does not work without the box either", (unsigned)uid, act->name);
    }
}

static void without_the_box_it_would_work(void **state)
{
    as_both_users(assert_works_unboxed, BOX_MEDIA);
}

/* Sanitized builds keep this much. */
static void another_program_is_never_executed(void **state)
{
    const struct act act = {"another program", execute};
    uid = geteuid();
    for (enum box_role role = BOX_MEDIA; role <= BOX_CONTROL; role++)
        assert_int_equal(try_act(&act, true, role), KILLED);
}

static int check_capabilities(void)
{
    char line[256];
    FILE *f = fopen("/proc/self/status", "re"); /* opened before the box is closed */
    if (!f || !enter(BOX_MEDIA))
        return -1;
    unsigned good = 0;
    while (fgets(line, sizeof line, f))
        good += strcmp(line, "CapEff:\t0000000000000000\n") == 0 || strcmp(line, "CapPrm:\t0000000000000000\n") == 0 ||
                strcmp(line, "CapBnd:\t0000000000000000\n") == 0 || strcmp(line, "NoNewPrivs:\t1\n") == 0 ||
                strcmp(line, "Seccomp:\t2\n") == 0;
    return good == (geteuid() == 0 ? 5 : 4) || good == 5 ? 0
                                                         : -1; /* without root the bounding set stays: it gives nothing */
}

static void no_capability_is_left(void **state)
{
    const struct act act = {"capabilities", check_capabilities};
    uid = geteuid();
    assert_int_equal(try_act(&act, false, BOX_MEDIA), WORKS);
}

static void *wait_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static int enter_with_two_threads(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
        return 0;
    return box_enter(BOX_CHECK, BOX_ENFORCE, NULL, 0);
}

static void a_second_thread_makes_entering_fail(void **state)
{
    const struct act act = {"entering with two threads", enter_with_two_threads};
#ifdef BOX_WEAK
    skip(); /* a sanitizer has a thread of its own */
#endif
    uid = geteuid();
    assert_int_equal(try_act(&act, false, BOX_CHECK), ERROR);
}

/* As on a kernel that has none: its first system call is unknown. */
static bool hide_landlock(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    return filter && seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SYS_landlock_create_ruleset, 0) == 0 &&
           seccomp_load(filter) == 0;
}

static bool entered_without_landlock(void)
{
    return hide_landlock() && enter(BOX_RECORDER) && box_landlock() == 0;
}

static int write_without_landlock(void)
{
    return entered_without_landlock() ? write_outside() : -1;
}

static int execute_without_landlock(void)
{
    return entered_without_landlock() ? execute() : -1;
}

static void without_landlock_the_filter_remains(void **state)
{
    const struct act writes = {"write outside", write_without_landlock}, executes = {"execute", execute_without_landlock};
#ifdef BOX_WEAK
    skip();
#endif
    uid = geteuid();
    prepare();
    assert_int_equal(try_act(&writes, false, BOX_RECORDER), WORKS); /* what its user may */
    assert_int_equal(try_act(&executes, false, BOX_RECORDER), KILLED);
}

static int make_base(void **state)
{
    snprintf(base, sizeof base, "/tmp/giaoban-box-XXXXXX");
    if (!mkdtemp(base) || chmod(base, 0711) < 0)
        return -1;
    path_in(inside, sizeof inside, base, "inside");
    path_in(outside, sizeof outside, base, "outside");
    path_in(file, sizeof file, outside, "file");
    return 0;
}

static int remove_base(void **state)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", base);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_can_only_talk_on_what_it_holds),
        cmocka_unit_test(a_recorder_can_only_write_in_its_directory),
        cmocka_unit_test(a_composer_can_only_write_in_its_directory),
        cmocka_unit_test(a_check_can_only_compute),
        cmocka_unit_test(control_can_do_nothing_outside_its_places),
        cmocka_unit_test(without_the_box_it_would_work),
        cmocka_unit_test(another_program_is_never_executed),
        cmocka_unit_test(no_capability_is_left),
        cmocka_unit_test(a_second_thread_makes_entering_fail),
        cmocka_unit_test(without_landlock_the_filter_remains),
    };
    log_setup("test_box", LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, make_base, remove_base);
}
