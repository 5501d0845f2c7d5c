/* The province's units: read from their file at every start, kept in the database so that an older list stays readable. */
#include "base/err.h"
#include "store/internal.h"
#include "wish/fields.h"

#include <stdlib.h>
#include <string.h>

static const struct sql_value *unit_values(const struct store_unit *u, struct sql_value values[6])
{
    values[0] = V_TEXT(u->id);
    values[1] = V_TEXT(u->name);
    values[2] = V_TEXT(u->short_name);
    values[3] = V_TEXT(u->kind);
    values[4] = V_TEXT(u->valid_to);
    values[5] = V_INT(u->order);
    return values;
}

static int read_unit(const json_t *o, struct store_unit *u)
{
    struct fields f = fields_begin(o);
    fields_id(&f, "id", u->id);
    fields_string(&f, "name", u->name, sizeof(u->name));
    fields_string(&f, "short", u->short_name, sizeof(u->short_name));
    fields_string(&f, "kind", u->kind, sizeof(u->kind));
    u->order = (int)fields_integer(&f, "order", 0, 1000000);
    if (fields_has(&f, "validTo"))
        fields_string(&f, "validTo", u->valid_to, sizeof(u->valid_to));
    return fields_end(&f, (const char *const[]){"toConfirm", "validFrom", "body", "class", "aliases", NULL}, NULL);
}

static int import_units(struct sql *q, const json_t *list)
{
    size_t i;
    json_t *o;
    if (!json_is_array(list))
        return ERR_MALFORMED;
    json_array_foreach(list, i, o) {
        struct store_unit u = {0};
        struct sql_value values[6];
        int err = read_unit(o, &u);
        if (!err)
            err = sql_run(q, SQL_UNIT_PUT, unit_values(&u, values), 6);
        if (err)
            return err;
    }
    return 0;
}

static int import_file(struct sql *q, const char *path)
{
    json_t *list = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    if (!list)
        return ERR_MALFORMED;
    int err = sql_run(q, SQL_BEGIN, NULL, 0);
    if (!err) {
        err = import_units(q, list);
        int end = sql_run(q, err ? SQL_ROLLBACK : SQL_COMMIT, NULL, 0);
        err = err ? err : end;
    }
    json_decref(list);
    return err;
}

static int load_unit(void *ctx, sqlite3_stmt *row)
{
    struct store *s = ctx;
    struct store_unit *grown = realloc(s->units, (s->n_units + 1) * sizeof(*grown));
    if (!grown)
        return ERR_NOMEM;
    s->units = grown;
    struct store_unit *u = &grown[s->n_units++];
    *u = (struct store_unit){.order = sqlite3_column_int(row, 5)};
    sql_text(row, 0, u->id, sizeof(u->id));
    sql_text(row, 1, u->name, sizeof(u->name));
    sql_text(row, 2, u->short_name, sizeof(u->short_name));
    sql_text(row, 3, u->kind, sizeof(u->kind));
    sql_text(row, 4, u->valid_to, sizeof(u->valid_to));
    return 0;
}

int store_load_units(struct store *s, const char *path)
{
    int err = path ? import_file(&s->caller, path) : 0;
    return err ? err : sql_each(&s->caller, SQL_UNITS, NULL, 0, load_unit, s);
}

const struct store_unit *store_units(const struct store *s, size_t *ret_n)
{
    *ret_n = s->n_units;
    return s->units;
}

const struct store_unit *store_unit_find(const struct store *s, const char *id)
{
    for (size_t i = 0; i < s->n_units; i++) {
        if (!strcmp(s->units[i].id, id))
            return &s->units[i];
    }
    return NULL;
}
