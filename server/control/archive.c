/* /api/v1/archive: the store's index and the files of a recording's directory. Files themselves are signaling's. */
#include "control/control.h"

#include "control/archive_page.h"
#include "control/aside.h"

#include <stdlib.h>
#include <string.h>

static bool invited(struct control *c, const char *briefing, const char *unit)
{
    const struct store_briefing *b = store_briefing_find(c->store, briefing);
    for (size_t i = 0; b && i < b->n_units; i++)
        if (strcmp(b->units[i], unit) == 0)
            return true;
    return false;
}

bool archive_may_read(void *ctx, const struct identity *who, const char *briefing)
{
    if (!who)
        return false;
    if (who->loopback_admin || who->role == ROLE_ADMINISTRATOR)
        return true;
    if (who->briefing[0])
        return strcmp(who->briefing, briefing) == 0;
    return who->role == ROLE_SECRETARY || who->role == ROLE_CHAIR || invited(ctx, briefing, who->unit);
}

static json_t *format_names(unsigned formats)
{
    json_t *list = json_array();
    if (formats & RECORDING_MP4)
        json_array_append_new(list, json_string("mp4"));
    if (formats & RECORDING_WEBM)
        json_array_append_new(list, json_string("webm"));
    return list;
}

static json_t *summary(struct control *c, const struct store_recording *r)
{
    return json_pack("{s:s, s:s, s:I, s:f, s:s, s:I, s:o}", "id", r->briefing, "title", r->title, "opened_ms",
                     (json_int_t)r->opened_ms, "seconds", r->seconds, "state", store_recording_state_name(r->state),
                     "percent", (json_int_t)recording_percent(c, r->briefing, r->percent), "formats",
                     format_names(r->formats));
}

struct listing {
    struct control *c;
    const struct identity *who;
    json_t *list;
};

static bool list_one(void *ctx, const struct store_recording *r)
{
    struct listing *l = ctx;
    if (archive_may_read(l->c, l->who, r->briefing))
        json_array_append_new(l->list, summary(l->c, r));
    return true;
}

/* ---- one recording: its files are read aside ---- */

struct page_job {
    struct aside_job job;
    struct http_call *call;
    json_t *answer; /* the index's part */
    json_t *page;
    char dir[4096];
};

static void read_page(struct aside_job *job)
{
    struct page_job *p = (struct page_job *)job;
    p->page = archive_page(p->dir);
}

static void answer_page(struct control *c, struct aside_job *job)
{
    struct page_job *p = (struct page_job *)job;
    if (p->page && json_object_update(p->answer, p->page) == 0) {
        signaling_http_reply(p->call, 200, p->answer);
    } else {
        json_decref(p->answer);
        signaling_http_refuse(p->call, 503, refusal_find("internal"));
    }
    json_decref(p->page);
    free(p);
}

static void show(struct control *c, struct http_call *call, const struct store_recording *r)
{
    struct page_job *p = calloc(1, sizeof *p);
    if (!p) {
        signaling_http_refuse(call, 503, refusal_find("internal"));
        return;
    }
    *p = (struct page_job){.job = {.work = read_page, .done = answer_page}, .call = call, .answer = summary(c, r)};
    recording_dir(c, r->briefing, p->dir, sizeof p->dir);
    aside_run(c, &p->job);
}

static bool may_compose(const struct identity *who)
{
    return who->loopback_admin || (!who->briefing[0] && role_is_staff(who->role)) || who->role == ROLE_SECRETARY ||
           who->role == ROLE_CHAIR;
}

static void order_compose(struct control *c, struct http_call *call, const struct store_recording *r, const json_t *body)
{
    const char *format = json_string_value(json_object_get(body, "format"));
    const struct refusal *why = !may_compose(http_call_identity(call)) ? refusal_find("not-allowed") : NULL;
    if (!why)
        why = recording_compose(c, r->briefing, format && strcmp(format, "webm") == 0 ? RECORDING_WEBM : RECORDING_MP4);
    if (why)
        signaling_http_refuse(call, strcmp(why->code, "not-allowed") == 0 ? 403 : 409, why);
    else
        signaling_http_reply(call, 202, json_object());
}

/* `rest`: what follows "archive": "", "/ID" or "/ID/compose". */
void archive_request(struct control *c, struct http_call *call, const char *verb, const char *rest, const json_t *body)
{
    struct listing l = {.c = c, .who = http_call_identity(call)};
    struct store_recording r;
    char id[WISH_ID_MAX], act[16] = "";
    bool get = strcmp(verb, "GET") == 0;
    int parts = sscanf(rest, "/%39[^/]/%15[a-z]", id, act);
    if (*rest == '\0' && get) {
        l.list = json_array();
        store_recordings(c->store, list_one, &l);
        signaling_http_reply(call, 200, json_pack("{s:o}", "recordings", l.list));
    } else if (parts < 1 || !archive_may_read(c, l.who, id) || store_recording_find(c->store, id, &r)) {
        signaling_http_refuse(call, 404, refusal_find("no-recording"));
    } else if (parts == 1 && get) {
        show(c, call, &r);
    } else if (parts == 2 && strcmp(act, "compose") == 0 && strcmp(verb, "POST") == 0) {
        order_compose(c, call, &r, body);
    } else {
        signaling_http_refuse(call, 404, refusal_find("not-found"));
    }
}
