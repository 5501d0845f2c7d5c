#include "box/box_priv.h"

#include "base/err.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *const role_names[] = {"media", "recorder", "composer", "check", "control"};

static int landlock_abi;

int box_landlock(void)
{
    return landlock_abi;
}

enum box_mode box_mode(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--sandbox") != 0)
            continue;
        if (strcmp(argv[i + 1], "off") == 0)
            return BOX_OFF;
        if (strcmp(argv[i + 1], "log") == 0)
            return BOX_LOG;
    }
    return BOX_ENFORCE;
}

void box_close_inherited(int last_fd)
{
    close_range((unsigned)last_fd + 1, ~0u, 0);
}

/* The handler is taken by all threads, and the filter is put on all; Landlock covers the caller alone. */
static bool is_alone(void)
{
    DIR *d = opendir("/proc/self/task");
    unsigned n = 0;
    const struct dirent *e;
    while (d && (e = readdir(d)))
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n <= 1; /* no /proc: taken on trust */
}

static bool has_foreign_place(const struct box_place *places, size_t n)
{
    struct stat st;
    for (size_t i = 0; i < n; i++)
        if (places[i].write && stat(places[i].path, &st) == 0 && st.st_uid != geteuid())
            return true;
    return false;
}

static int drop_capabilities(bool keep_override)
{
    const unsigned kept = keep_override ? 1u << CAP_DAC_OVERRIDE : 0;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = kept, .permitted = kept}};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
        ; /* EINVAL after the last one; EPERM when there are none to drop */
    return syscall(SYS_capset, &head, data) == 0 ? 0 : ERR_IO;
}

static int give_up_privileges(const struct box_place *places, size_t n)
{
    struct rlimit none = {0};
    bool override = geteuid() == 0 && has_foreign_place(places, n);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
        return ERR_IO;
    if (override)
        log_warn("box", "runs as root in a directory of somebody else: keeps the capability for it");
    return drop_capabilities(override);
}

static int enter(enum box_role role, enum box_mode mode, const struct box_place *places, size_t n)
{
    tzset(); /* reads the zone's file for the log */
    if (!is_alone())
        return ERR_STATE;
    int err = give_up_privileges(places, n);
#ifndef BOX_WEAK
    if (!err && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        err = ERR_IO;
    if (!err && mode == BOX_ENFORCE)
        err = landlock_enter(places, n, &landlock_abi);
#endif
    return err ? err : filter_enter(role, mode == BOX_LOG);
}

int box_enter(enum box_role role, enum box_mode mode, const struct box_place *places, size_t n_places)
{
    static const char *const modes[] = {"enforce", "log", "off"};
    int err = mode == BOX_OFF ? 0 : enter(role, mode, places, n_places);
    if (err) {
        log_error("box", "role=%s can't be closed: %s: %s", role_names[role], err_str(err), strerror(errno));
        return err;
    }
    log_line(mode == BOX_ENFORCE ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "box", "role=%s sandbox=%s landlock=%d uid=%u",
             role_names[role], modes[mode], landlock_abi, (unsigned)geteuid());
    return 0;
}
