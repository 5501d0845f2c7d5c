/* The index of briefings and the archive's, in memory; log.c keeps the former's rows. */
#include "base/err.h"
#include "store/log.h"

#include <jansson.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

struct listed {
    struct store_briefing b; /* b.units: this entry's */
};

static int compare_briefing(const void *a, const void *b)
{
    return strcmp(((const struct listed *)a)->b.id, ((const struct listed *)b)->b.id);
}

static struct listed *find_entry(struct store *s, const char *id)
{
    struct listed key = {0};
    if (strnlen(id, WISH_ID_MAX) == WISH_ID_MAX)
        return NULL;
    memcpy(key.b.id, id, strlen(id) + 1);
    return tree_find(&s->briefings, &key, compare_briefing);
}

static void free_entry(void *item)
{
    struct listed *e = item;
    free((void *)e->b.units);
    free(e);
}

void store_free_briefings(struct store *s)
{
    tdestroy(s->briefings, free_entry);
    s->briefings = NULL;
}

char *store_units_text(const struct briefing_schedule *schedule)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < schedule->n_units; i++)
        json_array_append_new(list, json_string(schedule->units[i].id));
    char *text = list && json_array_size(list) == schedule->n_units ? json_dumps(list, JSON_COMPACT) : NULL;
    json_decref(list);
    return text;
}

static int add_entry(struct store *s, struct listed *e, const json_t *units)
{
    size_t n = json_array_size(units);
    char(*ids)[WISH_ID_MAX] = calloc(n ? n : 1, sizeof(*ids));
    if (!ids) {
        free(e);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        const char *id = json_string_value(json_array_get(units, i));
        if (id && strlen(id) < WISH_ID_MAX)
            memcpy(ids[i], id, strlen(id) + 1);
    }
    e->b.units = (const char(*)[WISH_ID_MAX])ids;
    e->b.n_units = n;
    struct listed *old = find_entry(s, e->b.id);
    if (old) {
        tdelete(old, &s->briefings, compare_briefing);
        free_entry(old);
    }
    if (!tsearch(e, &s->briefings, compare_briefing)) {
        free_entry(e);
        return ERR_NOMEM;
    }
    return 0;
}

static int load_briefing(void *ctx, sqlite3_stmt *row)
{
    struct listed *e = calloc(1, sizeof(*e));
    if (!e)
        return ERR_NOMEM;
    sql_text(row, 0, e->b.id, sizeof(e->b.id));
    sql_text(row, 1, e->b.title, sizeof(e->b.title));
    e->b.starts_ms = sqlite3_column_int64(row, 2);
    e->b.opened_ms = sqlite3_column_int64(row, 3);
    e->b.closed_ms = sqlite3_column_int64(row, 4);
    e->b.phase = (enum briefing_phase)sqlite3_column_int(row, 5);
    e->b.record = sqlite3_column_int(row, 6);
    e->b.recording = sqlite3_column_int(row, 7);
    json_t *units = json_loads((const char *)sqlite3_column_text(row, 8), 0, NULL);
    int err = add_entry(ctx, e, units);
    json_decref(units);
    return err;
}

int store_load_briefings(struct store *s)
{
    return sql_each(&s->caller, SQL_BRIEFINGS, NULL, 0, load_briefing, s);
}

static int index_made(struct store *s, const struct briefing_schedule *made)
{
    struct listed *e = calloc(1, sizeof(*e));
    if (!e)
        return ERR_NOMEM;
    e->b.starts_ms = made->starts_ms;
    e->b.record = made->record;
    memcpy(e->b.id, made->id, sizeof(e->b.id));
    memcpy(e->b.title, made->title, sizeof(e->b.title));
    json_t *units = json_array();
    for (size_t i = 0; i < made->n_units; i++)
        json_array_append_new(units, json_string(made->units[i].id));
    int err = add_entry(s, e, units);
    json_decref(units);
    return err;
}

void store_index_apply(struct store *s, const char *briefing, const struct index_change *change)
{
    if (change->made && index_made(s, change->made))
        return; /* no memory: it is back at the next start */
    struct listed *e = find_entry(s, briefing);
    if (!e)
        return;
    if (change->opened_ms)
        e->b.opened_ms = change->opened_ms;
    if (change->closed_ms)
        e->b.closed_ms = change->closed_ms;
    if (change->phase > e->b.phase)
        e->b.phase = change->phase;
    if (change->recording >= 0)
        e->b.recording = change->recording;
}

const struct store_briefing *store_briefing_find(struct store *s, const char *id)
{
    struct listed *e = find_entry(s, id);
    return e ? &e->b : NULL;
}

/* ---- sorted walks ---- */

struct pointers {
    const void **items;
    size_t n, cap;
};

static void collect(const void *node, VISIT visit, void *ctx)
{
    struct pointers *p = ctx;
    if ((visit != postorder && visit != leaf) || p->n == p->cap)
        return;
    p->items[p->n++] = *(const void *const *)node;
}

