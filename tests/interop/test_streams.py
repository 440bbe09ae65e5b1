#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Credit: streamed replies, and what an interest is given at once."""

import ramal
from buscase import main, over_both
from ramal import pb


@over_both(globals())
class Streams:
    def stream(self, subject, **fields):
        server, caller = self.connect(), self.connect()
        server.serve(subject)
        call = caller.call(subject, **fields)
        return server, caller, call, server.next_delivery().deliver

    def test_stream_is_numbered_and_ends_once(self):
        server, _, call, data = self.stream("s1")
        for i in range(50):
            server.reply(data.token, b"%d" % i, more=True)
        server.reply(data.token, b"end")
        replies = list(call)
        self.assertEqual([r.payload for r in replies], [b"%d" % i for i in range(50)] + [b"end"])
        self.assertEqual([r.seq for r in replies], list(range(1, 52)))
        self.assertEqual([r.more for r in replies], [True] * 50 + [False])

    def test_server_learns_what_the_socket_of_the_caller_took(self):
        server, _, call, data = self.stream("s2")
        for i in range(3):
            server.reply(data.token, b"%d" % i, more=True)
        confirmed = 0
        while confirmed < 3:
            credit = server.next_of("credit").credit
            self.assertEqual(credit.token, data.token)
            self.assertGreater(credit.seq, confirmed)
            confirmed = credit.seq
        self.assertEqual(confirmed, 3)
        server.reply(data.token)
        self.assertEqual(len(list(call)), 4)

    def test_caller_that_asked_for_it_confirms_itself(self):
        server, caller, call, data = self.stream("s3", stream_credit=1 << 20)
        self.assertGreater(data.hop_ext.stream_credit, 0)
        for i in range(4):
            server.reply(data.token, b"%d" % i, more=True)
        for _ in range(4):
            reply = next(call)
        self.silent(server)
        caller.credit(2, call=call.id)
        credit = server.next_of("credit").credit
        self.assertEqual((credit.token, credit.seq), (data.token, 2))
        caller.credit(reply.seq, call=call.id)
        self.assertEqual(server.next_of("credit").credit.seq, 4)
        server.reply(data.token, b"end")
        self.assertEqual(call.result(), b"end")

    def test_stream_may_end_in_an_application_error(self):
        server, caller, call, data = self.stream("s4")
        server.reply(data.token, b"1", more=True)
        server.reply(data.token, code=7, text="broken")
        self.assertEqual(next(call).payload, b"1")
        with self.assertRaises(ramal.ApplicationError):
            next(call)
        self.assertRaises(StopIteration, next, call)
        self.silent(caller)

    def test_stream_of_a_dead_server_ends_with_status(self):
        server, _, call, data = self.stream("s5")
        server.reply(data.token, b"1", more=True)
        server.ping()
        server.close()
        self.assertEqual(next(call).payload, b"1")
        self.assertTrue(self.refused(pb.CODE_RESPONDER_GONE, next, call).may_have_run)

    def test_deadline_ends_a_stream(self):
        server, _, call, data = self.stream("s6", deadline=0.1)
        server.reply(data.token, b"1", more=True)
        self.assertEqual(next(call).payload, b"1")
        self.refused(pb.CODE_DEADLINE, next, call)
        while True:
            frame = server.next_of("cancel", "credit")
            if frame.WhichOneof("kind") == "cancel":
                break
        self.assertEqual(frame.cancel.token, data.token)

    def test_cancelled_stream_says_nothing_more(self):
        server, caller, call, data = self.stream("s7")
        server.reply(data.token, b"1", more=True)
        self.assertEqual(next(call).payload, b"1")
        call.cancel()
        self.refused(pb.CODE_CANCELLED, next, call)
        server.reply(data.token, b"2", more=True)
        server.ping()
        self.silent(caller)

    def test_receive_credit_in_messages_holds_the_rest_back(self):
        sender, reader = self.connect(), self.connect()
        sid = reader.subscribe("w1", credit_messages=2).sid
        for i in range(7):
            sender.publish("w1", b"%d" % i)
        sender.ping()
        self.assertEqual(self.payloads(reader, 2), [b"0", b"1"])
        self.silent(reader)
        row = self.ledger(reader, sid)
        self.assertEqual((row.matched, row.queued, row.in_flight, row.confirmed), (7, 5, 2, 0))
        reader.credit(1, sid=sid)
        self.assertEqual(self.payloads(reader, 1), [b"2"])
        self.silent(reader)
        reader.credit(3, sid=sid)
        self.assertEqual(self.payloads(reader, 2), [b"3", b"4"])
        row = self.ledger(reader, sid)
        self.assertEqual((row.matched, row.queued, row.in_flight, row.confirmed), (7, 2, 2, 3))

    def test_receive_credit_in_bytes_holds_the_rest_back(self):
        sender, reader = self.connect(), self.connect()
        sid = reader.subscribe("w2", credit_bytes=2500).sid
        for i in range(5):
            sender.publish("w2", b"%d" % i * 1000)
        sender.ping()
        self.assertEqual([p[:1] for p in self.payloads(reader, 2)], [b"0", b"1"])
        self.silent(reader)
        reader.credit(2, sid=sid)
        self.assertEqual([p[:1] for p in self.payloads(reader, 2)], [b"2", b"3"])

    def test_message_larger_than_the_credit_comes_alone(self):
        sender, reader = self.connect(), self.connect()
        sid = reader.subscribe("w3", credit_bytes=100).sid
        for i in range(2):
            sender.publish("w3", b"%d" % i * 1000)
        self.assertEqual(self.payloads(reader, 1)[0][:1], b"0")
        self.silent(reader)
        reader.credit(1, sid=sid)
        self.assertEqual(self.payloads(reader, 1)[0][:1], b"1")

    def test_credit_waits_of_one_interest_do_not_hold_another(self):
        sender, reader = self.connect(), self.connect()
        reader.subscribe("w4", credit_messages=1)
        reader.subscribe("w5")
        for i in range(3):
            sender.publish("w4", b"w4")
            sender.publish("w5", b"w5")
        self.assertEqual(sorted(self.payloads(reader, 4)), [b"w4", b"w5", b"w5", b"w5"])

    def test_credit_for_nothing_is_counted_and_ignored(self):
        bus = self.connect()
        strays = self.counter("stray_credits", bus)
        sid = bus.subscribe("w6", credit_messages=1).sid
        bus.credit(1, sid=999)
        bus.credit(1, call=999)
        bus.ping()
        self.assertEqual(self.counter("stray_credits", bus), strays + 2)
        bus.credit(100, sid=sid)
        for i in range(2):
            bus.publish("w6", b"%d" % i)
        self.assertEqual(self.payloads(bus, 1), [b"0"])
        self.silent(bus)


if __name__ == "__main__":
    main()
