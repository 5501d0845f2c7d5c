/* Once made, net needs no file, no new socket and no other process: a handshake, media and the end of a call run behind a
 * system call filter that kills for anything else. */
#include "net_world.h"

#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static const int allowed[] = {
    SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_ctl), SCMP_SYS(recvmmsg),     SCMP_SYS(recvfrom),      SCMP_SYS(sendmmsg),
    SCMP_SYS(getrandom),    SCMP_SYS(close),     SCMP_SYS(brk),          SCMP_SYS(mmap),          SCMP_SYS(munmap),
    SCMP_SYS(mremap),       SCMP_SYS(madvise),   SCMP_SYS(futex),        SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
    SCMP_SYS(getpid),       SCMP_SYS(write),     SCMP_SYS(rt_sigreturn), SCMP_SYS(exit_group),    SCMP_SYS(sendmsg),
    SCMP_SYS(accept4),
};

static void on_refused(int signal, siginfo_t *info, void *context)
{
    char text[64];
    int len = snprintf(text, sizeof text, "system call %d is not allowed\n", info->si_syscall);
    if (write(STDERR_FILENO, text, (size_t)len) < 0)
        _exit(3);
    _exit(2);
}

static void close_box(void)
{
    struct sigaction action = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    sigaction(SIGSYS, &action, NULL);
    if (!filter)
        _exit(4);
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0))
            _exit(4);
    if (seccomp_load(filter))
        _exit(4);
}

static bool turn_until(struct world *w, const unsigned *counter, unsigned value)
{
    for (int64_t give_up_us = clock_now_us() + 10000000; *counter < value && clock_now_us() < give_up_us;)
        turn(w);
    return *counter >= value;
}

/* A process of its own: the filter stays for its life. */
static void live_in_the_box(bool opens_a_file, bool tcp)
{
    struct world *w = world_new(&(struct options){.tcp = tcp});
    start_pair(w, 0); /* a client's socket is made here */
    start_pair(w, 1);
    close_box();
    if (opens_a_file)
        _exit(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
    for (int64_t give_up_us = clock_now_us() + 10000000; clock_now_us() < give_up_us;) {
        turn(w);
        if (pair_is_connected(w, 0) && pair_is_connected(w, 1))
            break;
    }
    for (uint16_t i = 0; i < 20; i++)
        for (int k = 0; k < 2; k++) {
            uint8_t h[20];
            size_t len = rtp_header(h, i, 77);
            net_send_rtp(w->at_server[k].t, NET_PICTURE, h, len, payload, 1000, 0);
            net_send_rtp(w->at_client[k].t, NET_PICTURE, h, len, payload, 1000, 0);
        }
    bool heard = turn_until(w, &w->at_server[0].rtp, 20) && turn_until(w, &w->at_client[1].rtp, 20);
    net_transport_free(w->at_client[0].t);
    bool told = turn_until(w, (const unsigned *)&w->at_server[0].states[NET_FAILED], 1);
    world_free(w);
    _exit(heard && told ? 0 : 1);
}

static int status_of(bool opens_a_file, bool tcp)
{
    int status = 0;
    pid_t child = fork();
    if (!child)
        live_in_the_box(opens_a_file, tcp);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void calls_begin_and_end_without_a_file_or_a_new_socket(void **state)
{
    if (SANITIZED)
        skip(); /* sanitizers read files of /proc */
    assert_int_equal(status_of(false, false), 0);
    assert_int_equal(status_of(false, true), 0);
}

static void the_box_is_closed(void **state)
{
    if (SANITIZED)
        skip();
    assert_int_equal(status_of(true, false), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_begin_and_end_without_a_file_or_a_new_socket),
        cmocka_unit_test(the_box_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
