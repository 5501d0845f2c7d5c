#include "supervisor/users.h"

#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OPEN_DIRECTORIES = 16 };

static int find(const char *key, const char *name, struct user *ret)
{
    const struct passwd *p = getpwnam(name);
    if (!p || p->pw_uid == 0) {
        log_error("users", "users.%s: %s", key, p ? "must not be root" : "there is no such user");
        return ERR_NOTFOUND;
    }
    *ret = (struct user){p->pw_uid, p->pw_gid};
    return 0;
}

int users_find(const struct settings *s, struct users *ret)
{
    struct users u = {.apart = true};
    bool named = s->user_control[0] != 0, root = geteuid() == 0;
    *ret = (struct users){0};
    if (named != root)
        log_warn("users", root ? "everything runs as root: set users.* (config/giaoban.sysusers makes them)"
                               : "users.* need a start as root: everything runs as the same user");
    if (!named || !root)
        return 0;
    int err = find("control", s->user_control, &u.of[CHILD_CONTROL]);
    if (!err)
        err = find("media", s->user_media, &u.of[CHILD_WORKER]);
    if (!err)
        err = find("check", s->user_check, &u.of[CHILD_CHECK]);
    if (!err)
        err = find("recorder", s->user_recorder, &u.of[CHILD_RECORDER]);
    u.of[CHILD_COMPOSER] = u.of[CHILD_RECORDER];
    if (!err)
        *ret = u;
    return err;
}

/* nftw() hands nothing on. */
static const struct users *handing;
static size_t recordings_len; /* of "DATA/recordings" */
static const char *recordings_path;

static int hand_over(const char *path, const struct stat *st, int type, struct FTW *at)
{
    bool shared =
        strncmp(path, recordings_path, recordings_len) == 0 && (!path[recordings_len] || path[recordings_len] == '/');
    const struct user *control = &handing->of[CHILD_CONTROL], *recorder = &handing->of[CHILD_RECORDER];
    bool directory = S_ISDIR(st->st_mode);
    if (at->level == 0)
        return 0; /* last, by our caller: nobody else gets in before */
    if (lchown(path, shared && !directory ? recorder->uid : control->uid, shared ? recorder->gid : control->gid) < 0)
        return -1;
    return shared && (directory || S_ISREG(st->st_mode)) ? chmod(path, directory ? 02770 : 0640) : 0;
}

int users_prepare(const struct users *u, const char *data)
{
    char recordings[PATH_MAX + 16];
    struct stat st;
    if (!u->apart)
        return 0;
    if (stat(data, &st) < 0)
        return ERR_IO;
    if (st.st_uid == u->of[CHILD_CONTROL].uid)
        return 0;
    if (st.st_uid != 0) {
        log_error("users", "data directory %s belongs to user %u, not to users.control", data, (unsigned)st.st_uid);
        return ERR_DENIED;
    }
    snprintf(recordings, sizeof recordings, "%s/recordings", data);
    handing = u;
    recordings_path = recordings;
    recordings_len = strlen(recordings);
    if ((mkdir(recordings, 0700) < 0 && errno != EEXIST) || nftw(data, hand_over, OPEN_DIRECTORIES, FTW_PHYS) != 0 ||
        chmod(data, 0710) < 0 || chown(data, u->of[CHILD_CONTROL].uid, u->of[CHILD_RECORDER].gid) < 0) {
        log_error("users", "data directory %s can't be handed over: %s", data, strerror(errno));
        return ERR_IO;
    }
    log_info("users", "data directory %s handed to users.control", data);
    return 0;
}

int users_become(const struct users *u, enum child_kind kind)
{
    const struct user *to = &u->of[kind];
    umask(u->apart ? 007 : 077);
    if (!u->apart)
        return 0;
    /* giaoband reads what recorders write and makes their directories. */
    bool shares = kind == CHILD_CONTROL;
    if (setgroups(shares, shares ? &u->of[CHILD_RECORDER].gid : NULL) < 0)
        return -1;
    if (setresgid(to->gid, to->gid, to->gid) < 0 || setresuid(to->uid, to->uid, to->uid) < 0)
        return -1;
    return 0;
}

int users_drop(const struct users *u)
{
    static const int kept[] = {CAP_SETUID, CAP_SETGID, CAP_KILL, CAP_NET_ADMIN};
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct now[2], data[2] = {{0}};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return ERR_IO;
    if (!u->apart)
        return 0;
    if (syscall(SYS_capget, &head, now) < 0)
        return ERR_IO;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        data[0].permitted |= now[0].permitted & 1u << kept[i];
    data[0].effective = data[0].permitted;
    return syscall(SYS_capset, &head, data) == 0 ? 0 : ERR_IO;
}
