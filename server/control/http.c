/* /api/v1 about briefings. Signaling has checked size, JSON, schema of the body and who asks. */
#include "control/control.h"

#include "base/clock.h"
#include "base/err.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static void refuse(struct http_call *call, int status, const char *code)
{
    signaling_http_refuse(call, status, refusal_find(code));
}

static bool plans(const struct identity *who)
{
    return who && (who->loopback_admin || who->role == ROLE_ADMINISTRATOR ||
                   (!who->briefing[0] && (who->role == ROLE_CHAIR || who->role == ROLE_SECRETARY)));
}

/* ---- lists ---- */

static json_t *summary_of_closed(const struct store_briefing *b, enum role role)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:b, s:s}", "id", b->id, "title", b->title, "starts_ms",
                     (json_int_t)b->starts_ms, "state", briefing_phase_name(b->phase), "units", (json_int_t)b->n_units,
                     "endpoints", (json_int_t)0, "recording", 0, "role", role_name(role));
}

static bool invited(const struct store_briefing *b, const char *unit)
{
    for (size_t i = 0; i < b->n_units; i++)
        if (strcmp(b->units[i], unit) == 0)
            return true;
    return false;
}

static bool may_see_closed(const struct store_briefing *b, const struct identity *who)
{
    if (who->briefing[0])
        return strcmp(who->briefing, b->id) == 0;
    return who->loopback_admin || who->role == ROLE_ADMINISTRATOR || who->role == ROLE_SECRETARY || invited(b, who->unit);
}

struct listing {
    struct control *c;
    const struct identity *who;
    json_t *list;
};

static json_t *summary_for(struct control *c, const struct store_briefing *b, const struct identity *who)
{
    struct meeting *m = meeting_find(c, b->id);
    if (m)
        return who->loopback_admin || !briefing_may_enter(m->settled, who) ? briefing_summary(m->settled, who->role) : NULL;
    return may_see_closed(b, who) ? summary_of_closed(b, who->role) : NULL;
}

static bool list_one(void *ctx, const struct store_briefing *b)
{
    struct listing *l = ctx;
    json_t *summary = summary_for(l->c, b, l->who);
    if (summary)
        json_array_append_new(l->list, summary);
    return true;
}

static int64_t query_number(const char *query, const char *key, int64_t fallback)
{
    size_t len = strlen(key);
    for (const char *at = query; at && *at; at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL)
        if (strncmp(at, key, len) == 0 && at[len] == '=')
            return strtoll(at + len + 1, NULL, 10);
    return fallback;
}

static void list_briefings(struct control *c, struct http_call *call, const char *query)
{
    struct listing l = {.c = c, .who = http_call_identity(call), .list = json_array()};
    store_briefings(c->store, query_number(query, "from_ms", 0), query_number(query, "to_ms", INT64_MAX), list_one, &l);
    signaling_http_reply(call, 200, json_pack("{s:o}", "briefings", l.list));
}

static void show_briefing(struct control *c, struct http_call *call, const char *id)
{
    const struct store_briefing *b = store_briefing_find(c->store, id);
    json_t *summary = b ? summary_for(c, b, http_call_identity(call)) : NULL;
    if (summary)
        signaling_http_reply(call, 200, summary);
    else
        refuse(call, 404, "unknown-briefing");
}

/* ---- scheduling ---- */

static const char *add_units(struct control *c, const json_t *ids, struct briefing_schedule *s)
{
    const json_t *id;
    size_t i;
    s->units = calloc(json_array_size(ids) + 1, sizeof *s->units);
    if (!s->units)
        return "internal";
    json_array_foreach(ids, i, id) {
        const struct store_unit *u = json_string_value(id) ? store_unit_find(c->store, json_string_value(id)) : NULL;
        if (!u)
            return "unknown-unit";
        struct briefing_unit *to = &s->units[s->n_units++];
        snprintf(to->id, sizeof to->id, "%s", u->id);
        snprintf(to->name, sizeof to->name, "%s", u->name);
        snprintf(to->short_name, sizeof to->short_name, "%s", u->short_name);
    }
    return s->n_units ? NULL : "bad-params";
}

