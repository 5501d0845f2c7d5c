/* The seccomp filters: one table a role, one for what kills. */
#include "box/box_priv.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#define CALLS(...) ((const int[]){__VA_ARGS__, END_OF_CALLS})
#define END_OF_CALLS INT32_MIN
#define S(name) SCMP_SYS(name)

/* --- what may be done --------------------------------------------------------------------------------------------- */

/* Memory, time, waiting, descriptors that are open, the end. */
static const int *const basic =
    CALLS(S(read), S(write), S(readv), S(writev), S(close), S(lseek), S(fstat), S(brk), S(munmap), S(mremap), S(madvise),
          S(futex), S(clock_gettime), S(clock_getres), S(clock_nanosleep), S(nanosleep), S(gettimeofday), S(time), S(getpid),
          S(gettid), S(getppid), S(getuid), S(geteuid), S(getgid), S(getegid), S(getrandom), S(getrusage), S(sysinfo),
          S(sched_yield), S(poll), S(ppoll), S(recvmsg), S(sendmsg), S(rt_sigaction), S(rt_sigprocmask), S(rt_sigreturn),
          S(sigaltstack), S(restart_syscall), S(membarrier), S(exit), S(exit_group));

/* The loop of server/net on sockets it was given. */
static const int *const datagrams =
    CALLS(S(epoll_pwait2), S(epoll_pwait), S(epoll_wait), S(epoll_ctl), S(recvmmsg), S(sendmmsg), S(recvfrom), S(sendto));

/* Threads of glibc and GLib, and what they wake each other with. */
static const int *const threads = CALLS(S(set_robust_list), S(get_robust_list), S(rseq), S(sched_getaffinity),
                                        S(sched_getattr), S(sched_getparam), S(sched_getscheduler), S(eventfd2), S(pipe2));

/* Files, wherever Landlock and the uid let. */
static const int *const files = CALLS(
    S(openat), S(newfstatat), S(getdents64), S(pread64), S(pwrite64), S(ftruncate), S(fallocate), S(fsync), S(fdatasync),
    S(syncfs), S(fstatfs), S(statfs), S(fadvise64), S(access), S(faccessat), S(faccessat2), S(mkdir), S(mkdirat), S(rmdir),
    S(unlink), S(unlinkat), S(rename), S(renameat), S(renameat2), S(readlink), S(readlinkat), S(umask));

/* --- what kills --------------------------------------------------------------------------------------------------- */

static const int *const hostile = CALLS(
    /* another program, another process, another one's memory or signals */
    S(execve), S(execveat), S(fork), S(vfork), S(ptrace), S(process_vm_readv), S(process_vm_writev), S(process_madvise),
    S(process_mrelease), S(kcmp), S(kill), S(tkill), S(rt_sigqueueinfo), S(rt_tgsigqueueinfo), S(pidfd_open),
    S(pidfd_send_signal), S(pidfd_getfd),
    /* other users and rights */
    S(setuid), S(setgid), S(setreuid), S(setregid), S(setresuid), S(setresgid), S(setfsuid), S(setfsgid), S(setgroups),
    S(capset), S(personality),
    /* another view of the machine */
    S(mount), S(umount2), S(pivot_root), S(chroot), S(setns), S(unshare), S(open_tree), S(move_mount), S(fsopen), S(fsmount),
    S(fsconfig), S(fspick), S(mount_setattr), S(open_by_handle_at), S(name_to_handle_at), S(mknod), S(mknodat), S(swapon),
    S(swapoff), S(quotactl), S(acct), S(sethostname), S(setdomainname), S(settimeofday), S(clock_settime), S(clock_adjtime),
    S(adjtimex), S(reboot), S(syslog), S(iopl), S(ioperm),
    /* large and often broken parts of the kernel */
    S(bpf), S(io_uring_setup), S(io_uring_enter), S(io_uring_register), S(perf_event_open), S(userfaultfd), S(keyctl),
    S(add_key), S(request_key), S(init_module), S(finit_module), S(delete_module), S(kexec_load), S(kexec_file_load),
    S(lookup_dcookie), S(vmsplice), S(modify_ldt));

/* Of a process that holds all its sockets. A file in memory could be executed or hide one. */
static const int *const new_sockets =
    CALLS(S(socket), S(bind), S(listen), S(connect), S(accept), S(shutdown), S(memfd_create));

