/* The conduct of a briefing: who may do what, and what follows from it. A scenario is a table of requests and what each
 * yields: its events in short, or "!" and the code of the refusal. */
#include "briefing/briefing.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The room of all scenarios; numbers are in order of joining. */
enum { NOBODY, CHAIR, SECRETARY, A, B, OBSERVER, TECHNICIAN, ADMINISTRATOR };

static struct briefing_unit units[] = {{"h-a", "Huyện A", "A"}, {"h-b", "Huyện B", "B"}, {"h-c", "Huyện C", "C"}};
static const struct briefing_unit ubnd = {"ubnd-tinh", "Ủy ban nhân dân tỉnh", "UBND tỉnh"};

static struct briefing_seat seat(const char *id, const struct briefing_unit *unit, enum role role)
{
    struct briefing_seat s = {.unit = *unit, .role = role};
    snprintf(s.id, sizeof(s.id), "%s", id);
    snprintf(s.key, sizeof(s.key), "link:%s", id);
    return s;
}

/* ---- saying what came out ---- */

static void say_event(char *text, size_t cap, const struct briefing_event *e)
{
    size_t at = strlen(text);
    at += (size_t)snprintf(text + at, cap - at, "%s%s", at ? ", " : "", briefing_event_name(e->kind));
    if (e->number || e->kind == EVENT_SPOTLIGHTED || e->kind == EVENT_SCREEN_SHOWN)
        at += (size_t)snprintf(text + at, cap - at, " %u", e->number);
    if (e->kind == EVENT_MEDIA)
        at += (size_t)snprintf(text + at, cap - at, " %c%c%c", e->microphone ? 'm' : '-', e->camera ? 'c' : '-',
                               e->screen ? 's' : '-');
    if (e->kind == EVENT_MICROPHONES_LOCKED || e->kind == EVENT_RECORDING)
        at += (size_t)snprintf(text + at, cap - at, " %s", e->on ? "on" : "off");
    if (e->kind == EVENT_JOINED && !e->hears)
        at += (size_t)snprintf(text + at, cap - at, " deaf");
    if (e->kind == EVENT_MUTED || e->kind == EVENT_REMOVED)
        at += (size_t)snprintf(text + at, cap - at, " by %u", e->by);
    for (size_t i = 0; i < e->n_except; i++)
        at += (size_t)snprintf(text + at, cap - at, " !%u", e->except[i]);
}

static int64_t clock_ms = 1000;

/* Decides, folds, and says what happened; valid until the next call. */
static const char *run(struct briefing *b, struct briefing_command c)
{
    static char text[512];
    struct briefing_events events = {0};
    c.at_ms = ++clock_ms;
    const struct refusal *no = briefing_command(b, &c, &events);
    text[0] = '\0';
    if (no)
        snprintf(text, sizeof(text), "!%s", no->code);
    for (size_t i = 0; i < events.n; i++) {
        say_event(text, sizeof(text), &events.items[i]);
        assert_int_equal(briefing_apply(b, &events.items[i]), 0);
    }
    briefing_events_free(&events);
    return text;
}

static const char *request(struct briefing *b, uint32_t by, const char *method, const char *params)
{
    struct briefing_command c;
    json_t *o = json_loads(params, 0, NULL);
    assert_non_null(o);
    const struct refusal *no = briefing_command_parse(method, o, &c);
    json_decref(o);
    static char code[64];
    snprintf(code, sizeof(code), "!%s", no ? no->code : "");
    c.by = by;
    return no ? code : run(b, c);
}

static const char *join(struct briefing *b, const char *id, const struct briefing_unit *unit, enum role role)
{
    struct briefing_seat s = seat(id, unit, role);
    return run(b, (struct briefing_command){.kind = COMMAND_JOIN, .seat = &s});
}

static const char *lost(struct briefing *b, uint32_t number)
{
    return run(b, (struct briefing_command){.kind = COMMAND_LOST, .endpoint = number});
}

/* ---- rooms ---- */

static struct briefing *scheduled_room(bool record)
{
    struct briefing *b = briefing_new();
    const struct briefing_schedule s = {
        .id = "b1", .title = "Giao ban tuần", .record = record, .units = units, .n_units = 3};
    assert_string_equal(run(b, (struct briefing_command){.kind = COMMAND_SCHEDULE, .role = ROLE_SECRETARY, .schedule = &s}),
                        "scheduled");
    assert_string_equal(join(b, "chair", &ubnd, ROLE_CHAIR), "joined 1");
    assert_string_equal(join(b, "secretary", &ubnd, ROLE_SECRETARY), "joined 2");
    assert_string_equal(join(b, "a", &units[0], ROLE_DELEGATE), "joined 3");
    assert_string_equal(join(b, "b", &units[1], ROLE_DELEGATE), "joined 4");
    assert_string_equal(join(b, "c", &units[2], ROLE_OBSERVER), "joined 5");
    assert_string_equal(join(b, "technician", &ubnd, ROLE_TECHNICIAN), "joined 6");
    assert_string_equal(join(b, "administrator", &(struct briefing_unit){0}, ROLE_ADMINISTRATOR), "joined 7");
    return b;
}

