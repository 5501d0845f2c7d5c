/* Transport-wide feedback, as the receiver makes it and as a sender reads it. Input: where numbers begin, then arrivals and
 * feedbacks. What is reported as received has arrived, at the time that was reported; what has arrived is reported, unless
 * it came later than the module says; feedbacks are small, whole and counted. */
#include "base/err.h"
#include "rtp/transport_cc.h"
#include "require.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    STEP_US = 250,
    FEEDBACK_BYTES = 1000,
    FEEDBACKS_MAX = TRANSPORT_CC_WINDOW,
    REWIND_MAX = 500,
    BEHIND_MAX = 30000 /* more would be ahead, modulo 65536 */
};
#define PERIOD_US ((int64_t)64000 << 24)

struct arrival {
    int64_t number, at_us;
    uint32_t input;     /* that it is of */
    bool due, reported; /* due: it must be reported by the time all feedback has been made */
};

static struct transport_cc_receiver receiver;
static struct arrival arrivals[65536]; /* by number modulo 65536 */
static int64_t newest, now_us;
static uint32_t input;
static uint8_t count;

static struct arrival *arrival_at(int64_t number)
{
    return &arrivals[number & 0xffff];
}

static bool has_arrived(int64_t number)
{
    return arrival_at(number)->input == input && arrival_at(number)->number == number;
}

static void arrive(int64_t number)
{
    int64_t low = (uint16_t)(number - receiver.next); /* distances as the module sees them */
    int64_t ahead = low < 32768 ? low : low - 65536;
    bool known = has_arrived(number), accepted = !receiver.started || ahead >= -REWIND_MAX;
    if (receiver.started && ahead >= TRANSPORT_CC_WINDOW) /* it begins anew there: what was not reported yet is not */
        for (int64_t i = number - 2 * TRANSPORT_CC_WINDOW; i < number; i++)
            if (i > 0 && has_arrived(i))
                arrival_at(i)->due = false;
    transport_cc_arrived(&receiver, (uint16_t)number, now_us);
    if (number > newest)
        newest = number;
    if (!known && accepted && number > newest - TRANSPORT_CC_WINDOW) /* an older one has no cell left */
        *arrival_at(number) = (struct arrival){.number = number, .at_us = now_us, .input = input, .due = true};
}

static void check_packet(const struct transport_cc_packet *p)
{
    int64_t number = newest - (uint16_t)(newest - p->seq);
    struct arrival *a = arrival_at(number);
    if (!p->received)
        return;
    require(has_arrived(number));
    require(p->arrival_us == a->at_us / STEP_US * STEP_US % PERIOD_US);
    a->reported = true;
}

static void check_feedback(const uint8_t *bytes, size_t len)
{
    static struct transport_cc_feedback feedback;
    struct reader r = reader_make(bytes, len);
    struct rtcp_block b;
    require(len % 4 == 0 && rtcp_next(&r, &b) == 0 && reader_left(&r) == 0);
    require(transport_cc_parse(&b, &feedback) == 0);
    require(feedback.count == count++ && feedback.n > 0 && feedback.n <= TRANSPORT_CC_BUILD_MAX);
    for (size_t i = 0; i < feedback.n; i++) {
        require(i == 0 || feedback.packets[i].seq == (uint16_t)(feedback.packets[i - 1].seq + 1));
        check_packet(&feedback.packets[i]);
    }
}

static void report(void)
{
    uint8_t bytes[FEEDBACK_BYTES];
    for (unsigned i = 0;; i++) {
        struct writer w = writer_make(bytes, sizeof bytes);
        int err = transport_cc_build(&receiver, &w, 1, 2);
        require(err == 0 || err == ERR_AGAIN);
        if (err)
            break;
        require(i < FEEDBACKS_MAX);
        check_feedback(bytes, writer_len(&w));
    }
    for (int64_t number = newest - TRANSPORT_CC_WINDOW + 1; number <= newest; number++)
        require(number < 0 || !has_arrived(number) || !arrival_at(number)->due || arrival_at(number)->reported);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    input++;
    transport_cc_init(&receiver);
    count = 0;
    newest = 0;
    int64_t number = 65536 + (data[0] << 8 | data[1]);
    now_us = (int64_t)data[2] * 6000000000;
    for (size_t at = 3; at + 2 <= size && at < 2000; at += 2) {
        if (data[at + 1] == 0xff) {
            report();
            continue;
        }
        number += (int8_t)data[at] * (data[at + 1] & 1 ? 32 : 1);
        now_us += data[at + 1] & 2 ? data[at + 1] * 100000 : data[at + 1] * 100;
        if (number < newest - BEHIND_MAX)
            number = newest - BEHIND_MAX;
        if (number > 0)
            arrive(number);
    }
    report();
    return 0;
}
