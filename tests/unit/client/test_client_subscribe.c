/* SPDX-License-Identifier: MIT */
#include "fake.h"

#include "client/conn_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Everything that callbacks saw, as text: "m:hello g:3-5 s:1". */
struct log {
        char text[512];
        ramal_sub *cancel; /* to cancel in the next callback */
        ramal_sub *sub, *pull;
        ramal_msg *kept;
        bool close;
        int blocked; /* what a blocking call inside the callback returned */
        ramal_conn *conn;
        const char *request;
        struct fake *fake;
};

static void add(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct log *log, const char *format, ...) {
        size_t used = strlen(log->text);
        va_list args;

        if (used > 0)
                log->text[used++] = ' ';
        va_start(args, format);
        vsnprintf(log->text + used, sizeof(log->text) - used, format, args);
        va_end(args);
}

static void on_msg(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct log *log = user;
        size_t len;
        const char *data = ramal_msg_data(msg, &len);

        add(log, "m:%.*s", (int)len, data);
        if (log->cancel)
                log->cancel = ramal_sub_cancel(log->cancel);
        if (log->close)
                ramal_close(conn);
}

static void on_gap(ramal_conn *conn, const ramal_gap *gap, void *user) {
        (void)conn;
        add(user, "g:%d-%d/%d", (int)gap->first, (int)gap->last, (int)gap->count);
        assert_int_equal(gap->why, RAMAL_WHY_WINDOW);
        assert_string_equal(gap->pattern, "a.>");
}

static void on_change(ramal_conn *conn, const ramal_sub_change *change, void *user) {
        struct log *log = user;

        (void)conn;
        add(log, "s:%d<%d q%d %d", change->state, change->before, (int)change->queued,
            change->error ? change->error->code : 0);
        if (log->cancel)
                log->cancel = ramal_sub_cancel(log->cancel);
}

static void on_refused(ramal_conn *conn, const ramal_refusal *refusal, void *user) {
        (void)conn;
        add(user, "refused:%s %d", refusal->pattern, refusal->error->code);
}

/* Subscribes to a.> and has it confirmed. */
static ramal_sub *subscribe(struct fake *fake, ramal_conn *conn, ramal_interest interest, ramal_msg_fn fn, void *user) {
        ramal_sub *sub;

        interest.size = sizeof(interest);
        interest.pattern = "a.>";
        assert_int_equal(ramal_subscribe_with(conn, &interest, fn, user, &sub), 0);
        fake_expect(fake, RML_SUBSCRIBE);
        fake_subscribed(fake, fake_control(fake, Subscribe)->sid, RAMAL__V1__STATE__STATE_ACTIVE, 0);
        fake_settle(conn);
        return sub;
}

