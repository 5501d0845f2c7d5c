#include "control/ctl/ctl.h"

#include "base/clock.h"
#include "base/log.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int usage(FILE *to, int status)
{
    fputs(
        "giaobanctl [--data DIR] [--server URL] COMMAND\n"
        "  status                          what is going on\n"
        "  first-link                      one-time link for the first administrator\n"
        "  briefing create --title T --units a,b [--starts MS] [--record]\n"
        "  briefing list | open ID | close ID\n"
        "  check --briefing ID --endpoint N  looks at that endpoint's picture and sound for some seconds\n"
        "  link --briefing ID --unit U --role chair|secretary|technician|delegate|observer [--expires SECONDS]\n"
        "  compose ID mp4|webm             composes that format of a closed briefing\n"
        "  demo                            a demonstration briefing with links for three people and eight simulated rooms\n"
        "  upgrade                         puts the programs on disk in place of those that run, without ending a call\n"
        "  metrics                         counters as text\n"
        "  selftest                        proves this installation with temporary data; one JSON line\n"
        "DIR is the server's data directory (default: data), URL its plain listener (default: http://127.0.0.1:8080).\n",
        to);
    return status;
}

static int status(struct ctl *c)
{
    json_t *all = ctl_call(c, "GET", "briefings", NULL, false);
    const json_t *b;
    size_t i;
    unsigned open = 0;
    if (!all)
        return 1;
    json_array_foreach(json_object_get(all, "briefings"), i, b) {
        if (strcmp(json_string_value(json_object_get(b, "state")) ?: "", "open") != 0)
            continue;
        open++;
        printf("%s  %s  endpoints=%" JSON_INTEGER_FORMAT " recording=%s\n", json_string_value(json_object_get(b, "id")),
               json_string_value(json_object_get(b, "title")), json_integer_value(json_object_get(b, "endpoints")),
               json_is_true(json_object_get(b, "recording")) ? "yes" : "no");
    }
    printf("%s: serving, %u open briefing%s of %zu\n", c->server, open, open == 1 ? "" : "s",
           json_array_size(json_object_get(all, "briefings")));
    json_decref(all);
    return 0;
}

static int first_link_command(struct ctl *c)
{
    char path[560];
    if (ctl_first_link(c, path))
        return 1;
    printf("%s%s\n", c->server, path);
    return 0;
}

static json_t *split_units(const char *text)
{
    json_t *units = json_array();
    while (*text) {
        size_t len = strcspn(text, ",");
        if (len)
            json_array_append_new(units, json_stringn(text, len));
        text += len + (text[len] == ',');
    }
    return units;
}

static int briefing_create(struct ctl *c, int argc, char **argv)
{
    const char *title = option(argc, argv, "--title"), *units = option(argc, argv, "--units");
    const char *starts = option(argc, argv, "--starts");
    char id[40];
    if (!title || !units)
        return usage(stderr, 2);
    if (ctl_create(c, title, split_units(units), flag(argc, argv, "--record"),
                   starts ? atoll(starts) : clock_wall_us() / 1000, id))
        return 1;
    puts(id);
    return 0;
}

static int briefing_list(struct ctl *c)
{
    json_t *all = ctl_call(c, "GET", "briefings", NULL, false);
    const json_t *b;
    size_t i;
    json_array_foreach(json_object_get(all, "briefings"), i, b)
        printf("%s  %-9s  %s\n", json_string_value(json_object_get(b, "id")), json_string_value(json_object_get(b, "state")),
               json_string_value(json_object_get(b, "title")));
    json_decref(all);
    return all ? 0 : 1;
}

static int briefing(struct ctl *c, int argc, char **argv)
{
    char path[128];
    if (argc >= 1 && strcmp(argv[0], "create") == 0)
        return briefing_create(c, argc, argv);
    if (argc >= 1 && strcmp(argv[0], "list") == 0)
        return briefing_list(c);
    bool grant = argc == 3 && strcmp(argv[0], "grant") == 0;
    bool plain =
        argc == 2 && (strcmp(argv[0], "open") == 0 || strcmp(argv[0], "close") == 0 || strcmp(argv[0], "revoke") == 0);
    if (!grant && !plain)
        return usage(stderr, 2);
    snprintf(path, sizeof path, "briefings/%.39s/%s", argv[1], argv[0]);
    json_t *answer =
        ctl_call(c, "POST", path, grant ? json_pack("{s:I}", "endpoint", (json_int_t)atoll(argv[2])) : NULL, false);
    json_decref(answer);
    return answer ? 0 : 1;
}

