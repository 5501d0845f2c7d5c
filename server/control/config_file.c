/* Where configuration comes from: the YAML file and the command line. */
#include "control/config.h"

#include "base/err.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

enum { VALUE_BYTES = 2048, KEY_BYTES = 128 };

struct loading {
    struct config *config;
    yaml_document_t *document;
    const char *path;
    char *error;
};

static int complain(struct loading *l, const yaml_node_t *node, const char *what)
{
    snprintf(l->error, CONFIG_ERROR_BYTES, "%s line %zu: %s", l->path, node->start_mark.line + 1, what);
    return ERR_MALFORMED;
}

static int join_list(struct loading *l, const yaml_node_t *node, char value[VALUE_BYTES])
{
    size_t len = 0;
    value[0] = '\0';
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(l->document, *i);
        if (item->type != YAML_SCALAR_NODE)
            return complain(l, item, "a list holds plain values only");
        len +=
            (size_t)snprintf(value + len, VALUE_BYTES - len, "%s%s", len ? "," : "", (const char *)item->data.scalar.value);
        if (len >= VALUE_BYTES)
            return complain(l, item, "the list is too long");
    }
    return 0;
}

/* A value within a site's text: what separates there can't be part of it. */
static int print_plain(struct loading *l, FILE *to, int item, const char *before)
{
    const yaml_node_t *node = yaml_document_get_node(l->document, item);
    const char *value = node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
    if (!value || !*value || strpbrk(value, " ,;=\t\n"))
        return complain(l, node, "a site's values are plain words and numbers, and lists of them");
    fprintf(to, "%s%s", before, value);
    return 0;
}

static int print_site(struct loading *l, FILE *to, const yaml_node_t *site)
{
    int err = site->type == YAML_MAPPING_NODE ? 0 : complain(l, site, "a site is a mapping: name, addresses, down_kbps …");
    if (err)
        return err;
    for (yaml_node_pair_t *p = site->data.mapping.pairs.start; !err && p < site->data.mapping.pairs.top; p++) {
        const yaml_node_t *value = yaml_document_get_node(l->document, p->value);
        err = print_plain(l, to, p->key, " ");
        fprintf(to, "=");
        if (err || value->type != YAML_SEQUENCE_NODE) {
            err = err ? err : print_plain(l, to, p->value, "");
            continue;
        }
        for (yaml_node_item_t *i = value->data.sequence.items.start; !err && i < value->data.sequence.items.top; i++)
            err = print_plain(l, to, *i, i == value->data.sequence.items.start ? "" : ",");
    }
    fprintf(to, ";");
    return err;
}

/* The list of sites as config_set() takes it. */
static int load_sites(struct loading *l, const yaml_node_t *key, const yaml_node_t *list)
{
    char *text = NULL, why[CONFIG_ERROR_BYTES];
    size_t len;
    FILE *to = open_memstream(&text, &len);
    int err = to ? 0 : ERR_NOMEM;
    for (yaml_node_item_t *i = list->data.sequence.items.start; !err && i < list->data.sequence.items.top; i++)
        err = print_site(l, to, yaml_document_get_node(l->document, *i));
    if (to)
        fclose(to);
    if (!err && (err = config_set(l->config, "sites", text, why)) != 0)
        snprintf(l->error, CONFIG_ERROR_BYTES, "%.150s line %zu: %.300s", l->path, key->start_mark.line + 1, why);
    free(text);
    return err;
}

static int load_mapping(struct loading *l, const yaml_node_t *node, const char *prefix);

static int load_pair(struct loading *l, const yaml_node_t *key, const yaml_node_t *node, const char *prefix)
{
    char name[KEY_BYTES], value[VALUE_BYTES], why[CONFIG_ERROR_BYTES];
    if (key->type != YAML_SCALAR_NODE || snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "",
                                                  (const char *)key->data.scalar.value) >= (int)sizeof name)
        return complain(l, key, "this is not a key");
    if (node->type == YAML_MAPPING_NODE && !*prefix)
        return load_mapping(l, node, name);
    if (node->type == YAML_SEQUENCE_NODE && strcmp(name, "sites") == 0)
        return load_sites(l, key, node);
    if (node->type == YAML_SEQUENCE_NODE) {
        int err = join_list(l, node, value);
        if (err)
            return err;
    } else if (node->type == YAML_SCALAR_NODE) {
        snprintf(value, sizeof value, "%s", (const char *)node->data.scalar.value);
    } else {
        return complain(l, node, "sections are one level deep");
    }
    int err = config_set(l->config, name, value, why);
    if (err)
        snprintf(l->error, CONFIG_ERROR_BYTES, "%.150s line %zu: %.300s", l->path, key->start_mark.line + 1, why);
    return err;
}

static int load_mapping(struct loading *l, const yaml_node_t *node, const char *prefix)
{
    if (node->type != YAML_MAPPING_NODE)
        return complain(l, node, "the file must consist of lines \"key: value\"");
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        int err =
            load_pair(l, yaml_document_get_node(l->document, p->key), yaml_document_get_node(l->document, p->value), prefix);
        if (err)
            return err;
    }
    return 0;
}

