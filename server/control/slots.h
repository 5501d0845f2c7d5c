/* The receive slots of a worker's answer, as the offer's result tells them to the client: which section (mid) is stage,
 * screen, sound or tile. Read from our own answer's text: sections that it sends on, told apart by their msid (protocol
 * README, "Media").
 *
 * Pure. Thread: any. */
#pragma once

#include <jansson.h>

/* [{"mid","slot","kind"}], a new reference; NULL when out of memory. */
json_t *answer_slots(const char *sdp);
