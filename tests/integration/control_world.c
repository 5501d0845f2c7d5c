#include "control_world.h"

#include "base/clock.h"
#include "base/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "control_world: %s: %s\n", what, strerror(errno));
    abort();
}

/* ---- giaoband ---- */

static int listen_somewhere(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 64) == 0, "listener");
    must(getsockname(fd, (struct sockaddr *)&address, &len) == 0, "port");
    *ret_port = ntohs(address.sin_port);
    return fd;
}

void acted_make(struct acted *a)
{
    char command[300];
    *a = (struct acted){.link = -1};
    snprintf(a->doors.dir, sizeof a->doors.dir, "/tmp/giaoban-test-XXXXXX");
    must(mkdtemp(a->doors.dir) != NULL, "mkdtemp");
    a->tls_listener = listen_somewhere(&a->doors.tls_port);
    a->plain_listener = listen_somewhere(&a->doors.plain_port);
    for (unsigned w = 0; w < ACTED_WORKERS; w++)
        a->workers[w] = (struct acted_worker){.fd = -1, .generation = 1};
    snprintf(command, sizeof command, CONFIG_DIR "/make-certificate %s/tls >%s/log 2>&1", a->doors.dir, a->doors.dir);
    must(system(command) == 0, "make-certificate");
}

static void start_process(struct acted *a, int theirs, const char *const *settings)
{
    char ports[2][32], log[100],
        *argv[64] = {"giaoband", "--link", "--config", CONFIG_DIR "/giaoban.yaml", "--data", a->doors.dir};
    size_t n = 6;
    snprintf(ports[0], sizeof ports[0], "port=%d", a->doors.tls_port);
    snprintf(ports[1], sizeof ports[1], "plain_port=%d", a->doors.plain_port);
    snprintf(log, sizeof log, "%s/log", a->doors.dir);
    const char *const always[] = {ports[0], ports[1], "workers=2", "placement=spread", NULL};
    for (size_t i = 0; always[i]; i++) {
        argv[n++] = "--set";
        argv[n++] = (char *)always[i];
    }
    for (size_t i = 0; settings && settings[i] && n + 3 < sizeof argv / sizeof *argv; i++) {
        argv[n++] = "--set";
        argv[n++] = (char *)settings[i];
    }
    argv[n] = NULL;
    a->pid = fork();
    if (a->pid != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
    int high = fcntl(theirs, F_DUPFD, 20);
    dup2(high, LINK_FD);
    close(high);
    execv(BIN "/giaoband", argv);
    _exit(127);
}

void acted_supervise(struct acted *a, const struct link_message *m)
{
    must(link_send(a->link, m, NULL, 0) == 0, "link to giaoband");
}

static void link_worker(struct acted *a, unsigned w)
{
    int pair[2];
    must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    if (a->workers[w].fd >= 0)
        close(a->workers[w].fd);
    a->workers[w].fd = pair[1];
    struct link_message m = {.kind = LINK_WORKER, .a = w, .b = a->workers[w].generation};
    must(link_send(a->link, &m, &pair[0], 1) == 0, "link to giaoband");
    close(pair[0]);
}

void acted_start(struct acted *a, const char *const *settings)
{
    int pair[2], fds[] = {a->tls_listener, a->plain_listener};
    struct link_message m;
    must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    start_process(a, pair[1], settings);
    close(pair[1]);
    a->link = pair[0];
    int page = memfd_create("heartbeat", MFD_CLOEXEC);
    must(page >= 0 && ftruncate(page, 4096) == 0, "heartbeat");
    must(link_send(a->link, &(struct link_message){.kind = LINK_START, .b = 1}, &page, 1) == 0, "start");
    close(page);
    must(link_send(a->link, &(struct link_message){.kind = LINK_LISTENERS, .a = 1, .b = 1}, fds, 2) == 0, "listeners");
    acted_supervise(a, &(struct link_message){.kind = LINK_KEPT_END, .a = ACTED_WORKERS});
    for (unsigned w = 0; w < ACTED_WORKERS; w++)
        link_worker(a, w);
    must(acted_told(a, LINK_READY, 20000, &m), "giaoband is not ready");
}

void acted_kill(struct acted *a)
{
    if (a->pid > 0) {
        kill(a->pid, SIGKILL);
        waitpid(a->pid, NULL, 0);
    }
    a->pid = 0;
    if (a->link >= 0)
        close(a->link);
    a->link = -1;
}

void acted_remove(struct acted *a)
{
    char command[200];
    acted_kill(a);
    for (unsigned w = 0; w < ACTED_WORKERS; w++)
        if (a->workers[w].fd >= 0)
            close(a->workers[w].fd);
    close(a->tls_listener);
    close(a->plain_listener);
    snprintf(command, sizeof command, "rm -rf %s", a->doors.dir);
    must(system(command) == 0, "rm");
}

int acted_ctl(const struct acted *a, char *out, size_t cap, const char *format, ...)
{
    char command[2048];
    int n = snprintf(command, sizeof command, BIN "/giaobanctl --data %s --server http://127.0.0.1:%d ", a->doors.dir,
                     a->doors.plain_port);
    va_list args;
    va_start(args, format);
    n += vsnprintf(command + n, sizeof command - (size_t)n, format, args);
    va_end(args);
    snprintf(command + n, sizeof command - (size_t)n, " 2>&1");
    FILE *pipe = popen(command, "r");
    must(pipe != NULL, "popen");
    size_t len = fread(out, 1, cap - 1, pipe);
    out[len] = '\0';
    out[strcspn(out, "\n")] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void acted_open_briefing(struct acted *a)
{
    char out[4096];
    must(acted_ctl(a, out, sizeof out, "briefing create --title Thử --units ubnd-tinh,h-quan-hoa,h-muong-lat") == 0, out);
    snprintf(a->briefing, sizeof a->briefing, "%s", out);
    must(acted_ctl(a, out, sizeof out, "briefing open %s", a->briefing) == 0, out);
}

/* ---- workers ---- */

void acted_worker_dies(struct acted *a, unsigned w)
{
    acted_supervise(
        a, &(struct link_message){.kind = LINK_WORKER_GONE, .a = w, .b = a->workers[w].generation, .c = 128 + SIGSEGV});
    a->workers[w].generation++;
    link_worker(a, w);
}

void acted_say(struct acted *a, unsigned w, json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    must(text && link_send_body(a->workers[w].fd, text, strlen(text), NULL, 0) == 0, "wish link");
    free(text);
    json_decref(message);
}

void acted_hello(struct acted *a, unsigned w, json_t *endpoints, json_t *restrictions)
{
    json_t *briefings = json_array();
    if (a->briefing[0])
        json_array_append_new(briefings, json_pack("{s:s, s:I}", "id", a->briefing, "version", (json_int_t)1));
    acted_say(a, w,
              json_pack("{s:s, s:I, s:I, s:o, s:o, s:[], s:o, s:[]}", "m", "hello", "generation",
                        (json_int_t)a->workers[w].generation, "epoch", (json_int_t)1, "briefings", briefings, "restrictions",
                        restrictions ? restrictions : json_array(), "feeds", "endpoints",
                        endpoints ? endpoints : json_array(), "addresses"));
}

static bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) > 0;
}

