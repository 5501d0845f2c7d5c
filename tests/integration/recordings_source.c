#include "recordings_source.h"

#include "recordings/element.h"
#include "rtp/vp8.h"
#include "sim/picture.h"
#include "sim/sound.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/link.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <opus/opus.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOUND_SAMPLES = 960, PACKET_MAX = 1100 };

/* --- rooms -------------------------------------------------------------------------------------------------------- */

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "test source: %s\n", what);
    abort();
}

static void keep_picture(void *ctx, GstBuffer *b, GstCaps *caps)
{
    struct room *r = ctx;
    struct room_frame *f = &r->pictures[r->n_pictures++];
    f->len = gst_buffer_get_size(b);
    f->bytes = malloc(f->len);
    gst_buffer_extract(b, 0, f->bytes, f->len);
    f->keyframe = !GST_BUFFER_FLAG_IS_SET(b, GST_BUFFER_FLAG_DELTA_UNIT);
}

static GstBuffer *raw_picture(struct picture *p, unsigned n)
{
    struct picture_frame f;
    picture_draw(p, n, &f);
    GstBuffer *b = gst_buffer_new_allocate(NULL, ROOM_WIDTH * ROOM_HEIGHT * 3 / 2, NULL);
    size_t at = 0;
    for (int y = 0; y < ROOM_HEIGHT; y++, at += ROOM_WIDTH)
        gst_buffer_fill(b, at, f.y + y * f.y_stride, ROOM_WIDTH);
    for (int plane = 0; plane < 2; plane++)
        for (int y = 0; y < ROOM_HEIGHT / 2; y++, at += ROOM_WIDTH / 2)
            gst_buffer_fill(b, at, (plane ? f.v : f.u) + y * f.uv_stride, ROOM_WIDTH / 2);
    GST_BUFFER_PTS(b) = n * GST_SECOND / ROOM_FPS;
    GST_BUFFER_DURATION(b) = GST_SECOND / ROOM_FPS;
    return b;
}

static void make_pictures(struct room *r, const char *name, unsigned seconds)
{
    GstCaps *caps =
        gst_caps_new_simple("video/x-raw", "format", G_TYPE_STRING, "I420", "width", G_TYPE_INT, ROOM_WIDTH, "height",
                            G_TYPE_INT, ROOM_HEIGHT, "framerate", GST_TYPE_FRACTION, ROOM_FPS, 1, NULL);
    struct element *encoder;
    struct picture *p = picture_new(ROOM_WIDTH, ROOM_HEIGHT, ROOM_FPS, r->source, name);
    r->pictures = calloc(seconds * ROOM_FPS, sizeof *r->pictures);
    must(p && r->pictures &&
             element_new("vp8enc deadline=1 cpu-used=10 threads=1 keyframe-max-dist=100000 target-bitrate=600000", caps,
                         keep_picture, r, &encoder) == 0,
         "no VP8 encoder");
    for (unsigned n = 0; n < seconds * ROOM_FPS; n++)
        must(element_push(encoder, raw_picture(p, n)) == 0, "VP8 encoding");
    element_end(encoder);
    must(r->n_pictures == seconds * ROOM_FPS && r->pictures[0].keyframe, "a picture for every frame");
    for (size_t i = 1; i < r->n_pictures; i++)
        must(!r->pictures[i].keyframe, "no keyframe after the first");
    element_free(encoder);
    picture_free(p);
    gst_caps_unref(caps);
}

static void make_sounds(struct room *r, unsigned seconds)
{
    int err;
    OpusEncoder *e = opus_encoder_create(SOUND_RATE, 1, OPUS_APPLICATION_VOIP, &err);
    must(e != NULL, "no Opus encoder");
    opus_encoder_ctl(e, OPUS_SET_BITRATE(32000));
    opus_encoder_ctl(e, OPUS_SET_COMPLEXITY(3));
    r->n_sounds = seconds * SOUND_RATE / SOUND_SAMPLES;
    r->sounds = calloc(r->n_sounds, sizeof *r->sounds);
    for (size_t n = 0; n < r->n_sounds; n++) {
        int16_t samples[SOUND_SAMPLES];
        uint8_t packet[1500];
        sound_make(r->source, n * SOUND_SAMPLES, samples, SOUND_SAMPLES);
        int len = opus_encode(e, samples, SOUND_SAMPLES, packet, sizeof packet);
        must(len > 0, "Opus encoding");
        r->sounds[n] = (struct room_frame){.bytes = malloc((size_t)len), .len = (size_t)len, .keyframe = true};
        memcpy(r->sounds[n].bytes, packet, (size_t)len);
    }
    opus_encoder_destroy(e);
}

