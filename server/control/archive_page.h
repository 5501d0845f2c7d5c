/* What a recording's directory says, as the parts of `GET archive/ID` (http.recording in the protocol's schema, FORMAT.md).
 * Reads files only; thread: any. */
#pragma once

#include <jansson.h>

/* {"formats","chapters","gaps","tracks"}; what can't be read is an empty list. NULL: no memory. */
json_t *archive_page(const char *dir);