static struct briefing *open_room(void)
{
    struct briefing *b = scheduled_room(false);
    assert_string_equal(request(b, CHAIR, "open", "{}"), "opened");
    return b;
}

struct step {
    uint32_t by;
    const char *method, *params, *yields;
};

static void play(struct briefing *b, const struct step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *got = request(b, steps[i].by, steps[i].method, steps[i].params);
        if (strcmp(got, steps[i].yields))
            fail_msg("step %zu, %s: expected “%s”, got “%s”", i, steps[i].method, steps[i].yields, got);
    }
    briefing_free(b);
}

#define PLAY(b, ...)                                                                                                        \
    play(b, (const struct step[]){__VA_ARGS__}, sizeof((const struct step[]){__VA_ARGS__}) / sizeof(struct step))

/* ---- rights ---- */

static void every_role_has_its_rights(void **state)
{
    /* What each role gets in a fresh open room: "" when it is allowed. */
    static const struct {
        const char *method, *params;
        const char *yields[6]; /* observer, delegate, technician, secretary, chair, administrator */
    } rows[] = {
        {"close", "{}", {"not-chair", "not-chair", "not-chair", "", "", ""}},
        {"open", "{}", {"not-chair", "not-chair", "not-chair", "already-open", "already-open", "already-open"}},
        {"grant", "{\"endpoint\":4}", {"not-chair", "not-chair", "not-chair", "", "", ""}},
        {"revoke", "{}", {"not-chair", "not-chair", "not-chair", "", "", ""}},
        {"mute", "{\"endpoint\":4}", {"not-staff", "not-staff", "", "", "", ""}},
        {"mute-all", "{}", {"not-staff", "not-staff", "", "", "", ""}},
        {"lock-microphones", "{\"locked\":true}", {"not-chair", "not-chair", "not-chair", "", "", ""}},
        {"spotlight", "{\"endpoint\":4}", {"not-chair", "not-chair", "not-chair", "", "", ""}},
        {"remove", "{\"endpoint\":4}", {"not-chair", "not-chair", "not-chair", "", "", ""}},
        {"record", "{\"on\":true}", {"not-chair", "not-chair", "not-chair", "", "", ""}},
        {"raise-hand", "{}", {"observer", "", "not-allowed", "", "", ""}},
        {"raise-hand", "{\"endpoint\":4}", {"not-chair", "not-chair", "not-chair", "", "", ""}},
        {"lower-hand", "{}", {"", "", "", "", "", ""}},
        {"lower-hand", "{\"endpoint\":4}", {"not-chair", "not-chair", "not-chair", "", "", ""}},
        {"media", "{\"microphone\":true,\"camera\":true,\"screen\":false}", {"observer", "", "", "", "", ""}},
        {"media",
         "{\"microphone\":false,\"camera\":false,\"screen\":true}",
         {"observer", "not-holder", "not-holder", "", "", ""}},
        {"media", "{\"microphone\":false,\"camera\":false,\"screen\":false}", {"", "", "", "", "", ""}},
        {"leave", "{}", {"", "", "", "", "", ""}},
    };
    static const uint32_t actors[] = {OBSERVER, A, TECHNICIAN, SECRETARY, CHAIR, ADMINISTRATOR};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t k = 0; k < 6; k++) {
            struct briefing *b = open_room();
            const char *got = request(b, actors[k], rows[i].method, rows[i].params);
            if (strcmp(got[0] == '!' ? got + 1 : "", rows[i].yields[k]))
                fail_msg("%s %s by %u: expected “%s”, got “%s”", rows[i].method, rows[i].params, actors[k],
                         rows[i].yields[k], got);
            briefing_free(b);
        }
    }
}

static void locked_microphones_open_for_those_who_conduct_and_the_holder(void **state)
{
    static const char open_it[] = "{\"microphone\":true,\"camera\":false,\"screen\":false}";
    PLAY(open_room(), {A, "media", open_it, "media 3 m--"},
         {CHAIR, "lock-microphones", "{\"locked\":true}", "microphones-locked on"},
         {A, "media", open_it, ""}, /* open before: stays */
         {B, "media", open_it, "!microphones-locked"}, {TECHNICIAN, "media", open_it, "!microphones-locked"},
         {SECRETARY, "media", open_it, "media 2 m--"}, {CHAIR, "media", open_it, "media 1 m--"},
         {CHAIR, "grant", "{\"endpoint\":4}", "floor-granted 4, media 4 m--"},
         {B, "media", "{\"microphone\":false,\"camera\":false,\"screen\":false}", "media 4 ---"},
         {B, "media", open_it, "media 4 m--"}, /* the holder's is its own */
         {CHAIR, "lock-microphones", "{\"locked\":true}", ""},
         {CHAIR, "lock-microphones", "{\"locked\":false}", "microphones-locked off"});
}

/* ---- floor and hands ---- */

