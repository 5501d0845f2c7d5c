/* The real processes of a recorded briefing: who they are, what they may, what they hold. As the test's own user, and when
 * that is root, with a user for each kind of process over a data directory that was root's. */
#include "giaoban_world.h"

#include "base/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <jansson.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct world world;
static char briefing[64];
static pid_t sim;

/* Every Debian system has these (base-passwd); none of them is what its name says here. */
static const char *const apart[] = {"--set", "users.control=games", "--set", "users.media=news",
                                    "--set", "users.check=uucp",    "--set", "users.recorder=proxy",
                                    NULL};

static const char *user_of(const char *name)
{
    return strcmp(name, "giaoband") == 0        ? "games"
           : strcmp(name, "giaoban-media") == 0 ? "news"
           : strcmp(name, "giaoban-check") == 0 ? "uucp"
                                                : "proxy";
}

static pid_t wait_for_child(const char *name)
{
    int64_t deadline_us = clock_now_us() + 20000000;
    pid_t pid;
    while ((pid = world_child(&world, name)) == 0) {
        assert_true(clock_now_us() < deadline_us);
        pause_ms(20);
    }
    return pid;
}

static void status_field(pid_t pid, const char *field, char *out, size_t cap)
{
    char command_out[256];
    shell(command_out, sizeof command_out, "sed -n 's/^%s:[[:space:]]*//p' /proc/%d/status", field, (int)pid);
    snprintf(out, cap, "%.*s", (int)strcspn(command_out, "\n"), command_out);
}

static void assert_field(pid_t pid, const char *field, const char *expected)
{
    char value[128];
    int64_t deadline_us = clock_now_us() + 10000000;
    do { /* it enters its box within its first moments */
        status_field(pid, field, value, sizeof value);
    } while (strcmp(value, expected) != 0 && clock_now_us() < deadline_us && (pause_ms(20), true));
    assert_string_equal(value, expected);
}

static void assert_user(pid_t pid, const char *name)
{
    const struct passwd *p = getpwnam(user_of(name));
    char uids[64], gids[64];
    assert_non_null(p);
    snprintf(uids, sizeof uids, "%u\t%u\t%u\t%u", p->pw_uid, p->pw_uid, p->pw_uid, p->pw_uid);
    snprintf(gids, sizeof gids, "%u\t%u\t%u\t%u", p->pw_gid, p->pw_gid, p->pw_gid, p->pw_gid);
    assert_field(pid, "Uid", uids);
    assert_field(pid, "Gid", gids);
}

static bool is_expected(const char *target, const char *place)
{
    static const char *const always[] = {
        "/dev/null", "pipe:[", "socket:[", "anon_inode:[eventpoll]", "anon_inode:[eventfd]", "/memfd:giaoban-"};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (strncmp(target, always[i], strlen(always[i])) == 0)
            return true;
    if (place == world.data && (strstr(target, "/client/web/dist") || strcmp(target, "/dev/urandom") == 0)) /* giaoband */
        return true;
    return place && strncmp(target, place, strlen(place)) == 0;
}

/* `place`: where its files lie; NULL: it has none. */
static void assert_descriptors(pid_t pid, const char *place)
{
    char path[64], link[320], target[512];
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    if (!d && geteuid() != 0)
        return; /* it can't be looked at: nobody of its user may */
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        snprintf(link, sizeof link, "%s/%s", path, e->d_name);
        ssize_t len = readlink(link, target, sizeof target - 1);
        if (e->d_name[0] == '.' || len < 0)
            continue;
        target[len] = '\0';
        n++;
        if (!is_expected(target, place))
            fail_msg("process %d holds %s", (int)pid, target);
    }
    closedir(d);
    assert_true(n >= 4);
}

static void assert_closed(const char *name, const char *place)
{
    pid_t pid = wait_for_child(name);
    assert_field(pid, "NoNewPrivs", "1");
    assert_field(pid, "CapEff", "0000000000000000");
    assert_field(pid, "CapPrm", "0000000000000000");
    assert_field(pid, "CapAmb", "0000000000000000");
    assert_field(pid, "Seccomp", "2");
    if (world.more)
        assert_user(pid, name);
    assert_descriptors(pid, place);
}

