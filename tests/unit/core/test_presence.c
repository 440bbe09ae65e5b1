/* SPDX-License-Identifier: MIT */
/* $SYS.peer.* and $SYS.name.>. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api_calls.h"

static struct got *next_event(struct fake *fake, const char *subject) {
        struct got *got;

        world_turn(world);
        while ((got = fake_next(fake)))
                if (got->kind == RML_DELIVER)
                        break;
        assert_non_null(got);
        assert_true(rml_span_equal(got->data.subject, rml_span_of(subject)));
        assert_true(got->data.has_sender);
        assert_int_equal(got->data.sender.peer, 0); /* the broker */
        assert_false(got->data.sender.local);
        return got;
}

static void test_presence_tells_when_a_peer_comes_and_goes(void **state) {
        struct fake *guest;
        Ramal__Api__V1__PeerEvent *event;
        char subject[64];

        (void)state;
        SUBSCRIBE(me, .sid = 1, .pattern = "$SYS.peer.*");
        world_turn(world);
        fake_skip(me);
        guest = fake_join_as(world, WORLD_ALLOWED_UID, "guest");
        snprintf(subject, sizeof(subject), "$SYS.peer.%llu", (unsigned long long)guest->id);
        event = (Ramal__Api__V1__PeerEvent *)(void *)unpack(next_event(me, subject),
                                                            &ramal__api__v1__peer_event__descriptor);
        assert_false(event->gone);
        assert_int_equal(event->peer->id, guest->id);
        assert_string_equal(event->peer->app, "guest");
        assert_int_equal(event->peer->uid, WORLD_ALLOWED_UID);
        assert_true(event->peer->welcomed);
        done(event);
        fake_lost(guest);
        event = (Ramal__Api__V1__PeerEvent *)(void *)unpack(next_event(me, subject),
                                                            &ramal__api__v1__peer_event__descriptor);
        assert_true(event->gone);
        assert_int_equal(event->peer->id, guest->id);
        assert_string_equal(event->peer->app, "guest");
        done(event);
        assert_null(fake_next(me));
}

/* A subject of more than 127 bytes needs two for its length. */
static void test_presence_tells_of_a_name_that_is_long(void **state) {
        char name[160], subject[180];
        Ramal__Api__V1__NameEvent *event;

        (void)state;
        memset(name, 'n', sizeof(name));
        name[sizeof(name) - 1] = 0;
        name[40] = name[80] = name[120] = '.';
        snprintf(subject, sizeof(subject), "$SYS.name.%s", name);
        SUBSCRIBE(me, .sid = 1, .pattern = subject);
        SUBSCRIBE(me, .sid = 2, .pattern = name, .name = true);
        event = (Ramal__Api__V1__NameEvent *)(void *)unpack(next_event(me, subject),
                                                            &ramal__api__v1__name_event__descriptor);
        assert_string_equal(event->name->name, name);
        assert_int_equal(event->name->owner, me->id);
        done(event);
}

static void test_presence_tells_nothing_of_a_peer_that_was_never_let_in(void **state) {
        struct fake *silent;

        (void)state;
        SUBSCRIBE(me, .sid = 1, .pattern = "$SYS.>");
        world_turn(world);
        fake_skip(me);
        silent = fake_local(world, WORLD_UID);
        world_turn(world);
        fake_lost(silent);
        world_turn(world);
        assert_null(fake_next(me));
}

static Ramal__Api__V1__NameEvent *name_event(void) {
        return (Ramal__Api__V1__NameEvent *)(void *)unpack(next_event(me, "$SYS.name.nm"),
                                                           &ramal__api__v1__name_event__descriptor);
}

static void test_presence_tells_when_a_name_changes_hands(void **state) {
        struct fake *one = fake_join(world, WORLD_UID), *two = fake_join(world, WORLD_UID);
        Ramal__Api__V1__NameEvent *event;

        (void)state;
        SUBSCRIBE(me, .sid = 1, .pattern = "$SYS.name.>");
        world_turn(world);
        SUBSCRIBE(one, .sid = 1, .pattern = "nm", .name = true);
        event = name_event();
        assert_string_equal(event->name->name, "nm");
        assert_int_equal(event->name->owner, one->id);
        assert_int_equal(event->name->uid, WORLD_UID);
        done(event);
        SUBSCRIBE(two, .sid = 1, .pattern = "nm", .name = true); /* stands in line: nothing changed hands */
        world_turn(world);
        assert_null(fake_next(me));
        fake_lost(one);
        event = name_event();
        assert_int_equal(event->name->owner, two->id);
        assert_int_equal(event->name->n_queue, 0);
        done(event);
        fake_unsubscribe(two, 1);
        event = name_event();
        assert_string_equal(event->name->name, "nm");
        assert_int_equal(event->name->owner, 0);
        done(event);
        assert_null(fake_next(me));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WORLD_TEST(test_presence_tells_when_a_peer_comes_and_goes),
                WORLD_TEST(test_presence_tells_nothing_of_a_peer_that_was_never_let_in),
                WORLD_TEST(test_presence_tells_when_a_name_changes_hands),
                WORLD_TEST(test_presence_tells_of_a_name_that_is_long),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