static void granting_hands_the_floor_over(void **state)
{
    PLAY(open_room(), {A, "raise-hand", "{}", "hand-raised 3"}, {B, "raise-hand", "{}", "hand-raised 4"},
         {A, "raise-hand", "{}", ""}, /* it is up */
         {CHAIR, "grant", "{\"endpoint\":3}", "hand-lowered 3, floor-granted 3, media 3 m--"},
         {CHAIR, "grant", "{\"endpoint\":4}", "media 3 ---, hand-lowered 4, floor-granted 4, media 4 m--"},
         {CHAIR, "grant", "{\"endpoint\":4}", ""}, {SECRETARY, "mute", "{\"endpoint\":4}", "muted 4 by 2"},
         {CHAIR, "grant", "{\"endpoint\":4}", "media 4 m--"}, /* asked to speak again */
         {B, "raise-hand", "{}", ""},                         /* it has the floor */
         {CHAIR, "revoke", "{}", "media 4 ---, floor-revoked 4"}, {CHAIR, "revoke", "{}", ""});
}

static void holder_gives_the_floor_back_itself(void **state)
{
    PLAY(open_room(), {CHAIR, "grant", "{\"endpoint\":3}", "floor-granted 3, media 3 m--"},
         {B, "revoke", "{}", "!not-chair"}, {A, "revoke", "{}", "media 3 ---, floor-revoked 3"});
}

static void chair_keeps_its_microphone_when_the_floor_goes_on(void **state)
{
    PLAY(open_room(), {SECRETARY, "grant", "{\"endpoint\":1}", "floor-granted 1, media 1 m--"},
         {CHAIR, "grant", "{\"endpoint\":3}", "floor-granted 3, media 3 m--"},
         {CHAIR, "grant", "{\"endpoint\":1}", "media 3 ---, floor-granted 1"});
}

static void grant_needs_somebody_who_can_speak(void **state)
{
    struct briefing *b = open_room();
    assert_string_equal(lost(b, B), "left 4");
    PLAY(b, {CHAIR, "grant", "{\"endpoint\":4}", "!not-connected"}, {CHAIR, "grant", "{\"endpoint\":5}", "!observer"},
         {CHAIR, "grant", "{\"endpoint\":44}", "!unknown-endpoint"}, {CHAIR, "grant", "{\"endpoint\":0}", "!bad-params"},
         {CHAIR, "grant", "{}", "!bad-params"}, {CHAIR, "grant", "{\"endpoint\":3,\"x\":1}", "!bad-params"},
         {CHAIR, "grant", "{\"endpoint\":\"3\"}", "!bad-params"});
}

static void chair_works_hands_of_others(void **state)
{
    PLAY(open_room(), {SECRETARY, "raise-hand", "{\"endpoint\":4}", "hand-raised 4"},
         {CHAIR, "lower-hand", "{\"endpoint\":4}", "hand-lowered 4"}, {CHAIR, "lower-hand", "{\"endpoint\":4}", ""},
         {CHAIR, "raise-hand", "{\"endpoint\":5}", "!observer"}, {B, "lower-hand", "{\"endpoint\":4}", ""},
         {CHAIR, "raise-hand", "{\"endpoint\":99}", "!unknown-endpoint"});
}

static void hands_queue_in_the_order_of_raising(void **state)
{
    struct briefing *b = open_room();
    static const uint32_t raised[] = {B, CHAIR, A};
    for (size_t i = 0; i < 3; i++)
        request(b, raised[i], "raise-hand", "{}");
    request(b, CHAIR, "lower-hand", "{}");
    request(b, CHAIR, "raise-hand", "{}");
    json_t *s = briefing_state(b, ROLE_DELEGATE);
    static const uint32_t queue[] = {B, A, CHAIR};
    for (size_t i = 0; i < 3; i++) {
        json_t *hand = json_array_get(json_object_get(s, "hands"), i);
        assert_int_equal(json_integer_value(json_object_get(hand, "number")), queue[i]);
    }
    json_decref(s);
    briefing_free(b);
}

/* ---- muting, spotlight, screen ---- */

static void muting_all_spares_holder_and_chair(void **state)
{
    static const char open_it[] = "{\"microphone\":true,\"camera\":true,\"screen\":false}";
    PLAY(open_room(), {CHAIR, "media", open_it, "media 1 mc-"}, {A, "media", open_it, "media 3 mc-"},
         {B, "media", open_it, "media 4 mc-"}, {CHAIR, "grant", "{\"endpoint\":3}", "floor-granted 3"},
         {TECHNICIAN, "mute-all", "{}", "all-muted !1 !3"}, {TECHNICIAN, "mute-all", "{}", ""},
         {TECHNICIAN, "mute", "{\"endpoint\":4}", ""}, {TECHNICIAN, "mute", "{\"endpoint\":3}", "muted 3 by 6"});
}

static void spotlight_ends_with_the_next_grant(void **state)
{
    PLAY(
        open_room(), {CHAIR, "spotlight", "{\"endpoint\":4}", "spotlighted 4"}, {CHAIR, "spotlight", "{\"endpoint\":4}", ""},
        {CHAIR, "grant", "{\"endpoint\":3}", "spotlighted 0, floor-granted 3, media 3 m--"},
        {CHAIR, "spotlight", "{\"endpoint\":5}", "spotlighted 5"}, {CHAIR, "spotlight", "{\"endpoint\":0}", "spotlighted 0"},
        {CHAIR, "spotlight", "{\"endpoint\":77}", "!unknown-endpoint"});
}

