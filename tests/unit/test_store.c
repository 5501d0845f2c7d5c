#include "base/clock.h"
#include "base/err.h"
#include "store/internal.h" /* a second connection breaks rows on purpose */

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define UNITS                                                                                                               \
    "[{\"id\":\"h-b\",\"name\":\"Huyện "                                                                                  \
    "B\",\"short\":\"H.B\",\"kind\":\"district\",\"order\":2,\"validTo\":\"2025-06-30\"},"                                  \
    "{\"id\":\"so-a\",\"name\":\"Sở A\",\"short\":\"A\",\"kind\":\"department\",\"order\":1}]"

struct fixture {
    char dir[64], path[96], units[96];
    struct store *store;
};

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void open_store(struct fixture *f)
{
    const struct store_config config = {.path = f->path, .units_path = f->units};
    const char *why = NULL;
    if (store_open(&config, &f->store, &why))
        fail_msg("%s", why);
}

static void reopen(struct fixture *f)
{
    store_close(f->store);
    f->store = NULL;
    open_store(f);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "/tmp/store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/giaoban.db", f->dir);
    snprintf(f->units, sizeof(f->units), "%s/units.json", f->dir);
    write_text(f->units, UNITS);
    open_store(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"giaoban.db", "giaoban.db-wal", "giaoban.db-shm", "units.json", "events.jsonl"};
    struct fixture *f = *state;
    char path[128];
    store_close(f->store);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
        unlink(path);
    }
    int left = rmdir(f->dir); /* nothing else was left behind */
    free(f);
    return left;
}

struct outcome {
    int calls, err;
};

static void note(void *ctx, int err)
{
    struct outcome *o = ctx;
    o->calls++;
    o->err = err;
}

/* Until all that is queued has completed. */
static void settle(struct store *s)
{
    store_submit(s);
    while (store_queued(s)) {
        struct pollfd p = {.fd = store_event_fd(s), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 10000), 1);
        store_poll(s);
    }
}

static struct briefing_unit invited[] = {{"h-b", "Huyện B", "H.B"}};

static struct briefing_event scheduled(const char *id)
{
    static struct briefing_schedule s;
    s = (struct briefing_schedule){
        .title = "Giao ban tuần", .starts_ms = 5000, .record = true, .units = invited, .n_units = 1};
    snprintf(s.id, sizeof(s.id), "%s", id);
    return (struct briefing_event){.kind = EVENT_SCHEDULED, .seq = 1, .at_ms = 10, .at_us = 20, .schedule = &s};
}

static struct briefing_event lock_event(uint64_t seq)
{
    return (struct briefing_event){
        .kind = EVENT_MICROPHONES_LOCKED, .seq = seq, .at_ms = 1000 + (int64_t)seq, .at_us = 7, .on = seq & 1};
}

static int append(struct store *s, const char *id, struct briefing_event e)
{
    struct outcome o = {0};
    int err = store_append(s, id, store_epoch(s), &e, 1, note, &o);
    if (err)
        return err;
    settle(s);
    assert_int_equal(o.calls, 1);
    return o.err;
}

static int count_event(void *ctx, const struct briefing_event *e)
{
    uint64_t *last = ctx;
    assert_int_equal(e->seq, *last + 1);
    *last = e->seq;
    return 0;
}

static uint64_t log_end(struct store *s, const char *id)
{
    uint64_t last = 0;
    assert_int_equal(store_read(s, id, 1, count_event, &last), 0);
    return last;
}

/* ---- log ---- */

static void appended_events_are_read_back_after_a_restart(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(append(f->store, "b1", scheduled("b1")), 0);
    for (uint64_t seq = 2; seq <= 9; seq++)
        assert_int_equal(append(f->store, "b1", lock_event(seq)), 0);
    reopen(f);
    assert_int_equal(log_end(f->store, "b1"), 9);
    uint64_t last = 6;
    assert_int_equal(store_read(f->store, "b1", 7, count_event, &last), 0);
    assert_int_equal(last, 9);
    assert_int_equal(store_read(f->store, "none", 1, count_event, &last), ERR_NOTFOUND);
}