/* --- rules -------------------------------------------------------------------------------------------------------- */

struct filter {
    scmp_filter_ctx ctx;
    uint32_t kill, allow, otherwise;
    int err;
};

#ifdef BOX_WEAK
#define WEAK true
#else
#define WEAK false
#endif

/* The leak check stops the other threads by ptrace, from a process of its own; reports go into files. */
static bool is_left_out(int call)
{
    return WEAK && (call == S(ptrace) || call == S(clone) || call == S(openat) || call == S(ioctl));
}

static void add(struct filter *f, uint32_t action, int call, unsigned n, const struct scmp_arg_cmp *cmp)
{
    if (f->err || action == f->otherwise || is_left_out(call)) /* libseccomp refuses a rule that says nothing new */
        return;
    if (seccomp_rule_add_array(f->ctx, action, call, n, cmp) < 0)
        f->err = ERR_IO;
}

static void rule(struct filter *f, uint32_t action, int call)
{
    add(f, action, call, 0, NULL);
}

static void rule_if(struct filter *f, uint32_t action, int call, unsigned argument, uint64_t mask, uint64_t value)
{
    struct scmp_arg_cmp cmp = SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, mask, value);
    add(f, action, call, 1, &cmp);
}

static void rules(struct filter *f, uint32_t action, const int *calls)
{
    for (; *calls != END_OF_CALLS; calls++)
        rule(f, action, *calls);
}

static void allow_some(struct filter *f, int call, unsigned argument, const int *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rule_if(f, f->allow, call, argument, ~0u, (uint64_t)values[i]);
}

/* An abort is our own signal; no one else's process and no owner of a descriptor's signals is named. */
static void allow_self(struct filter *f)
{
    static const int fcntls[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GET_SEALS, F_ADD_SEALS};
    static const int prctls[] = {PR_SET_NAME, PR_GET_NAME};
    allow_some(f, S(fcntl), 1, fcntls, sizeof fcntls / sizeof *fcntls);
    allow_some(f, S(prctl), 0, prctls, sizeof prctls / sizeof *prctls);
    rule_if(f, f->allow, S(tgkill), 0, ~0u, (uint64_t)getpid());
    rule_if(f, f->allow, S(prlimit64), 2, ~0ull, 0); /* only asked */
    rule(f, SCMP_ACT_ERRNO(ENOTTY), S(ioctl));       /* isatty() */
}

static void memory_is_no_code(struct filter *f)
{
    rule_if(f, f->allow, S(mmap), 2, PROT_EXEC, 0);
    rule_if(f, f->allow, S(mprotect), 2, PROT_EXEC, 0);
    rule_if(f, f->kill, S(mmap), 2, PROT_EXEC, PROT_EXEC);
    rule_if(f, f->kill, S(mprotect), 2, PROT_EXEC, PROT_EXEC);
    rule_if(f, f->kill, S(pkey_mprotect), 2, PROT_EXEC, PROT_EXEC);
}

/* GStreamer's ORC makes code while it runs. */
static void memory_may_be_code(struct filter *f)
{
    rule(f, f->allow, S(mmap));
    rule(f, f->allow, S(mprotect));
}

/* Libraries look into /proc and /sys for what they can do without. */
static void no_file(struct filter *f)
{
    rule_if(f, f->allow, S(newfstatat), 3, 0x1000 /* AT_EMPTY_PATH: fstat() */, 0x1000);
    rule_if(f, f->kill, S(openat), 2, O_ACCMODE, O_WRONLY);
    rule_if(f, f->kill, S(openat), 2, O_ACCMODE, O_RDWR);
    rule_if(f, f->kill, S(openat), 2, O_CREAT, O_CREAT);
    rule_if(f, f->kill, S(openat), 2, O_TRUNC, O_TRUNC);
}

