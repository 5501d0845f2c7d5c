/* Checks: a technician asks how a room looks and sounds; giaoban-check looks into its camera and microphone for a few
 * seconds by a feed that its worker writes for that. A check whose checker or worker dies is begun once more, so the
 * technician waits longer and learns the same; then it is given up. Which of four rooms' bytes have killed giaoban-check
 * isn't known: each is looked at alone then, and takes no other with it. Nothing here touches what the room sends or gets.
 *
 * giaoban-check decodes strangers' bytes, so a verdict is read like a stranger's: names by table, numbers clamped. */
#include "control/control.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/feed.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RUNNING_MAX = 4,  /* as many as giaoban-check takes */
    WAITING_MAX = 64, /* with those that run: every room of a province at once */
    TRIES = 2,
    LOSSY_PERCENT = 5, /* a picture that loses so much is not called clear */
    BODY_MAX = 2048,
};
#define CHECK_US 8000000    /* giaoban-check takes 3–5 s; the rest is feed, decoding and a busy machine */
#define WAITING_US 90000000 /* 64 rooms, four at a time, each 3–5 s */
#define AGAIN_US 40000000   /* four suspects, one at a time, or a room that joins another worker */
#define CHECKER_US 8000000  /* giaoban-check is started again after two seconds at most; without it nobody waits */

struct check {
    struct check *next;
    uint32_t id;
    char briefing[WISH_ID_MAX];
    uint32_t number;      /* the room that is looked at */
    struct ws_peer *peer; /* whom to answer, and to which request; or … */
    int64_t request;
    struct http_call *call; /* … an administrator on this machine */
    uint32_t feed;          /* 0: it waits for its turn */
    bool handed_over;       /* giaoban-check has it */
    bool suspect;           /* giaoban-check died with it in hand */
    unsigned tries;
    int64_t until_us;
};

static struct check *by_id(struct control *c, uint32_t id)
{
    for (struct check *k = c->checks; k; k = k->next)
        if (k->id == id)
            return k;
    return NULL;
}

static struct check *by_feed(struct control *c, uint32_t feed)
{
    for (struct check *k = c->checks; k; k = k->next)
        if (k->feed && k->feed == feed)
            return k;
    return NULL;
}

static void tell_checker(struct control *c, const char *what, uint32_t id, const int *fds, size_t n_fds)
{
    char text[64];
    int len = snprintf(text, sizeof text, "{\"m\":\"%s\",\"id\":%u}", what, id);
    if (c->checker_fd >= 0 && link_send_body(c->checker_fd, text, (size_t)len, fds, n_fds))
        log_warn("check", "check=%u not said to giaoban-check: %s", id, what);
}

static void stop_looking(struct control *c, struct check *k)
{
    if (k->handed_over)
        tell_checker(c, "drop", k->id, NULL, 0);
    if (k->feed)
        feed_check_close(c, k->feed);
    k->feed = 0;
    k->handed_over = false;
}

static void end(struct control *c, struct check *k)
{
    struct check **at = &c->checks;
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    stop_looking(c, k);
    free(k);
}

static void refuse(struct control *c, struct check *k, const char *code)
{
    if (k->call)
        signaling_http_refuse(k->call, 503, refusal_find(code));
    else
        signaling_refuse(k->peer, k->request, refusal_find(code));
    c->checks_failed++;
    log_warn("check", "briefing=%s endpoint=%u check=%u code=%s", k->briefing, k->number, k->id, code);
    end(c, k);
}

/* Its checker or worker is gone, or could not do it. */
static void try_again(struct control *c, struct check *k)
{
    stop_looking(c, k);
    if (++k->tries >= TRIES)
        refuse(c, k, "check-failed");
    else
        k->until_us = clock_now_us() + AGAIN_US;
}

/* ---- the verdict ---- */

struct words {
    const char *name, *vi, *en;
};