static void nothing_is_reported_before_poll(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct briefing_event e = scheduled("b1");
    assert_int_equal(store_append(f->store, "b1", store_epoch(f->store), &e, 1, note, &o), 0);
    store_submit(f->store);
    struct pollfd p = {.fd = store_event_fd(f->store), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(o.calls, 0);
    assert_null(store_briefing_find(f->store, "b1"));
    store_poll(f->store);
    assert_int_equal(o.calls, 1);
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_non_null(store_briefing_find(f->store, "b1"));
}

static void events_that_do_not_follow_are_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(append(f->store, "b1", lock_event(2)), ERR_NOTFOUND);
    assert_int_equal(append(f->store, "b1", scheduled("b2")), ERR_INVAL);
    assert_int_equal(append(f->store, "b1", lock_event(1)), ERR_INVAL);
    assert_int_equal(append(f->store, "../b1", scheduled("../b1")), ERR_INVAL);
    assert_int_equal(append(f->store, "b1", scheduled("b1")), 0);
    assert_int_equal(append(f->store, "b1", scheduled("b1")), ERR_EXISTS);
    assert_int_equal(append(f->store, "b1", lock_event(3)), ERR_STATE);
    assert_int_equal(append(f->store, "b1", lock_event(2)), 0);
    assert_int_equal(append(f->store, "b1", lock_event(2)), ERR_STATE);
    assert_int_equal(log_end(f->store, "b1"), 2);
}

static void append_is_all_or_nothing(void **state)
{
    struct fixture *f = *state;
    struct briefing_event bad[] = {lock_event(3), lock_event(4)}, good[] = {lock_event(2), lock_event(3)};
    struct outcome first = {0}, second = {0};
    assert_int_equal(append(f->store, "b1", scheduled("b1")), 0);
    assert_int_equal(store_append(f->store, "b1", store_epoch(f->store), bad, 2, note, &first), 0);
    assert_int_equal(store_append(f->store, "b1", store_epoch(f->store), good, 2, note, &second), 0);
    settle(f->store);
    assert_int_equal(first.err, ERR_STATE);
    assert_int_equal(second.err, 0); /* a neighbour's failure in the same commit is not its own */
    assert_int_equal(log_end(f->store, "b1"), 3);
}

static void stale_owner_cannot_append(void **state)
{
    struct fixture *f = *state;
    struct store *former = f->store;
    assert_int_equal(append(former, "b1", scheduled("b1")), 0);
    open_store(f); /* a second control starts */
    assert_true(store_epoch(f->store) > store_epoch(former));
    assert_int_equal(append(former, "b1", lock_event(2)), ERR_STALE);
    assert_int_equal(append(former, "b2", scheduled("b2")), ERR_STALE);
    assert_int_equal(append(f->store, "b1", lock_event(2)), 0);
    store_close(former);
    assert_int_equal(log_end(f->store, "b1"), 2);
}

static void one_turn_shares_a_commit(void **state)
{
    struct fixture *f = *state;
    enum { STORE_WAITS_US = 2000 };
    uint64_t before = store_commits(f->store);
    int64_t began_us = clock_now_us();
    struct outcome o = {0};
    for (int i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof(id), "b%d", i);
        struct briefing_event e = scheduled(id);
        assert_int_equal(store_append(f->store, id, store_epoch(f->store), &e, 1, note, &o), 0);
    }
    int64_t took_us = clock_now_us() - began_us;
    settle(f->store);
    assert_int_equal(o.calls, 100);
    /* One; one more for each time that the machine made the turn last longer than the store waits for it. */
    assert_in_range(store_commits(f->store) - before, 1, 1 + took_us / STORE_WAITS_US);
}

