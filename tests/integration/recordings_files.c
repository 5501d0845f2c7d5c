#include "recordings_files.h"

#include "recordings/segment.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

json_t *lines_of(const char *dir, const char *name)
{
    char path[300], line[4000];
    json_t *lines = json_array();
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *in = fopen(path, "re");
    assert_non_null(in);
    while (fgets(line, sizeof line, in))
        json_array_append_new(lines, json_loads(line, 0, NULL)); /* a torn last line is none */
    fclose(in);
    return lines;
}

static size_t file_frames(int dir_fd, const char *file, int64_t file_us, const struct room_frame *frames, size_t at,
                          size_t n, int64_t base_us, int64_t step_us)
{
    struct segment_reader *r;
    struct segment_frame f;
    assert_int_equal(segment_reader_open(dir_fd, file, file_us, &r), 0);
    for (; segment_read(r, &f) == 0; at++) {
        assert_true(at < n);
        assert_int_equal(f.len, frames[at].len);
        assert_memory_equal(f.bytes, frames[at].bytes, f.len);
        assert_int_equal(f.session_us, base_us + (int64_t)at * step_us);
    }
    segment_reader_free(r);
    return at;
}

size_t track_frames(const char *dir, uint32_t track, const struct room_frame *frames, size_t n, int64_t base_us,
                    int64_t step_us)
{
    json_t *lines = lines_of(dir, "tracks.jsonl"), *line;
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t i, at = 0;
    json_array_foreach(lines, i, line) {
        if (json_integer_value(json_object_get(line, "track")) == track)
            at = file_frames(dir_fd, json_string_value(json_object_get(line, "file")),
                             json_integer_value(json_object_get(line, "base_us")), frames, at, n, base_us, step_us);
    }
    close(dir_fd);
    json_decref(lines);
    return at;
}

void assert_track_is(const char *dir, uint32_t track, const struct room_frame *frames, size_t n, int64_t base_us,
                     int64_t step_us)
{
    assert_int_equal(track_frames(dir, track, frames, n, base_us, step_us), n);
}