static void screen_is_the_last_ones_who_may_share(void **state)
{
    static const char share[] = "{\"microphone\":false,\"camera\":false,\"screen\":true}";
    static const char stop[] = "{\"microphone\":false,\"camera\":false,\"screen\":false}";
    PLAY(open_room(), {SECRETARY, "media", share, "media 2 --s, screen-shown 2"}, {A, "media", share, "!not-holder"},
         {CHAIR, "grant", "{\"endpoint\":3}", "floor-granted 3, media 3 m--"},
         {A, "media", share, "media 2 ---, media 3 --s, screen-shown 3"}, {SECRETARY, "media", stop, ""},
         {CHAIR, "revoke", "{}", "media 3 ---, screen-shown 0, floor-revoked 3"},
         {CHAIR, "media", share, "media 1 --s, screen-shown 1"}, {CHAIR, "media", stop, "media 1 ---, screen-shown 0"});
}

static void screen_goes_with_its_endpoint(void **state)
{
    static const char share[] = "{\"microphone\":false,\"camera\":false,\"screen\":true}";
    struct briefing *b = open_room();
    assert_string_equal(request(b, SECRETARY, "media", share), "media 2 --s, screen-shown 2");
    assert_string_equal(lost(b, SECRETARY), "screen-shown 0, left 2");
    assert_string_equal(lost(b, SECRETARY), "");
    briefing_free(b);
}

/* ---- coming, going ---- */

static void lost_connection_keeps_floor_and_hand(void **state)
{
    struct briefing *b = open_room();
    request(b, CHAIR, "grant", "{\"endpoint\":3}");
    request(b, B, "raise-hand", "{}");
    assert_string_equal(lost(b, A), "left 3");
    assert_string_equal(lost(b, B), "left 4");
    assert_string_equal(request(b, A, "raise-hand", "{}"), "!not-joined");
    assert_int_equal(briefing_floor(b), A);
    assert_string_equal(join(b, "a", &units[0], ROLE_DELEGATE), "joined 3");
    assert_string_equal(join(b, "b", &units[1], ROLE_DELEGATE), "joined 4");
    assert_int_equal(briefing_floor(b), A);
    assert_true(briefing_endpoint(b, B)->hand_seq > 0);
    assert_string_equal(request(b, A, "media", "{\"microphone\":true,\"camera\":false,\"screen\":false}"), "media 3 m--");
    briefing_free(b);
}

static void leaving_gives_everything_up(void **state)
{
    PLAY(open_room(), {A, "raise-hand", "{}", "hand-raised 3"}, {A, "leave", "{}", "hand-lowered 3, left 3"},
         {A, "leave", "{}", "!not-joined"}, {CHAIR, "spotlight", "{\"endpoint\":4}", "spotlighted 4"},
         {B, "leave", "{}", "spotlighted 0, left 4"}, {CHAIR, "grant", "{\"endpoint\":2}", "floor-granted 2, media 2 m--"},
         {SECRETARY, "media", "{\"microphone\":true,\"camera\":true,\"screen\":true}", "media 2 mcs, screen-shown 2"},
         {SECRETARY, "leave", "{}", "screen-shown 0, floor-revoked 2, left 2"});
}

static void take_over_is_no_event(void **state)
{
    struct briefing *b = open_room();
    request(b, CHAIR, "grant", "{\"endpoint\":3}");
    assert_string_equal(join(b, "a", &units[0], ROLE_DELEGATE), "");
    assert_int_equal(briefing_floor(b), A);
    assert_true(briefing_endpoint(b, A)->microphone);
    briefing_free(b);
}

static void numbers_are_never_used_again(void **state)
{
    struct briefing *b = open_room();
    request(b, CHAIR, "remove", "{\"endpoint\":4}");
    request(b, A, "leave", "{}");
    assert_string_equal(join(b, "new", &units[1], ROLE_DELEGATE), "joined 8");
    assert_string_equal(join(b, "a", &units[0], ROLE_DELEGATE), "joined 3");
    briefing_free(b);
}

static void only_so_many_endpoints_fit(void **state)
{
    struct briefing *b = open_room();
    for (unsigned i = 8; i <= WISH_ENDPOINT_NUMBER_MAX; i++) {
        char id[16];
        snprintf(id, sizeof(id), "e%u", i);
        join(b, id, &units[0], ROLE_DELEGATE);
    }
    assert_int_equal(briefing_connected(b), WISH_ENDPOINT_NUMBER_MAX);
    assert_string_equal(join(b, "one-more", &units[0], ROLE_DELEGATE), "!briefing-full");
    assert_string_equal(join(b, "e511", &units[0], ROLE_DELEGATE), ""); /* known ones come back */
    briefing_free(b);
}

