/* Requests on a websocket, after signaling has checked type, size and rate. */
#include "control/control.h"

#include "base/clock.h"

#include <string.h>

static void pong(struct ws_peer *peer, int64_t id, const json_t *params)
{
    const struct visitor *v = ws_peer_user(peer);
    signaling_reply(peer, id,
                    json_pack("{s:O, s:I}", "client_ms", json_object_get(params, "client_ms"), "server_ms",
                              (json_int_t)meeting_now_ms(v ? v->meeting : NULL)));
}

static void command_request(struct meeting *m, uint32_t number, struct ws_peer *peer, int64_t id, const char *method,
                            const json_t *params)
{
    struct briefing_command command = {0};
    struct commit asker = {.peer = peer, .id = id};
    const struct refusal *why = briefing_command_parse(method, params, &command);
    command.by = number;
    if (!why)
        why = recording_check(m, &command);
    if (!why)
        why = meeting_command(m, &command, &asker);
    if (why)
        signaling_refuse(peer, id, why);
}

void request_on_peer(void *ctx, struct ws_peer *peer, int64_t id, const char *method, const json_t *params)
{
    struct control *c = ctx;
    struct visitor *v = ws_peer_user(peer);
    if (strcmp(method, "hello") == 0) {
        entry_hello(c, peer, id, params);
        return;
    }
    if (strcmp(method, "ping") == 0) {
        pong(peer, id, params);
        return;
    }
    if (!v || !v->meeting) {
        signaling_refuse(peer, id, refusal_find("hello-first"));
        return;
    }
    if (strcmp(method, "offer") == 0)
        offer_request(v->meeting, v->number, peer, id, params);
    else if (strcmp(method, "layout") == 0)
        offer_layout(v->meeting, v->number, peer, id, params);
    else if (strcmp(method, "check") == 0)
        check_request(v->meeting, v->number, peer, id, params);
    else
        command_request(v->meeting, v->number, peer, id, method, params);
}