static void commit_comes_without_submit_too(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct briefing_event e = scheduled("b1");
    assert_int_equal(store_append(f->store, "b1", store_epoch(f->store), &e, 1, note, &o), 0);
    struct pollfd p = {.fd = store_event_fd(f->store), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    store_poll(f->store);
    assert_int_equal(o.calls, 1);
}

/* Appends one event after another and writes a byte for each that was acknowledged, until it is killed. */
static void append_until_killed(const struct fixture *f, int acknowledged)
{
    const struct store_config config = {.path = f->path};
    struct store *s;
    const char *why;
    if (store_open(&config, &s, &why))
        _exit(1);
    struct briefing_event e = scheduled("b1");
    for (uint64_t seq = 1;; seq++) {
        struct outcome o = {0};
        if (seq > 1)
            e = lock_event(seq);
        if (store_append(s, "b1", store_epoch(s), &e, 1, note, &o))
            _exit(1);
        store_submit(s);
        while (!o.calls) {
            struct pollfd p = {.fd = store_event_fd(s), .events = POLLIN};
            poll(&p, 1, 1000);
            store_poll(s);
        }
        if (o.err || write(acknowledged, "x", 1) != 1)
            _exit(1);
    }
}

static void acknowledged_events_survive_kill(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        close(pipes[0]);
        append_until_killed(f, pipes[1]);
    }
    close(pipes[1]);
    char byte;
    uint64_t acknowledged = 0;
    while (acknowledged < 20 && read(pipes[0], &byte, 1) == 1)
        acknowledged++;
    kill(child, SIGKILL);
    while (read(pipes[0], &byte, 1) == 1)
        acknowledged++;
    close(pipes[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_true(acknowledged >= 20);
    open_store(f);
    uint64_t last = log_end(f->store, "b1");
    assert_in_range(last, acknowledged, acknowledged + 1); /* one more may have been written and not yet said */
}

static void broken_chain_is_noticed(void **state)
{
    /* %s: the briefing. */
    static const char *const harms[] = {
        "UPDATE events SET bytes = CAST(replace(CAST(bytes AS TEXT), '1003', '1004') AS BLOB) WHERE seq = 3 AND briefing = "
        "'%s'",
        "DELETE FROM events WHERE seq = 3 AND briefing = '%s'",
        "DELETE FROM events WHERE seq = 4 AND briefing = '%s'", /* the end cut off */
        "UPDATE events SET hash = zeroblob(32) WHERE seq = 2 AND briefing = '%s'",
        "UPDATE briefings SET last_seq = 3 WHERE id = '%s'",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
        char id[8], text[256];
        snprintf(id, sizeof(id), "b%zu", i);
        assert_int_equal(append(f->store, id, scheduled(id)), 0);
        for (uint64_t seq = 2; seq <= 4; seq++)
            assert_int_equal(append(f->store, id, lock_event(seq)), 0);
        assert_int_equal(log_end(f->store, id), 4);
        sqlite3 *db;
        assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
        char *harm = sqlite3_mprintf(harms[i], id);
        snprintf(text, sizeof(text), "%s", harm);
        sqlite3_free(harm);
        assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_changes(db), 1);
        sqlite3_close(db);
        uint64_t last = 0;
        assert_int_equal(store_read(f->store, id, 1, count_event, &last), ERR_AUTH);
    }
}

static void log_is_read_while_serving(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    uint64_t last = 4;
    assert_int_equal(append(f->store, "b1", scheduled("b1")), 0);
    for (uint64_t seq = 2; seq <= 6; seq++)
        assert_int_equal(append(f->store, "b1", lock_event(seq)), 0);
    assert_int_equal(store_read_later(f->store, "b1", 5, count_event, NULL, &last), 0);
    settle(f->store);
    assert_int_equal(last, 6);
    assert_int_equal(store_read_later(f->store, "none", 1, count_event, note, &o), 0);
    settle(f->store);
    assert_int_equal(o.err, ERR_NOTFOUND);
}

/* The supervisor sets it: 077, or 007 when giaoband and recorders have users of their own. */
static mode_t umask_now(void)
{
    mode_t now = umask(0);
    umask(now);
    return now;
}

static void export_has_head_and_a_line_for_each_event(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    char path[128], text[1024] = "";
    snprintf(path, sizeof(path), "%s/events.jsonl", f->dir);
    assert_int_equal(append(f->store, "b1", scheduled("b1")), 0);
    assert_int_equal(append(f->store, "b1", lock_event(2)), 0);
    assert_int_equal(append(f->store, "b1", lock_event(3)), 0);
    assert_int_equal(store_export_events(f->store, "b1", path, note, &o), 0);
    settle(f->store);
    assert_int_equal(o.err, 0);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(
        text, "{\"briefing\":{\"id\":\"b1\",\"title\":\"Giao ban tuần\",\"units\":{\"h-b\":{\"name\":\"Huyện "
              "B\",\"short\":\"H.B\"}}}}\n"
              "{\"at_ms\":1002,\"at_us\":7,\"data\":{\"locked\":false},\"event\":\"microphones-locked\",\"seq\":2}\n"
              "{\"at_ms\":1003,\"at_us\":7,\"data\":{\"locked\":true},\"event\":\"microphones-locked\",\"seq\":3}\n");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640 & ~umask_now());
    assert_int_equal(store_export_events(f->store, "b1", "/nowhere/events.jsonl", note, &o), 0);
    settle(f->store);
    assert_int_equal(o.err, ERR_IO);
}