static void units_second_endpoint_is_deaf_and_mute(void **state)
{
    struct briefing *b = open_room();
    assert_string_equal(join(b, "a2", &units[0], ROLE_DELEGATE), "joined 8 deaf");
    assert_string_equal(join(b, "a3", &units[0], ROLE_OBSERVER), "joined 9 deaf");
    assert_false(briefing_endpoint(b, 8)->microphone);
    assert_string_equal(join(b, "chair2", &ubnd, ROLE_SECRETARY), "joined 10"); /* a seat of its own */
    struct wish_briefing w;
    assert_int_equal(briefing_wish(b, &w), 0);
    assert_true(wish_find(&w, A)->hears);
    assert_false(wish_find(&w, 8)->hears);
    wish_briefing_free(&w);
    lost(b, A);
    lost(b, 8);
    assert_string_equal(join(b, "a2", &units[0], ROLE_DELEGATE), "joined 8"); /* the only one now */
    assert_string_equal(join(b, "a", &units[0], ROLE_DELEGATE), "joined 3 deaf");
    briefing_free(b);
}

static void entering_needs_an_invitation(void **state)
{
    static const struct briefing_unit stranger = {"h-x", "Huyện X", "X"};
    static const struct {
        const char *id;
        const struct briefing_unit *unit;
        enum role role;
        const char *yields;
    } rows[] = {
        {"x1", &stranger, ROLE_DELEGATE, "!not-invited"},
        {"x2", &stranger, ROLE_OBSERVER, "!not-invited"},
        {"x3", &stranger, ROLE_TECHNICIAN, "joined 8"},
        {"x4", &stranger, ROLE_SECRETARY, "joined 8"},
        {"x5", &stranger, ROLE_CHAIR, "joined 8"},
        {"x6", &units[2], ROLE_DELEGATE, "joined 8 deaf"},
        {"a", &units[1], ROLE_DELEGATE, "!foreign-endpoint"},
        {"", &units[0], ROLE_DELEGATE, "!bad-params"},
        {"../x", &units[0], ROLE_DELEGATE, "!bad-params"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct briefing *b = open_room();
        const char *got = join(b, rows[i].id, rows[i].unit, rows[i].role);
        if (strcmp(got, rows[i].yields))
            fail_msg("row %zu: got “%s”", i, got);
        briefing_free(b);
    }
}

static void identities_see_the_briefings_they_may_enter(void **state)
{
    static const struct {
        struct identity who;
        const char *code; /* NULL: may enter */
    } rows[] = {
        {{.unit = "h-a", .role = ROLE_DELEGATE}, NULL},
        {{.unit = "h-x", .role = ROLE_DELEGATE}, "not-invited"},
        {{.unit = "h-a", .briefing = "b1", .role = ROLE_OBSERVER}, NULL},
        {{.unit = "h-a", .briefing = "b2", .role = ROLE_DELEGATE}, "foreign-briefing"},
        {{.briefing = "b2", .role = ROLE_SECRETARY}, "foreign-briefing"},
        {{.role = ROLE_ADMINISTRATOR}, NULL},
    };
    struct briefing *b = open_room();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct refusal *no = briefing_may_enter(b, &rows[i].who);
        assert_true(rows[i].code ? no && !strcmp(no->code, rows[i].code) : !no);
    }
    briefing_free(b);
}

static void removed_endpoint_stays_out(void **state)
{
    struct briefing *b = open_room();
    request(b, B, "raise-hand", "{}");
    request(b, CHAIR, "grant", "{\"endpoint\":3}");
    assert_string_equal(request(b, SECRETARY, "remove", "{\"endpoint\":3}"), "floor-revoked 3, removed 3 by 2");
    assert_string_equal(request(b, SECRETARY, "remove", "{\"endpoint\":4}"), "hand-lowered 4, removed 4 by 2");
    assert_string_equal(request(b, SECRETARY, "remove", "{\"endpoint\":4}"), "!unknown-endpoint");
    assert_string_equal(request(b, A, "raise-hand", "{}"), "!not-joined");
    assert_string_equal(join(b, "a", &units[0], ROLE_DELEGATE), "!removed");
    struct briefing_seat again = seat("fresh", &units[0], ROLE_DELEGATE);
    snprintf(again.key, sizeof(again.key), "link:a"); /* the same link, another device */
    assert_string_equal(run(b, (struct briefing_command){.kind = COMMAND_JOIN, .seat = &again}), "!removed");
    assert_string_equal(join(b, "new-link", &units[0], ROLE_DELEGATE), "joined 8");
    assert_string_equal(request(b, SECRETARY, "remove", "{\"endpoint\":1}"), "!chair-stays");
    assert_string_equal(request(b, SECRETARY, "remove", "{\"endpoint\":2}"), "!bad-params");
    briefing_free(b);
}

/* ---- opening, recording, closing ---- */

