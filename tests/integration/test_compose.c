/* From feeds to the programme: recorded by the recorder program (killed once on the way), composed by the composer, decoded
 * and looked at here. Rooms send one keyframe, at their start. */
#include "recordings_source.h"

#include "recordings/check.h"
#include "recordings/element.h"
#include "recordings/media_visit.h"
#include "sim/picture.h"
#include "sim/sound.h"

#include "base/link.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SECONDS = 16, FRAMES = SECONDS * ROOM_FPS, CHAIR = 1, A = 7, B = 9, SCREEN_SOURCE = 12 };
#define BASE_US 7000000000ll

static char dir[200];

/* What is on the stage and whose microphones are open, by the second. The chair's is always open. */
static const struct scene {
    int from_s, to_s;
    unsigned source, screen_source; /* expected in the picture; screen 0: none */
    unsigned open_source;           /* besides the chair, 0: none */
} scenes[] = {
    {0, 3, CHAIR, 0, 0}, {3, 7, A, 0, A}, {7, 11, B, 0, B}, {11, 13, CHAIR, SCREEN_SOURCE, 0}, {13, 16, A, 0, A},
};

static const struct scene *scene_at(double s)
{
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
        if (s >= scenes[i].from_s && s < scenes[i].to_s)
            return &scenes[i];
    return &scenes[4];
}

