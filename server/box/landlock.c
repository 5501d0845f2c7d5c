/* Landlock by its system calls; the header of Debian 12 knows version 2 of them, kernels are newer: the bits that it lacks
 * are named here (linux/landlock.h of Linux 6.12). */
#include "box/box_priv.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FS_UP_TO(bit) (((bit) << 1) - 1)
#define FS_V1 FS_UP_TO(LANDLOCK_ACCESS_FS_MAKE_SYM)
#define FS_REFER (1ULL << 13)     /* 2: rename from one directory into another */
#define FS_TRUNCATE (1ULL << 14)  /* 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* 5 */
#define NET_BOTH 3ULL             /* 4: bind and connect, TCP */
#define SCOPE_BOTH 3ULL           /* 6: abstract sockets and signals */

#define FILE_READ (LANDLOCK_ACCESS_FS_READ_FILE)
#define READ (FILE_READ | LANDLOCK_ACCESS_FS_READ_DIR)
#define FILE_WRITE (LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)
#define WRITE                                                                                                               \
    (FILE_WRITE | FS_REFER | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_REG)

/* Fields behind `fs` came with later versions; the kernel takes a shorter struct, or a longer one whose rest is zero. */
struct ruleset {
    uint64_t fs, net, scoped;
};

static struct ruleset handled_by(int abi)
{
    struct ruleset r = {.fs = FS_V1};
    r.fs |= abi >= 2 ? FS_REFER : 0;
    r.fs |= abi >= 3 ? FS_TRUNCATE : 0;
    r.fs |= abi >= 5 ? FS_IOCTL_DEV : 0;
    r.net = abi >= 4 ? NET_BOTH : 0;
    r.scoped = abi >= 6 ? SCOPE_BOTH : 0;
    return r;
}

static int add_place(int ruleset, const struct box_place *place, uint64_t handled)
{
    _cleanup_close_ int fd = open(place->path, O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : ERR_IO;
    if (fstat(fd, &st) < 0)
        return ERR_IO;
    uint64_t access = READ | (place->write ? WRITE : 0);
    if (!S_ISDIR(st.st_mode))
        access &= FILE_READ | FILE_WRITE;
    struct landlock_path_beneath_attr rule = {.allowed_access = access & handled, .parent_fd = fd};
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0 ? 0 : ERR_IO;
}

int landlock_enter(const struct box_place *places, size_t n, int *ret_abi)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi <= 0) {
        *ret_abi = 0;
        return 0;
    }
    struct ruleset handled = handled_by((int)abi);
    size_t bytes = abi >= 6 ? sizeof handled : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
    _cleanup_close_ int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, bytes, 0);
    if (ruleset < 0)
        return ERR_IO;
    for (size_t i = 0; i < n; i++) {
        int err = add_place(ruleset, &places[i], handled.fs);
        if (err)
            return err;
    }
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return ERR_IO;
    *ret_abi = (int)abi;
    return 0;
}