static void create_briefing(struct control *c, struct http_call *call, const json_t *body)
{
    struct briefing_schedule s = {.starts_ms = json_integer_value(json_object_get(body, "starts_ms")),
                                  .record = json_is_true(json_object_get(body, "record"))};
    new_id("b", s.id, sizeof s.id);
    snprintf(s.title, sizeof s.title, "%s", json_string_value(json_object_get(body, "title")) ?: "");
    const char *code = plans(http_call_identity(call)) ? add_units(c, json_object_get(body, "units"), &s) : "not-allowed";
    struct meeting *m = code ? NULL : meeting_new(c);
    struct briefing_command command = {.kind = COMMAND_SCHEDULE, .role = ROLE_ADMINISTRATOR, .schedule = &s};
    struct commit asker = {.call = call};
    const struct refusal *why = m ? meeting_command(m, &command, &asker) : refusal_find(code ? code : "internal");
    if (why) {
        if (m)
            meeting_remove(m);
        signaling_http_refuse(call, strcmp(why->code, "not-allowed") == 0 ? 403 : 422, why);
    }
    free(s.units);
}

/* ---- one briefing ---- */

static bool schedule_has(const struct meeting *m, const char *unit)
{
    const struct briefing_schedule *s = briefing_schedule_of(m->settled);
    for (size_t i = 0; s && i < s->n_units; i++)
        if (strcmp(s->units[i].id, unit) == 0)
            return true;
    return false;
}

static const char *sign_link(struct control *c, const struct meeting *m, const json_t *body, char *token, size_t cap)
{
    const char *unit = json_string_value(json_object_get(body, "unit")),
               *role = json_string_value(json_object_get(body, "role"));
    char nonce[32];
    enum role parsed;
    if (!unit || !schedule_has(m, unit))
        return "not-invited";
    if (!role || role_parse(role, &parsed) || parsed == ROLE_ADMINISTRATOR)
        return "bad-params";
    new_id("", nonce, sizeof nonce);
    json_int_t expires = clock_wall_us() / 1000000 + json_integer_value(json_object_get(body, "expires_s"));
    json_t *payload = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s}", "t", "join", "briefing", briefing_id(m->settled), "unit",
                                unit, "role", role, "exp", expires, "n", nonce);
    int err = payload ? token_sign(signaling_secret(c->signaling), payload, token, cap) : ERR_NOMEM;
    json_decref(payload);
    return err ? "internal" : NULL;
}

static void make_link(struct control *c, struct http_call *call, struct meeting *m, const json_t *body)
{
    const struct identity *who = http_call_identity(call);
    char token[513], path[520];
    bool here = who && (!who->briefing[0] || strcmp(who->briefing, briefing_id(m->settled)) == 0);
    bool allowed = here && (who->loopback_admin || (role_is_staff(who->role) && who->role != ROLE_CHAIR));
    const char *code = allowed ? sign_link(c, m, body, token, sizeof token) : "not-allowed";
    if (code) {
        refuse(call, allowed ? 422 : 403, code);
        return;
    }
    snprintf(path, sizeof path, "/j/%s", token);
    signaling_http_reply(call, 201, json_pack("{s:s, s:s}", "token", token, "path", path));
}

/* What chair and secretary do in the conference, with the websocket's params, for the administrator on the machine itself.
 */
static void run_command(struct http_call *call, struct meeting *m, const char *method, const json_t *params)
{
    const struct identity *who = http_call_identity(call);
    struct briefing_command command = {.role = ROLE_ADMINISTRATOR};
    struct commit asker = {.call = call};
    const struct refusal *why =
        who->loopback_admin ? briefing_command_parse(method, params, &command) : refusal_find("only-here");
    command.role = ROLE_ADMINISTRATOR;
    if (!why)
        why = recording_check(m, &command);
    if (!why)
        why = meeting_command(m, &command, &asker);
    if (why)
        signaling_http_refuse(call,
                              strcmp(why->code, "only-here") == 0        ? 403
                              : strcmp(why->code, "unknown-method") == 0 ? 404
                                                                         : 409,
                              why);
}