int config_load(struct config *c, const char *path, char error[CONFIG_ERROR_BYTES])
{
    yaml_parser_t parser;
    yaml_document_t document;
    FILE *file = fopen(path, "r");
    if (!file) {
        snprintf(error, CONFIG_ERROR_BYTES, "configuration file %s: %s", path, strerror(errno));
        return ERR_IO;
    }
    if (!yaml_parser_initialize(&parser)) {
        fclose(file);
        return ERR_NOMEM;
    }
    yaml_parser_set_input_file(&parser, file);
    int err = 0;
    if (!yaml_parser_load(&parser, &document)) {
        snprintf(error, CONFIG_ERROR_BYTES, "%s line %zu: %s", path, parser.problem_mark.line + 1,
                 parser.problem ? parser.problem : "not YAML");
        err = ERR_MALFORMED;
    } else {
        struct loading l = {.config = c, .document = &document, .path = path, .error = error};
        yaml_node_t *root = yaml_document_get_root_node(&document);
        if (root) /* an empty file is all defaults */
            err = load_mapping(&l, root, "");
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    fclose(file);
    return err;
}

static bool skipped(const char *argument, const char *const *skip)
{
    for (; skip && *skip; skip++)
        if (strcmp(argument, *skip) == 0)
            return true;
    return false;
}

static int set_pair(struct config *c, const char *pair, char *error)
{
    const char *equals = strchr(pair, '=');
    char key[KEY_BYTES];
    if (!equals || (size_t)(equals - pair) >= sizeof key) {
        snprintf(error, CONFIG_ERROR_BYTES, "--set takes KEY=VALUE, not \"%.100s\"", pair);
        return ERR_INVAL;
    }
    memcpy(key, pair, (size_t)(equals - pair));
    key[equals - pair] = '\0';
    return config_set(c, key, equals + 1, error);
}

static int override(struct config *c, const char *option, const char *value, char *error)
{
    if (strcmp(option, "--config") == 0)
        return 0;
    if (strcmp(option, "--set") == 0)
        return set_pair(c, value, error);
    if (strcmp(option, "--data") == 0)
        return config_set(c, "data_dir", value, error);
    if (strcmp(option, "--port") == 0)
        return config_set(c, "port", value, error);
    if (strcmp(option, "--plain-port") == 0)
        return config_set(c, "plain_port", value, error);
    snprintf(error, CONFIG_ERROR_BYTES, "unknown option \"%.100s\": giaoban --help lists the options", option);
    return ERR_NOTFOUND;
}

static void replace(char **text, const char *dir, const char *rest)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s%s", dir, *rest ? "/" : "", rest);
    free(*text);
    *text = strdup(path);
}

/* First of `candidates` (relative to `dir`) that exists, or the first one, so that an error names the usual place. */
static void replace_by_found(char **text, const char *dir, const char *const *candidates)
{
    for (size_t i = 0; candidates[i]; i++) {
        replace(text, dir, candidates[i]);
        if (*text && access(*text, R_OK) == 0)
            return;
    }
    replace(text, dir, candidates[0]);
}

static void program_dir(char dir[PATH_MAX])
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    snprintf(dir, PATH_MAX, "%s", dirname(path));
}

/* `data` in a configuration file means: in the directory that giaoban was started in. */
static void make_absolute(char **text)
{
    char cwd[PATH_MAX / 2];
    if ((*text)[0] == '/' || !getcwd(cwd, sizeof cwd))
        return;
    char *relative = strdup(*text);
    replace(text, cwd, relative ? relative : "");
    free(relative);
}

static void fill_places(struct config *c, const char *file)
{
    static const char *const web[] = {"../share/giaoban/web", "../../../client/web/dist", NULL};
    static const char *const units[] = {"../share/giaoban/units.thanhhoa.json", "../../../config/units.thanhhoa.json", NULL};
    char dir[PATH_MAX], beside[PATH_MAX];
    program_dir(dir);
    make_absolute(&c->data_dir);
    if (!*c->certificate)
        replace(&c->certificate, c->data_dir, "tls/server.crt");
    if (!*c->key)
        replace(&c->key, c->data_dir, "tls/server.key");
    if (!*c->ca)
        replace(&c->ca, c->data_dir, "tls/ca.crt");
    if (!*c->turn_secret_file)
        replace(&c->turn_secret_file, c->data_dir, "turn.secret");
    if (!*c->web_dir)
        replace_by_found(&c->web_dir, dir, web);
    if (!*c->units && file) {
        snprintf(beside, sizeof beside, "%s", file);
        replace(&c->units, dirname(beside), "units.thanhhoa.json");
        if (access(c->units, R_OK) != 0)
            (*c->units) = '\0';
    }
    if (!*c->units)
        replace_by_found(&c->units, dir, units);
    if (c->workers == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        c->workers = cores < 1 ? 1 : cores > 64 ? 64 : (unsigned)cores;
    }
}

int config_arguments(struct config *c, int argc, char **argv, const char *const *skip, char error[CONFIG_ERROR_BYTES])
{
    const char *file = NULL;
    int err = 0;
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "--config") == 0)
            file = argv[i + 1];
    if (file)
        err = config_load(c, file, error);
    for (int i = 1; !err && i < argc; i++) {
        if (skipped(argv[i], skip))
            continue;
        if (i + 1 == argc || !argv[i + 1]) {
            snprintf(error, CONFIG_ERROR_BYTES,
                     "option \"%.100s\" is unknown or lacks its value: giaoban --help lists the options", argv[i]);
            return ERR_INVAL;
        }
        err = override(c, argv[i], argv[i + 1], error);
        i++;
    }
    if (!err)
        fill_places(c, file);
    return err;
}
