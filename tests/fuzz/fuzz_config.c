/* Configuration from strangers' editors: the first byte chooses a YAML file, one KEY=VALUE of the command line, or a line of
 * the supervisor's settings. What is taken is in its range and can be printed for the supervisor; what is not has a
 * sentence, and an overlong text ends nowhere. */
#include "control/config.h"
#include "supervisor/settings.h"
#include "require.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void check_list(const struct config_list *l)
{
    require(l->n <= CONFIG_LIST_MAX);
    for (size_t i = 0; i < l->n; i++)
        require(l->items[i] && *l->items[i] && !strpbrk(l->items[i], ", "));
}

static void check(const struct config *c)
{
    size_t n;
    const struct config_key *keys = config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        const void *field = (const char *)c + keys[i].offset;
        unsigned choices = 0;
        switch (keys[i].type) {
        case CONFIG_UINT: require(*(const unsigned *)field >= keys[i].min && *(const unsigned *)field <= keys[i].max); break;
        case CONFIG_TEXT:
        case CONFIG_SITES: require(*(char *const *)field); break;
        case CONFIG_LIST: check_list(field); break;
        case CONFIG_CHOICE:
            while (keys[i].choices[choices])
                choices++;
            require(*(const unsigned *)field < choices);
            break;
        default: break;
        }
    }
}

static int load(struct config *c, const uint8_t *bytes, size_t len, char *error)
{
    char path[64];
    int fd = memfd_create("yaml", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int err = config_load(c, path, error);
    close(fd);
    return err;
}

static int set(struct config *c, const char *pair, char *error)
{
    char *argv[] = {"giaoband", "--set", (char *)pair, NULL};
    return config_arguments(c, 3, argv, NULL, error);
}

static void settings(const char *line)
{
    static struct settings s, before;
    memset(&s, 0, sizeof s);
    for (int i = 0; i < SETTINGS_LISTENERS_MAX + 2; i++) { /* the same line again fills what has an end */
        before = s;
        if (settings_line(&s, line))
            require(memcmp(&before, &s, sizeof s) == 0);
        require(s.n_listen + s.n_plain <= SETTINGS_LISTENERS_MAX && s.n_media <= SETTINGS_MEDIA_MAX);
        require(memchr(s.data, 0, sizeof s.data) && memchr(s.announce, 0, sizeof s.announce));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char error[CONFIG_ERROR_BYTES] = "", *text = len ? malloc(len) : NULL;
    struct config c;
    if (!text)
        return 0;
    memcpy(text, bytes + 1, len - 1);
    text[len - 1] = '\0';
    config_defaults(&c);
    if (bytes[0] % 3 == 2) {
        settings(text);
    } else {
        int err = bytes[0] % 3 ? set(&c, text, error) : load(&c, bytes + 1, len - 1, error);
        require(!err == !error[0] && strlen(error) < sizeof error);
        check(&c);
    }
    config_free(&c);
    free(text);
    return 0;
}
