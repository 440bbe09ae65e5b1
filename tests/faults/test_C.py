#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Faults of group C: the state machine."""

import socket
import time

import ramal
from faultlib import FaultCase, KIND, chunk, frame, kind, main, number, over_both, publish, subscribe
from ramal import api, pb

STRANGER = 64999
LAST_ID = (1 << 64) - 1


@over_both(globals(), flush_timeout="300ms")
class StateMachine:
    """What an ending connection gets to take its rest is 5 s in the ordinary configuration."""

    def serving(self, pattern, **fields):
        server, caller = self.connect(), self.connect()
        server.serve(pattern, **fields)
        return server, caller

    def late_replies(self):
        return self.counter("late_replies", self.control)

    def fault_C33_frames_before_hello_close(self):
        watcher = self.connect()
        watcher.subscribe("f.early")
        early = (publish(b"f.early"), publish(b"f.early", number(3, pb.DATA_FLAG_RECEIPT), ident=1), subscribe(1),
                 kind("call", chunk(11, b"$SYS.api.list"), 1), kind("ping", b"", 1), kind("bye", b"", 1),
                 kind("unsubscribe", number(1, 1), 1), kind("credit", number(1, 1) + number(4, 1)),
                 kind("cancel", number(1, 1)),
                 kind("reply", number(2, 1)), kind("auth", chunk(1, bytes(32)), 1), kind("will", b"", 1),
                 kind("describe", b"", 1), kind("ack", b"", 1), frame(chunk(2000, b"")),
                 frame(number(1, 1) + chunk(2000, b"")))
        for data in early:
            self.closes(data, bus=self.raw())
            self.closes(data + ramal.pack(pb.Frame(id=9, hello=pb.Hello(version_min=1, version_max=1))), bus=self.raw())
        self.silent(watcher)

    def fault_C34_second_hello_closes(self):
        hello = ramal.pack(pb.Frame(id=70, hello=pb.Hello(version_min=1, version_max=1, app="again")))
        bus = self.connect(app="first")
        sid = bus.subscribe("f.hello").sid
        self.closes(hello, bus=bus)
        self.assertEqual(self.control.publish("f.hello", receipt=True), 0, sid)
        self.closes(kind("auth", chunk(1, bytes(32)), 70), what="AUTH after WELCOME")

    def fault_C36_unknown_version_is_told_the_known_ones_then_closed(self):
        for low, high in ((2, 2), (2, 9), (0, 0), (0xffffffff, 0xffffffff), (3, 1)):
            bus = self.raw()
            with self.subTest((low, high)), self.assertRaises(ramal.Refused) as caught:
                self.hello(bus, version_min=low, version_max=high)
            self.assertEqual(caught.exception.code, pb.CODE_UNSUPPORTED)
            self.assertIn("1", caught.exception.status.text)
            self.assertEqual(self.ended(bus), [])

    def fault_C36_unknown_fields_of_hello_are_ignored(self):
        bus = self.raw("unix")
        bus.send_bytes(kind("hello", number(1, 1) + number(2, 1) + chunk(100, b"a feature") + number(101, 5), 1))
        self.assertEqual(bus.answer(1).welcome.version, 1)

    def fault_C37_reply_to_a_call_of_another_is_dropped_and_counted(self):
        server, caller = self.serving("f.c37")
        thief = self.connect()
        call = caller.call("f.c37", b"?")
        token = server.next_delivery().deliver.token
        late = self.late_replies()
        for wrong in (token, token + 1, 0, LAST_ID):
            thief.reply(wrong, b"forged")
        thief.reply(token, code=1, text="forged")
        caller.reply(token, b"by the caller itself")
        self.silent(thief, caller)
        self.assertEqual(self.late_replies(), late + 6)
        server.reply(token, b"true")
        self.assertEqual(call.result(), b"true")
        self.silent(server)

    def fault_C38_second_reply_is_dropped_and_counted(self):
        server, caller = self.serving("f.c38")
        call = caller.call("f.c38")
        token = server.next_delivery().deliver.token
        late = self.late_replies()
        for text in (b"first", b"second", b"third"):
            server.reply(token, text)
        server.reply(token, code=3, text="and an error")
        self.assertEqual(call.result(), b"first")
        self.silent(server, caller)
        self.assertEqual(self.late_replies(), late + 3)

    def fault_C39_reply_after_the_deadline_is_dropped_and_counted(self):
        server, caller = self.serving("f.c39")
        call = caller.call("f.c39", deadline=0.02)
        token = server.next_delivery().deliver.token
        self.refused(pb.CODE_DEADLINE, call.result)
        self.assertEqual(server.next_of("cancel").cancel.why, pb.WHY_EXPIRED)
        late = self.late_replies()
        server.reply(token, b"too late")
        self.silent(server, caller)
        self.assertEqual(self.late_replies(), late + 1)

    def fault_C40_id_that_is_not_above_the_last_closes(self):
        for again in (80, 79, 1):
            server, caller = self.serving(f"f.c40.{again}")
            caller.send_bytes(kind("call", chunk(11, b"f.c40.%d" % again), 80))
            data = server.next_delivery().deliver
            caller.send_bytes(kind("call", chunk(11, b"f.c40.%d" % again), again))
            self.sent_away(caller)
            # The first one was a good call, whose caller is gone now; the second never was one.
            cancel = server.next_of("cancel").cancel
            self.assertEqual((cancel.token, cancel.why), (data.token, pb.WHY_GONE))
            self.silent(server)
            server.close()
        for data in (kind("ping", b"", 1), subscribe(1), publish(hop=number(3, pb.DATA_FLAG_RECEIPT), ident=1)):
            self.closes(data)

    def fault_C41_ids_have_a_lowest_and_a_highest(self):
        for name, body in (("ping", b""), ("subscribe", number(1, 1) + chunk(2, b"f.c41")), ("bye", b""),
                           ("call", chunk(11, b"f.c41")), ("unsubscribe", number(1, 1)),
                           ("publish", number(3, 2) + chunk(11, b"f.c41"))):
            self.closes(kind(name, body), what=name + " without an id")
            self.closes(frame(number(1, 0) + chunk(KIND[name], body)), what=name + " with id 0")
        for name, body in (("credit", number(1, 1) + number(4, 1)), ("cancel", number(1, 1)), ("reply", number(2, 1)),
                           ("publish", chunk(11, b"f.c41"))):
            self.closes(kind(name, body, 70), what=name + " with an id")
        bus = self.connect()
        bus.send_bytes(kind("ping", b"", LAST_ID))
        frame_ = bus.next_frame()
        self.assertEqual((frame_.id, frame_.WhichOneof("kind")), (LAST_ID, "pong"))
        self.closes(kind("ping", b"", 5), bus=bus)
        self.closes(frame(b"\x08" + b"\xff" * 9 + b"\x02" + chunk(KIND["ping"], b"")))

    def fault_C42_cancel_of_an_unknown_call_does_nothing(self):
        server, caller = self.serving("f.c42")
        other = self.connect()
        call = caller.call("f.c42", b"?")
        token = server.next_delivery().deliver.token
        for wrong in (1, call.id, call.id + 1, LAST_ID):  # of another connection: only ids of one's own count
            other.cancel(wrong)
        caller.cancel(call.id + 1)
        self.silent(other, caller, server)
        server.reply(token, b"intact")
        self.assertEqual(call.result(), b"intact")
        caller.cancel(call.id)
        self.silent(caller, server)
        self.closes(kind("cancel"), what="CANCEL of nothing")

    def fault_C43_unsubscribe_of_an_unknown_or_foreign_sid_is_refused(self):
        owner, other = self.connect(), self.connect()
        sid = owner.subscribe("f.c43", sid=4711).sid
        for wrong in (sid, 1, LAST_ID):
            self.refused(pb.CODE_NOT_FOUND, other.unsubscribe, wrong)
        self.refused(pb.CODE_NOT_FOUND, owner.unsubscribe, 4712)
        self.assertEqual(other.publish("f.c43", b"m", receipt=True), 1)
        self.assertEqual(owner.next_delivery().deliver.sid, sid)
        owner.unsubscribe(sid)
        self.refused(pb.CODE_NOT_FOUND, owner.unsubscribe, sid)

    def fault_C44_sid_in_use_exists_and_each_interest_gets_one_copy(self):
        bus = self.connect()
        bus.subscribe("f.c44", sid=1)
        self.refused(pb.CODE_EXISTS, bus.subscribe, "f.c44", sid=1)
        self.refused(pb.CODE_EXISTS, bus.subscribe, "f.other", sid=1)
        bus.subscribe("f.c44", sid=2)
        self.assertEqual(bus.publish("f.c44", receipt=True), 2)
        self.assertEqual(sorted(bus.next_delivery().deliver.sid for _ in range(2)), [1, 2])
        self.silent(bus)
        status = self.refused(pb.CODE_INVALID, bus.request, pb.Frame(subscribe=pb.Subscribe(sid=0, pattern="f.c44")))
        self.assertIn("sid", status.text)

    def fault_C45_name_of_another_is_refused_or_queued_for_as_asked(self):
        owner, other = self.connect(), self.connect()
        owner.claim("f-c45", allow_replace=False)
        self.refused(pb.CODE_EXISTS, other.claim, "f-c45", no_queue=True)
        self.refused(pb.CODE_EXISTS, other.claim, "f-c45", no_queue=True, replace=True)
        self.assertEqual(other.claim("f-c45").state, pb.STATE_QUEUED)
        call = self.connect().call("f-c45.x", b"?")
        owner.reply(owner.next_delivery().deliver.token, b"owner")
        self.assertEqual(call.result(), b"owner")

    def fault_C46_only_the_dollar_is_reserved(self):
        bus, other = self.connect(), self.connect()
        for name in ("$SYS", "$SYS.x", "$PEER.1", "$", "$x"):
            self.refused(pb.CODE_BAD_SUBJECT, bus.claim, name)
        for pattern in ("$SYS.api.list", "$SYS.>", "$JS.x", "$", f"$PEER.{other.welcome.peer}.x", "$PEER.*", "$PEER.>",
                        "$PEER"):
            self.refused(pb.CODE_DENIED, bus.serve, pattern)
        for subject in ("$SYS.peer.1", "$SYS.name.x", "$SYS.api.list", "$JS.x", "$"):
            self.refused(pb.CODE_DENIED, bus.publish, subject, receipt=True)
        for look_alike in ("SYS", "ramal.api", "ramal", "x$SYS", "＄SYS", ":1.5", "sys.$", "_INBOX.x", "PEER.1"):
            self.assertEqual(bus.claim(look_alike).state, pb.STATE_OWNER)
        peers = {p.id: p for p in other.api("list").peers}
        self.assertEqual(len(peers[bus.welcome.peer].names), 9)

    def fault_C47_release_of_a_name_of_another_is_refused(self):
        owner, other, caller = self.connect(), self.connect(), self.connect()
        sid = owner.claim("f-c47", sid=77).sid
        self.refused(pb.CODE_NOT_FOUND, other.unsubscribe, sid)
        waiting = other.claim("f-c47", sid=77).sid
        other.unsubscribe(waiting)  # its own place in the queue, not the name
        call = caller.call("f-c47")
        owner.reply(owner.next_delivery().deliver.token, b"mine")
        self.assertEqual(call.result(), b"mine")

    def fault_C48_death_of_the_owner_ends_all_its_calls_at_once(self):
        owner, caller, second = self.connect(), self.connect(), self.connect()
        owner.claim("f-c48")
        calls = [caller.call(f"f-c48.{i}") for i in range(100)] + [second.call("f-c48") for _ in range(100)]
        for _ in calls:
            owner.next_delivery()
        owner.close()
        for call in calls:
            self.assertTrue(self.refused(pb.CODE_RESPONDER_GONE, call.result).may_have_run)
        self.silent(caller, second)
        self.refused(pb.CODE_NO_RESPONDER, caller.call("f-c48").result)

    def fault_C50_peer_numbers_are_never_used_again(self):
        numbers = []
        for _ in range(200):
            bus = self.connect()
            numbers.append(bus.welcome.peer)
            bus.close()
        self.assertEqual(numbers, sorted(set(numbers)))
        bus = self.connect()
        self.assertGreater(bus.welcome.peer, numbers[-1])
        # What was for an old one reaches no new one.
        self.refused(pb.CODE_NO_RESPONDER, bus.call(f"$PEER.{numbers[0]}.x").result)

    def fault_C51_publishing_to_and_calling_oneself_works(self):
        bus = self.connect()
        bus.subscribe("f.c51")
        bus.serve("f.c51")
        for i in range(300):
            bus.publish("f.c51", b"%d" % i)
        calls = [bus.call("f.c51", b"%d" % i) for i in range(100)]
        news, jobs = [], []
        while len(news) + len(jobs) < 400:
            one = bus.next_delivery()
            if one.deliver.token:
                self.assertEqual(one.id, calls[len(jobs)].id)
                jobs.append(one.deliver)
                bus.reply(one.deliver.token, b"re " + one.deliver.payload)
            else:
                news.append(one.deliver.payload)
        self.assertEqual(news, [b"%d" % i for i in range(300)])
        self.assertEqual([c.result() for c in calls], [b"re %d" % i for i in range(100)])

    def fault_C52_loop_of_calls_is_bounded_by_the_deadline(self):
        first, second = self.connect(), self.connect()
        first.serve("f.c52.a")
        second.serve("f.c52.b")
        calls = [first.call("f.c52.b", deadline=0.15)]
        hops, left, ends = 0, 0.15 * 1000000, []
        turn, other, target = second, first, "f.c52.a"
        while True:
            one = turn.next_of("deliver", "cancel", "status")
            if one.WhichOneof("kind") != "deliver":
                break
            self.assertTrue(0 < one.deliver.time_left_us <= left, "the time left must not grow on the way")
            left = one.deliver.time_left_us
            calls.append(turn.call(target, deadline=left / 1000000))
            turn, other, target = other, turn, "f.c52.b" if target == "f.c52.a" else "f.c52.a"
            hops += 1
        turn.inbox.appendleft(one)
        self.assertGreater(hops, 2)
        for call in calls:
            with self.assertRaises(ramal.Refused) as caught:
                call.result()
            ends.append(caught.exception.code)
        self.assertLessEqual(set(ends), {pb.CODE_DEADLINE, pb.CODE_OVER_LIMIT})
        self.until(lambda: self.control.api("status").broker.calls == 0, "the loop to end", self.control)

    def fault_C53_publisher_that_leaves_in_the_middle_of_its_fan_out_is_delivered(self):
        readers = [self.connect() for _ in range(40)]
        for reader in readers:
            reader.subscribe("f.c53")
        for polite in (False, True):
            sender = self.connect()
            sender.subscribe("f.c53")
            sender.send_bytes(publish(b"f.c53", tail=chunk(15, b"x" * 3000)) * 20)
            if polite:
                sender.bye()
            sender.close()
            for reader in readers:
                for _ in range(20):
                    self.assertEqual(len(reader.next_delivery().deliver.payload), 3000)
        self.silent(*readers)

    def fault_C53_receiver_that_leaves_in_the_middle_disturbs_nobody(self):
        sender, leaving, staying = self.connect(), self.connect(), self.connect()
        for reader in (leaving, staying):
            reader.subscribe("f.c53.more")
        data = publish(b"f.c53.more", tail=chunk(15, b"y" * 1000))
        sender.send_bytes(data * 100)
        leaving.close()
        sender.send_bytes(data * 100)
        seqs = [staying.next_delivery().deliver.seq for _ in range(200)]
        self.assertEqual(seqs, list(range(1, 201)))

    def fault_C54_subscribing_takes_effect_between_messages(self):
        bus = self.connect()

        def news(text):
            return publish(b"f.c54", tail=chunk(15, text))

        bus.send_bytes(news(b"before") + subscribe(70, 5, b"f.c54") + news(b"1") + news(b"2")
                       + kind("unsubscribe", number(1, 5), 71) + news(b"between") + subscribe(72, 5, b"f.c54")
                       + news(b"3") + kind("ping", b"", 73))
        seen = []
        bus.last_id = 73
        for ident in (70, 71, 72, 73):
            bus.answer(ident)
        # Messages that were queued when the interest ended are told in a gap; all others arrive, each in its time.
        missing = 0
        while bus.inbox:
            one = bus.inbox.popleft()
            if one.HasField("gap"):
                self.assertEqual(one.gap.why, pb.WHY_ENDED)
                missing += one.gap.count
            else:
                seen.append(one.deliver.payload)
        while len(seen) + missing < 3:
            seen.append(bus.next_delivery().deliver.payload)
        self.assertEqual(seen, ([b"1", b"2"][:2 - missing]) + [b"3"])
        self.silent(bus)

    def fault_C54_group_that_changes_between_messages_loses_none(self):
        first, second, sender = self.connect(), self.connect(), self.connect()
        second.subscribe("f.c54.g", group="c54")
        total = 60
        for i in range(total):
            if i % 3 == 0:
                sid = first.subscribe("f.c54.g", group="c54").sid
            self.assertEqual(sender.publish("f.c54.g", b"%d" % i, receipt=True), 1)
            if i % 3 == 2:
                first.unsubscribe(sid)
        self.until(lambda: self.group_got(first, second) >= total, "all messages", sender)
        got = [f.deliver.payload for bus in (first, second) for f in bus.inbox if f.HasField("deliver")]
        self.assertEqual(sorted(got, key=int), [b"%d" % i for i in range(total)])

    def group_got(self, *members):
        for bus in members:
            bus.ping()
        return sum(f.HasField("deliver") for bus in members for f in bus.inbox)

    def fault_C55_end_of_input_is_processed_and_answered_then_closed(self):
        bus, reader = self.connect(), self.connect()
        reader.subscribe("f.c55")
        bus.serve("f.c55.own")
        data = publish(b"f.c55", tail=chunk(15, b"z" * 500)) * 1000
        data += kind("ping", b"", 70) + kind("call", chunk(11, b"$SYS.api.names"), 71)
        data += kind("call", chunk(11, b"f.c55.nobody"), 72) + kind("publish", number(3, 2) + chunk(11, b"f.c55"), 73)
        bus.send_bytes(data)
        bus.sock.shutdown(socket.SHUT_WR)
        frames = self.ended(bus)
        self.assertEqual([(f.id, f.WhichOneof("kind")) for f in frames],
                         [(70, "pong"), (71, "reply"), (72, "status"), (73, "accepted")])
        for _ in range(1001):
            reader.next_delivery()
        self.silent(reader)

    def fault_C55_closed_socket_discards_what_was_for_it(self):
        sender = self.connect()
        for how in ("shutdown", "close"):
            reader = self.connect()
            reader.subscribe("f.c55.gone")
            sender.send_bytes(publish(b"f.c55.gone", tail=chunk(15, b"z" * 1000)) * 3000)
            if how == "shutdown":
                reader.sock.shutdown(socket.SHUT_RDWR)
            reader.close()
            self.until(lambda: sender.publish("f.c55.gone", receipt=True) == 0, "the reader to be gone", sender)


