/* Who runs what, when the supervisor is root: each kind of child gets a user of its own before it is executed, the data
 * directory belongs to giaoband's user, recordings to both giaoband and the recorders by a group.
 *
 *   DATA                 giaoband's user, the recorders' group may pass through: 0710
 *   DATA/recordings/…    made by giaoband (02770, so the group is inherited) and written by recorders and composers
 *   everything else      giaoband's user alone
 *
 * Without root, or without names, everything runs as the user who started the supervisor. Thread: one. */
#pragma once

#include "supervisor/children.h"
#include "supervisor/settings.h"

/* Looks the names up. ERR_NOTFOUND: there is no such user, or it is root; said in the log. Warns when names are given
 * without root, or root without names. */
int users_find(const struct settings *s, struct users *ret);

/* Hands a data directory that still is root's to its users. Only then: once somebody else may write in it, root changes
 * nothing there any more. ERR_DENIED: it is a third party's. */
int users_prepare(const struct users *u, const char *data);

/* Between fork() and exec(), async-signal-safe. 0, or −1 with errno: the child must exit. */
int users_become(const struct users *u, enum child_kind kind);

/* What the supervisor itself can do without once everything is open: with users, all but starting children as their users,
 * killing them and large socket buffers. Never new privileges. */
int users_drop(const struct users *u);
