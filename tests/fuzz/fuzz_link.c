/* Messages on the supervisor's link from children that have gone mad: any bytes with any number of descriptors. What is
 * not a message is refused with its descriptors closed; only giaoband's orders count; ids that become a directory's name
 * are plain; every descriptor that was handed over is closed in the end.
 *
 * Input: messages of a first byte (whose link, how many descriptors), a second byte (the kind, or 0xff: raw bytes, as many
 * as the third says), then numbers and a text. */
#include "base/err.h"
#include "require.h"
#include "supervisor/supervisor.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SENDERS = 3, MESSAGES_MAX = 40 };

struct input {
    const uint8_t *at, *end;
};

static struct supervisor supervisor;
static struct child *senders[SENDERS]; /* giaoband, a worker, a recorder */
static int far_ends[SENDERS], spare[LINK_FDS_MAX];

static uint8_t byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

/* Where the next descriptor would go: the same before and after, or one was lost. */
static int lowest_free(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

static void begin(void)
{
    static const enum child_kind kinds[SENDERS] = {CHILD_CONTROL, CHILD_WORKER, CHILD_RECORDER};
    memset(&supervisor, 0, sizeof supervisor);
    memset(supervisor.children.program, 0xff, sizeof supervisor.children.program); /* −1: none is open */
    supervisor.children.programs = "/nowhere";
    for (int i = 0; i < SENDERS; i++) {
        int pair[2];
        require(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
        senders[i] = children_add(&supervisor.children, kinds[i], 0, kinds[i] == CHILD_RECORDER ? "b1" : "");
        senders[i]->link = pair[0];
        far_ends[i] = pair[1];
    }
}

static void finish(void)
{
    for (size_t i = 0; i < KEPT_FEEDS_MAX; i++)
        if (supervisor.feeds[i].used)
            kept_drop_one(&supervisor, supervisor.feeds[i].id);
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        if (supervisor.children.all[i].used)
            children_remove(&supervisor.children.all[i]);
    for (unsigned kind = 0; kind < CHILD_KINDS; kind++)
        for (unsigned set = 0; set < 2; set++)
            if (supervisor.children.program[kind][set] >= 0)
                close(supervisor.children.program[kind][set]);
    for (int i = 0; i < SENDERS; i++)
        if (far_ends[i] >= 0)
            close(far_ends[i]);
}

static void send_one(struct input *in)
{
    static const char *const texts[] = {"b1", "b2", "b1 mp4", "", "../x", "a/b", "b-1 webm"};
    uint8_t who = byte(in), kind = byte(in);
    size_t n_fds = who >> 4;
    if (kind == 0xff) {
        size_t len = (size_t)byte(in) * 4 + 1;
        uint8_t raw[1024] = {0};
        for (size_t i = 0; i < len && i < sizeof raw; i++)
            raw[i] = byte(in);
        link_send_body(far_ends[who % SENDERS], raw, len, spare, n_fds);
        return;
    }
    struct link_message m = {.kind = kind, .a = byte(in), .b = byte(in), .c = byte(in)};
    uint8_t text = byte(in);
    if (text < sizeof texts / sizeof *texts)
        strcpy(m.text, texts[text]);
    else
        for (unsigned i = 0; i < text; i++)
            m.text[i] = (char)byte(in);
    link_send(far_ends[who % SENDERS], &m, spare, n_fds);
}

static void check_children(void)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        const struct child *c = &supervisor.children.all[i];
        if (!c->used || c == senders[0] || c == senders[1] || c == senders[2])
            continue;
        size_t id = strcspn(c->job, " ");
        require(c->kind == CHILD_RECORDER || c->kind == CHILD_COMPOSER);
        require(id && strspn(c->job, "abcdefghijklmnopqrstuvwxyz0123456789-") == id);
        for (size_t k = 0; k < i; k++)
            require(!supervisor.children.all[k].used || supervisor.children.all[k].kind != c->kind ||
                    strcmp(supervisor.children.all[k].job, c->job));
    }
}

static void check_feeds(void)
{
    for (size_t i = 0; i < KEPT_FEEDS_MAX; i++) {
        const struct kept_feed *f = &supervisor.feeds[i];
        require(!f->used || (f->n_fds >= 2 && f->n_fds <= 3));
        for (size_t k = 0; f->used && k < f->n_fds; k++)
            require(fcntl(f->fds[k], F_GETFD) >= 0);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    for (int i = 0; i < LINK_FDS_MAX; i++)
        spare[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    int before = lowest_free();
    begin();
    for (int i = 0; in.at < in.end && i < MESSAGES_MAX; i++) {
        bool giaoband = *in.at % SENDERS == 0;
        unsigned running = 0, now = 0;
        for (size_t k = 0; k < CHILDREN_MAX; k++)
            running += supervisor.children.all[k].used;
        send_one(&in);
        for (int k = 0; k < SENDERS; k++)
            if (senders[k]->link >= 0)
                supervisor_receive(&supervisor, senders[k], 1);
        for (size_t k = 0; k < CHILDREN_MAX; k++)
            now += supervisor.children.all[k].used;
        require(giaoband || now == running); /* only giaoband gives orders */
        check_children();
        check_feeds();
    }
    finish();
    require(lowest_free() == before);
    return 0;
}