static const struct words picture_words[] = {
    {"good", "Hình rõ", "Picture clear"},
    {"lossy", "Hình bị mất gói trên đường truyền", "Picture loses packets on the line"},
    {"frozen", "Hình đứng yên", "Picture stands still"},
    {"black", "Hình tối đen", "Picture is black"},
    {"broken", "Hình không giải mã được", "Picture can't be decoded"},
    {"unsupported", "Có hình nhưng không kiểm tra được định dạng này",
     "Picture arrives, in a format that can't be checked here"},
    {"none", "Không có hình", "No picture"},
    {"off", "Không có hình: camera của phòng đang tắt", "No picture: the room's camera is off"},
};

static const struct words sound_words[] = {
    {"good", "tiếng tốt", "sound good"},
    {"clipped", "tiếng bị vỡ, cần giảm âm lượng micrô", "sound is distorted: turn the microphone down"},
    {"quiet", "tiếng rất nhỏ", "sound very faint"},
    {"silent", "micrô bật nhưng không có tiếng", "the microphone is on but silent"},
    {"broken", "tiếng không giải mã được", "sound can't be decoded"},
    {"none", "không có tiếng", "no sound"},
    {"muted", "không có tiếng: micrô của phòng đang tắt", "no sound: the room's microphone is off"},
};

