/* Segments: what is written frame by frame is read frame by frame, also when the file is torn. */
#include "recordings/element.h"
#include "recordings/segment.h"

#include "base/err.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char path[64];
    int fd;
};

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    if (!p)
        return -1;
    snprintf(p->path, sizeof p->path, "/tmp/gb-segment-XXXXXX");
    if (!mkdtemp(p->path)) {
        free(p);
        return -1;
    }
    p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = p;
    return p->fd < 0 ? -1 : 0;
}

static int drop_place(void **state)
{
    struct place *p = *state;
    DIR *d = fdopendir(p->fd);
    struct dirent *e;
    while ((e = readdir(d)))
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(p->path);
    free(p);
    return 0;
}

/* A frame that looks like VP8 (3-byte tag, start code, size in a keyframe) and whose rest tells its number. */
static size_t make_frame(unsigned n, uint8_t *out)
{
    size_t len = 200 + n * 37 % 900;
    memset(out, (int)(n & 0xff), len);
    bool key = n % 50 == 0;
    out[0] = key ? 0x10 : 0x11;
    if (key)
        memcpy(out + 3, (const uint8_t[]){0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01}, 7);
    return len;
}

static void write_frames(int dir, const char *name, unsigned from, unsigned to, int64_t base_us)
{
    struct segment *s;
    uint8_t frame[2048];
    assert_int_equal(segment_open(dir, name, RTP_VP8, 0, NULL, 0, base_us, &s), 0);
    for (unsigned n = from; n < to; n++) {
        size_t len = make_frame(n, frame);
        assert_int_equal(segment_write(s, frame, len, base_us + (n - from) * 40000, n % 50 == 0), 0);
        assert_int_equal(spool_flush(segment_spool(s)), 0);
    }
    assert_int_equal(segment_finish(s), 0);
    assert_int_equal(spool_flush(segment_spool(s)), 0);
    segment_free(s);
}

static unsigned read_frames(int dir, const char *name, unsigned from, int64_t base_us)
{
    struct segment_reader *r;
    struct segment_frame f;
    uint8_t frame[2048];
    int err;
    unsigned n = from;
    assert_int_equal(segment_reader_open(dir, name, base_us, &r), 0);
    while ((err = segment_read(r, &f)) == 0) {
        size_t len = make_frame(n, frame);
        assert_int_equal(f.len, len);
        assert_memory_equal(f.bytes, frame, len);
        assert_int_equal(f.keyframe, n % 50 == 0);
        assert_int_equal(f.session_us, base_us + (n - from) * 40000);
        n++;
    }
    assert_int_equal(err, ERR_CLOSED);
    segment_reader_free(r);
    return n - from;
}

/* The supervisor sets it: 077, or 007 when giaoband and recorders have users of their own. */
static mode_t umask_now(void)
{
    mode_t now = umask(0);
    umask(now);
    return now;
}

static void frames_come_back_as_written(void **state)
{
    struct place *p = *state;
    write_frames(p->fd, "a.mkv", 0, 300, 5000000000);
    assert_int_equal(read_frames(p->fd, "a.mkv", 0, 5000000000), 300);
    struct stat st;
    assert_int_equal(fstatat(p->fd, "a.mkv", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0640 & ~umask_now());
}

static void a_segment_may_begin_without_a_keyframe(void **state)
{
    struct place *p = *state;
    write_frames(p->fd, "b.mkv", 7, 40, 123000);
    assert_int_equal(read_frames(p->fd, "b.mkv", 7, 123000), 33);
}

static void every_frame_is_in_the_file_as_soon_as_it_is_written(void **state)
{
    struct place *p = *state;
    struct segment *s;
    uint8_t frame[2048];
    assert_int_equal(segment_open(p->fd, "c.mkv", RTP_VP8, 0, NULL, 0, 0, &s), 0);
    for (unsigned n = 0; n < 20; n++) {
        size_t len = make_frame(n, frame);
        assert_int_equal(segment_write(s, frame, len, n * 40000, n == 0), 0);
        assert_int_equal(spool_flush(segment_spool(s)), 0);
        assert_int_equal(read_frames(p->fd, "c.mkv", 0, 0), n + 1);
    }
    segment_free(s);
}

static void a_file_cut_anywhere_gives_all_whole_frames(void **state)
{
    struct place *p = *state;
    write_frames(p->fd, "d.mkv", 0, 12, 0);
    struct stat st;
    assert_int_equal(fstatat(p->fd, "d.mkv", &st, 0), 0);
    unsigned last = 12;
    int fd = openat(p->fd, "d.mkv", O_RDWR | O_CLOEXEC);
    for (off_t bytes = st.st_size; bytes > 0; bytes -= 211) {
        assert_int_equal(ftruncate(fd, bytes), 0);
        unsigned n = read_frames(p->fd, "d.mkv", 0, 0);
        assert_true(n <= last && last - n <= 2);
        last = n;
    }
    close(fd);
    assert_int_equal(last, 0);
}

static void sound_keeps_its_times_over_a_silence(void **state)
{
    struct place *p = *state;
    static const int64_t at_us[] = {0, 20000, 40000, 400040000, 400060000, 4000000000};
    struct segment *s;
    struct segment_reader *r;
    struct segment_frame f;
    assert_int_equal(segment_open(p->fd, "e.mkv", RTP_OPUS, 2, NULL, 0, 77, &s), 0);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(segment_write(s, "\xf8\xff\xfe", 3, 77 + at_us[i], true), 0);
    assert_int_equal(segment_finish(s), 0);
    assert_int_equal(spool_flush(segment_spool(s)), 0);
    segment_free(s);
    assert_int_equal(segment_reader_open(p->fd, "e.mkv", 77, &r), 0);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(segment_read(r, &f), 0);
        assert_int_equal(f.session_us, 77 + at_us[i]);
    }
    assert_int_equal(segment_read(r, &f), ERR_CLOSED);
    segment_reader_free(r);
}

static void a_file_that_is_no_recording_is_an_error_with_a_reason(void **state)
{
    struct place *p = *state;
    struct segment_reader *r;
    struct segment_frame f;
    int fd = openat(p->fd, "f.mkv", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(write(fd, "this is no Matroska file", 24), 24);
    close(fd);
    assert_int_equal(segment_reader_open(p->fd, "f.mkv", 0, &r), 0);
    assert_int_equal(segment_read(r, &f), ERR_IO);
    assert_true(strlen(segment_reader_error(r)) > 0);
    segment_reader_free(r);
    assert_int_equal(segment_reader_open(p->fd, "absent.mkv", 0, &r), ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_come_back_as_written, make_place, drop_place),
        cmocka_unit_test_setup_teardown(a_segment_may_begin_without_a_keyframe, make_place, drop_place),
        cmocka_unit_test_setup_teardown(every_frame_is_in_the_file_as_soon_as_it_is_written, make_place, drop_place),
        cmocka_unit_test_setup_teardown(a_file_cut_anywhere_gives_all_whole_frames, make_place, drop_place),
        cmocka_unit_test_setup_teardown(sound_keeps_its_times_over_a_silence, make_place, drop_place),
        cmocka_unit_test_setup_teardown(a_file_that_is_no_recording_is_an_error_with_a_reason, make_place, drop_place),
    };
    char why[200];
    if (gst_setup(why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