static void test_subscribe_messages_and_gaps_come_in_order(void **state) {
        struct log log = {.blocked = 0};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);
        ramal_sub *sub = subscribe(&fake, conn, (ramal_interest){.on_gap = on_gap, .user = &log}, on_msg, &log);

        (void)state;
        fake_deliver(&fake, 1, 1, "a.b", "one");
        fake_gap(&fake, 1, 2, 4, 3);
        fake_deliver(&fake, 1, 5, "a.c", "five");
        fake_deliver(&fake, 77, 1, "a.c", "of nobody");
        fake_settle(conn);
        assert_string_equal(log.text, "m:one g:2-4/3 m:five");
        assert_int_equal(ramal_sub_delivered(sub), 2);
        assert_int_equal(ramal_sub_dropped(sub), 3);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_subscribe_asks_for_what_was_said(void **state) {
        struct fake fake;
        ramal_interest interest = {
                .size = sizeof(interest),
                .pattern = "x.*",
                .group = "workers",
                .policy = RAMAL_POLICY_ROUND_ROBIN,
                .window_bytes = 1000,
                .window_messages = 20,
                .overflow = RAMAL_OVERFLOW_LATEST,
                .credit_messages = 3,
        };
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        assert_int_equal(ramal_subscribe_with(conn, &interest, on_msg, NULL, NULL), 0);
        fake_expect(&fake, RML_SUBSCRIBE);
        const Ramal__V1__Subscribe *asked = fake_control(&fake, Subscribe);
        assert_string_equal(asked->pattern, "x.*");
        assert_string_equal(asked->group, "workers");
        assert_int_equal(asked->policy, RAMAL__V1__POLICY__POLICY_ROUND_ROBIN);
        assert_int_equal(asked->window_bytes, 1000);
        assert_int_equal(asked->window_messages, 20);
        assert_int_equal(asked->overflow, RAMAL__V1__OVERFLOW__OVERFLOW_LATEST);
        assert_int_equal(asked->credit_bytes, 4 << 20);
        assert_int_equal(asked->credit_messages, 3);
        assert_false(asked->serve);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_subscribe_bad_arguments_are_refused_here(void **state) {
        struct fake fake;
        ramal_sub *sub;
        const ramal_interest bad[] = {
                {.size = sizeof(bad[0]), .pattern = NULL},
                {.size = sizeof(bad[0]), .pattern = "a..b"},
                {.size = sizeof(bad[0]), .pattern = "a.>.b"},
                {.size = sizeof(bad[0]), .pattern = "a", .group = ""},
                {.size = sizeof(bad[0]), .pattern = "a", .policy = RAMAL_POLICY_PRIMARY},
                {.size = sizeof(bad[0]), .pattern = "a", .name_flags = RAMAL_NAME_REPLACE},
                {.size = sizeof(bad[0]), .pattern = "a", .overflow = (ramal_overflow)9},
        };
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        for (size_t i = 0; i < RML_COUNT(bad); i++)
                assert_int_equal(ramal_subscribe_with(conn, &bad[i], on_msg, NULL, &sub), -EINVAL);
        assert_int_equal(ramal_subscribe(conn, "a", NULL, NULL, NULL), -EINVAL);
        assert_int_equal(ramal_serve(conn, "a", NULL, NULL, NULL), -EINVAL);
        assert_int_equal(ramal_claim(conn, "a.*", 0, NULL, NULL, NULL), -EINVAL);
        assert_int_equal(ramal_claim(conn, "$SYS", 0, NULL, NULL, NULL), -EINVAL);
        assert_int_equal(ramal_claim(conn, "a", 8, NULL, NULL, NULL), -EINVAL);
        assert_false(fake_has_frame(&fake));
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_subscribe_pull_gives_messages_and_tells_gaps_between(void **state) {
        struct log log = {.blocked = 0};
        struct fake fake;
        ramal_msg *msg;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);
        ramal_sub *sub = subscribe(&fake, conn, (ramal_interest){.on_gap = on_gap, .user = &log}, NULL, NULL);

        (void)state;
        assert_int_equal(ramal_sub_next(sub, 0, &msg), -ETIMEDOUT);
        assert_null(msg);
        fake_deliver(&fake, 1, 1, "a.b", "one");
        fake_gap(&fake, 1, 2, 2, 1);
        fake_deliver(&fake, 1, 3, "a.b", "three");
        fake_settle(conn);
        assert_string_equal(log.text, "");
        assert_int_equal(ramal_sub_next(sub, 0, &msg), 0);
        assert_memory_equal(ramal_msg_data(msg, NULL), "one", 3);
        ramal_msg_unref(msg);
        assert_string_equal(log.text, "");
        assert_int_equal(ramal_sub_next(sub, ramal_in_ms(FAKE_MS), &msg), 0);
        assert_int_equal(ramal_msg_seq(msg), 3);
        ramal_msg_unref(msg);
        assert_string_equal(log.text, "g:2-2/1");
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_subscribe_pull_ends_with_the_interest(void **state) {
        Ramal__V1__Interest ended = RAMAL__V1__INTEREST__INIT;
        struct log log = {.blocked = 0};
        struct fake fake;
        ramal_msg *msg;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);
        ramal_sub *sub = subscribe(&fake, conn, (ramal_interest){.on_state = on_change, .user = &log}, NULL, NULL);

        (void)state;
        fake_deliver(&fake, 1, 1, "a.b", "one");
        ended.sid = 1;
        ended.state = RAMAL__V1__STATE__STATE_ENDED;
        ended.why = RAMAL__V1__WHY__WHY_EVICTED;
        fake_send(&fake, RML_INTEREST, 0, &ended.base);
        assert_int_equal(ramal_sub_next(sub, ramal_in_ms(FAKE_MS), &msg), 0);
        ramal_msg_unref(msg);
        assert_int_equal(ramal_sub_next(sub, ramal_in_ms(FAKE_MS), &msg), -ENODATA);
        assert_string_equal(log.text, "s:1<0 q0 0 s:4<1 q0 0");
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

/* ---- receive credit ---- */

static void test_subscribe_confirms_when_half_of_the_credit_is_used(void **state) {
        struct log log = {.blocked = 0};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        subscribe(&fake, conn, (ramal_interest){.credit_messages = 4}, on_msg, &log);
        fake_deliver(&fake, 1, 1, "a.b", "1");
        fake_settle(conn);
        fake_deliver(&fake, 1, 9, "a.b", "9"); /* numbers may jump */
        fake_settle(conn);
        fake_expect(&fake, RML_CREDIT);
        assert_int_equal(fake_control(&fake, Credit)->sid, 1);
        assert_int_equal(fake_control(&fake, Credit)->seq, 9);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

/* However little it is: a long message may wait for the rest of the credit. */
static void test_subscribe_confirms_the_rest_soon_by_itself(void **state) {
        struct log log = {.blocked = 0};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        subscribe(&fake, conn, (ramal_interest){.credit_messages = 100}, on_msg, &log);
        fake_deliver(&fake, 1, 1, "a.b", "1");
        uint64_t until = ramal_in_ms(FAKE_MS);
        while (!fake_has_frame(&fake) && ramal_now() < until)
                ramal_wait(conn, ramal_in_ms(50));
        fake_expect(&fake, RML_CREDIT);
        assert_int_equal(fake_control(&fake, Credit)->seq, 1);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_subscribe_group_confirms_each_turn_once(void **state) {
        struct log log = {.blocked = 0};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        subscribe(&fake, conn, (ramal_interest){.group = "g"}, on_msg, &log);
        for (uint64_t seq = 1; seq <= 3; seq++)
                fake_deliver(&fake, 1, seq, "a.b", "x");
        ramal_dispatch(conn, 0);
        fake_expect(&fake, RML_CREDIT);
        assert_int_equal(fake_control(&fake, Credit)->seq, 3);
        assert_false(fake_has_frame(&fake));
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_subscribe_pull_confirms_what_the_program_is_done_with(void **state) {
        struct fake fake;
        ramal_msg *msg;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);
        ramal_sub *sub = subscribe(&fake, conn, (ramal_interest){.credit_messages = 1}, NULL, NULL);

        (void)state;
        fake_deliver(&fake, 1, 5, "a.b", "x");
        assert_int_equal(ramal_sub_next(sub, ramal_in_ms(FAKE_MS), &msg), 0);
        ramal_msg_unref(msg);
        fake_settle(conn);
        assert_false(fake_has_frame(&fake)); /* it may still work on it */
        assert_int_equal(ramal_sub_next(sub, 0, &msg), -ETIMEDOUT);
        fake_expect(&fake, RML_CREDIT);
        assert_int_equal(fake_control(&fake, Credit)->seq, 5);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

/* ---- state and the end ---- */

static void test_subscribe_refusal_goes_to_whoever_is_there(void **state) {
        struct log log = {.blocked = 0};
        struct fake fake;
        ramal_sub *sub;
        ramal_error error;
        ramal_options options = {.size = sizeof(options), .on_refused = on_refused, .user = &log};
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, &options);

        (void)state;
        /* nobody's: to on_refused */
        ramal_subscribe(conn, "x", on_msg, &log, NULL);
        fake_expect(&fake, RML_SUBSCRIBE);
        fake_status(&fake, fake.frame.id, RAMAL__V1__CODE__CODE_DENIED, "no");
        fake_settle(conn);
        assert_string_equal(log.text, "refused:x -13");
        log.text[0] = '\0';
        /* its own on_state */
        ramal_subscribe_with(conn, RAMAL_INTEREST(.pattern = "y", .on_state = on_change, .user = &log), on_msg, &log,
                             &sub);
        fake_expect(&fake, RML_SUBSCRIBE);
        fake_status(&fake, fake.frame.id, RAMAL__V1__CODE__CODE_OVER_LIMIT, "too many");
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(FAKE_MS), &error), -EDQUOT);
        assert_string_equal(error.message, "too many");
        assert_string_equal(log.text, "s:4<0 q0 -122");
        assert_int_equal(ramal_sub_state_of(sub), RAMAL_SUB_ENDED);
        ramal_sub_cancel(sub);
        assert_false(fake_has_frame(&fake)); /* there is nothing to unsubscribe */
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_subscribe_refusal_that_nobody_hears_ends_the_wait(void **state) {
        struct fake fake;
        ramal_sub *sub;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        ramal_subscribe(conn, "x", on_msg, NULL, NULL);
        fake_expect(&fake, RML_SUBSCRIBE);
        fake_status(&fake, fake.frame.id, RAMAL__V1__CODE__CODE_DENIED, "no");
        assert_int_equal(ramal_wait(conn, ramal_in_ms(FAKE_MS)), -EACCES);
        /* Told by ramal_sub_confirm(), it is told. */
        ramal_subscribe(conn, "y", on_msg, NULL, &sub);
        fake_expect(&fake, RML_SUBSCRIBE);
        fake_status(&fake, fake.frame.id, RAMAL__V1__CODE__CODE_DENIED, "no");
        assert_int_equal(ramal_sub_confirm(sub, ramal_in_ms(FAKE_MS), NULL), -EACCES);
        assert_int_equal(ramal_dispatch(conn, 0), 0);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_subscribe_cancelled_in_its_own_callback_never_runs_again(void **state) {
        struct log log = {.blocked = 0};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        log.cancel = subscribe(&fake, conn, (ramal_interest){.window_messages = 5}, on_msg, &log);
        for (uint64_t seq = 1; seq <= 3; seq++)
                fake_deliver(&fake, 1, seq, "a.b", "x");
        fake_settle(conn);
        assert_string_equal(log.text, "m:x");
        fake_expect(&fake, RML_UNSUBSCRIBE);
        assert_int_equal(fake_control(&fake, Unsubscribe)->sid, 1);
        fake_deliver(&fake, 1, 4, "a.b", "x");
        fake_settle(conn);
        assert_string_equal(log.text, "m:x");
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_subscribe_cancelled_in_its_state_callback(void **state) {
        struct log log = {.blocked = 0};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        ramal_subscribe_with(conn, RAMAL_INTEREST(.pattern = "x", .on_state = on_change, .user = &log), on_msg, &log,
                             &log.cancel);
        fake_expect(&fake, RML_SUBSCRIBE);
        fake_subscribed(&fake, 1, RAMAL__V1__STATE__STATE_ACTIVE, 0);
        fake_settle(conn);
        assert_string_equal(log.text, "s:1<0 q0 0");
        fake_expect(&fake, RML_UNSUBSCRIBE);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void on_demoted(ramal_conn *conn, const ramal_sub_change *change, void *user) {
        (void)conn;
        add(user, "s:%d<%d %s%s", change->state, change->before, change->demoted ? "demoted " : "",
            ramal_why_name(change->why));
}

static void send_state(struct fake *fake, Ramal__V1__State state, Ramal__V1__Why why) {
        Ramal__V1__Interest interest = RAMAL__V1__INTEREST__INIT;

        interest.sid = 1;
        interest.state = state;
        interest.why = why;
        fake_send(fake, RML_INTEREST, 0, &interest.base);
}

static void test_subscribe_demoted_stays_active_and_blocks_again_after_a_loss(void **state) {
        struct log log = {.blocked = 0};
        struct fake fake;
        ramal_options options = {.size = sizeof(options), .backoff_min_ns = 1};
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, &options);
        ramal_interest interest = {.overflow = RAMAL_OVERFLOW_BLOCK, .on_state = on_demoted, .user = &log};
        ramal_sub *sub = subscribe(&fake, conn, interest, on_msg, &log);

        (void)state;
        send_state(&fake, RAMAL__V1__STATE__STATE_DEMOTED, RAMAL__V1__WHY__WHY_STALLED);
        fake_settle(conn);
        assert_string_equal(log.text, "s:1<0 none s:1<1 demoted stalled");
        assert_true(ramal_sub_demoted(sub));
        assert_int_equal(ramal_sub_state_of(sub), RAMAL_SUB_ACTIVE);
        fake_deliver(&fake, 1, 1, "a.b", "one");
        fake_settle(conn);

        fake_hang_up(&fake);
        fake_welcome(&fake, conn);
        assert_false(ramal_sub_demoted(sub));
        fake_expect(&fake, RML_SUBSCRIBE);
        assert_int_equal(fake_control(&fake, Subscribe)->overflow, RAMAL__V1__OVERFLOW__OVERFLOW_BLOCK);
        fake_subscribed(&fake, 1, RAMAL__V1__STATE__STATE_ACTIVE, 0);
        fake_settle(conn);
        assert_string_equal(log.text, "s:1<0 none s:1<1 demoted stalled m:one s:0<1 gone s:1<0 none");
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

/* ---- blocking inside a callback ---- */

static void late(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct log *log = user;
        ramal_msg *reply = NULL;

        if (log->request) {
                log->request = NULL;
                log->blocked = ramal_request(conn, "svc", NULL, 0, ramal_in_ms(30), &reply, NULL);
        }
        uint64_t expires = ramal_msg_expires(msg);
        add(log, "%s", expires == RAMAL_NEVER ? "never" : expires <= ramal_now() ? "over" : "left");
}

/* What is left of its time goes on while it is put aside. */
static void test_subscribe_put_aside_message_does_not_win_time(void **state) {
        struct rml_hop short_one = {.sid = 1, .seq = 2, .time_left_us = 10000};
        struct rml_hop long_one = {.sid = 1, .seq = 3, .time_left_us = FAKE_MS * 1000};
        struct log log = {.request = "svc"};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        subscribe(&fake, conn, (ramal_interest){.window_messages = 0}, late, &log);
        fake_deliver(&fake, 1, 1, "a.b", "one");
        fake_data(&fake, RML_DELIVER, 0, &short_one, "a.b", NULL);
        fake_data(&fake, RML_DELIVER, 0, &long_one, "a.b", NULL);
        fake_settle(conn);
        assert_int_equal(log.blocked, -ETIMEDOUT);
        assert_string_equal(log.text, "never over left");
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void ask_inside(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct log *log = user;
        ramal_msg *reply = NULL;
        size_t len;
        const char *data = ramal_msg_data(msg, &len);

        if (log->request) {
                const char *subject = log->request;
                log->request = NULL;
                log->blocked = ramal_request(conn, subject, NULL, 0, ramal_in_ms(FAKE_MS), &reply, NULL);
                assert_int_equal(ramal_dispatch(conn, 0), -EDEADLK);
                assert_int_equal(ramal_wait(conn, 0), -EDEADLK);
        }
        /* The message is still there, whatever was read meanwhile. */
        add(log, "m:%.*s/%s", (int)len, data, ramal_msg_subject(msg));
        if (reply)
                add(log, "r:%.*s", 3, (const char *)ramal_msg_data(reply, NULL));
        ramal_msg_unref(reply);
}

static void test_subscribe_blocking_in_a_callback_keeps_the_others_waiting_in_order(void **state) {
        struct log log = {.request = "svc"};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        subscribe(&fake, conn, (ramal_interest){.on_gap = on_gap, .user = &log}, ask_inside, &log);
        /* All lies in the socket before the callback runs; the reply comes last. Its id is foreseeable. */
        fake_deliver(&fake, 1, 1, "a.b", "one");
        fake_deliver(&fake, 1, 2, "a.c", "two");
        fake_gap(&fake, 1, 3, 3, 1);
        fake_deliver(&fake, 1, 4, "a.d", "four");
        fake_reply(&fake, fake.frame.id + 1, 1, false, "yes");
        uint64_t start = ramal_now();
        fake_settle(conn);
        assert_int_equal(log.blocked, 0);
        assert_true(ramal_now() - start < FAKE_MS / 2 * RML_NS_PER_MS); /* it had been read already */
        assert_string_equal(log.text, "m:one/a.b r:yes m:two/a.c g:3-3/1 m:four/a.d");
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_subscribe_own_call_in_a_callback_is_a_deadlock(void **state) {
        struct log log = {.request = "a.self"};
        struct rml_hop hop = {.sid = 1, .seq = 2, .token = 8, .flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_CALL};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        subscribe(&fake, conn, (ramal_interest){.window_messages = 0}, ask_inside, &log);
        fake_deliver(&fake, 1, 1, "a.b", "one");
        /* The call comes back to us: its id stands on the delivery. */
        fake_data(&fake, RML_DELIVER, fake.frame.id + 1, &hop, "a.self", NULL);
        fake_settle(conn);
        assert_int_equal(log.blocked, -EDEADLK);
        fake_expect(&fake, RML_CALL);
        uint64_t id = fake.frame.id;
        fake_expect(&fake, RML_CANCEL);
        assert_int_equal(fake_control(&fake, Cancel)->call, id);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

/* Nobody blocks on it, so it waits for its turn. */
static void test_subscribe_own_call_that_nobody_blocks_on_is_no_deadlock(void **state) {
        struct log log = {.request = "svc"};
        struct rml_hop hop = {.sid = 1, .seq = 2, .token = 8, .flags = RAMAL__V1__DATA_FLAG__DATA_FLAG_CALL};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);
        ramal_call *call;
        ramal_msg *reply;
        ramal_error error;

        (void)state;
        subscribe(&fake, conn, (ramal_interest){.window_messages = 0}, ask_inside, &log);
        assert_int_equal(ramal_request_async(conn, "a.self", NULL, 0, ramal_in_ms(FAKE_MS), NULL, NULL, &call), 0);
        fake_expect(&fake, RML_CALL);
        uint64_t id = fake.frame.id;
        fake_deliver(&fake, 1, 1, "a.b", "one");
        fake_data(&fake, RML_DELIVER, id, &hop, "a.self", NULL);
        fake_reply(&fake, id + 1, 1, false, "yes"); /* to what the callback asks */
        fake_settle(conn);
        assert_int_equal(log.blocked, 0);
        assert_int_equal(ramal_call_next(call, 0, &reply, &error), -ETIMEDOUT);
        assert_false(ramal_call_ended(call));
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void pull_inside(ramal_conn *conn, const ramal_msg *msg, void *user) {
        struct log *log = user;
        ramal_msg *other;

        (void)conn, (void)msg;
        log->blocked = ramal_sub_next(log->pull, ramal_in_ms(FAKE_MS), &other);
        ramal_msg_unref(other);
}

static void test_subscribe_pull_in_a_callback_hears_that_it_ended(void **state) {
        Ramal__V1__Interest interest = RAMAL__V1__INTEREST__INIT;
        struct log log = {.blocked = 0};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        log.pull = subscribe(&fake, conn, (ramal_interest){.window_messages = 0}, NULL, NULL);
        ramal_subscribe(conn, "b", pull_inside, &log, NULL);
        fake_deliver(&fake, 2, 1, "b", "go");
        interest.sid = 1;
        interest.state = RAMAL__V1__STATE__STATE_ENDED;
        interest.why = RAMAL__V1__WHY__WHY_EVICTED;
        fake_send(&fake, RML_INTEREST, 0, &interest.base);
        fake_settle(conn);
        assert_int_equal(log.blocked, -ENODATA);
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_subscribe_gap_alone_is_something_to_pull(void **state) {
        struct log log = {.blocked = 0};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);
        ramal_msg *msg;

        (void)state;
        ramal_sub *sub = subscribe(&fake, conn, (ramal_interest){.on_gap = on_gap, .user = &log}, NULL, NULL);
        fake_gap(&fake, 1, 1, 4, 4);
        assert_int_equal(ramal_wait(conn, ramal_in_ms(FAKE_MS)), 1);
        assert_int_equal(ramal_sub_next(sub, 0, &msg), -ETIMEDOUT);
        assert_string_equal(log.text, "g:1-4/4");
        fake_hang_up(&fake);
        ramal_close(conn);
        fake_stop(&fake);
}

static void test_subscribe_close_in_a_callback_is_safe(void **state) {
        struct log log = {.close = true};
        struct fake fake;
        fake_start(&fake);
        ramal_conn *conn = fake_open(&fake, NULL);

        (void)state;
        subscribe(&fake, conn, (ramal_interest){.window_messages = 0}, on_msg, &log);
        fake_deliver(&fake, 1, 1, "a.b", "one");
        fake_deliver(&fake, 1, 2, "a.b", "two");
        shutdown(fake.sock, SHUT_WR); /* nobody answers its goodbye */
        assert_int_equal(ramal_dispatch(conn, 0), -ESHUTDOWN);
        assert_string_equal(log.text, "m:one");
        fake_stop(&fake);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_subscribe_messages_and_gaps_come_in_order),
                cmocka_unit_test(test_subscribe_asks_for_what_was_said),
                cmocka_unit_test(test_subscribe_bad_arguments_are_refused_here),
                cmocka_unit_test(test_subscribe_pull_gives_messages_and_tells_gaps_between),
                cmocka_unit_test(test_subscribe_pull_ends_with_the_interest),
                cmocka_unit_test(test_subscribe_confirms_when_half_of_the_credit_is_used),
                cmocka_unit_test(test_subscribe_confirms_the_rest_soon_by_itself),
                cmocka_unit_test(test_subscribe_group_confirms_each_turn_once),
                cmocka_unit_test(test_subscribe_pull_confirms_what_the_program_is_done_with),
                cmocka_unit_test(test_subscribe_refusal_goes_to_whoever_is_there),
                cmocka_unit_test(test_subscribe_refusal_that_nobody_hears_ends_the_wait),
                cmocka_unit_test(test_subscribe_cancelled_in_its_own_callback_never_runs_again),
                cmocka_unit_test(test_subscribe_cancelled_in_its_state_callback),
                cmocka_unit_test(test_subscribe_demoted_stays_active_and_blocks_again_after_a_loss),
                cmocka_unit_test(test_subscribe_put_aside_message_does_not_win_time),
                cmocka_unit_test(test_subscribe_blocking_in_a_callback_keeps_the_others_waiting_in_order),
                cmocka_unit_test(test_subscribe_own_call_in_a_callback_is_a_deadlock),
                cmocka_unit_test(test_subscribe_own_call_that_nobody_blocks_on_is_no_deadlock),
                cmocka_unit_test(test_subscribe_pull_in_a_callback_hears_that_it_ended),
                cmocka_unit_test(test_subscribe_gap_alone_is_something_to_pull),
                cmocka_unit_test(test_subscribe_close_in_a_callback_is_safe),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