void room_make(struct room *r, unsigned source, uint32_t number, const char *name, unsigned seconds)
{
    *r = (struct room){.source = source,
                       .number = number,
                       .endpoint = name,
                       .picture_seq = 0x10000 + 65000,
                       .sound_seq = 0x10000 + 100,
                       .incarnation = 1};
    make_pictures(r, name, seconds);
    make_sounds(r, seconds);
}

void room_free(struct room *r)
{
    for (size_t i = 0; i < r->n_pictures; i++)
        free(r->pictures[i].bytes);
    for (size_t i = 0; i < r->n_sounds; i++)
        free(r->sounds[i].bytes);
    free(r->pictures);
    free(r->sounds);
}

/* --- the worker --------------------------------------------------------------------------------------------------- */

void worker_open(struct worker *w, size_t ring_bytes, int64_t base_us)
{
    *w = (struct worker){.base_us = base_us};
    must(feed_create(ring_bytes, 1, &w->data_fd, &w->tail_fd) == 0 &&
             feed_writer_open(w->data_fd, w->tail_fd, -1, 1, &w->feed) == 0,
         "feed");
}

void worker_close(struct worker *w)
{
    feed_writer_close(w->feed);
    close(w->data_fd);
    close(w->tail_fd);
}

static uint32_t picture_track(const struct room *r)
{
    return r->number * 4 + (r->is_screen ? 3 : 2);
}

void worker_meta(struct worker *w, const struct room *r)
{
    char text[300];
    struct feed_record rec = {
        .kind = FEED_META, .track = picture_track(r), .incarnation = r->incarnation, .session_us = w->base_us};
    rec.len = (uint16_t)snprintf(
        text, sizeof text,
        "{\"endpoint\":\"%s\",\"number\":%u,\"kind\":\"%s\",\"codec\":\"VP8\",\"clock\":90000,\"layers\":1}", r->endpoint,
        r->number, r->is_screen ? "screen" : "camera");
    must(feed_write(w->feed, &rec, text) == 0, "feed is full");
    rec.track = r->number * 4 + 1;
    rec.len =
        (uint16_t)snprintf(text, sizeof text,
                           "{\"endpoint\":\"%s\",\"number\":%u,\"kind\":\"microphone\",\"codec\":\"opus\",\"clock\":48000,"
                           "\"channels\":1,\"layers\":1}",
                           r->endpoint, r->number);
    must(r->is_screen || feed_write(w->feed, &rec, text) == 0, "feed is full");
}

static bool is_lost(const struct worker *w, uint32_t track, uint64_t seq)
{
    for (size_t i = 0; i < w->n_losses; i++)
        if (w->losses[i].track == track && seq >= w->losses[i].from && seq <= w->losses[i].to)
            return true;
    return false;
}

static void send_packet(struct worker *w, struct feed_record *rec, uint32_t ts, bool marker, const uint8_t *payload,
                        size_t len)
{
    uint8_t packet[FEED_BODY_MAX] = {0x80, (uint8_t)(marker ? 0xe0 : 0x60)};
    put_u16(packet + 2, (uint16_t)rec->ext_seq);
    put_u32(packet + 4, ts);
    put_u32(packet + 8, rec->track);
    memcpy(packet + 12, payload, len);
    rec->len = (uint16_t)(12 + len);
    if (!is_lost(w, rec->track, rec->ext_seq) && feed_write(w->feed, rec, packet))
        w->refused++;
}

static void send_picture(struct worker *w, struct room *r, unsigned n)
{
    const struct room_frame *f = &r->pictures[n];
    struct feed_record rec = {.kind = FEED_RTP,
                              .flags = f->keyframe ? FEED_FLAG_KEYFRAME : 0,
                              .track = picture_track(r),
                              .incarnation = r->incarnation,
                              .session_us = w->base_us + (int64_t)n * 1000000 / ROOM_FPS};
    for (size_t at = 0; at < f->len;) {
        uint8_t payload[PACKET_MAX + VP8_DESCRIPTOR];
        size_t len = f->len - at < PACKET_MAX ? f->len - at : PACKET_MAX;
        size_t head = vp8_write_descriptor(payload, at == 0, (uint16_t)n);
        memcpy(payload + head, f->bytes + at, len);
        at += len;
        rec.ext_seq = r->picture_seq++;
        send_packet(w, &rec, n * (90000 / ROOM_FPS), at == f->len, payload, head + len);
    }
}