static void count(const void *node, VISIT visit, void *ctx)
{
    if (visit == postorder || visit == leaf)
        ++*(size_t *)ctx;
}

static struct pointers sorted(const void *tree, int (*compare)(const void *, const void *))
{
    struct pointers p = {0};
    size_t n = 0;
    twalk_r(tree, count, &n);
    p.items = calloc(n + 1, sizeof(*p.items));
    p.cap = p.items ? n : 0;
    twalk_r(tree, collect, &p);
    if (p.n)
        qsort(p.items, p.n, sizeof(*p.items), compare);
    return p;
}

static int by_start(const void *a, const void *b)
{
    const struct listed *x = *(const struct listed *const *)a, *y = *(const struct listed *const *)b;
    if (x->b.starts_ms != y->b.starts_ms)
        return x->b.starts_ms < y->b.starts_ms ? -1 : 1;
    return strcmp(x->b.id, y->b.id);
}

void store_briefings(struct store *s, int64_t from_ms, int64_t to_ms,
                     bool (*each)(void *ctx, const struct store_briefing *b), void *ctx)
{
    struct pointers p = sorted(s->briefings, by_start);
    for (size_t i = 0; i < p.n; i++) {
        const struct store_briefing *b = &((const struct listed *)p.items[i])->b;
        bool due = b->starts_ms >= from_ms && b->starts_ms < to_ms;
        if ((due || b->phase == BRIEFING_OPEN) && !each(ctx, b))
            break;
    }
    free(p.items);
}

/* ---- archive ---- */

static const char *const recording_states[] = {"recording", "queued", "composing", "ready", "failed"};

const char *store_recording_state_name(enum store_recording_state state)
{
    return (unsigned)state < 5 ? recording_states[state] : "failed";
}

static int compare_recording(const void *a, const void *b)
{
    return strcmp(((const struct store_recording *)a)->briefing, ((const struct store_recording *)b)->briefing);
}

static int keep_recording(struct store *s, const struct store_recording *r)
{
    struct store_recording *copy = malloc(sizeof(*copy));
    if (!copy)
        return ERR_NOMEM;
    *copy = *r;
    return tree_put(&s->recordings, copy, compare_recording);
}

static int load_recording(void *ctx, sqlite3_stmt *row)
{
    struct store_recording r = {.opened_ms = sqlite3_column_int64(row, 2),
                                .seconds = sqlite3_column_double(row, 3),
                                .percent = (unsigned)sqlite3_column_int(row, 5),
                                .formats = (unsigned)sqlite3_column_int(row, 6),
                                .state = RECORDING_FAILED};
    char state[24];
    sql_text(row, 0, r.briefing, sizeof(r.briefing));
    sql_text(row, 1, r.title, sizeof(r.title));
    sql_text(row, 4, state, sizeof(state));
    for (unsigned i = 0; i < 5; i++) {
        if (!strcmp(state, recording_states[i]))
            r.state = (enum store_recording_state)i;
    }
    return keep_recording(ctx, &r);
}

int store_load_recordings(struct store *s)
{
    return sql_each(&s->caller, SQL_RECORDINGS, NULL, 0, load_recording, s);
}

int store_recording_put(struct store *s, const struct store_recording *r, store_done done, void *ctx)
{
    if (!wish_id_valid(r->briefing))
        return ERR_INVAL;
    int err =
        store_write(s, SQL_RECORDING_PUT,
                    (struct sql_value[]){V_TEXT(r->briefing), V_TEXT(r->title), V_INT(r->opened_ms), V_REAL(r->seconds),
                                         V_TEXT(store_recording_state_name(r->state)), V_INT(r->percent), V_INT(r->formats)},
                    7, done, ctx);
    return err ? err : keep_recording(s, r);
}

int store_recording_find(struct store *s, const char *briefing, struct store_recording *ret_recording)
{
    struct store_recording key = {0};
    if (strnlen(briefing, WISH_ID_MAX) == WISH_ID_MAX)
        return ERR_NOTFOUND;
    memcpy(key.briefing, briefing, strlen(briefing) + 1);
    const struct store_recording *r = tree_find(&s->recordings, &key, compare_recording);
    if (!r)
        return ERR_NOTFOUND;
    *ret_recording = *r;
    return 0;
}

static int newest_first(const void *a, const void *b)
{
    const struct store_recording *x = *(const struct store_recording *const *)a,
                                 *y = *(const struct store_recording *const *)b;
    if (x->opened_ms != y->opened_ms)
        return x->opened_ms > y->opened_ms ? -1 : 1;
    return strcmp(x->briefing, y->briefing);
}

void store_recordings(struct store *s, bool (*each)(void *ctx, const struct store_recording *r), void *ctx)
{
    struct pointers p = sorted(s->recordings, newest_first);
    for (size_t i = 0; i < p.n && each(ctx, p.items[i]); i++) {
    }
    free(p.items);
}
