/* The messages between giaoband and a worker: JSON objects, one a SOCK_SEQPACKET message of at most LINK_BODY_MAX bytes.
 * Pure codec. Thread: any. Field names are the JSON's; `m` names the message.
 *
 * To the worker
 *   {"m":"hello","epoch":E,"limits":{"handshakes_turn","half_open","half_open_source","handshake_seconds","stun_source",
 *    "endpoint_bps","tcp","tcp_source","tcp_check_seconds"},"dscp":{"sound","picture","screen","control"}}
 *       first on every new link; a lower epoch is refused. Again with new limits after a reload of the configuration. A
 * limit that is missing is the default of net/net.h, a mark that is missing or 0 is none
 *   {"m":"again"}                                              control's queue was full and much is lost: say hello again
 *   {"m":"wish-begin","epoch":E,"version":V,"briefing":"id","record":b,"record_cameras":b,"stage":n,"screen":n,"floor":n}
 *   {"m":"wish-endpoint", …struct wish_endpoint…}              (as many as needed)
 *       "site":[number,elsewhere,down_kbps,up_kbps] is there for those who have one
 *   {"m":"wish-end","version":V,"count":N}                     applied here, as a whole, never in part
 *       a full wish of one briefing; a link that breaks before the end leaves the former one
 *   {"m":"wish-delta","epoch":E,"base":V,"version":V2, …header fields…, "endpoints":[…changed…],"gone":[numbers]}
 *       a new endpoint whole; of a known one its number and the fields that change, so that a change of the stage for 500
 *       endpoints fits into one message
 *       refused with "refused"/"stale" when base is not the version the worker holds: a full wish follows
 *   {"m":"briefing-gone","briefing":"id"}
 *   {"m":"offer","req":R,"briefing":"id","endpoint":n,"incarnation":i,"sdp":"…"}   the endpoint is in the wish already
 *   {"m":"feed-open","feed":id,"briefing":"id","role":"writer|reader|recorder","peer":worker}   + fds data, tail[, wake]
 *       role "recorder": we write what is recorded; "writer"/"reader": a mirror to or from worker `peer`
 *   {"m":"feed-open","feed":id,"briefing":"id","role":"check","endpoint":n}   + fds data, tail
 *       we write the open microphone and the lowest layer of the camera of endpoint n, from a keyframe on
 *   {"m":"feed-close","feed":id}
 *   {"m":"restrict","briefing":"id","act":a,"endpoint":n,"kinds":mask,"remove":b}  a mute or removal ahead of its commit
 *   {"m":"settled","act":a}                                    decided: in the log, or refused by it; the next wish lifts it
 *
 * From the worker
 *   {"m":"layouts","endpoints":[{"briefing","number","layout":{"stage_size","screen_size","tiles"}}]}
 *       what its endpoints show, in as many messages as needed, ahead of hello: a restarted control has lost the layouts
 *   {"m":"hello","generation":G,"epoch":E,"briefings":[{"id","version"}],"restrictions":[{act…}],"feeds":[ids],
 *    "endpoints":[{"briefing","number","incarnation","connected"}],"addresses":["ip:port"…]}
 *   {"m":"answer","req":R,"sdp":"…"}  or  {"m":"refused","req":R,"code":"…","why":"English text"}
 *       first on every new link; again after "again", and when the worker's queue was full and has been read
 *   {"m":"state","briefing":"id","endpoints":[{
 *        "number":n,"incarnation":i,"connected":b,            DTLS up and consent fresh
 *        "slots":[{"mid":"3","endpoint":n,"kind":"microphone|camera|screen","paused":b}],
 *                                                             what is in each receive slot, 0: nobody; paused: its line does
 *                                                             not hold it, nothing flows
 *        "speaking":b,"level":dBov (−127 … 0),
 *        "send":[{"kind":…,"bps":x,"layers":n,"height":h,"loss_permille":x}],    what it sends us
 *        "receive":{"bps":x,"loss_permille":x,"rtt_ms":x,"estimate_bps":x},      what we send it
 *        "wanted":[{"kind":"camera|screen","layers":[{"rid":"l","active":b,"max_bps":x}]}]}],
 *            what it should send: layers that somebody looks at, each at most so large (0: as it would by itself); rid ""
 *            without simulcast
 *    "speaker":n}                                                loudest speaker, 0: silence
 *       a dirty flag: latest state of changed endpoints only; slots, connected, speaking and wanted at most every 20 ms,
 * rates every second
 *   {"m":"metrics","counters":{"name":value…}}                   once a second; names as in docs/metrics.md
 *   {"m":"acted","act":a,"at_us":monotonic}                      a restriction is in force
 *   {"m":"feed-ready","feed":id}
 */
#pragma once

#include "wish/wish.h"

#include <jansson.h>

/* Codec between structs and JSON. Keys are the structs' field names, the briefing's id is "briefing"; a size is
 * [width,height], a tile [endpoint,width,height]. Strict: every field but "site" must be there, none besides ("m" and the
 * message's own fields excepted), every number in its range, ids valid, and no source in two video slots of one endpoint.
 * `ret_` values untouched on failure. ERR_MALFORMED with a reason for the log in `why` (static text). The json object stays
 * the caller's; results of *_to_json are new references, NULL when out of memory. */
json_t *wish_endpoint_to_json(const struct wish_endpoint *e);
int wish_endpoint_from_json(const json_t *o, struct wish_endpoint *ret, const char **ret_why);
/* What changes from `old` to `e`, and its number; and such a change made to `e`, which is untouched on failure. */
json_t *wish_endpoint_change_to_json(const struct wish_endpoint *old, const struct wish_endpoint *e);
int wish_endpoint_change_from_json(const json_t *o, struct wish_endpoint *e, const char **ret_why);
/* What an endpoint shows, apart from who: {"stage_size","screen_size","tiles"}. A worker tells it ahead of HELLO,
 * so that a restarted control, whose layouts are gone, wishes what is there already. Reading fills these fields of `ret`
 * alone. */
json_t *wish_layout_to_json(const struct wish_endpoint *e);
int wish_layout_from_json(const json_t *o, struct wish_endpoint *ret, const char **ret_why);
/* Header fields only (no endpoints). */
json_t *wish_briefing_to_json(const struct wish_briefing *b);
int wish_briefing_from_json(const json_t *o, struct wish_briefing *ret, const char **ret_why);

/* The difference from `base` to `next` as a wish-delta object, or NULL with *ret_same = true when there is none. */
json_t *wish_delta(const struct wish_briefing *base, const struct wish_briefing *next, uint64_t epoch, uint64_t base_version,
                   uint64_t version, bool *ret_same);
/* Applies a wish-delta object to `b`. On failure `b` is unchanged. */
int wish_apply_delta(struct wish_briefing *b, const json_t *delta, const char **ret_why);