static void before_the_opening_people_test_but_nobody_conducts(void **state)
{
    PLAY(scheduled_room(false), {A, "media", "{\"microphone\":true,\"camera\":true,\"screen\":false}", "media 3 mc-"},
         {CHAIR, "grant", "{\"endpoint\":3}", "!not-open"}, {A, "raise-hand", "{}", "!not-open"},
         {CHAIR, "record", "{\"on\":true}", "!not-open"}, {TECHNICIAN, "mute", "{\"endpoint\":3}", "muted 3 by 6"},
         {SECRETARY, "open", "{}", "opened"}, {CHAIR, "open", "{}", "!already-open"});
}

static void recording_follows_the_opening_when_it_was_scheduled(void **state)
{
    PLAY(scheduled_room(true), {CHAIR, "open", "{}", "opened, recording on"}, {SECRETARY, "record", "{\"on\":true}", ""},
         {SECRETARY, "record", "{\"on\":false}", "recording off"}, {SECRETARY, "record", "{\"on\":true}", "recording on"},
         {CHAIR, "grant", "{\"endpoint\":3}", "floor-granted 3, media 3 m--"},
         {CHAIR, "close", "{}", "recording off, floor-revoked 3, closed"}, {CHAIR, "close", "{}", "!already-closed"});
}

static void closed_briefing_takes_nothing(void **state)
{
    struct briefing *b = open_room();
    assert_string_equal(request(b, CHAIR, "close", "{}"), "closed");
    assert_int_equal(briefing_connected(b), 0);
    assert_string_equal(lost(b, A), "");
    assert_string_equal(join(b, "a", &units[0], ROLE_DELEGATE), "!already-closed");
    PLAY(b, {A, "leave", "{}", ""}, {A, "raise-hand", "{}", "!already-closed"}, {CHAIR, "open", "{}", "!already-closed"},
         {CHAIR, "record", "{\"on\":true}", "!already-closed"});
}

static void program_closes_through_the_api(void **state)
{
    struct briefing *b = open_room();
    assert_string_equal(run(b, (struct briefing_command){.kind = COMMAND_CLOSE, .role = ROLE_DELEGATE}), "!not-chair");
    assert_string_equal(run(b, (struct briefing_command){.kind = COMMAND_LEAVE, .role = ROLE_ADMINISTRATOR}), "!bad-params");
    assert_string_equal(run(b, (struct briefing_command){.kind = COMMAND_MUTE, .role = ROLE_ADMINISTRATOR, .endpoint = 3}),
                        "");
    assert_string_equal(run(b, (struct briefing_command){.kind = COMMAND_CLOSE, .role = ROLE_ADMINISTRATOR}), "closed");
    briefing_free(b);
}

static void schedule_is_checked(void **state)
{
    static struct briefing_unit twice[] = {{"h-a"}, {"h-a"}}, unnamed[] = {{""}};
    static const struct {
        struct briefing_schedule schedule;
        enum role role;
        const char *yields;
    } rows[] = {
        {{.id = "b1", .title = "Giao ban"}, ROLE_SECRETARY, "scheduled"},
        {{.id = "b1", .title = "Giao ban"}, ROLE_CHAIR, "scheduled"},
        {{.id = "b1", .title = "Giao ban"}, ROLE_DELEGATE, "!not-chair"},
        {{.id = "b1", .title = ""}, ROLE_CHAIR, "!bad-params"},
        {{.id = "b1", .title = "Giao \xff"}, ROLE_CHAIR, "!bad-params"},
        {{.id = "", .title = "Giao ban"}, ROLE_CHAIR, "!bad-params"},
        {{.id = "b 1", .title = "Giao ban"}, ROLE_CHAIR, "!bad-params"},
        {{.id = "b1", .title = "Giao ban", .starts_ms = -1}, ROLE_CHAIR, "!bad-params"},
        {{.id = "b1", .title = "Giao ban", .units = twice, .n_units = 2}, ROLE_CHAIR, "!bad-params"},
        {{.id = "b1", .title = "Giao ban", .units = unnamed, .n_units = 1}, ROLE_CHAIR, "!bad-params"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct briefing *b = briefing_new();
        assert_string_equal(request(b, 0, "open", "{}"), "!unknown-briefing");
        struct briefing_command c = {.kind = COMMAND_SCHEDULE, .role = rows[i].role, .schedule = &rows[i].schedule};
        const char *got = run(b, c);
        if (strcmp(got, rows[i].yields))
            fail_msg("row %zu: got “%s”", i, got);
        if (got[0] != '!')
            assert_string_equal(run(b, c), "!already-scheduled");
        briefing_free(b);
    }
}

/* ---- the wish ---- */

static void stage_is_spotlight_else_holder_else_chair(void **state)
{
    /* After these requests, who is on whose stage: of the programme, the chair, A, B. */
    static const struct {
        uint32_t by;
        const char *method, *params;
        uint32_t programme, chair, a, b;
    } rows[] = {
        {CHAIR, "lock-microphones", "{\"locked\":true}", CHAIR, 0, CHAIR, CHAIR},
        {CHAIR, "grant", "{\"endpoint\":3}", A, A, CHAIR, A},
        {CHAIR, "grant", "{\"endpoint\":4}", B, B, B, CHAIR},
        {CHAIR, "spotlight", "{\"endpoint\":3}", A, A, CHAIR, A},
        {CHAIR, "spotlight", "{\"endpoint\":1}", CHAIR, B, CHAIR, CHAIR}, /* the chair sees the holder */
        {CHAIR, "spotlight", "{\"endpoint\":0}", B, B, B, CHAIR},
        {CHAIR, "revoke", "{}", CHAIR, B, CHAIR, CHAIR}, /* the chair sees the former holder */
        {B, "leave", "{}", CHAIR, 0, CHAIR, 0},
    };
    struct briefing *b = open_room();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wish_briefing w;
        assert_true(request(b, rows[i].by, rows[i].method, rows[i].params)[0] != '!');
        assert_int_equal(briefing_wish(b, &w), 0);
        const struct wish_endpoint *chair = wish_find(&w, CHAIR), *a = wish_find(&w, A), *x = wish_find(&w, B);
        if (w.stage != rows[i].programme || chair->stage != rows[i].chair || a->stage != rows[i].a ||
            (x && x->stage != rows[i].b))
            fail_msg("row %zu: programme %u, chair %u, a %u, b %u", i, w.stage, chair->stage, a->stage, x ? x->stage : 0);
        wish_briefing_free(&w);
    }
    briefing_free(b);
}

