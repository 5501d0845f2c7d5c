#include "briefing/role.h"

#include "base/err.h"

#include <string.h>

static const char *const names[ROLE_COUNT] = {
    [ROLE_OBSERVER] = "observer",   [ROLE_DELEGATE] = "delegate", [ROLE_TECHNICIAN] = "technician",
    [ROLE_SECRETARY] = "secretary", [ROLE_CHAIR] = "chair",       [ROLE_ADMINISTRATOR] = "administrator",
};

const char *role_name(enum role role)
{
    return (unsigned)role < ROLE_COUNT ? names[role] : "observer";
}

int role_parse(const char *name, enum role *ret_role)
{
    for (unsigned i = 0; i < ROLE_COUNT; i++) {
        if (!strcmp(names[i], name)) {
            *ret_role = (enum role)i;
            return 0;
        }
    }
    return ERR_NOTFOUND;
}