static void begin_briefing(void)
{
    char out[4096], links[96], server[64];
    assert_int_equal(ctl(&world, out, sizeof out, "briefing create --title Quyền --record --units ubnd-tinh,h-quan-hoa"), 0);
    snprintf(briefing, sizeof briefing, "%.*s", (int)strcspn(out, "\n"), out);
    snprintf(links, sizeof links, "%s/links", world.data);
    FILE *f = fopen(links, "we");
    assert_non_null(f);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ctl(&world, out, sizeof out, "link --briefing %s --unit %s --role %s", briefing,
                             i ? "h-quan-hoa" : "ubnd-tinh", i ? "delegate" : "chair"),
                         0);
        fputs(out, f);
    }
    fclose(f);
    assert_int_equal(ctl(&world, out, sizeof out, "briefing open %s", briefing), 0);
    snprintf(server, sizeof server, "http://127.0.0.1:%d", world.plain_port);
    sim = fork();
    if (sim != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execl(BIN "/giaoban-sim", "giaoban-sim", "--server", server, "--links", links, NULL);
    _exit(127);
}

static void wait_for_shell(int seconds, const char *what, const char *command)
{
    char out[4096];
    int64_t deadline_us = clock_now_us() + (int64_t)seconds * 1000000;
    while (shell(out, sizeof out, "%s", command) != 0) {
        if (clock_now_us() > deadline_us) {
            shell(out, sizeof out, "tail -n 30 %s/log; ls -la %s/recordings/*", world.data, world.data);
            fprintf(stderr, "%s\n", out);
            fail_msg("waited in vain for %s", what);
        }
        pause_ms(100);
    }
}

static void stop_rooms(void)
{
    if (sim > 0) {
        kill(sim, SIGTERM);
        waitpid(sim, NULL, 0);
    }
    sim = 0;
}

/* giaoband sees what recorder and composer have written, and has it composed once more. */
static void compose_other_format(void)
{
    char command[512];
    snprintf(command, sizeof command, BIN "/giaobanctl --data %s --server http://127.0.0.1:%d compose %s webm", world.data,
             world.plain_port, briefing);
    wait_for_shell(20, "the order of the other format", command);
    snprintf(command, sizeof command, "test -s %s/recordings/%s/programme.webm", world.data, briefing);
    wait_for_shell(40, "the other format", command);
}

/* From the first process to the programme. */
static void record_and_look(void)
{
    char recordings[96], command[512], out[4096];
    snprintf(recordings, sizeof recordings, "%s/recordings/", world.data);
    world_start(&world);
    begin_briefing();
    snprintf(command, sizeof command, BIN "/giaobanctl --data %s --server http://127.0.0.1:%d briefing grant %s 2 2>&1",
             world.data, world.plain_port, briefing);
    wait_for_shell(20, "the floor for the second room", command);
    assert_closed("giaoban-recorde", recordings);
    assert_closed("giaoban-media", NULL);
    assert_closed("giaoban-check", NULL);
    assert_closed("giaoband", world.data);
    snprintf(command, sizeof command, "test $(cat %s%s/*.mkv | wc -c) -gt 300000", recordings, briefing);
    wait_for_shell(30, "sound and picture on disk", command);
    assert_int_equal(ctl(&world, out, sizeof out, "briefing close %s", briefing), 0);
    snprintf(command, sizeof command, "test -s %s%s/programme.mp4", recordings, briefing);
    wait_for_shell(40, "the programme", command);
    stop_rooms();
    snprintf(command, sizeof command, "grep -E 'role=composer sandbox=enforce .*uid=%u$' %s/log",
             (unsigned)(world.more ? getpwnam(user_of("composer"))->pw_uid : geteuid()), world.data);
    assert_int_equal(shell(out, sizeof out, "%s", command), 0); /* it is too short-lived to be looked at */
    snprintf(command, sizeof command, "! grep -E 'SIGSYS|status=159|box refused|can.t be closed' %s/log", world.data);
    assert_int_equal(shell(out, sizeof out, "%s", command), 0);
}

static void everything_works_as_one_user_in_its_boxes(void **state)
{
    record_and_look();
}