static void absent_holder_leaves_the_stage_to_the_chair(void **state)
{
    struct briefing *b = open_room();
    struct wish_briefing w;
    request(b, CHAIR, "grant", "{\"endpoint\":3}");
    lost(b, A);
    assert_int_equal(briefing_wish(b, &w), 0);
    assert_int_equal(w.stage, CHAIR);
    assert_int_equal(w.floor, 0);
    assert_null(wish_find(&w, A));
    wish_briefing_free(&w);
    join(b, "a", &units[0], ROLE_DELEGATE);
    assert_int_equal(briefing_wish(b, &w), 0);
    assert_int_equal(w.stage, A);
    assert_int_equal(w.floor, A);
    wish_briefing_free(&w);
    briefing_free(b);
}

static void wish_forwards_what_the_state_says(void **state)
{
    struct briefing *b = open_room();
    struct wish_briefing w;
    const unsigned camera = WISH_BIT(WISH_CAMERA), microphone = WISH_BIT(WISH_MICROPHONE), screen = WISH_BIT(WISH_SCREEN);
    request(b, CHAIR, "grant", "{\"endpoint\":3}");
    request(b, A, "media", "{\"microphone\":true,\"camera\":true,\"screen\":true}");
    assert_int_equal(briefing_wish(b, &w), 0);
    assert_int_equal(wish_find(&w, A)->may_send, camera | microphone | screen);
    assert_int_equal(wish_find(&w, B)->may_send, camera);
    assert_int_equal(wish_find(&w, OBSERVER)->may_send, 0);
    assert_int_equal(w.screen, A);
    assert_int_equal(wish_find(&w, B)->screen, A);
    assert_int_equal(wish_find(&w, A)->screen, 0); /* not its own */
    wish_briefing_free(&w);
    request(b, CHAIR, "mute", "{\"endpoint\":3}");
    assert_int_equal(briefing_wish(b, &w), 0);
    assert_int_equal(wish_find(&w, A)->may_send, camera | screen);
    wish_briefing_free(&w);
    briefing_free(b);
}

