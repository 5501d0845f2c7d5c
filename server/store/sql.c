#include "store/sql.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SCHEMA_VERSION 1

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS briefings (id TEXT PRIMARY KEY, title TEXT NOT NULL, starts_ms INTEGER NOT NULL,"
    " opened_ms INTEGER NOT NULL, closed_ms INTEGER NOT NULL, phase INTEGER NOT NULL, record INTEGER NOT NULL,"
    " recording INTEGER NOT NULL, units TEXT NOT NULL, epoch INTEGER NOT NULL, last_seq INTEGER NOT NULL,"
    " last_hash BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS events (briefing TEXT NOT NULL, seq INTEGER NOT NULL, bytes BLOB NOT NULL, hash BLOB NOT "
    "NULL,"
    " PRIMARY KEY (briefing, seq)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS secrets (briefing TEXT NOT NULL, endpoint TEXT NOT NULL, hash BLOB NOT NULL,"
    " PRIMARY KEY (briefing, endpoint)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS units (id TEXT PRIMARY KEY, name TEXT NOT NULL, short TEXT NOT NULL, kind TEXT NOT NULL,"
    " valid_to TEXT NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS accounts (login TEXT PRIMARY KEY, name TEXT NOT NULL, unit TEXT NOT NULL, role TEXT NOT "
    "NULL,"
    " hash TEXT NOT NULL, failures INTEGER NOT NULL, locked_until_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS sessions (hash BLOB PRIMARY KEY, login TEXT NOT NULL, name TEXT NOT NULL, unit TEXT NOT "
    "NULL,"
    " briefing TEXT NOT NULL, link TEXT NOT NULL, role TEXT NOT NULL, made_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS tokens (nonce TEXT PRIMARY KEY, expires_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS recordings (briefing TEXT PRIMARY KEY, title TEXT NOT NULL, opened_ms INTEGER NOT NULL,"
    " seconds REAL NOT NULL, state TEXT NOT NULL, percent INTEGER NOT NULL, formats INTEGER NOT NULL) WITHOUT ROWID;";

static const char briefing_update[] =
    "UPDATE briefings SET opened_ms = MAX(opened_ms, ?2), closed_ms = MAX(closed_ms, ?3),"
    " phase = MAX(phase, ?4), recording = CASE WHEN ?5 < 0 THEN recording ELSE ?5 END, epoch = ?6,"
    " last_seq = ?7, last_hash = ?8 WHERE id = ?1";

static const char *const texts[SQL_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SAVE] = "SAVEPOINT one",
    [SQL_RELEASE] = "RELEASE one",
    [SQL_UNDO] = "ROLLBACK TO one",
    [SQL_META_GET] = "SELECT value FROM meta WHERE key = ?1",
    [SQL_META_PUT] = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    [SQL_BRIEFING_ADD] = "INSERT INTO briefings VALUES (?1, ?2, ?3, 0, 0, 0, ?4, 0, ?5, ?6, 0, ?7)",
    [SQL_BRIEFING_TAIL] = "SELECT epoch, last_seq, last_hash FROM briefings WHERE id = ?1",
    [SQL_BRIEFING_UPDATE] = briefing_update,
    [SQL_BRIEFINGS] = "SELECT id, title, starts_ms, opened_ms, closed_ms, phase, record, recording, units FROM briefings",
    [SQL_EVENT_ADD] = "INSERT INTO events VALUES (?1, ?2, ?3, ?4)",
    [SQL_EVENTS] = "SELECT seq, bytes, hash FROM events WHERE briefing = ?1 ORDER BY seq",
    [SQL_SECRET_PUT] = "INSERT OR REPLACE INTO secrets VALUES (?1, ?2, ?3)",
    [SQL_SECRETS_DROP] = "DELETE FROM secrets WHERE briefing = ?1",
    [SQL_SECRETS] = "SELECT briefing, endpoint, hash FROM secrets",
    [SQL_UNIT_PUT] = "INSERT OR REPLACE INTO units VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_UNITS] = "SELECT id, name, short, kind, valid_to, position FROM units ORDER BY position, id",
    [SQL_ACCOUNT_PUT] = "INSERT OR REPLACE INTO accounts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [SQL_ACCOUNTS] = "SELECT login, name, unit, role, hash, failures, locked_until_ms FROM accounts",
    [SQL_SESSION_PUT] = "INSERT OR REPLACE INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [SQL_SESSION_DROP] = "DELETE FROM sessions WHERE hash = ?1",
    [SQL_SESSIONS_EXPIRE] = "DELETE FROM sessions WHERE expires_ms <= ?1",
    [SQL_SESSIONS] = "SELECT hash, login, name, unit, briefing, link, role, made_ms, expires_ms FROM sessions",
    [SQL_TOKEN_PUT] = "INSERT OR REPLACE INTO tokens VALUES (?1, ?2)",
    [SQL_TOKENS_EXPIRE] = "DELETE FROM tokens WHERE expires_ms <= ?1",
    [SQL_TOKENS] = "SELECT nonce, expires_ms FROM tokens",
    [SQL_RECORDING_PUT] = "INSERT OR REPLACE INTO recordings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [SQL_RECORDINGS] =
        "SELECT briefing, title, opened_ms, seconds, state, percent, formats FROM recordings ORDER BY opened_ms",
};

