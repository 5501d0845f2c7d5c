/* What a fuzz target demands of what it drives: says which demand was not met. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define require(condition)                                                                                                  \
    do {                                                                                                                    \
        if (!(condition)) {                                                                                                 \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                                        \
        }                                                                                                                   \
    } while (0)
