/* Between the files of this folder. */
#pragma once

#include "box/box.h"

/* landlock.c. Restricts this thread and its children. `ret_abi` 0: the kernel has none. */
int landlock_enter(const struct box_place *places, size_t n, int *ret_abi);

/* filter.c. */
int filter_enter(enum box_role role, bool only_log);