static int failed(struct sql *q, int rc)
{
    int why = sqlite3_system_errno(q->db), kind = rc & 0xff;
    /* The shared-memory file beside the log has no code of its own for a full disk. */
    bool no_room = (kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN) && (why == ENOSPC || why == EDQUOT);
    q->full |= kind == SQLITE_FULL || no_room;
    return rc == SQLITE_NOMEM ? ERR_NOMEM : ERR_IO;
}

static int execute(struct sql *q, const char *text)
{
    int rc = sqlite3_exec(q->db, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : failed(q, rc);
}

static int read_integer(void *ctx, sqlite3_stmt *row)
{
    *(int64_t *)ctx = sqlite3_column_int64(row, 0);
    return 0;
}

static int check_schema(struct sql *q)
{
    int64_t version = 0;
    int err = sql_each(q, SQL_META_GET, (struct sql_value[]){V_TEXT("schema")}, 1, read_integer, &version);
    if (err)
        return err;
    if (version > SCHEMA_VERSION)
        return ERR_UNSUPPORTED;
    if (version == SCHEMA_VERSION)
        return 0;
    return sql_run(q, SQL_META_PUT, (struct sql_value[]){V_TEXT("schema"), V_INT(SCHEMA_VERSION)}, 2);
}

/* SQLite would make it with the umask's mode; its -wal and -shm take the mode of the database. Only a new one is opened
 * here: closing any descriptor of a file ends all of this process's locks on it (fcntl(2)), the first connection's too.
 * Another program that closes the database would then take itself for the last one and delete the journal that we write. */
static int make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd < 0 && errno != EEXIST ? ERR_IO : 0;
}

int sql_open(struct sql *q, const char *path)
{
    if (make_private(path))
        return ERR_IO;
    int rc = sqlite3_open_v2(path, &q->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    if (rc != SQLITE_OK)
        return failed(q, rc);
    sqlite3_busy_timeout(q->db, 3000);
    int err = execute(q, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;"
                         "PRAGMA temp_store = MEMORY;");
    if (!err)
        err = execute(q, schema);
    return err ? err : check_schema(q);
}

void sql_checkpoint(struct sql *q)
{
    sqlite3_wal_checkpoint_v2(q->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL); /* refused: it grows as before */
}

void sql_close(struct sql *q)
{
    for (int i = 0; i < SQL_STATEMENTS; i++)
        sqlite3_finalize(q->statements[i]);
    sqlite3_close(q->db);
    *q = (struct sql){0};
}

static int bind(sqlite3_stmt *s, int at, const struct sql_value *v)
{
    switch (v->type) {
    case VALUE_INTEGER: return sqlite3_bind_int64(s, at, v->integer);
    case VALUE_REAL: return sqlite3_bind_double(s, at, v->real);
    case VALUE_TEXT: return sqlite3_bind_text(s, at, v->bytes, (int)v->len, SQLITE_STATIC);
    case VALUE_BLOB: return sqlite3_bind_blob(s, at, v->bytes, (int)v->len, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

int sql_each(struct sql *q, enum statement which, const struct sql_value *values, size_t n,
             int (*row)(void *ctx, sqlite3_stmt *row), void *ctx)
{
    sqlite3_stmt **s = &q->statements[which];
    int rc = *s ? SQLITE_OK : sqlite3_prepare_v3(q->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, s, NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < n; i++)
        rc = bind(*s, (int)i + 1, &values[i]);
    if (rc != SQLITE_OK)
        return failed(q, rc);
    int err = 0;
    while (!err && (rc = sqlite3_step(*s)) == SQLITE_ROW)
        err = row ? row(ctx, *s) : 0;
    if (!err && rc != SQLITE_DONE)
        err = failed(q, rc);
    sqlite3_reset(*s);
    sqlite3_clear_bindings(*s);
    return err;
}

int sql_run(struct sql *q, enum statement which, const struct sql_value *values, size_t n)
{
    return sql_each(q, which, values, n, NULL, NULL);
}

void sql_text(sqlite3_stmt *row, int column, char *ret, size_t cap)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    size_t len = text ? strnlen(text, cap - 1) : 0;
    memcpy(ret, text ? text : "", len);
    ret[len] = '\0';
}

int sql_blob(sqlite3_stmt *row, int column, void *ret, size_t len)
{
    const void *bytes = sqlite3_column_blob(row, column);
    if (!bytes || (size_t)sqlite3_column_bytes(row, column) != len)
        return ERR_MALFORMED;
    memcpy(ret, bytes, len);
    return 0;
}
