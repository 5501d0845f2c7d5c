/* Who may do what, when: one table. For this folder's own files. */
#pragma once

#include "briefing/briefing.h"

/* NULL: this role may give this command in this phase. Rights that hang on more than the role (the holder revokes its own
 * floor, somebody lowers its own hand) are asked with `itself`. */
const struct refusal *briefing_right(enum briefing_command_kind kind, enum role role, bool itself,
                                     enum briefing_phase phase);