static void tiles_never_show_a_source_twice(void **state)
{
    struct briefing *b = open_room();
    struct wish_briefing w;
    const struct briefing_layout layout = {
        .stage = {960, 540},
        .screen = {1280, 720},
        .n_tiles = 6,
        .tiles = {{SECRETARY, {160, 90}},
                  {SECRETARY, {160, 90}},
                  {B, {160, 90}},
                  {A, {160, 90}},
                  {99, {160, 90}},
                  {CHAIR, {1, 2}}},
    };
    static const uint32_t shown[] = {SECRETARY, 0, 0 /* itself */, 0 /* on stage */, 0 /* unknown */, CHAIR};
    request(b, CHAIR, "grant", "{\"endpoint\":3}");
    assert_int_equal(briefing_set_layout(b, B, &layout), 0);
    assert_int_equal(briefing_set_placement(b, B, 1, 7), 0);
    assert_int_equal(briefing_wish(b, &w), 0);
    const struct wish_endpoint *x = wish_find(&w, B);
    assert_int_equal(x->n_tiles, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(x->tiles[i].endpoint, shown[i]);
    assert_true(x->worker == 1 && x->incarnation == 7 && x->stage_size.width == 960 && x->screen_size.height == 720);
    assert_int_equal(wish_find(&w, A)->worker, WISH_UNPLACED);
    assert_true(wish_find(&w, A)->stage_size.width == 1280); /* before its first layout */
    wish_briefing_free(&w);
    assert_int_equal(briefing_set_layout(b, 99, &layout), ERR_NOTFOUND);
    assert_int_equal(briefing_set_placement(b, 99, 1, 1), ERR_NOTFOUND);
    briefing_free(b);
}

static void recording_is_in_the_wish(void **state)
{
    struct briefing *b = scheduled_room(true);
    struct wish_briefing w;
    request(b, CHAIR, "open", "{}");
    briefing_set_record_cameras(b, true);
    assert_int_equal(briefing_wish(b, &w), 0);
    assert_true(w.record && w.record_cameras);
    wish_briefing_free(&w);
    request(b, CHAIR, "record", "{\"on\":false}");
    assert_int_equal(briefing_wish(b, &w), 0);
    assert_false(w.record);
    wish_briefing_free(&w);
    briefing_free(b);
}

/* ---- refusals, methods ---- */

static void every_refusal_speaks_two_languages(void **state)
{
    unsigned n = 0;
    for (const struct refusal *r; (r = refusal_at(n)); n++) {
        assert_true(strlen(r->code) > 1 && strlen(r->vi) > 20 && strlen(r->en) > 20);
        assert_true(strspn(r->code, "abcdefghijklmnopqrstuvwxyz-") == strlen(r->code));
        assert_true(r->vi[strlen(r->vi) - 1] == '.' && r->en[strlen(r->en) - 1] == '.');
        assert_ptr_equal(refusal_find(r->code), r); /* no code twice */
    }
    assert_true(n > 40);
    assert_string_equal(refusal_find("no-such-code")->code, "internal");
    assert_string_equal(refusal_find(NULL)->code, "internal");
}

static void methods_are_parsed_strictly(void **state)
{
    static const struct {
        const char *method, *params, *code; /* NULL: taken */
    } rows[] = {
        {"open", "{}", NULL},
        {"open", "{\"x\":1}", "bad-params"},
        {"open", "[]", "bad-params"},
        {"offer", "{}", "unknown-method"},
        {"join", "{}", "unknown-method"},
        {"", "{}", "unknown-method"},
        {"record", "{\"on\":true}", NULL},
        {"record", "{\"on\":1}", "bad-params"},
        {"record", "{}", "bad-params"},
        {"lock-microphones", "{\"locked\":false}", NULL},
        {"lock-microphones", "{\"on\":false}", "bad-params"},
        {"spotlight", "{\"endpoint\":0}", NULL},
        {"spotlight", "{\"endpoint\":512}", "bad-params"},
        {"mute", "{\"endpoint\":511}", NULL},
        {"mute", "{\"endpoint\":-1}", "bad-params"},
        {"media", "{\"microphone\":true,\"camera\":true}", "bad-params"},
        {"lower-hand", "{\"endpoint\":null}", "bad-params"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct briefing_command c;
        json_t *params = json_loads(rows[i].params, 0, NULL);
        const struct refusal *no = briefing_command_parse(rows[i].method, params, &c);
        if (rows[i].code ? !no || strcmp(no->code, rows[i].code) : no != NULL)
            fail_msg("%s %s: got %s", rows[i].method, rows[i].params, no ? no->code : "nothing");
        json_decref(params);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_role_has_its_rights),
        cmocka_unit_test(locked_microphones_open_for_those_who_conduct_and_the_holder),
        cmocka_unit_test(granting_hands_the_floor_over),
        cmocka_unit_test(holder_gives_the_floor_back_itself),
        cmocka_unit_test(chair_keeps_its_microphone_when_the_floor_goes_on),
        cmocka_unit_test(grant_needs_somebody_who_can_speak),
        cmocka_unit_test(chair_works_hands_of_others),
        cmocka_unit_test(hands_queue_in_the_order_of_raising),
        cmocka_unit_test(muting_all_spares_holder_and_chair),
        cmocka_unit_test(spotlight_ends_with_the_next_grant),
        cmocka_unit_test(screen_is_the_last_ones_who_may_share),
        cmocka_unit_test(screen_goes_with_its_endpoint),
        cmocka_unit_test(lost_connection_keeps_floor_and_hand),
        cmocka_unit_test(leaving_gives_everything_up),
        cmocka_unit_test(take_over_is_no_event),
        cmocka_unit_test(numbers_are_never_used_again),
        cmocka_unit_test(only_so_many_endpoints_fit),
        cmocka_unit_test(units_second_endpoint_is_deaf_and_mute),
        cmocka_unit_test(entering_needs_an_invitation),
        cmocka_unit_test(identities_see_the_briefings_they_may_enter),
        cmocka_unit_test(removed_endpoint_stays_out),
        cmocka_unit_test(before_the_opening_people_test_but_nobody_conducts),
        cmocka_unit_test(recording_follows_the_opening_when_it_was_scheduled),
        cmocka_unit_test(closed_briefing_takes_nothing),
        cmocka_unit_test(program_closes_through_the_api),
        cmocka_unit_test(schedule_is_checked),
        cmocka_unit_test(stage_is_spotlight_else_holder_else_chair),
        cmocka_unit_test(absent_holder_leaves_the_stage_to_the_chair),
        cmocka_unit_test(wish_forwards_what_the_state_says),
        cmocka_unit_test(tiles_never_show_a_source_twice),
        cmocka_unit_test(recording_is_in_the_wish),
        cmocka_unit_test(every_refusal_speaks_two_languages),
        cmocka_unit_test(methods_are_parsed_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