static void assert_mode(const char *name, const char *owner, const char *group, mode_t mode)
{
    char path[200];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", world.data, name);
    assert_int_equal(stat(path, &st), 0);
    assert_string_equal(getpwuid(st.st_uid)->pw_name, owner);
    assert_string_equal(getgrgid(st.st_gid)->gr_name, group);
    assert_int_equal(st.st_mode & 07777, mode);
}

static void everything_works_with_a_user_for_each(void **state)
{
    char config[96], out[1024], name[200];
    if (geteuid() != 0)
        skip();
    snprintf(config, sizeof config, "%s/giaoban.yaml", world.data); /* where the new user may read it */
    assert_int_equal(
        shell(out, sizeof out, "cp " CONFIG_DIR "/giaoban.yaml " CONFIG_DIR "/units.thanhhoa.json %s 2>&1", world.data), 0);
    world.config = config;
    world.more = apart;
    record_and_look();
    compose_other_format();
    pid_t supervisor = world.server;
    assert_field(supervisor, "NoNewPrivs", "1");
    assert_field(supervisor, "CapEff", "00000000000010e0"); /* setuid, setgid, kill, net_admin */
    assert_mode("", "games", "proxy", 0710);
    assert_mode("giaoban.db", "games", "games", 0600);
    assert_mode("secret.key", "games", "games", 0600);
    assert_mode("recordings", "games", "proxy", 02770);
    snprintf(name, sizeof name, "recordings/%s", briefing);
    assert_mode(name, "games", "proxy", 02770);
    snprintf(name, sizeof name, "recordings/%s/events.jsonl", briefing);
    assert_mode(name, "games", "proxy", 0640);
    snprintf(name, sizeof name, "recordings/%s/manifest.json", briefing);
    assert_mode(name, "proxy", "proxy", 0640);
    world_stop(&world);  /* it may end processes of other users */
    world_start(&world); /* and a second start finds everything as it should be */
    assert_int_equal(ctl(&world, out, sizeof out, "briefing list"), 0);
    assert_non_null(strstr(out, briefing));
}

static void a_root_s_recording_is_handed_over(void **state)
{
    char out[1024], name[200], config[96];
    if (geteuid() != 0)
        skip();
    record_and_look();
    world_stop(&world);
    snprintf(config, sizeof config, "%s/giaoban.yaml", world.data);
    assert_int_equal(
        shell(out, sizeof out, "cp " CONFIG_DIR "/giaoban.yaml " CONFIG_DIR "/units.thanhhoa.json %s 2>&1", world.data), 0);
    world.config = config;
    world.more = apart;
    world_start(&world);
    snprintf(name, sizeof name, "recordings/%s/programme.mp4", briefing);
    assert_mode(name, "proxy", "proxy", 0640);
    compose_other_format(); /* beside root's files, some of which are written over */
}

static void unknown_users_are_named(void **state)
{
    static const char *const unknown[] = {"--set", "users.control=games", "--set", "users.media=news",
                                          "--set", "users.check=uucp",    "--set", "users.recorder=nobody-of-that-name",
                                          NULL};
    char out[4096];
    if (geteuid() != 0)
        skip();
    assert_int_equal(shell(out, sizeof out,
                           BIN "/giaoban --config " CONFIG_DIR
                               "/giaoban.yaml --data %s --port %d --set plain_port=%d %s %s %s "
                               "%s %s %s %s %s 2>&1",
                           world.data, world.port, world.plain_port, unknown[0], unknown[1], unknown[2], unknown[3],
                           unknown[4], unknown[5], unknown[6], unknown[7]),
                     1);
    assert_non_null(strstr(out, "users.recorder: there is no such user"));
    assert_int_equal(shell(out, sizeof out,
                           BIN "/giaoband --check-config --config " CONFIG_DIR "/giaoban.yaml --data %s --set "
                               "users.media=news 2>&1",
                           world.data),
                     1);
    assert_non_null(strstr(out, "all four or none"));
}

static int setup(void **state)
{
    world = (struct world){.workers = 1};
    world_make(&world);
    return 0;
}

static int teardown(void **state)
{
    stop_rooms();
    world_remove(&world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_works_as_one_user_in_its_boxes, setup, teardown),
        cmocka_unit_test_setup_teardown(everything_works_with_a_user_for_each, setup, teardown),
        cmocka_unit_test_setup_teardown(a_root_s_recording_is_handed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_users_are_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
