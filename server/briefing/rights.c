#include "briefing/rights.h"

#define BIT(role) (1u << (role))
#define CONDUCT (BIT(ROLE_CHAIR) | BIT(ROLE_SECRETARY) | BIT(ROLE_ADMINISTRATOR))
#define STAFF (CONDUCT | BIT(ROLE_TECHNICIAN))
#define ALL (STAFF | BIT(ROLE_DELEGATE) | BIT(ROLE_OBSERVER))
#define SPEAKERS (CONDUCT | BIT(ROLE_DELEGATE))

static const struct {
    unsigned roles, itself; /* who may do it to others; who to itself */
    bool open_only;
    const char *code; /* why not */
} rights[COMMAND_KINDS] = {
    [COMMAND_SCHEDULE] = {CONDUCT, 0, false, "not-chair"},    [COMMAND_OPEN] = {CONDUCT, 0, false, "not-chair"},
    [COMMAND_CLOSE] = {CONDUCT, 0, false, "not-chair"},       [COMMAND_JOIN] = {ALL, ALL, false, "not-allowed"},
    [COMMAND_LOST] = {ALL, ALL, false, "not-allowed"},        [COMMAND_LEAVE] = {0, ALL, false, "not-allowed"},
    [COMMAND_MEDIA] = {0, ALL, false, "not-allowed"},         [COMMAND_RAISE_HAND] = {CONDUCT, SPEAKERS, true, "not-chair"},
    [COMMAND_LOWER_HAND] = {CONDUCT, ALL, true, "not-chair"}, [COMMAND_GRANT] = {CONDUCT, 0, true, "not-chair"},
    [COMMAND_REVOKE] = {CONDUCT, ALL, true, "not-chair"},     [COMMAND_MUTE] = {STAFF, 0, false, "not-staff"},
    [COMMAND_MUTE_ALL] = {STAFF, 0, false, "not-staff"},      [COMMAND_LOCK_MICROPHONES] = {CONDUCT, 0, false, "not-chair"},
    [COMMAND_SPOTLIGHT] = {CONDUCT, 0, false, "not-chair"},   [COMMAND_REMOVE] = {CONDUCT, 0, false, "not-chair"},
    [COMMAND_RECORD] = {CONDUCT, 0, true, "not-chair"},
};

const struct refusal *briefing_right(enum briefing_command_kind kind, enum role role, bool itself, enum briefing_phase phase)
{
    if ((unsigned)kind >= COMMAND_KINDS || (unsigned)role >= ROLE_COUNT)
        return refusal_find("unknown-method");
    unsigned roles = rights[kind].roles | (itself ? rights[kind].itself : 0);
    if (!(roles & BIT(role))) {
        bool hand = kind == COMMAND_RAISE_HAND && itself;
        return refusal_find(hand ? (role == ROLE_OBSERVER ? "observer" : "not-allowed") : rights[kind].code);
    }
    if (phase == BRIEFING_CLOSED)
        return refusal_find("already-closed");
    if (rights[kind].open_only && phase != BRIEFING_OPEN)
        return refusal_find("not-open");
    return NULL;
}
