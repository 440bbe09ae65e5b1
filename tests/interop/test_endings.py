#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Endings: BYE, drain, end of input, and the broker's own."""

import signal
import socket
import unittest

import ramal
from buscase import SECONDS, main, over_both, start, stop
from ramal import pb


@over_both(globals())
class Endings:
    def queued(self, subject, count=4):
        """A reader with one message in flight and the others queued."""
        sender, reader = self.connect(), self.connect()
        sid = reader.subscribe(subject, credit_messages=1).sid
        for i in range(1, count + 1):
            sender.publish(subject, b"%d" % i)
        sender.ping()
        return sender, reader, sid

    def drain(self, bus):
        """Says BYE{drain}; returns its id once the broker knows."""
        ident = bus.new_id()
        bus.send_frame(pb.Frame(id=ident, bye=pb.Bye(drain=True, drain_us=SECONDS * 1000000)))
        bus.ping()
        return ident

    def test_bye_is_answered_then_closed(self):
        bus = self.connect()
        bus.bye()
        self.assertEqual(self.ended(bus), [])

    def test_bye_tells_what_was_queued_before_its_answer(self):
        _, reader, sid = self.queued("e1")
        reader.bye()
        frames = list(reader.inbox)
        self.assertEqual([f.WhichOneof("kind") for f in frames], ["deliver", "gap"])
        gap = frames[1].gap
        self.assertEqual((gap.sid, gap.first, gap.last, gap.count, gap.why), (sid, 2, 4, 3, pb.WHY_ENDED))
        reader.inbox.clear()
        self.assertEqual(self.ended(reader), [])

    def test_bye_with_drain_delivers_what_was_queued(self):
        sender, reader, sid = self.queued("e2")
        bye = self.drain(reader)
        got = []
        for expected in range(1, 5):
            data = reader.next_delivery().deliver
            got.append(data.payload)
            self.assertEqual(sender.publish("e2", b"too late", receipt=True), 0)
            reader.credit(expected, sid=sid)
        self.assertEqual(got, [b"1", b"2", b"3", b"4"])
        status = reader.answer(bye).status
        self.assertEqual(status.code, pb.CODE_OK, status.text)
        self.assertEqual(self.ended(reader), [])

    def test_bye_with_drain_lets_calls_finish(self):
        server, caller = self.connect(), self.connect()
        server.serve("e3")
        call = caller.call("e3")
        token = server.next_delivery().deliver.token
        bye = self.drain(server)
        self.refused(pb.CODE_NO_RESPONDER, caller.call("e3").result)
        server.reply(token, b"finished")
        self.assertEqual(call.result(), b"finished")
        self.assertEqual(server.answer(bye).status.code, pb.CODE_OK)
        self.assertEqual(self.ended(server), [])

    def test_queued_calls_of_a_server_that_dies_while_it_drains_end_without_having_run(self):
        server, caller = self.connect(), self.connect()
        server.serve("e3.dying", credit_messages=1)
        first, second = caller.call("e3.dying", b"1"), caller.call("e3.dying", b"2")
        self.assertEqual(server.next_delivery().deliver.payload, b"1")
        self.drain(server)
        server.sock.shutdown(socket.SHUT_WR)
        self.assertTrue(self.refused(pb.CODE_RESPONDER_GONE, first.result).may_have_run)
        self.assertFalse(self.refused(pb.CODE_RESPONDER_GONE, second.result).may_have_run)
        self.assertNotIn(b"2", [f.deliver.payload for f in self.ended(server)])
        server.close()
        caller.close()
        self.connect().ping()

    def test_drain_ends_when_its_time_is_over(self):
        _, reader, sid = self.queued("e4")
        reader.bye(drain=True, drain_time=0.05)
        gap = [f.gap for f in reader.inbox if f.WhichOneof("kind") == "gap"][0]
        self.assertEqual((gap.sid, gap.count, gap.why), (sid, 3, pb.WHY_ENDED))

    def test_end_of_input_flushes_what_was_queued_then_closes(self):
        sender, reader, _ = self.queued("e5")
        reader.sock.shutdown(socket.SHUT_WR)
        frames = self.ended(reader)
        self.assertEqual([f.deliver.payload for f in frames], [b"1", b"2", b"3", b"4"])
        self.assertEqual(sender.publish("e5", receipt=True), 0)

    def test_calls_of_a_peer_that_ended_its_input_get_their_ends(self):
        server, caller = self.connect(), self.connect()
        server.serve("e6")
        call = caller.call("e6")
        data = server.next_delivery().deliver
        caller.sock.shutdown(socket.SHUT_WR)
        server.reply(data.token, b"in time")
        self.assertEqual(call.result(), b"in time")
        self.assertEqual(self.ended(caller), [])

    def test_calls_served_by_a_peer_that_ended_its_input_are_gone(self):
        server, caller = self.connect(), self.connect()
        server.serve("e7")
        call = caller.call("e7")
        server.next_delivery()
        server.sock.shutdown(socket.SHUT_WR)
        self.refused(pb.CODE_RESPONDER_GONE, call.result)

    def test_malformed_frame_ends_with_reason_and_offset(self):
        bus = self.connect()
        bus.ping()
        before = bus.bytes_sent
        bus.send_bytes(bytes.fromhex("00000003" "0805" "07"))  # id 5, then a tag of wire type 7
        self.sent_away(bus, offset=before + 6)


class StoppingBroker(unittest.TestCase):
    def setUp(self):
        self.broker = start()
        self.addCleanup(stop, self.broker)

    def connect(self, address):
        token = ramal.read_token(self.broker.token_file) if address.startswith("tcp") else None
        bus = ramal.connect(address, token, timeout=SECONDS)
        self.addCleanup(bus.close)
        return bus

    def test_sigterm_is_told_to_everybody(self):
        peers = [self.connect(address) for address in self.broker.addresses]
        self.broker.process.send_signal(signal.SIGTERM)
        for bus in peers:
            goaway = bus.next_of("goaway").goaway
            self.assertEqual(goaway.reason, pb.CODE_OK)
            self.assertTrue(goaway.text)
            self.assertGreater(goaway.grace_us, 0)
            self.assertIsNone(bus.next_frame())
        self.assertEqual(self.broker.process.wait(SECONDS), 0)

    def test_call_in_progress_at_sigterm_may_finish(self):
        server, caller = (self.connect(address) for address in self.broker.addresses)
        server.serve("e8")
        call = caller.call("e8")
        token = server.next_delivery().deliver.token
        self.broker.process.send_signal(signal.SIGTERM)
        for bus in (server, caller):
            bus.next_of("goaway")
        server.reply(token, b"just in time")
        self.assertEqual(call.result(), b"just in time")
        self.assertEqual(self.broker.process.wait(SECONDS), 0)

    def test_second_sigterm_stops_at_once(self):
        server, caller = (self.connect(address) for address in self.broker.addresses)
        server.serve("e9")
        caller.call("e9")
        server.next_delivery()
        self.broker.process.send_signal(signal.SIGTERM)
        server.next_of("goaway")
        self.broker.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.broker.process.wait(SECONDS), 0)


if __name__ == "__main__":
    main()