json_t *acted_next(struct acted *a, unsigned w, int ms)
{
    static char body[LINK_BODY_MAX + 1];
    size_t len, n_fds = 0;
    int fds[LINK_FDS_MAX];
    if (!readable(a->workers[w].fd, ms) || link_receive_body(a->workers[w].fd, body, LINK_BODY_MAX, &len, fds, &n_fds))
        return NULL;
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
    json_t *message = json_loadb(body, len, 0, NULL);
    must(message != NULL, "giaoband sent no JSON");
    return message;
}

json_t *acted_expect(struct acted *a, unsigned w, const char *name, int ms)
{
    int64_t until_us = clock_now_us() + (int64_t)ms * 1000;
    for (;;) {
        int64_t left_ms = (until_us - clock_now_us()) / 1000;
        json_t *message = acted_next(a, w, left_ms > 0 ? (int)left_ms : 0);
        if (!message || strcmp(json_string_value(json_object_get(message, "m")), name) == 0)
            return message;
        json_decref(message);
    }
}

bool acted_told(struct acted *a, uint32_t kind, int ms, struct link_message *ret)
{
    int64_t until_us = clock_now_us() + (int64_t)ms * 1000;
    while (clock_now_us() < until_us) {
        int fds[LINK_FDS_MAX];
        size_t n_fds = 0;
        if (!readable(a->link, 20))
            continue;
        if (link_receive(a->link, ret, fds, &n_fds))
            return false;
        for (size_t i = 0; i < n_fds; i++)
            close(fds[i]);
        if (ret->kind == kind)
            return true;
    }
    return false;
}