static const struct words *words_of(const struct words *list, size_t n, const char *name)
{
    for (size_t i = 0; name && i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

static int number_of(const json_t *o, const char *key, int min, int max)
{
    json_int_t v = json_integer_value(json_object_get(o, key));
    return v < min ? min : v > max ? max : (int)v;
}

/* What the briefing knows makes two of the verdicts clearer: nothing comes of what is switched off. */
static const struct words *picture_verdict(const json_t *o, const struct briefing_endpoint *e)
{
    const char *name = json_string_value(json_object_get(o, "verdict"));
    int lost = number_of(o, "lost", 0, 1000000), packets = number_of(o, "packets", 0, 1000000);
    if (name && strcmp(name, "none") == 0 && e && !e->camera)
        name = "off";
    if (name && strcmp(name, "good") == 0 && lost * 100 > (lost + packets) * LOSSY_PERCENT)
        name = "lossy";
    return words_of(picture_words, sizeof picture_words / sizeof *picture_words, name);
}

static const struct words *sound_verdict(const json_t *o, const struct briefing_endpoint *e)
{
    const char *name = json_string_value(json_object_get(o, "verdict"));
    if (name && strcmp(name, "none") == 0 && e && !e->microphone)
        name = "muted";
    return words_of(sound_words, sizeof sound_words / sizeof *sound_words, name);
}

static json_t *answer(struct control *c, const struct check *k, const json_t *verdict)
{
    const struct meeting *m = meeting_find(c, k->briefing);
    const struct briefing_endpoint *e = m ? briefing_endpoint(m->settled, k->number) : NULL;
    const json_t *p = json_object_get(verdict, "picture"), *s = json_object_get(verdict, "sound");
    const struct words *picture = picture_verdict(p, e), *sound = sound_verdict(s, e);
    char vi[200], en[200];
    if (!picture || !sound)
        return NULL;
    snprintf(vi, sizeof vi, "%s; %s", picture->vi, sound->vi);
    snprintf(en, sizeof en, "%s; %s", picture->en, sound->en);
    return json_pack("{s:I, s:{s:s, s:i, s:i, s:i, s:i, s:i}, s:{s:s, s:i, s:i, s:i}, s:{s:s, s:s}}", "endpoint",
                     (json_int_t)k->number, "picture", "verdict", picture->name, "width", number_of(p, "width", 0, 16383),
                     "height", number_of(p, "height", 0, 16383), "frames", number_of(p, "frames", 0, 100000), "lost",
                     number_of(p, "lost", 0, 1000000), "luma", number_of(p, "luma", 0, 255), "sound", "verdict", sound->name,
                     "level_db", number_of(s, "level_db", -96, 0), "peak_db", number_of(s, "peak_db", -96, 0), "lost",
                     number_of(s, "lost", 0, 1000000), "words", "vi", vi, "en", en);
}

static void take_verdict(struct control *c, const json_t *message)
{
    struct check *k = by_id(c, (uint32_t)json_integer_value(json_object_get(message, "id")));
    const char *name = json_string_value(json_object_get(message, "m"));
    if (!k || !k->handed_over || !name)
        return;
    k->handed_over = false; /* it is done with it */
    json_t *told = strcmp(name, "verdict") == 0 ? answer(c, k, message) : NULL;
    if (!told) {
        try_again(c, k);
        return;
    }
    log_info("check", "briefing=%s endpoint=%u check=%u words=\"%s\"", k->briefing, k->number, k->id,
             json_string_value(json_object_get(json_object_get(told, "words"), "en")));
    c->checks_done++;
    if (k->call)
        signaling_http_reply(k->call, 200, told);
    else
        signaling_reply(k->peer, k->request, told);
    end(c, k);
}

/* ---- giaoban-check ---- */

static void checker_gone(struct control *c)
{
    if (c->checker_fd < 0)
        return;
    signaling_unwatch(c->signaling, c->checker_fd);
    close(c->checker_fd);
    c->checker_fd = -1;
    c->checker_gone_us = clock_now_us();
    for (struct check *k = c->checks, *next; k; k = next) {
        next = k->next;
        if (!k->handed_over)
            continue;
        k->suspect = true;
        try_again(c, k);
    }
}

static void checker_readable(void *ctx, int fd)
{
    struct control *c = ctx;
    char body[BODY_MAX];
    for (int i = 0; i < RUNNING_MAX; i++) {
        size_t len, n_fds = 0;
        int fds[LINK_FDS_MAX];
        int err = link_receive_body(fd, body, sizeof body, &len, fds, &n_fds);
        for (size_t f = 0; !err && f < n_fds; f++)
            close(fds[f]); /* it sends none */
        if (err == ERR_CLOSED || err == ERR_IO)
            checker_gone(c);
        if (err && err != ERR_MALFORMED)
            return;
        json_t *message = err ? NULL : json_loadb(body, len, 0, NULL);
        take_verdict(c, message);
        json_decref(message);
    }
}

void checker_linked(struct control *c, int fd)
{
    checker_gone(c);
    c->checker_fd = fd;
    signaling_watch(c->signaling, fd, checker_readable, c);
}

/* ---- a check's course ---- */

static unsigned under_way(const struct control *c)
{
    unsigned n = 0;
    for (const struct check *k = c->checks; k; k = k->next)
        n++;
    return n;
}

static bool checker_lacks(const struct control *c, int64_t now_us)
{
    return c->checker_fd < 0 && now_us - c->checker_gone_us >= CHECKER_US;
}

/* Four at a time; a suspect alone. */
static bool has_turn(const struct control *c, const struct check *k)
{
    unsigned n = 0;
    bool suspect = false;
    for (const struct check *o = c->checks; o; o = o->next) {
        n += o->feed != 0;
        suspect = suspect || (o->feed && o->suspect);
    }
    return k->suspect ? n == 0 : n < RUNNING_MAX && !suspect;
}

static bool has_media(const struct control *c, const struct meeting *m, uint32_t number)
{
    const struct seat *seat = &m->seats[number];
    return seat->connected && worker_lives(c, seat->worker) && m->sent[seat->worker];
}

/* NULL: it may. */
static const char *objection(const struct meeting *m, uint32_t number)
{
    const struct control *c = m->control;
    if (!briefing_endpoint(m->settled, number))
        return "unknown-endpoint";
    if (!has_media(c, m, number))
        return "check-offline";
    if (under_way(c) >= WAITING_MAX)
        return "busy";
    for (const struct check *k = c->checks; k; k = k->next)
        if (k->number == number && strcmp(k->briefing, briefing_id(m->settled)) == 0)
            return "check-running";
    return NULL;
}

/* At the queue's end. */
static const char *add(struct meeting *m, const struct check *what)
{
    struct control *c = m->control;
    const char *code = objection(m, what->number);
    struct check *k = code ? NULL : calloc(1, sizeof *k);
    if (!k)
        return code ? code : "internal";
    *k = *what;
    k->id = ++c->next_check;
    k->until_us = clock_now_us() + WAITING_US;
    snprintf(k->briefing, sizeof k->briefing, "%s", briefing_id(m->settled));
    struct check **at = &c->checks;
    while (*at)
        at = &(*at)->next;
    *at = k;
    return NULL;
}

void check_request(struct meeting *m, uint32_t by, struct ws_peer *peer, int64_t id, const json_t *params)
{
    const struct briefing_endpoint *asker = briefing_endpoint(m->settled, by);
    struct check what = {
        .number = (uint32_t)json_integer_value(json_object_get(params, "endpoint")), .peer = peer, .request = id};
    const char *code = asker && role_is_staff(asker->role) ? add(m, &what) : "not-staff";
    if (code)
        signaling_refuse(peer, id, refusal_find(code));
}

void check_call(struct meeting *m, struct http_call *call, const json_t *params)
{
    json_int_t number = json_integer_value(json_object_get(params, "endpoint"));
    struct check what = {.number = number > 0 && number < SEATS_MAX ? (uint32_t)number : 0, .call = call};
    const char *code = http_call_identity(call)->loopback_admin ? add(m, &what) : "only-here";
    if (code)
        signaling_http_refuse(call, strcmp(code, "only-here") == 0 ? 403 : 409, refusal_find(code));
}

static void begin(struct control *c, struct check *k, int64_t now_us)
{
    struct meeting *m = meeting_find(c, k->briefing);
    if (!m || !has_media(c, m, k->number))
        return; /* it is on its way to another worker: until `until_us` */
    k->feed = feed_check_open(c, k->briefing, m->seats[k->number].worker, k->number);
    k->until_us = now_us + CHECK_US;
}

void checks_tick(struct control *c, int64_t now_us)
{
    for (struct check *k = c->checks, *next; k; k = next) {
        next = k->next;
        if (now_us >= k->until_us || checker_lacks(c, now_us))
            refuse(c, k, "check-failed");
        else if (!k->feed && c->checker_fd >= 0 && has_turn(c, k))
            begin(c, k, now_us);
    }
}

void check_feed_ready(struct control *c, uint32_t feed, int data, int tail)
{
    struct check *k = by_feed(c, feed);
    int readonly;
    if (!k)
        return;
    if (c->checker_fd < 0 || feed_readonly(data, &readonly)) {
        try_again(c, k);
        return;
    }
    k->handed_over = true;
    tell_checker(c, "check", k->id, (const int[]){readonly, tail}, 2);
    close(readonly);
}

void check_feed_lost(struct control *c, uint32_t feed)
{
    struct check *k = by_feed(c, feed);
    if (k)
        try_again(c, k);
}

void checks_forget_peer(struct control *c, const struct ws_peer *peer)
{
    for (struct check *k = c->checks, *next; k; k = next) {
        next = k->next;
        if (k->peer && k->peer == peer)
            end(c, k);
    }
}

unsigned checks_running(const struct control *c)
{
    unsigned n = 0;
    for (const struct check *k = c->checks; k; k = k->next)
        n += k->handed_over;
    return n;
}

void checks_free(struct control *c)
{
    while (c->checks)
        end(c, c->checks);
    if (c->checker_fd >= 0) {
        signaling_unwatch(c->signaling, c->checker_fd);
        close(c->checker_fd);
    }
    c->checker_fd = -1;
}