static void write_events(void)
{
    char path[300];
    snprintf(path, sizeof path, "%s/events.jsonl", dir);
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    fprintf(out, "{\"briefing\":{\"id\":\"b1\",\"title\":\"Giao ban tuần 47\",\"units\":{\"u-a\":{\"name\":\"UBND huyện "
                 "Quan Hóa\",\"short\":"
                 "\"Quan Hóa\"}}}}\n");
    static const struct {
        int at_s;
        const char *event, *data;
    } events[] = {
        {-5, "joined", "{\"endpoint\":{\"number\":1,\"unit\":\"u-c\",\"unit_short\":\"Chủ tọa\",\"role\":\"chair\"}}"},
        {-4, "joined", "{\"endpoint\":{\"number\":7,\"unit\":\"u-a\",\"role\":\"delegate\"}}"},
        {-4, "joined", "{\"endpoint\":{\"number\":9,\"unit\":\"u-b\",\"unit_short\":\"Mường Lát\",\"role\":\"delegate\"}}"},
        {-2, "opened", "{}"},
        {0, "recording", "{\"on\":true}"},
        {3, "floor-granted", "{\"number\":7}"},
        {7, "floor-granted", "{\"number\":9}"},
        {11, "floor-revoked", "{\"number\":9}"},
        {11, "screen-shown", "{\"number\":7}"},
        {13, "screen-shown", "{\"number\":0}"},
        {13, "floor-granted", "{\"number\":7}"},
        {16, "closed", "{}"},
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        fprintf(out, "{\"seq\":%zu,\"at_us\":%lld,\"at_ms\":0,\"event\":\"%s\",\"data\":%s}\n", i + 1,
                BASE_US + events[i].at_s * 1000000ll, events[i].event, events[i].data);
    fclose(out);
}

static void end_sound(struct worker *w, const struct room *r)
{
    struct feed_record rec = {.kind = FEED_END, .track = r->number * 4 + 1, .incarnation = 1};
    assert_int_equal(feed_write(w->feed, &rec, NULL), 0);
}

static void send_all(struct worker *w, struct room rooms[4], unsigned n)
{
    const struct scene *s = scene_at((double)n / ROOM_FPS);
    for (int i = 0; i < 4; i++) {
        bool open = i == 0 || rooms[i].source == s->open_source;
        worker_send(w, &rooms[i], n, true, open);
        if (!open)
            rooms[i].sound_seq += 2; /* muted: the publisher's numbers go on */
        if (!open && i < 3 && n > 0 && rooms[i].source == scene_at((double)(n - 1) / ROOM_FPS)->open_source)
            end_sound(w, &rooms[i]);
    }
}

static int record(void **state)
{
    struct room rooms[4];
    struct worker w;
    struct child c;
    make_dir(dir, sizeof dir);
    room_make(&rooms[0], CHAIR, CHAIR, "Chủ tọa", SECONDS);
    room_make(&rooms[1], A, A, "Quan Hóa", SECONDS);
    room_make(&rooms[2], B, B, "Mường Lát", SECONDS);
    room_make(&rooms[3], SCREEN_SOURCE, A, "màn hình", SECONDS);
    rooms[3].is_screen = true;
    worker_open(&w, 32 << 20, BASE_US);
    child_start(&c, dir);
    child_feed(&c, &w);
    for (int i = 0; i < 4; i++)
        worker_meta(&w, &rooms[i]);
    for (unsigned n = 0; n < FRAMES; n++) {
        send_all(&w, rooms, n);
        if (n == 210) { /* in the middle of B's turn, with frames on both sides of the last sync */
            assert_true(wait_until(worker_is_acknowledged, &w, 20));
        } else if (n == 230) {
            assert_true(wait_until(worker_is_read, &w, 20));
            child_kill(&c);
            child_start(&c, dir);
            child_feed(&c, &w);
        }
    }
    child_tell(&c, LINK_RECORD_STOP);
    assert_int_equal(child_wait(&c), 0);
    assert_int_equal(w.refused, 0);
    worker_close(&w);
    for (int i = 0; i < 4; i++)
        room_free(&rooms[i]);
    write_events();
    return 0;
}

static int drop(void **state)
{
    remove_dir(dir);
    return 0;
}

static int compose(const char *where, const char *format)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl(RECORDER, "giaoban-recorder", "--compose", where, "--format", format, (char *)NULL);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

struct looking {
    unsigned pictures, unreadable, wrong_source, far_off;
    double tones[SECONDS][16]; /* energy of each source's tone in each second */
    int16_t *second;
    int64_t samples;
    int64_t first_sample_us;
};

static void look_at_picture(void *ctx, int64_t at_us, const uint8_t *y, int stride, int width, int height)
{
    struct looking *l = ctx;
    const struct scene *s = scene_at((double)at_us / 1e6);
    unsigned source, frame;
    l->pictures++;
    bool read = s->screen_source ? picture_read(y + 72 * stride, stride, 1024, 576, &source, &frame)
                                 : picture_read(y, stride, width, height, &source, &frame);
    if (!read)
        l->unreadable++;
    else if (source != (s->screen_source ? s->screen_source : s->source))
        l->wrong_source++;
    else if (llabs((int64_t)frame * 40000 - at_us) > 40000)
        l->far_off++;
}

static void look_at_sound(void *ctx, int64_t at_us, const int16_t *samples, size_t n)
{
    struct looking *l = ctx;
    if (l->samples == 0)
        l->first_sample_us = at_us;
    for (size_t i = 0; i < n && l->samples < SECONDS * SOUND_RATE; i++)
        l->second[l->samples++] = samples[i];
}

static double tone_level(const int16_t *samples, int n, unsigned hz)
{
    double w = 2 * M_PI * hz / SOUND_RATE, k = 2 * cos(w), s1 = 0, s2 = 0;
    for (int i = 0; i < n; i++) {
        double s = samples[i] / 32768.0 + k * s1 - s2;
        s2 = s1;
        s1 = s;
    }
    return 2 * sqrt(fabs(s1 * s1 + s2 * s2 - k * s1 * s2)) / n;
}

/* In the middle 0.6 s of each second the open microphones are heard and the others are not. */
static void assert_sounds_are_right(const struct looking *l)
{
    static const unsigned sources[] = {CHAIR, A, B};
    for (int second = 0; second + 1 < SECONDS; second++) {
        const struct scene *s = scene_at(second + 0.5);
        const int16_t *at = l->second + second * SOUND_RATE + SOUND_RATE / 5;
        for (int i = 0; i < 3; i++) {
            double level = tone_level(at, SOUND_RATE * 3 / 5, sound_tone_hz(sources[i]));
            bool open = sources[i] == CHAIR || sources[i] == s->open_source;
            if (open ? level < 0.02 : level > 0.005)
                fail_msg("second %d: source %u is %s, level %.4f", second, sources[i], open ? "open" : "muted", level);
        }
    }
}

static void assert_content_is_right(const char *file)
{
    char path[300], why[300] = "";
    struct looking l = {.second = calloc(SECONDS * SOUND_RATE, sizeof(int16_t))};
    struct media_visitor v = {.picture = look_at_picture, .sound = look_at_sound, .ctx = &l};
    int chapters;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    if (media_visit(path, &v, &chapters, why, sizeof why))
        fail_msg("%s: %s", file, why);
    printf("%s: pictures=%u unreadable=%u wrong=%u far=%u\n", file, l.pictures, l.unreadable, l.wrong_source, l.far_off);
    assert_in_range(l.pictures, FRAMES - 1, FRAMES + 1);
    assert_int_equal(l.unreadable, 0);
    assert_int_equal(l.wrong_source, 0);
    assert_int_equal(l.far_off, 0);
    assert_sounds_are_right(&l);
    free(l.second);
}

static void assert_lips_match(const char *file)
{
    char path[300], why[300] = "";
    struct check_result r;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    if (check_file(path, &r, why, sizeof why))
        fail_msg("%s: %s", file, why);
    double start_ms = 999, end_ms = 999;
    assert_int_equal(check_skew(&r, 0, 5000000, &start_ms), 0);
    assert_int_equal(check_skew(&r, 13000000, 16000000, &end_ms), 0);
    printf("%s: skew at start %.1f ms, at end %.1f ms, flashes %zu, beeps %zu, seconds %.3f\n", file, start_ms, end_ms,
           r.n_flashes, r.n_beeps, (double)r.end_us / 1e6);
    assert_true(fabs(start_ms) <= 60 && fabs(end_ms) <= 60);
    assert_true(r.n_beeps >= SECONDS - 1 && r.n_flashes >= SECONDS - 4);
    assert_true(llabs(r.end_us - SECONDS * 1000000) < 100000);
    assert_int_equal(r.width, 1280);
    assert_int_equal(r.height, 720);
    assert_int_equal(r.chapters, 3);
    check_clear(&r);
}

static json_t *load(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    json_t *o = json_load_file(path, 0, NULL);
    assert_non_null(o);
    return o;
}

static void assert_manifest_has(const char *name)
{
    json_t *m = load("manifest.json"), *line;
    size_t i;
    bool found = false;
    json_array_foreach(json_object_get(m, "files"), i, line)
        found = found || strcmp(json_string_value(json_object_get(line, "name")), name) == 0;
    json_decref(m);
    if (!found)
        fail_msg("%s is not in the manifest", name);
}

static void assert_is_ready(const char *format)
{
    json_t *p = load("progress.json");
    assert_int_equal(json_integer_value(json_object_get(p, "percent")), 100);
    assert_string_equal(json_string_value(json_object_get(p, "state")), "ready");
    assert_string_equal(json_string_value(json_object_get(p, "format")), format);
    json_decref(p);
}

static void the_mp4_shows_who_had_the_floor_with_sound_in_step(void **state)
{
    assert_int_equal(compose(dir, "mp4"), 0);
    assert_is_ready("mp4");
    assert_content_is_right("programme.mp4");
    assert_lips_match("programme.mp4");
    assert_manifest_has("programme.mp4");
    assert_manifest_has("thumbs/01.jpg");
}

static void the_webm_does_too_and_has_its_chapters_inside(void **state)
{
    assert_int_equal(compose(dir, "webm"), 0);
    assert_is_ready("webm");
    assert_content_is_right("programme.webm");
    assert_lips_match("programme.webm");
    assert_manifest_has("programme.webm");
    assert_manifest_has("programme.mp4");
}

static void chapters_are_the_floor_holders(void **state)
{
    static const struct {
        double from_s, to_s;
        int number;
        const char *title;
    } expected[] = {{3, 7, A, "Quan Hóa"}, {7, 11, B, "Mường Lát"}, {13, 16, A, "Quan Hóa"}};
    json_t *chapters = load("chapters.json");
    assert_int_equal(json_array_size(chapters), 3);
    for (size_t i = 0; i < 3; i++) {
        json_t *c = json_array_get(chapters, i);
        assert_true(fabs(json_number_value(json_object_get(c, "start_s")) - expected[i].from_s) < 0.05);
        assert_true(fabs(json_number_value(json_object_get(c, "end_s")) - expected[i].to_s) < 0.05);
        assert_int_equal(json_integer_value(json_object_get(c, "number")), expected[i].number);
        assert_string_equal(json_string_value(json_object_get(c, "title")), expected[i].title);
        char path[400];
        uint8_t head[3] = {0};
        snprintf(path, sizeof path, "%s/%s", dir, json_string_value(json_object_get(c, "thumb")));
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(read(fd, head, 3), 3);
        assert_memory_equal(head, "\xff\xd8\xff", 3);
        close(fd);
    }
    json_decref(chapters);
    char path[300], text[2000] = "";
    snprintf(path, sizeof path, "%s/chapters.vtt", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    assert_non_null(strstr(text, "WEBVTT\n"));
    assert_non_null(strstr(text, "00:00:07.000 --> 00:00:11.000\nMường Lát\n"));
}

static void assert_fails(const char *where, const char *expected)
{
    char path[300];
    assert_int_equal(compose(where, "mp4"), 1);
    snprintf(path, sizeof path, "%s/progress.json", where);
    json_t *p = json_load_file(path, 0, NULL);
    assert_non_null(p);
    assert_string_equal(json_string_value(json_object_get(p, "state")), "failed");
    const char *why = json_string_value(json_object_get(p, "why"));
    if (!strstr(why, expected))
        fail_msg("why: %s, not %s", why, expected);
    json_decref(p);
    snprintf(path, sizeof path, "%s/programme.mp4", where);
    assert_int_equal(access(path, F_OK), -1);
}

static void put(const char *where, const char *name, const char *text)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", where, name);
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void broken_recordings_are_refused_with_a_reason(void **state)
{
    char where[200];
    static const char events[] =
        "{\"seq\":1,\"at_us\":1000000,\"event\":\"recording\",\"data\":{\"on\":true}}\n"
        "{\"seq\":2,\"at_us\":2000000,\"event\":\"joined\",\"data\":{\"endpoint\":{\"number\":1,\"role\":\"chair\"}}}\n"
        "{\"seq\":3,\"at_us\":3000000,\"event\":\"closed\",\"data\":{}}\n";
    static const char line[] = "{\"file\":\"%s\",\"track\":6,\"codec\":\"VP8\",\"layer\":0,\"base_us\":1000000}\n";
    char text[300];
    make_dir(where, sizeof where);
    assert_fails(where, "events.jsonl can't be read");
    put(where, "events.jsonl", "not JSON\n");
    assert_fails(where, "events.jsonl, line 1");
    put(where, "events.jsonl", "{\"seq\":3,\"at_us\":3000000,\"event\":\"closed\",\"data\":{}}\n");
    assert_fails(where, "nothing was recorded");
    put(where, "events.jsonl", events);
    assert_fails(where, "tracks.jsonl is not there");
    snprintf(text, sizeof text, line, "../../etc/passwd");
    put(where, "tracks.jsonl", text);
    assert_fails(where, "tracks.jsonl, line 1");
    snprintf(text, sizeof text, line, "track-6-1-0-0.mkv");
    put(where, "tracks.jsonl", text);
    put(where, "track-6-1-0-0.mkv",
        "garbage, as long as a demuxer needs to be sure of it: 0123456789 0123456789 0123456789");
    char garbage[70000];
    memset(garbage, 'x', sizeof garbage - 1);
    garbage[sizeof garbage - 1] = '\0';
    put(where, "track-6-1-0-0.mkv", garbage);
    snprintf(text, sizeof text, line, "track-6-1-0-0.mkv");
    strcat(text, "\n");
    put(where, "events.jsonl",
        "{\"at_us\":1000000,\"event\":\"recording\",\"data\":{\"on\":true}}\n"
        "{\"at_us\":1000000,\"event\":\"joined\",\"data\":{\"endpoint\":{\"number\":1,\"role\":\"chair\"}}}\n"
        "{\"at_us\":3000000,\"event\":\"closed\",\"data\":{}}\n");
    assert_fails(where, "track-6-1-0-0.mkv");
    remove_dir(where);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mp4_shows_who_had_the_floor_with_sound_in_step),
        cmocka_unit_test(the_webm_does_too_and_has_its_chapters_inside),
        cmocka_unit_test(chapters_are_the_floor_holders),
        cmocka_unit_test(broken_recordings_are_refused_with_a_reason),
    };
    char why[200];
    if (gst_setup(why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    return cmocka_run_group_tests_name("compose", tests, record, getenv("KEEP") ? NULL : drop);
}