static void send_sound(struct worker *w, struct room *r, unsigned n)
{
    struct feed_record rec = {.kind = FEED_RTP,
                              .flags = 0x80,
                              .track = r->number * 4 + 1,
                              .incarnation = r->incarnation,
                              .session_us = w->base_us + (int64_t)n * 20000,
                              .ext_seq = r->sound_seq++};
    send_packet(w, &rec, n * SOUND_SAMPLES, false, r->sounds[n].bytes, r->sounds[n].len);
}

void worker_send(struct worker *w, struct room *r, unsigned n, bool picture, bool sound)
{
    if (picture)
        send_picture(w, r, n);
    if (sound && !r->is_screen) {
        send_sound(w, r, 2 * n);
        send_sound(w, r, 2 * n + 1);
    }
}

void worker_end(struct worker *w, const struct room *r)
{
    for (unsigned kind = 1; kind <= 3; kind++) {
        struct feed_record rec = {.kind = FEED_END, .track = r->number * 4 + kind, .incarnation = r->incarnation};
        must(feed_write(w->feed, &rec, NULL) == 0, "feed is full");
    }
}

/* --- the recorder ------------------------------------------------------------------------------------------------- */

void child_start(struct child *c, const char *dir)
{
    int pair[2];
    must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    c->pid = fork();
    if (c->pid == 0) {
        dup2(pair[1], LINK_FD);
        if (pair[1] == LINK_FD)
            fcntl(LINK_FD, F_SETFD, 0);
        execl(RECORDER, "giaoban-recorder", "--link", "--dir", dir, (char *)NULL);
        _exit(127);
    }
    close(pair[1]);
    c->link = pair[0];
    int page = memfd_create("heartbeat", MFD_CLOEXEC);
    must(page >= 0 && ftruncate(page, 4096) == 0, "heartbeat");
    struct link_message m = {.kind = LINK_START, .c = 3};
    must(link_send(c->link, &m, &page, 1) == 0, "link");
    close(page);
}

void child_feed(struct child *c, const struct worker *w)
{
    struct link_message m = {.kind = LINK_FEED, .a = 1};
    int readonly, fds[2];
    must(feed_readonly(w->data_fd, &readonly) == 0, "read-only descriptor");
    fds[0] = readonly;
    fds[1] = w->tail_fd;
    must(link_send(c->link, &m, fds, 2) == 0, "link");
    close(readonly);
}

void child_tell(struct child *c, uint32_t kind)
{
    struct link_message m = {.kind = kind};
    must(link_send(c->link, &m, NULL, 0) == 0, "link");
}

int child_wait(struct child *c)
{
    int status;
    must(waitpid(c->pid, &status, 0) == c->pid, "waitpid");
    close(c->link);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

void child_kill(struct child *c)
{
    kill(c->pid, SIGKILL);
    must(child_wait(c) == -SIGKILL, "was not killed");
}

bool worker_is_read(void *ctx)
{
    const struct worker *w = ctx;
    uint64_t head, read;
    if (pread(w->data_fd, &head, sizeof head, 32) != sizeof head || pread(w->tail_fd, &read, sizeof read, 0) != sizeof read)
        abort();
    return read == head;
}

bool worker_is_acknowledged(void *ctx)
{
    return feed_backlog(((struct worker *)ctx)->feed) == 0;
}

bool wait_until(bool (*condition)(void *ctx), void *ctx, unsigned seconds)
{
    int64_t until_us = clock_now_us() + (int64_t)seconds * 1000000;
    while (clock_now_us() < until_us) {
        if (condition(ctx))
            return true;
        usleep(5000);
    }
    return false;
}

void make_dir(char *path, size_t cap)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(path, cap, "%s/giaoban-test-XXXXXX", tmp ? tmp : "/tmp");
    must(mkdtemp(path) != NULL, "mkdtemp");
}

void remove_dir(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(d), e->d_name, 0) < 0) { /* thumbs/ */
            char below[600];
            snprintf(below, sizeof below, "%s/%s", path, e->d_name);
            remove_dir(below);
        }
    }
    if (d)
        closedir(d);
    rmdir(path);
}
