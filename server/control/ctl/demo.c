/* A demonstration briefing: everybody's links, and eight rooms for giaoban-sim. */
#include "control/ctl/ctl.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define TITLE "Giao ban thử nghiệm"
enum { SIMULATED_ROOMS = 8, LINK_SECONDS = 7 * 86400 };
#define OLD_MS (12 * 3600 * 1000LL)

struct demo {
    struct ctl *c;
    char id[40];
    char units[SIMULATED_ROOMS + 1][40]; /* the person's room, then the simulated ones */
    size_t n_units;
};

static int choose_units(struct demo *d)
{
    json_t *answer = ctl_call(d->c, "GET", "units", NULL, false);
    const json_t *u;
    size_t i;
    json_array_foreach(json_object_get(answer, "units"), i, u) {
        const char *kind = json_string_value(json_object_get(u, "kind")), *id = json_string_value(json_object_get(u, "id"));
        if (kind && id && strcmp(kind, "district") == 0 && d->n_units < SIMULATED_ROOMS + 1)
            snprintf(d->units[d->n_units++], sizeof d->units[0], "%s", id);
    }
    json_decref(answer);
    if (d->n_units == SIMULATED_ROOMS + 1)
        return 0;
    fprintf(stderr, "giaobanctl: the demonstration needs %d districts among the units\n", SIMULATED_ROOMS + 1);
    return 1;
}

static void close_old(struct demo *d, const char *id)
{
    char path[128];
    snprintf(path, sizeof path, "briefings/%.39s/close", id);
    json_decref(ctl_call(d->c, "POST", path, NULL, true));
}

/* The one of an earlier start goes on, unless it is yesterday's. */
static bool find_open(struct demo *d)
{
    json_t *answer = ctl_call(d->c, "GET", "briefings", NULL, true);
    const json_t *b;
    size_t i;
    json_array_foreach(json_object_get(answer, "briefings"), i, b) {
        const char *title = json_string_value(json_object_get(b, "title"));
        const char *state = json_string_value(json_object_get(b, "state")),
                   *id = json_string_value(json_object_get(b, "id"));
        if (!title || !state || !id || strncmp(title, TITLE, strlen(TITLE)) != 0 || strcmp(state, "open") != 0)
            continue;
        if (clock_wall_us() / 1000 - json_integer_value(json_object_get(b, "starts_ms")) > OLD_MS)
            close_old(d, id);
        else
            snprintf(d->id, sizeof d->id, "%s", id);
    }
    json_decref(answer);
    return d->id[0] != '\0';
}

static int create(struct demo *d)
{
    char title[128], path[128];
    time_t now = time(NULL);
    struct tm tm;
    json_t *units = json_pack("[s, s]", "ubnd-tinh", "vp-ubnd");
    localtime_r(&now, &tm);
    strftime(title, sizeof title, TITLE " %d/%m/%Y %H:%M", &tm);
    for (size_t i = 0; i < d->n_units; i++)
        json_array_append_new(units, json_string(d->units[i]));
    if (ctl_create(d->c, title, units, true, (int64_t)now * 1000, d->id))
        return 1;
    snprintf(path, sizeof path, "briefings/%s/open", d->id);
    json_t *opened = ctl_call(d->c, "POST", path, NULL, false);
    json_decref(opened);
    return opened ? 0 : 1;
}

/* Links are as good as passwords: for the owner alone. */
static FILE *open_file(struct demo *d, const char *name)
{
    char path[sizeof d->c->data + 64];
    snprintf(path, sizeof path, "%s/demo", d->c->data);
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return NULL;
    snprintf(path, sizeof path, "%s/demo/%s", d->c->data, name);
    mode_t former = umask(077);
    FILE *file = fopen(path, "w");
    umask(former);
    if (!file)
        fprintf(stderr, "giaobanctl: %s: %s\n", path, strerror(errno));
    return file;
}

static int write_link(struct demo *d, FILE *file, const char *unit, const char *role, char url[900])
{
    char path[560];
    if (ctl_link(d->c, d->id, unit, role, LINK_SECONDS, path))
        return 1;
    snprintf(url, 900, "%s%s", d->c->server, path);
    fprintf(file, "%s\n", url);
    return 0;
}

static int person(struct demo *d, const char *name, const char *label, const char *unit, const char *role)
{
    char file_name[64], url[900];
    snprintf(file_name, sizeof file_name, "%s.txt", name);
    FILE *file = open_file(d, file_name);
    int failed = !file || write_link(d, file, unit, role, url);
    if (file)
        fclose(file);
    if (!failed)
        printf("%s\n  %s\n", label, url);
    return failed;
}

static int rooms(struct demo *d)
{
    char url[900];
    FILE *file = open_file(d, "rooms.txt");
    int failed = !file;
    for (size_t i = 1; !failed && i < d->n_units; i++)
        failed = write_link(d, file, d->units[i], "delegate", url);
    if (file)
        fclose(file);
    return failed;
}

int demo_run(struct ctl *c, int argc, char **argv)
{
    struct demo d = {.c = c};
    if (choose_units(&d) || (!find_open(&d) && create(&d)))
        return 1;
    if (rooms(&d))
        return 1;
    return person(&d, "chair", "Chủ trì / chair:", "ubnd-tinh", "chair") ||
           person(&d, "secretary", "Thư ký / secretary:", "vp-ubnd", "secretary") ||
           person(&d, "room", "Điểm cầu cấp huyện / a district room:", d.units[0], "delegate");
}
