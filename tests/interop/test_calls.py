#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Calls: exactly one end each, with a reason."""

import socket
import struct

import ramal
from buscase import main, over_both
from ramal import pb


@over_both(globals())
class Calls:
    def pair(self, pattern, **fields):
        server, caller = self.connect(), self.connect()
        server.serve(pattern, **fields)
        return server, caller

    def test_reply_reaches_the_caller_with_its_sender(self):
        server, caller = self.pair("c1")
        call = caller.call("c1", b"question", type="q", headers=[("h", b"v")])
        data = server.next_delivery().deliver
        self.assertEqual((data.payload, data.type, data.flags, data.sender.peer, data.seq),
                         (b"question", "q", pb.DATA_FLAG_CALL, caller.welcome.peer, 1))
        self.assertGreater(data.token, 0)
        server.reply(data.token, b"answer", type="a", headers=[("x", b"y")])
        frame = caller.next_of("reply")
        reply = frame.reply
        self.assertEqual((frame.id, reply.payload, reply.type, reply.seq, reply.flags, reply.code),
                         (call.id, b"answer", "a", 1, 0, 0))
        self.assertEqual([(h.name, h.value) for h in reply.headers], [("x", b"y")])
        self.assertEqual(reply.sender.peer, server.welcome.peer)

    def test_application_error_is_no_status(self):
        server, caller = self.pair("c2")
        call = caller.call("c2")
        server.reply(server.next_delivery().deliver.token, b"details", code=pb.CODE_DENIED, text="go away")
        with self.assertRaises(ramal.ApplicationError) as caught:
            call.result()
        self.assertEqual((caught.exception.code, caught.exception.text, caught.exception.payload),
                         (1, "go away", b"details"))

    def test_nobody_serves_it_is_said_at_once(self):
        caller = self.connect()
        status = self.refused(pb.CODE_NO_RESPONDER, caller.call("c3.nobody").result)
        self.assertFalse(status.may_have_run)

    def test_publish_does_not_reach_servers_nor_calls_subscribers(self):
        server, caller = self.pair("c4")
        caller.subscribe("c4")
        self.assertEqual(caller.publish("c4", b"news", receipt=True), 1)
        self.assertEqual(caller.next_delivery().deliver.payload, b"news")
        call = caller.call("c4", b"job")
        data = server.next_delivery().deliver
        self.assertEqual(data.payload, b"job")
        server.reply(data.token)
        call.result()
        self.silent(caller, server)

    def test_deadline_ends_the_call_and_tells_the_server(self):
        server, caller = self.pair("c5")
        call = caller.call("c5", deadline=0.05)
        data = server.next_delivery().deliver
        self.assertTrue(0 < data.time_left_us <= 50000, data.time_left_us)
        self.refused(pb.CODE_DEADLINE, call.result)
        cancel = server.next_of("cancel").cancel
        self.assertEqual((cancel.token, cancel.why), (data.token, pb.WHY_EXPIRED))
        late = self.counter("late_replies", caller)
        server.reply(data.token, b"late")
        server.ping()
        self.assertEqual(self.counter("late_replies", caller), late + 1)
        self.silent(caller)

    def test_no_deadline_is_no_time_left(self):
        server, caller = self.pair("c6")
        caller.call("c6")
        self.assertEqual(server.next_delivery().deliver.time_left_us, 0)

    def test_cancel_ends_the_call_and_tells_the_server(self):
        server, caller = self.pair("c7")
        call = caller.call("c7")
        token = server.next_delivery().deliver.token
        call.cancel()
        self.refused(pb.CODE_CANCELLED, call.result)
        cancel = server.next_of("cancel").cancel
        self.assertEqual((cancel.token, cancel.why), (token, pb.WHY_CANCELLED))

    def test_call_cancelled_in_the_queue_is_never_delivered(self):
        server, caller = self.pair("c8", credit_messages=1)
        first, second = caller.call("c8", b"1"), caller.call("c8", b"2")
        data = server.next_delivery().deliver
        second.cancel()
        self.refused(pb.CODE_CANCELLED, second.result)
        server.reply(data.token)
        server.credit(data.seq, sid=data.sid)
        first.result()
        server.ping()
        self.assertEqual([f.gap.why for f in server.inbox], [pb.WHY_CANCELLED])

    def test_death_of_the_server_is_told_at_once(self):
        server, caller = self.pair("c9")
        call = caller.call("c9")
        server.next_delivery()
        server.close()
        self.assertTrue(self.refused(pb.CODE_RESPONDER_GONE, call.result).may_have_run)

    def test_queued_call_of_a_dead_server_ends_without_having_run(self):
        server, caller = self.pair("ca", credit_messages=1)
        first, second = caller.call("ca", b"1"), caller.call("ca", b"2")
        server.next_delivery()
        server.close()
        self.assertTrue(self.refused(pb.CODE_RESPONDER_GONE, first.result).may_have_run)
        self.assertFalse(self.refused(pb.CODE_RESPONDER_GONE, second.result).may_have_run)

    def test_queued_call_of_a_dead_member_moves_to_the_next(self):
        server, caller = self.pair("cb", group="cb", policy=pb.POLICY_PRIMARY, credit_messages=1)
        heir = self.connect()
        heir.serve("cb", group="cb", policy=pb.POLICY_PRIMARY)
        first, second = caller.call("cb", b"1"), caller.call("cb", b"2")
        server.next_delivery()
        server.close()
        data = heir.next_delivery().deliver
        self.assertEqual((data.payload, data.flags), (b"2", pb.DATA_FLAG_CALL | pb.DATA_FLAG_MOVED))
        heir.reply(data.token, b"two")
        self.refused(pb.CODE_RESPONDER_GONE, first.result)
        self.assertEqual(second.result(), b"two")

    def test_server_that_unsubscribes_answers_what_it_has(self):
        server, caller = self.connect(), self.connect()
        sid = server.serve("cc").sid
        call = caller.call("cc")
        token = server.next_delivery().deliver.token
        server.unsubscribe(sid)
        self.refused(pb.CODE_NO_RESPONDER, caller.call("cc").result)
        server.reply(token, b"last")
        self.assertEqual(call.result(), b"last")

    def test_death_of_the_caller_reaches_the_server(self):
        server, caller = self.pair("cd")
        caller.call("cd")
        token = server.next_delivery().deliver.token
        # Gone altogether. One that only ended its input might still read: it would be given flush_timeout.
        caller.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.close()
        cancel = server.next_of("cancel").cancel
        self.assertEqual((cancel.token, cancel.why), (token, pb.WHY_GONE))

    def test_call_to_oneself_bears_its_id_and_works(self):
        bus = self.connect()
        bus.serve("ce")
        call = bus.call("ce", b"me")
        frame = bus.next_delivery()
        self.assertEqual(frame.id, call.id)
        bus.reply(frame.deliver.token, b"myself")
        self.assertEqual(call.result(), b"myself")

    def test_many_calls_are_answered_in_any_order(self):
        server, caller = self.pair("cf")
        calls = [caller.call("cf", b"%d" % i) for i in range(200)]
        for data in reversed([server.next_delivery().deliver for _ in calls]):
            server.reply(data.token, b"re " + data.payload)
        self.assertEqual([c.result() for c in calls], [b"re %d" % i for i in range(200)])

    def test_empty_group_of_full_servers_is_over_limit(self):
        server, caller = self.pair("cg", window_messages=2, credit_messages=1)
        calls = [caller.call("cg", b"%d" % i) for i in range(6)]
        status = self.refused(pb.CODE_OVER_LIMIT, calls[5].result)
        self.assertTrue(status.text)
        server.close()

    def test_call_of_a_pattern_is_refused(self):
        caller = self.connect()
        for subject in ("a.*", ">", "a..b", ""):
            self.refused(pb.CODE_BAD_SUBJECT, caller.call(subject).result)


if __name__ == "__main__":
    main()