@over_both(globals(), hello_timeout="200ms")
class Silence:
    """5 s in the ordinary configuration, 0.2 s here."""

    def fault_C35_no_hello_in_time_is_closed(self):
        for begin in (b"", b"\0", b"\0\0\0\x20\x08\x01"):
            bus = self.raw()
            began = time.monotonic()
            if begin:
                bus.send_bytes(begin)
            self.sent_away(bus, pb.CODE_TIMEOUT)
            self.assertGreater(time.monotonic() - began, 0.15)

    def fault_C35_one_that_said_hello_may_be_silent(self):
        bus = self.connect()
        self.sent_away(self.raw(), pb.CODE_TIMEOUT)
        self.silent(bus)

    def fault_C35_challenged_client_without_auth_is_closed(self):
        bus = self.raw("tcp")
        bus.request(pb.Frame(hello=pb.Hello(version_min=1, version_max=1, nonce=bytes(32))))
        self.sent_away(bus, pb.CODE_TIMEOUT)


class ForeignUids(FaultCase):
    """With clients of a second uid, that may connect."""

    args = ("--allow-uid", str(STRANGER), "--socket-mode", "0666")

    def stranger(self):
        bus = self.foreign(STRANGER)
        bus.hello(app="stranger")
        return bus

    def fault_C45_name_of_another_uid_is_not_taken(self):
        owner, stranger = self.connect(), self.stranger()
        owner.claim("f-c45u")
        self.refused(pb.CODE_EXISTS, stranger.claim, "f-c45u", no_queue=True, replace=True)
        self.refused(pb.CODE_EXISTS, stranger.claim, "f-c45u.inside")
        self.assertEqual(self.control.api("names").names[0].owner, owner.welcome.peer)

    def fault_C49_name_that_changes_hands_does_not_pass_calls_on_in_silence(self):
        owner, caller, stranger = self.connect(), self.connect(), self.stranger()
        owner.claim("f-c49", credit_messages=1)
        delivered, waiting = caller.call("f-c49.x", b"secret"), caller.call("f-c49.x", b"second secret")
        self.assertEqual(owner.next_delivery().deliver.payload, b"secret")
        owner.close()
        self.assertTrue(self.refused(pb.CODE_RESPONDER_GONE, delivered.result).may_have_run)
        self.assertFalse(self.refused(pb.CODE_RESPONDER_GONE, waiting.result).may_have_run)
        self.assertEqual(stranger.claim("f-c49").state, pb.STATE_OWNER)
        self.silent(stranger)
        fresh = caller.call("f-c49.x", b"for the new one")
        data = stranger.next_delivery().deliver
        self.assertEqual(data.payload, b"for the new one")
        stranger.reply(data.token, b"new")
        caller.next_of("reply")
        self.assertIsNotNone(fresh)

    def fault_C49_reply_of_the_old_owner_after_the_change_reaches_its_caller_only(self):
        owner, caller, stranger = self.connect(), self.connect(), self.stranger()
        sid = owner.claim("f-c49b").sid
        call = caller.call("f-c49b")
        token = owner.next_delivery().deliver.token
        owner.unsubscribe(sid)
        stranger.claim("f-c49b")
        late = self.counter("late_replies", self.control)
        stranger.reply(token, b"forged")
        self.silent(stranger, caller)
        self.assertEqual(self.counter("late_replies", self.control), late + 1)
        owner.reply(token, b"true")
        frame_ = caller.next_of("reply")
        self.assertEqual((frame_.id, frame_.reply.payload, frame_.reply.sender.peer),
                         (call.id, b"true", owner.welcome.peer))

    def fault_C43_sid_of_another_uid_is_not_found(self):
        owner, stranger = self.connect(), self.stranger()
        sid = owner.subscribe("f.c43u", sid=9).sid
        self.refused(pb.CODE_NOT_FOUND, stranger.unsubscribe, sid)
        self.assertEqual(self.control.api("status", api.StatusRequest(peer=owner.welcome.peer)).interests[0].sid, sid)


if __name__ == "__main__":
    main()