static bool join_ids(void *ctx, const struct store_briefing *b)
{
    strcat(strcat(ctx, b->id), " ");
    return true;
}

static void index_follows_the_log(void **state)
{
    struct fixture *f = *state;
    char ids[64] = "";
    assert_int_equal(append(f->store, "b1", scheduled("b1")), 0);
    assert_int_equal(append(f->store, "b2", scheduled("b2")), 0);
    struct briefing_event opened = {.kind = EVENT_OPENED, .seq = 2, .at_ms = 77};
    struct briefing_event recording = {.kind = EVENT_RECORDING, .seq = 3, .at_ms = 77, .on = true};
    assert_int_equal(append(f->store, "b1", opened), 0);
    assert_int_equal(append(f->store, "b1", recording), 0);
    for (int round = 0; round < 2; round++) {
        const struct store_briefing *b = store_briefing_find(f->store, "b1");
        assert_non_null(b);
        assert_string_equal(b->title, "Giao ban tuần");
        assert_int_equal(b->phase, BRIEFING_OPEN);
        assert_int_equal(b->opened_ms, 77);
        assert_true(b->recording && b->record);
        assert_int_equal(b->n_units, 1);
        assert_string_equal(b->units[0], "h-b");
        reopen(f);
    }
    store_briefings(f->store, 5000, 5001, join_ids, ids);
    assert_string_equal(ids, "b1 b2 ");
    ids[0] = '\0';
    store_briefings(f->store, 6000, 7000, join_ids, ids);
    assert_string_equal(ids, "b1 "); /* open now */
    struct briefing_event closed = {.kind = EVENT_CLOSED, .seq = 4, .at_ms = 99};
    assert_int_equal(append(f->store, "b1", closed), 0);
    const struct store_briefing *b = store_briefing_find(f->store, "b1");
    assert_true(b->phase == BRIEFING_CLOSED && b->closed_ms == 99 && !b->recording);
}

static ino_t journal(const struct fixture *f)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof(path), "%s-wal", f->path);
    return stat(path, &st) ? 0 : st.st_ino;
}

/* A backup, an administrator's look: whoever closes last deletes the journal, and must know that it is not the last. */
static void another_program_that_reads_it_leaves_the_journal_alone(void **state)
{
    struct fixture *f = *state;
    ino_t before = journal(f);
    assert_true(before != 0);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("sqlite3", "sqlite3", f->path, "BEGIN IMMEDIATE", "SELECT 1 WHERE 0", "COMMIT", (char *)NULL);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(journal(f), before);
}

