/* Refusals: why a command or a request is not carried out. A code for programs, a sentence in Vietnamese and English for
 * people: what happened, what still works, what to do. Static data; thread: any. */
#pragma once

struct refusal {
    const char *code, *vi, *en;
};

/* By code; never NULL: an unknown code yields "internal". */
const struct refusal *refusal_find(const char *code);
/* All there are, by index from 0; NULL behind the last. For documents and tests. */
const struct refusal *refusal_at(unsigned index);