/* ---- people ---- */

int64_t person_send(struct person *p, const char *method, json_t *params)
{
    int64_t id = ++p->next_id;
    json_t *message =
        json_pack("{s:I, s:s, s:o}", "id", (json_int_t)id, "method", method, "params", params ? params : json_object());
    char *text = json_dumps(message, JSON_COMPACT);
    socket_send(&p->ws, text);
    free(text);
    json_decref(message);
    return id;
}

json_t *person_reply(struct person *p, int64_t id)
{
    for (;;) {
        json_t *o = socket_json(&p->ws);
        if (!o || json_integer_value(json_object_get(o, "id")) == id)
            return o;
        json_array_append_new(p->heard, o);
    }
}

json_t *person_ask(struct person *p, const char *method, json_t *params)
{
    return person_reply(p, person_send(p, method, params));
}

static json_t *named(const json_t *o, const char *sort, const char *name)
{
    const char *text = json_string_value(json_object_get(o, sort));
    return text && strcmp(text, name) == 0 ? json_object_get(o, "data") : NULL;
}

/* What was read from the socket may hold more than one message. */
static bool something_came(struct person *p, int ms)
{
    return p->ws.len > 0 || readable(socket_fd(&p->ws), ms);
}

bool person_has_heard(struct person *p, const char *sort, const char *name)
{
    size_t i;
    json_t *o;
    while (something_came(p, 0) && (o = socket_json(&p->ws)) != NULL)
        json_array_append_new(p->heard, o);
    json_array_foreach(p->heard, i, o) {
        if (named(o, sort, name))
            return true;
    }
    return false;
}

json_t *person_hears(struct person *p, const char *sort, const char *name)
{
    int64_t until_us = clock_now_us() + 20000000;
    size_t i;
    json_t *o;
    json_array_foreach(p->heard, i, o) {
        json_t *data = json_incref(named(o, sort, name));
        if (data) {
            json_array_remove(p->heard, i);
            return data;
        }
    }
    while (clock_now_us() < until_us) {
        if (!something_came(p, 100) || !(o = socket_json(&p->ws)))
            continue;
        json_t *data = json_incref(named(o, sort, name));
        if (!data)
            json_array_append(p->heard, o);
        json_decref(o);
        if (data)
            return data;
    }
    return NULL;
}

static void say_hello(struct person *p, struct acted *a, json_t *resume)
{
    socket_open(&p->ws, &p->http, NULL, NULL, "giaoban.1");
    must(p->ws.status == 101, "websocket");
    json_t *reply =
        person_ask(p, "hello", json_pack("{s:s, s:s, s:o}", "briefing", a->briefing, "kind", "room", "resume", resume));
    const json_t *result = json_object_get(reply, "result");
    must(json_is_object(result), "hello is refused");
    snprintf(p->endpoint, sizeof p->endpoint, "%s", json_string_value(json_object_get(result, "endpoint")));
    snprintf(p->secret, sizeof p->secret, "%s", json_string_value(json_object_get(result, "secret")));
    p->number = (uint32_t)json_integer_value(json_object_get(result, "number"));
    json_decref(reply);
}

void person_join(struct person *p, struct acted *a, const char *unit, const char *role)
{
    char out[4096], body[1024];
    *p = (struct person){.heard = json_array()};
    must(acted_ctl(a, out, sizeof out, "link --briefing %s --unit %s --role %s", a->briefing, unit, role) == 0, out);
    client_open(&p->http, &a->doors, false);
    snprintf(body, sizeof body, "{\"token\":\"%s\"}", out + strlen("/j/"));
    struct answer answer = client_post(&p->http, "/api/v1/session/link", body);
    must(answer.status == 200 || answer.status == 201, answer.body ? answer.body : "session");
    answer_free(&answer);
    say_hello(p, a, json_null());
}

void person_resume(struct person *p, struct acted *a)
{
    say_hello(p, a, json_pack("{s:s, s:s, s:I}", "endpoint", p->endpoint, "secret", p->secret, "last", (json_int_t)0));
}

void person_gone(struct person *p)
{
    socket_close(&p->ws);
    p->ws = (struct socket_client){0};
}

void person_free(struct person *p)
{
    socket_close(&p->ws);
    client_close(&p->http);
    json_decref(p->heard);
}
