#include "control/control.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool is_gauge(const char *name)
{
    size_t len = strlen(name);
    return (len > 4 && strcmp(name + len - 4, "_now") == 0) || strcmp(name, "longest_turn_us") == 0;
}

static void print_worker(FILE *to, unsigned index, const json_t *counters)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)counters, name, value) {
        if (json_is_integer(value))
            fprintf(to, "giaoban_media_%s%s{worker=\"%u\"} %" JSON_INTEGER_FORMAT "\n", name, is_gauge(name) ? "" : "_total",
                    index, json_integer_value(value));
    }
}

static void print_briefings(FILE *to, struct control *c)
{
    unsigned open = 0, sockets = 0, connected = 0;
    for (struct meeting *m = c->meetings; m; m = m->next) {
        open += briefing_phase(m->settled) == BRIEFING_OPEN;
        for (uint32_t n = 1; n < SEATS_MAX; n++) {
            sockets += m->seats[n].peer != NULL;
            connected += m->seats[n].worker != WISH_UNPLACED && m->seats[n].connected;
        }
    }
    fprintf(to, "giaoban_briefings_open %u\ngiaoban_endpoints_signaling %u\ngiaoban_endpoints_media %u\n", open, sockets,
            connected);
}

static void print_disk(FILE *to, struct control *c)
{
    uint64_t wanted, reserve = store_reserve(c->store, &wanted);
    fprintf(to,
            "giaoban_disk_free_bytes %" PRIu64 "\ngiaoban_log_reserve_bytes %" PRIu64
            "\ngiaoban_log_reserve_wanted_bytes %" PRIu64 "\ngiaoban_store_writes_failed_total %" PRIu64 "\n",
            c->free_bytes, reserve, wanted, store_writes_failed(c->store));
    fprintf(to,
            "giaoban_recording_bps %.0f\ngiaoban_recording_left_seconds %" PRId64 "\ngiaoban_feeds_broken_total %" PRIu64
            "\n",
            recordings_bps(c), recordings_left_s(c), c->feeds_broken);
    fprintf(to, "giaoban_clock_step_seconds %.3f\ngiaoban_clock_steps_total %u\n", (double)c->steady.step_us / 1e6,
            c->steady.steps);
    for (unsigned i = 0; i < ALARMS; i++)
        fprintf(to, "giaoban_alarm{code=\"%s\"} %u\n", alarm_codes[i], c->alarms >> i & 1);
    recordings_print(to, c);
}

char *metrics_text(void *ctx)
{
    struct control *c = ctx;
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    if (!to)
        return NULL;
    print_briefings(to, c);
    fprintf(to, "giaoban_checks_running %u\n", checks_running(c));
    fprintf(to,
            "giaoban_events_appended_total %" PRIu64 "\ngiaoban_commits_total %" PRIu64
            "\ngiaoban_commits_failed_total %" PRIu64 "\n",
            c->events_appended, store_commits(c->store), c->commits_failed);
    fprintf(to, "giaoban_offers_total %" PRIu64 "\ngiaoban_offers_refused_total %" PRIu64 "\n", c->offers,
            c->offers_refused);
    fprintf(to,
            "giaoban_joins_total %" PRIu64 "\ngiaoban_joins_waited_total %" PRIu64
            "\ngiaoban_joins_refused_full_total %" PRIu64 "\ngiaoban_joins_waiting %u\ngiaoban_offers_waited_total %" PRIu64
            "\ngiaoban_offers_waiting %u\n",
            c->joins, c->joins_waited, c->joins_full, admissions_waiting(c), c->offers_waited, offers_waiting(c));
    fprintf(to, "giaoban_checks_total %" PRIu64 "\ngiaoban_checks_failed_total %" PRIu64 "\n", c->checks_done,
            c->checks_failed);
    fprintf(to, "giaoban_log_lines_lost_total %" PRIu64 "\n", log_lost());
    fprintf(to, "giaoban_store_disk_full %d\ngiaoban_control_epoch %" PRIu64 "\n", store_disk_full(c->store), c->epoch);
    fprintf(to, "giaoban_control_longest_turn_us %" PRId64 "\ngiaoban_control_slow_turns_total %" PRIu64 "\n",
            c->longest_turn_us, c->slow_turns);
    fprintf(to, "giaoban_control_longest_turn_cpu_us %" PRId64 "\ngiaoban_control_slow_turns_cpu_total %" PRIu64 "\n",
            c->longest_turn_cpu_us, c->slow_turns_cpu);
    print_disk(to, c);
    sites_print(to, c);
    for (unsigned w = 0; w < WORKERS_MAX; w++) {
        if (worker_lives(c, w))
            fprintf(to, "giaoban_worker_endpoints{worker=\"%u\"} %u\n", w, worker_load(c, w));
        if (worker_counters(c, w))
            print_worker(to, w, worker_counters(c, w));
    }
    fclose(to);
    return text;
}