/* The server's words, and the numbers behind them. */
static int check(struct ctl *c, int argc, char **argv)
{
    const char *id = option(argc, argv, "--briefing"), *endpoint = option(argc, argv, "--endpoint");
    char path[128];
    if (!id || !endpoint)
        return usage(stderr, 2);
    snprintf(path, sizeof path, "briefings/%.39s/check", id);
    json_t *answer = ctl_call(c, "POST", path, json_pack("{s:I}", "endpoint", (json_int_t)atoll(endpoint)), false);
    if (!answer)
        return 1;
    puts(json_string_value(json_object_get(json_object_get(answer, "words"), "vi")) ?: "");
    json_dumpf(answer, stdout, JSON_COMPACT);
    puts("");
    json_decref(answer);
    return 0;
}

static int link_command(struct ctl *c, int argc, char **argv)
{
    const char *id = option(argc, argv, "--briefing"), *unit = option(argc, argv, "--unit"),
               *role = option(argc, argv, "--role");
    const char *expires = option(argc, argv, "--expires");
    char path[560];
    if (!id || !unit || !role)
        return usage(stderr, 2);
    if (ctl_link(c, id, unit, role, expires ? atol(expires) : 86400, path))
        return 1;
    puts(path);
    return 0;
}

static int compose(struct ctl *c, int argc, char **argv)
{
    char path[128];
    if (argc != 2)
        return usage(stderr, 2);
    snprintf(path, sizeof path, "archive/%.39s/compose", argv[0]);
    json_t *answer = ctl_call(c, "POST", path, json_pack("{s:s}", "format", argv[1]), false);
    json_decref(answer);
    return answer ? 0 : 1;
}

static int metrics(struct ctl *c)
{
    char *text = ctl_text(c, "/metrics");
    if (!text) {
        fprintf(stderr, "giaobanctl: no answer from %s\n", c->server);
        return 1;
    }
    fputs(text, stdout);
    free(text);
    return 0;
}

static int run(struct ctl *c, int argc, char **argv)
{
    const char *name = argv[0];
    if (strcmp(name, "selftest") == 0)
        return selftest_run(argc - 1, argv + 1);
    if (strcmp(name, "metrics") == 0)
        return metrics(c);
    if (ctl_open(c))
        return 1;
    if (strcmp(name, "status") == 0)
        return status(c);
    if (strcmp(name, "first-link") == 0)
        return first_link_command(c);
    if (strcmp(name, "briefing") == 0)
        return briefing(c, argc - 1, argv + 1);
    if (strcmp(name, "check") == 0)
        return check(c, argc - 1, argv + 1);
    if (strcmp(name, "link") == 0)
        return link_command(c, argc - 1, argv + 1);
    if (strcmp(name, "compose") == 0)
        return compose(c, argc - 1, argv + 1);
    if (strcmp(name, "upgrade") == 0)
        return upgrade_run(c);
    if (strcmp(name, "demo") == 0)
        return demo_run(c, argc - 1, argv + 1);
    return usage(stderr, 2);
}

int main(int argc, char **argv)
{
    struct ctl c = {.data = "data", .server = "http://127.0.0.1:8080"};
    int i = 1;
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        if (strcmp(argv[i], "--data") == 0)
            snprintf(c.data, sizeof c.data, "%s", argv[i + 1]);
        else if (strcmp(argv[i], "--server") == 0)
            snprintf(c.server, sizeof c.server, "%s", argv[i + 1]);
        else
            return usage(stderr, 2);
    }
    if (i < argc && strcmp(argv[i], "--help") == 0)
        return usage(stdout, 0);
    if (i >= argc)
        return usage(stderr, 2);
    log_setup("giaobanctl", LOG_LEVEL_WARN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int exit_status = run(&c, argc - i, argv + i);
    curl_global_cleanup();
    return exit_status;
}
