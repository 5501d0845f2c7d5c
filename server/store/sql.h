/* SQLite behind a few verbs: one connection with its prepared statements. For this folder's own files.
 *
 * Thread: a connection belongs to one thread at a time. Errors: ERR_IO (the database's own text is logged by nobody: the
 * caller sees `full` for a full disk), ERR_NOMEM. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum statement {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SAVE,
    SQL_RELEASE,
    SQL_UNDO,
    SQL_META_GET,
    SQL_META_PUT,
    SQL_BRIEFING_ADD,
    SQL_BRIEFING_TAIL,
    SQL_BRIEFING_UPDATE,
    SQL_BRIEFINGS,
    SQL_EVENT_ADD,
    SQL_EVENTS,
    SQL_SECRET_PUT,
    SQL_SECRETS_DROP,
    SQL_SECRETS,
    SQL_UNIT_PUT,
    SQL_UNITS,
    SQL_ACCOUNT_PUT,
    SQL_ACCOUNTS,
    SQL_SESSION_PUT,
    SQL_SESSION_DROP,
    SQL_SESSIONS_EXPIRE,
    SQL_SESSIONS,
    SQL_TOKEN_PUT,
    SQL_TOKENS_EXPIRE,
    SQL_TOKENS,
    SQL_RECORDING_PUT,
    SQL_RECORDINGS,
    SQL_STATEMENTS,
};

struct sql {
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_STATEMENTS];
    bool full; /* the disk was full since the caller cleared this */
};

/* A value to bind. Text and blobs are borrowed until the statement has run. */
struct sql_value {
    enum { VALUE_INTEGER, VALUE_REAL, VALUE_TEXT, VALUE_BLOB } type;
    int64_t integer;
    double real;
    const void *bytes;
    size_t len;
};

#define V_INT(i) ((struct sql_value){.type = VALUE_INTEGER, .integer = (i)})
#define V_REAL(d) ((struct sql_value){.type = VALUE_REAL, .real = (d)})
#define V_TEXT(s) ((struct sql_value){.type = VALUE_TEXT, .bytes = (s), .len = strlen(s)})
#define V_BLOB(p, n) ((struct sql_value){.type = VALUE_BLOB, .bytes = (p), .len = (n)})

/* Opens the file (made with mode 0600), sets WAL and FULL, makes the tables. ERR_UNSUPPORTED: a newer schema. */
int sql_open(struct sql *q, const char *path);
/* Folds the write-ahead log into the database if it can, so that the log begins at its start again and need not grow. */
void sql_checkpoint(struct sql *q);
void sql_close(struct sql *q); /* zero-initialised is fine */

/* Runs a statement that yields no row. */
int sql_run(struct sql *q, enum statement which, const struct sql_value *values, size_t n);
/* Runs a statement and calls `row` for each row; a result other than 0 ends it and is returned. */
int sql_each(struct sql *q, enum statement which, const struct sql_value *values, size_t n,
             int (*row)(void *ctx, sqlite3_stmt *row), void *ctx);

/* Columns. Text that does not fit is cut off; `ret` is always terminated. */
void sql_text(sqlite3_stmt *row, int column, char *ret, size_t cap);
/* ERR_MALFORMED when it is not exactly `len` bytes. */
int sql_blob(sqlite3_stmt *row, int column, void *ret, size_t len);
