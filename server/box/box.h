/* Box: what a process gives up for good before it reads what strangers sent.
 *
 * box_enter() in this order: no core dumps, not traceable, no new privileges, no capabilities, Landlock (files, TCP, signals
 * and abstract sockets out of the box), seccomp. Afterwards a process has what it holds already, what comes over its link by
 * SCM_RIGHTS, and what lies beneath its places.
 *
 * Two answers of the filter:
 *   killed   what no library of ours ever does and an attacker needs: another program, another process, other people's
 *            memory, a new socket or connection, executable memory, a file opened for writing where there is none to write,
 *            mounts, namespaces, other users, io_uring, bpf, keys …
 *   EPERM    everything else that is not listed. It is counted and printed once a system call: a rare path of a library must
 *            not take a conference down, since a worker that is killed by the same call after each start ends it for good.
 *
 * A filter that kills can't be talked out of it; EPERM is emulated in a SIGSYS handler, which has no rights of its own.
 *
 * Landlock is absent before Linux 5.13 or when it is not enabled: said once in the log, and the uid and the filter remain.
 * Sanitized builds define BOX_WEAK: only what kills is refused, ptrace, clone and files excepted, and there is no Landlock;
 * their programs are for tests.
 *
 * Thread: the first and only one of the process (Landlock covers no other); the filter holds for all that follow. Log: yes,
 * it is a shell. Errors: ERR_IO, ERR_NOMEM; ERR_STATE: there are several threads, or a path is too long. A caller that gets
 * an error must not serve. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum box_role {
    BOX_MEDIA,    /* no file, no thread: sockets it holds, memfds it is handed */
    BOX_RECORDER, /* its directory, one thread more */
    BOX_COMPOSER, /* its directory, fonts; threads */
    BOX_CHECK,    /* no file; threads */
    BOX_CONTROL,  /* files beneath its places; only what kills is refused */
};

enum box_mode {
    BOX_ENFORCE,
    BOX_LOG, /* nothing is refused: the kernel's log names each system call that would be */
    BOX_OFF,
};

/* A file or directory that may be read, with all beneath it; `write`: changed, made and removed too. One that isn't there is
 * skipped. */
struct box_place {
    const char *path;
    bool write;
};

/* `--sandbox enforce|log|off` among the arguments; nothing: enforce, anything else too. */
enum box_mode box_mode(int argc, char **argv);

/* First thing in main(): closes what was inherited by mistake above `last_fd`. */
void box_close_inherited(int last_fd);

/* Root, when it works in a directory of somebody else's, keeps the capability to do so (a developer's machine). */
int box_enter(enum box_role role, enum box_mode mode, const struct box_place *places, size_t n_places);

/* System calls answered by EPERM so far. */
uint64_t box_refused(void);
/* The version of Landlock's interface that box_enter() has used; 0: none. */
int box_landlock(void);