/* fork() lacks one or both of these flags. clone3() keeps its flags where a filter can't look; glibc falls back. */
static void threads_only(struct filter *f, bool allowed)
{
    uint64_t thread = CLONE_VM | CLONE_THREAD;
    rule(f, SCMP_ACT_ERRNO(ENOSYS), S(clone3));
    if (!allowed) {
        rule(f, f->kill, S(clone));
        return;
    }
    rule_if(f, f->allow, S(clone), 0, thread, thread);
    rule_if(f, f->kill, S(clone), 0, thread, 0);
    rule_if(f, f->kill, S(clone), 0, thread, CLONE_VM);
    rule_if(f, f->kill, S(clone), 0, thread, CLONE_THREAD);
    rules(f, f->allow, threads);
    rule(f, SCMP_ACT_ERRNO(EPERM), S(sched_setattr)); /* GLib gives a thread its pool's; it could be anybody's */
}

static void fill(struct filter *f, enum box_role role)
{
    rules(f, f->kill, hostile);
    threads_only(f, role != BOX_MEDIA);
    if (role == BOX_CONTROL)
        return;
    rules(f, f->kill, new_sockets);
    rule(f, role == BOX_MEDIA ? f->allow : f->kill, S(accept4)); /* of a listener that it was given */
    rules(f, f->allow, basic);
    allow_self(f);
    if (role == BOX_MEDIA)
        rules(f, f->allow, datagrams);
    if (role == BOX_MEDIA || role == BOX_CHECK)
        no_file(f);
    else
        rules(f, f->allow, files);
    if (role != BOX_COMPOSER)
        memory_is_no_code(f);
    else
        memory_may_be_code(f);
    if (role == BOX_RECORDER || role == BOX_COMPOSER) {
        rule_if(f, f->allow, S(fchmod), 1, 07000, 0);
        rule_if(f, f->allow, S(socketpair), 0, ~0u, AF_UNIX); /* GStreamer wakes its bus by one */
        return;
    }
    rule(f, f->kill, S(socketpair));
}

/* --- EPERM that is counted ---------------------------------------------------------------------------------------- */

#if defined(__x86_64__)
#define RESULT(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined(__aarch64__)
#define RESULT(context) ((context)->uc_mcontext.regs[0])
#endif

enum { CALLS_MAX = 512, WORD = 64 };

static _Atomic uint64_t refused, told[CALLS_MAX / WORD];

uint64_t box_refused(void)
{
    return atomic_load_explicit(&refused, memory_order_relaxed);
}

#ifdef RESULT
static bool is_told(int call)
{
    unsigned c = call >= 0 && call < CALLS_MAX ? (unsigned)call : CALLS_MAX - 1;
    uint64_t bit = 1ull << (c % WORD);
    return atomic_fetch_or_explicit(&told[c / WORD], bit, memory_order_relaxed) & bit;
}

/* In a signal handler: no clock, no lock, no stdio. */
static void tell(int call)
{
    static const char before[] = "warn box refused system call ";
    char text[64];
    size_t n = sizeof before - 1;
    memcpy(text, before, n);
    for (unsigned c = (unsigned)call, unit = 1000; unit; unit /= 10)
        if (c >= unit || unit == 1)
            text[n++] = (char)('0' + c / unit % 10);
    text[n++] = '\n';
    if (write(STDERR_FILENO, text, n) < 0)
        return; /* nobody hears it; it is counted */
}

static void on_refused(int signal_number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
    if (!is_told(info->si_syscall))
        tell(info->si_syscall);
    RESULT((ucontext_t *)context) = -EPERM;
    errno = saved_errno;
}

static uint32_t refuse(void)
{
    struct sigaction action = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSYS, &action, NULL);
    return SCMP_ACT_TRAP;
}
#else
static uint32_t refuse(void)
{
    return SCMP_ACT_ERRNO(EPERM);
}
#endif

int filter_enter(enum box_role role, bool only_log)
{
    struct filter f = {.kill = only_log ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS, .allow = SCMP_ACT_ALLOW};
    f.otherwise = WEAK || role == BOX_CONTROL ? SCMP_ACT_ALLOW : only_log ? SCMP_ACT_LOG : refuse();
    f.ctx = seccomp_init(f.otherwise);
    if (!f.ctx)
        return ERR_NOMEM;
    fill(&f, role);
    bool set = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
               seccomp_attr_set(f.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0 &&
               seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0;
    if (!f.err && (!set || seccomp_load(f.ctx) < 0))
        f.err = ERR_IO;
    seccomp_release(f.ctx);
    return f.err;
}
