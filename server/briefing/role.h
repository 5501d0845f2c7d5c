/* Who somebody is: roles and the identity that a session gives. Types only. Thread: any. */
#pragma once

#include "wish/wish.h"

#include <stdbool.h>

/* In rising order of rights in most things; the briefing core decides by right, not by order. */
enum role { ROLE_OBSERVER, ROLE_DELEGATE, ROLE_TECHNICIAN, ROLE_SECRETARY, ROLE_CHAIR, ROLE_ADMINISTRATOR };
#define ROLE_COUNT 6

struct identity {
    char login[64];             /* "" for a join link */
    char name[128];             /* person's name, "" for a join link */
    char unit[WISH_ID_MAX];     /* "" for an administrator without one */
    char briefing[WISH_ID_MAX]; /* the one briefing of a join link, "" otherwise */
    char link[40];              /* the join link's own `n`, so that a removed endpoint stays out with it; "" otherwise */
    enum role role;
    bool loopback_admin; /* giaobanctl's bearer token */
};

/* "observer", "delegate", … never NULL. */
const char *role_name(enum role role);
/* 0 or ERR_NOTFOUND. */
int role_parse(const char *name, enum role *ret_role);