static void act_on_briefing(struct control *c, struct http_call *call, const char *id, const char *act, const json_t *body)
{
    struct meeting *m = meeting_find(c, id);
    if (!m)
        refuse(call, store_briefing_find(c->store, id) ? 409 : 404,
               store_briefing_find(c->store, id) ? "already-closed" : "unknown-briefing");
    else if (strcmp(act, "links") == 0)
        make_link(c, call, m, body);
    else if (strcmp(act, "check") == 0)
        check_call(m, call, body);
    else
        run_command(call, m, act, body);
}

/* ---- upgrade in place ---- */

static json_t *upgrade_json(const struct control *c)
{
    static const char *const steps[] = {"none", "workers", "control", "move", "recorders", "done", "failed"};
    unsigned step = c->upgrade.step < sizeof steps / sizeof *steps ? c->upgrade.step : 0;
    return json_pack("{s:s, s:I, s:s}", "step", steps[step], "moving", (json_int_t)c->upgrade.moving, "text",
                     c->upgrade.text);
}

static bool upgrades(const struct control *c)
{
    enum upgrade_step step = c->upgrade.step;
    return step != UPGRADE_NONE && step != UPGRADE_DONE && step != UPGRADE_FAILED;
}

static void upgrade(struct control *c, struct http_call *call, bool begin)
{
    if (!http_call_identity(call)->loopback_admin) {
        refuse(call, 403, "only-here");
        return;
    }
    if (begin && (upgrades(c) || c->stopping)) {
        refuse(call, 409, c->stopping ? "shutting-down" : "upgrading");
        return;
    }
    if (begin) {
        c->upgrade = (struct upgrade_state){.step = UPGRADE_WORKERS}; /* until the supervisor says more */
        link_say(&(struct link_message){.kind = LINK_UPGRADE}, "", NULL, 0);
    }
    signaling_http_reply(call, begin ? 202 : 200, upgrade_json(c));
}

void http_request(void *ctx, struct http_call *call, const char *verb, const char *path, const char *query,
                  const json_t *body)
{
    struct control *c = ctx;
    char id[WISH_ID_MAX], act[24] = "";
    bool get = strcmp(verb, "GET") == 0, post = strcmp(verb, "POST") == 0;
    int parts = sscanf(path, "briefings/%39[^/]/%23[a-z-]", id, act);
    if (!http_call_identity(call))
        refuse(call, 401, "no-session");
    else if (strcmp(path, "briefings") == 0 && get)
        list_briefings(c, call, query);
    else if (strcmp(path, "briefings") == 0 && post && body)
        create_briefing(c, call, body);
    else if (parts == 1 && get)
        show_briefing(c, call, id);
    else if (parts == 2 && post)
        act_on_briefing(c, call, id, act, body);
    else if (strcmp(path, "upgrade") == 0 && (get || post))
        upgrade(c, call, post);
    else if (strncmp(path, "archive", 7) == 0)
        archive_request(c, call, verb, path + 7, body);
    else
        refuse(call, 404, "not-found");
}

int first_link(const struct control *c, char *ret_path, size_t cap)
{
    char nonce[32], token[513];
    new_id("", nonce, sizeof nonce);
    json_t *payload =
        json_pack("{s:s, s:I, s:s}", "t", "first", "exp", (json_int_t)clock_wall_us() / 1000000 + 86400, "n", nonce);
    int err = payload ? token_sign(signaling_secret(c->signaling), payload, token, sizeof token) : ERR_NOMEM;
    json_decref(payload);
    if (!err)
        snprintf(ret_path, cap, "/first/%s", token);
    return err;
}