static void database_is_only_its_owners(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static int read_number(void *ctx, int n, char **values, char **names)
{
    *(int *)ctx = values[0][0] == 'w' ? -1 : atoi(values[0]);
    return 0;
}

static void every_commit_is_synced(void **state)
{
    struct fixture *f = *state;
    int synchronous = 0, journal = 0;
    assert_int_equal(sqlite3_exec(f->store->caller.db, "PRAGMA synchronous", read_number, &synchronous, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(f->store->caller.db, "PRAGMA journal_mode", read_number, &journal, NULL), SQLITE_OK);
    assert_int_equal(synchronous, 2); /* FULL: with NORMAL a WAL commit survives kill −9, but not a loss of mains */
    assert_int_equal(journal, -1);    /* "wal" */
}

static void start_counter_rises_with_every_start(void **state)
{
    struct fixture *f = *state;
    uint64_t epoch = store_epoch(f->store);
    assert_true(epoch > 0);
    reopen(f);
    assert_int_equal(store_epoch(f->store), epoch + 1);
}

static void unwritable_place_is_an_error_with_a_reason(void **state)
{
    const struct store_config config = {.path = "/nowhere/giaoban.db"};
    struct store *s = NULL;
    const char *why = NULL;
    assert_int_equal(store_open(&config, &s, &why), ERR_IO);
    assert_null(s);
    assert_string_equal(why, "the database can't be opened");
}

/* ---- units ---- */

static void units_are_listed_by_order_whatever_their_validity(void **state)
{
    struct fixture *f = *state;
    size_t n;
    const struct store_unit *u = store_units(f->store, &n);
    assert_int_equal(n, 2);
    assert_string_equal(u[0].id, "so-a");
    assert_string_equal(u[1].valid_to, "2025-06-30");
    assert_string_equal(store_unit_find(f->store, "h-b")->short_name, "H.B");
    assert_null(store_unit_find(f->store, "none"));
}

static void province_has_its_62_units(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    const struct store_config config = {.path = f->path, .units_path = PROVINCE_UNITS};
    const char *why;
    size_t n;
    assert_int_equal(store_open(&config, &f->store, &why), 0);
    store_units(f->store, &n);
    assert_int_equal(n, 62 + 2); /* and those of the former file */
    assert_string_equal(store_unit_find(f->store, "tp-thanh-hoa")->valid_to, "2025-06-30");
}

static void broken_units_file_leaves_the_former_list(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    write_text(f->units, "[{\"id\":\"new\",\"name\":\"N\",\"short\":\"N\",\"kind\":\"k\",\"order\":1},{\"id\":\"x\"}]");
    const struct store_config broken = {.path = f->path, .units_path = f->units}, without = {.path = f->path};
    const char *why;
    assert_int_equal(store_open(&broken, &f->store, &why), ERR_MALFORMED);
    assert_int_equal(store_open(&without, &f->store, &why), 0);
    size_t n;
    store_units(f->store, &n);
    assert_int_equal(n, 2);
}

/* ---- people ---- */

static const struct store_account chair = {
    .login = "chu-tich", .name = "Nguyễn Văn A", .unit = "ubnd-tinh", .role = ROLE_CHAIR, .hash = "$argon2id$x"};

static void account_survives_a_restart(void **state)
{
    struct fixture *f = *state;
    struct store_account a;
    struct outcome o = {0};
    assert_int_equal(store_accounts(f->store), 0);
    assert_int_equal(store_account_find(f->store, "chu-tich", &a), ERR_NOTFOUND);
    assert_int_equal(store_account_add(f->store, &chair, note, &o), 0);
    assert_int_equal(store_account_add(f->store, &chair, note, &o), ERR_EXISTS);
    assert_int_equal(store_account_set_hash(f->store, "chu-tich", "$argon2id$y", note, &o), 0);
    settle(f->store);
    assert_int_equal(o.calls, 2);
    reopen(f);
    assert_int_equal(store_accounts(f->store), 1);
    assert_int_equal(store_account_find(f->store, "chu-tich", &a), 0);
    assert_string_equal(a.name, "Nguyễn Văn A");
    assert_string_equal(a.hash, "$argon2id$y");
    assert_int_equal(a.role, ROLE_CHAIR);
}

static void fifth_wrong_password_locks(void **state)
{
    static const struct {
        int64_t now_ms;
        bool right, locked; /* a right password was given; locked afterwards */
    } rows[] = {
        {1000, false, false},
        {1001, false, false},
        {1002, true, false}, /* right: the count begins again */
        {2000, false, false},
        {2001, false, false},
        {2002, false, false},
        {2003, false, false},
        {2004, false, true},
        {2005, false, true}, /* while locked nothing is counted */
        {2004 + STORE_LOCK_MS - 1, false, true},
        {2004 + STORE_LOCK_MS, false, false},
    };
    struct fixture *f = *state;
    struct store_account a;
    assert_int_equal(store_account_add(f->store, &chair, NULL, NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool locked = false;
        int err = rows[i].right ? store_login_succeeded(f->store, chair.login)
                                : store_login_failed(f->store, chair.login, rows[i].now_ms, &locked);
        assert_int_equal(err, 0);
        if (locked != rows[i].locked)
            fail_msg("row %zu", i);
        if (i == 8) { /* a restart does not unlock */
            settle(f->store);
            reopen(f);
            assert_int_equal(store_account_find(f->store, chair.login, &a), 0);
            assert_true(store_account_locked(&a, rows[i].now_ms));
        }
    }
    bool locked;
    assert_int_equal(store_login_failed(f->store, "nobody", 1, &locked), ERR_NOTFOUND);
}

static void administrator_unlocks(void **state)
{
    struct fixture *f = *state;
    struct store_account a;
    bool locked = false;
    assert_int_equal(store_account_add(f->store, &chair, NULL, NULL), 0);
    for (int i = 0; i < STORE_FAILURES_MAX; i++)
        store_login_failed(f->store, chair.login, 5, &locked);
    assert_true(locked);
    assert_int_equal(store_account_unlock(f->store, chair.login, NULL, NULL), 0);
    assert_int_equal(store_account_find(f->store, chair.login, &a), 0);
    assert_false(store_account_locked(&a, 6));
}

static void session_is_found_until_it_expires(void **state)
{
    struct fixture *f = *state;
    struct store_session x = {.hash = {1, 2, 3},
                              .made_ms = 10,
                              .expires_ms = 1000,
                              .who = {.unit = "h-b", .briefing = "b1", .link = "n7", .role = ROLE_DELEGATE}},
                         back;
    assert_int_equal(store_session_put(f->store, &x, NULL, NULL), 0);
    assert_int_equal(store_session_find(f->store, x.hash, 999, &back), 0);
    settle(f->store);
    reopen(f);
    assert_int_equal(store_session_find(f->store, x.hash, 999, &back), 0);
    assert_string_equal(back.who.link, "n7");
    assert_int_equal(back.who.role, ROLE_DELEGATE);
    assert_int_equal(store_session_find(f->store, x.hash, 1000, &back), ERR_NOTFOUND);
    uint64_t commits = store_commits(f->store);
    store_sessions_expire(f->store, 999);
    settle(f->store);
    assert_int_equal(store_commits(f->store), commits); /* nothing to forget, nothing to write */
    store_sessions_expire(f->store, 1000);
    assert_int_equal(store_session_find(f->store, x.hash, 999, &back), ERR_NOTFOUND);
    settle(f->store);
    reopen(f);
    assert_int_equal(store_session_find(f->store, x.hash, 999, &back), ERR_NOTFOUND);
}

static void dropped_session_is_gone(void **state)
{
    struct fixture *f = *state;
    struct store_session x = {.hash = {9}, .expires_ms = 1000}, back;
    assert_int_equal(store_session_put(f->store, &x, NULL, NULL), 0);
    assert_int_equal(store_session_drop(f->store, x.hash), 0);
    assert_int_equal(store_session_find(f->store, x.hash, 1, &back), ERR_NOTFOUND);
    settle(f->store);
    reopen(f);
    assert_int_equal(store_session_find(f->store, x.hash, 1, &back), ERR_NOTFOUND);
}

static void bearer_token_is_no_session(void **state)
{
    struct fixture *f = *state;
    struct store_session x = {.hash = {9}, .expires_ms = 1000, .who = {.loopback_admin = true}};
    assert_int_equal(store_session_put(f->store, &x, NULL, NULL), ERR_INVAL);
}

static void token_works_once(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    assert_false(store_token_used(f->store, "n1"));
    assert_int_equal(store_token_use(f->store, "n1", 5000, note, &o), 0);
    assert_int_equal(store_token_use(f->store, "n1", 5000, note, &o), ERR_EXISTS);
    settle(f->store);
    assert_int_equal(o.calls, 1);
    assert_int_equal(o.err, 0);
    reopen(f);
    assert_true(store_token_used(f->store, "n1"));
    assert_int_equal(store_token_use(f->store, "n1", 5000, note, &o), ERR_EXISTS);
    store_tokens_expire(f->store, 5000);
    assert_false(store_token_used(f->store, "n1"));
}

static void thousand_expired_sessions_go_at_once(void **state)
{
    struct fixture *f = *state;
    struct store_session back;
    for (unsigned i = 0; i < 1000; i++) {
        struct store_session x = {.hash = {i & 255, i >> 8}, .expires_ms = i % 2 ? 1000 : 2000};
        assert_int_equal(store_session_put(f->store, &x, NULL, NULL), 0);
    }
    store_sessions_expire(f->store, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t hash[STORE_HASH_BYTES] = {i & 255, i >> 8};
        assert_int_equal(store_session_find(f->store, hash, 1, &back), i % 2 ? ERR_NOTFOUND : 0);
    }
}

static void secrets_are_kept_for_each_endpoint_until_the_closing(void **state)
{
    struct fixture *f = *state;
    uint8_t one[STORE_HASH_BYTES] = {1}, two[STORE_HASH_BYTES] = {2}, back[STORE_HASH_BYTES];
    assert_int_equal(store_secret_put(f->store, "b1", "e1", one, NULL, NULL), 0);
    assert_int_equal(store_secret_put(f->store, "b1", "e2", one, NULL, NULL), 0);
    assert_int_equal(store_secret_put(f->store, "b1", "e2", two, NULL, NULL), 0);
    assert_int_equal(store_secret_put(f->store, "b2", "e1", two, NULL, NULL), 0);
    settle(f->store);
    reopen(f);
    assert_int_equal(store_secret_get(f->store, "b1", "e2", back), 0);
    assert_int_equal(back[0], 2);
    assert_int_equal(store_secret_get(f->store, "b1", "e3", back), ERR_NOTFOUND);
    const struct briefing_event opened = {.kind = EVENT_OPENED, .seq = 2}, closed = {.kind = EVENT_CLOSED, .seq = 3};
    assert_int_equal(append(f->store, "b1", scheduled("b1")), 0);
    assert_int_equal(append(f->store, "b1", opened), 0);
    assert_int_equal(store_secret_get(f->store, "b1", "e1", back), 0);
    assert_int_equal(append(f->store, "b1", closed), 0);
    assert_int_equal(store_secret_get(f->store, "b1", "e1", back), ERR_NOTFOUND);
    reopen(f);
    assert_int_equal(store_secret_get(f->store, "b1", "e1", back), ERR_NOTFOUND);
    assert_int_equal(store_secret_get(f->store, "b2", "e1", back), 0);
}

/* ---- archive ---- */

static bool join_recordings(void *ctx, const struct store_recording *r)
{
    strcat(strcat(ctx, r->briefing), " ");
    return true;
}

static void archive_lists_the_newest_first(void **state)
{
    struct fixture *f = *state;
    struct store_recording r = {.briefing = "b1", .title = "Một", .opened_ms = 1, .state = RECORDING_QUEUED}, back;
    char ids[64] = "";
    assert_int_equal(store_recording_put(f->store, &r, NULL, NULL), 0);
    snprintf(r.briefing, sizeof(r.briefing), "b2");
    r.opened_ms = 2;
    assert_int_equal(store_recording_put(f->store, &r, NULL, NULL), 0);
    r.state = RECORDING_READY;
    r.seconds = 61.5;
    r.percent = 100;
    r.formats = RECORDING_MP4;
    assert_int_equal(store_recording_put(f->store, &r, NULL, NULL), 0);
    settle(f->store);
    reopen(f);
    store_recordings(f->store, join_recordings, ids);
    assert_string_equal(ids, "b2 b1 ");
    assert_int_equal(store_recording_find(f->store, "b2", &back), 0);
    assert_true(back.seconds == 61.5 && back.state == RECORDING_READY && back.percent == 100 &&
                back.formats == RECORDING_MP4);
    assert_int_equal(store_recording_find(f->store, "b3", &back), ERR_NOTFOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(appended_events_are_read_back_after_a_restart),
        TEST(nothing_is_reported_before_poll),
        TEST(events_that_do_not_follow_are_refused),
        TEST(append_is_all_or_nothing),
        TEST(stale_owner_cannot_append),
        TEST(one_turn_shares_a_commit),
        TEST(commit_comes_without_submit_too),
        TEST(acknowledged_events_survive_kill),
        TEST(broken_chain_is_noticed),
        TEST(log_is_read_while_serving),
        TEST(export_has_head_and_a_line_for_each_event),
        TEST(index_follows_the_log),
        TEST(another_program_that_reads_it_leaves_the_journal_alone),
        TEST(database_is_only_its_owners),
        TEST(every_commit_is_synced),
        TEST(start_counter_rises_with_every_start),
        TEST(unwritable_place_is_an_error_with_a_reason),
        TEST(units_are_listed_by_order_whatever_their_validity),
        TEST(province_has_its_62_units),
        TEST(broken_units_file_leaves_the_former_list),
        TEST(account_survives_a_restart),
        TEST(fifth_wrong_password_locks),
        TEST(administrator_unlocks),
        TEST(session_is_found_until_it_expires),
        TEST(dropped_session_is_gone),
        TEST(bearer_token_is_no_session),
        TEST(token_works_once),
        TEST(thousand_expired_sessions_go_at_once),
        TEST(secrets_are_kept_for_each_endpoint_until_the_closing),
        TEST(archive_lists_the_newest_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
