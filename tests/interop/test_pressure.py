#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Back-pressure as a client sees it: publish credit, `block`, what happens to a reader that stalls, and messages with
an end."""

import threading

from buscase import BusCase, main
from ramal import api, pb

CREDIT = 4000
STALL = 0.2


class Pressure(BusCase):
    limits = {"publish_credit_bytes": CREDIT, "connection_bytes": 20000, "stall_max": "60s"}

    def blocking(self, subject, **fields):
        """A reader that takes one message at a time, and its interest."""
        reader = self.connect()
        return reader, reader.subscribe(subject, credit_messages=1, overflow=pb.OVERFLOW_BLOCK, **fields).sid

    def test_credit_is_used_up_and_told_when_it_is_back(self):
        reader, sid = self.blocking("p1")
        sender = self.connect()
        self.assertEqual(sender.welcome.limits.publish_credit_bytes, CREDIT)
        self.assertLessEqual({"publish_credit", "block", "expiry"}, set(sender.welcome.features))
        sender.keep_credit = True
        sender.publish("p1", b"1")
        while sender.credit_fits(1000):
            sender.publish("p1", bytes(900))
        sender.ping()
        self.assertFalse(sender.credit_fits(1000))  # PING tells what is free: only the first one was not queued
        sent = sender.publishes
        sender.publish("p1", bytes(900), wait=False)
        status = sender.next_of("status").status
        self.assertEqual((status.code, status.publish, status.limit, status.value),
                         (pb.CODE_WOULD_BLOCK, sent + 1, "limits.publish_credit_bytes", CREDIT))
        self.assertEqual(reader.next_delivery().deliver.payload, b"1")
        reader.credit(1, sid=sid)
        self.assertEqual(reader.next_delivery().deliver.seq, 2)
        while not sender.credit_fits(900):
            self.assertGreater(sender.next_of("credit").credit.publish_bytes, 0)
        sender.publish("p1", bytes(800))
        for seq in range(3, sent + 2):
            reader.credit(seq - 1, sid=sid)
            self.assertEqual(reader.next_delivery().deliver.seq, seq)
        reader.credit(sent + 1, sid=sid)
        sender.ping()
        self.assertEqual(sender.credit_used, 0)
        row = self.ledger(reader, sid)
        self.assertEqual((row.matched, row.confirmed, row.overflow), (sent + 1, sent + 1, "block"))

    def test_nothing_is_lost_however_fast_the_publisher_is(self):
        reader, sid = self.blocking("p2", window_messages=2)
        sender, count = self.connect(), 3000
        publishing = threading.Thread(target=lambda: [sender.publish("p2", b"%100d" % i) for i in range(count)])
        publishing.start()
        for i in range(count):
            data = reader.next_delivery().deliver
            self.assertEqual((data.seq, data.payload), (i + 1, b"%100d" % i))
            reader.credit(i + 1, sid=sid)
        publishing.join()
        reader.ping()
        self.assertEqual(self.ledger(reader, sid).dropped, 0)

    def test_a_full_connection_refuses_the_publish_whole(self):
        reader, sid = self.blocking("p3")
        other = self.connect()
        other.subscribe("p3")
        for _ in range(5):
            sender = self.connect()
            sender.publish("p3", receipt=True)
            self.assertEqual(sender.publish("p3", bytes(3500), receipt=True), 2)
        status = self.refused(pb.CODE_WOULD_BLOCK, sender.publish, "p3", bytes(3500), receipt=True, wait=False)
        self.assertEqual((status.publish, status.limit), (3, "limits.publish_credit_bytes"))
        last = self.connect()
        status = self.refused(pb.CODE_WOULD_BLOCK, last.publish, "p3", bytes(3500), receipt=True)
        self.assertEqual((status.publish, status.limit, status.value), (1, "limits.connection_bytes", 20000))
        last.ping()
        self.assertEqual(last.credit_used, 0)
        row = self.ledger(reader, sid)
        self.assertEqual(row.dropped, 0)
        other.ping()
        self.assertEqual(len([f for f in other.inbox if f.HasField("deliver")]), row.matched)

    def test_it_does_not_hold_others_back(self):
        reader, sid = self.blocking("p4", window_messages=2)
        stranger = self.connect("tcp")
        for i in range(1, 11):
            stranger.publish("p4", b"%d" % i + bytes(1000))
        stranger.ping()
        self.assertEqual(stranger.credit_used, 0)
        row = self.ledger(reader, sid)
        self.assertEqual((row.matched, row.queued, row.dropped), (10, 2, 7))

    def test_what_is_past_its_time_is_told_and_not_delivered(self):
        sender, reader = self.connect(), self.connect()
        sid = reader.subscribe("p5", credit_messages=1).sid
        sender.publish("p5", b"1", ttl=50)
        sender.publish("p5", b"2", ttl=0.01)
        sender.publish("p5", b"3")
        data = reader.next_delivery().deliver
        self.assertTrue(0 < data.time_left_us <= 50000000, data.time_left_us)
        self.until(lambda: self.ledger(reader, sid).expired == 1, "the end of a message")
        reader.credit(1, sid=sid)
        gap = reader.next_of("gap").gap
        self.assertEqual((gap.first, gap.last, gap.count, gap.why), (2, 2, 1, pb.WHY_EXPIRED))
        data = reader.next_delivery().deliver
        self.assertEqual((data.payload, data.time_left_us), (b"3", 0))


class Stalls(BusCase):
    limits = {"publish_credit_bytes": CREDIT, "stall_max": "200ms"}

    def test_a_reader_that_stands_still_is_demoted_and_everybody_is_told(self):
        watcher, reader, sender = self.connect(), self.connect(), self.connect()
        watcher.subscribe("$SYS.stall.*")
        sid = reader.subscribe("s1", credit_messages=1, window_messages=2, overflow=pb.OVERFLOW_BLOCK).sid
        sender.publish("s1", b"1")
        while sender.credit_fits(1000):
            sender.publish("s1", bytes(900))
        waiting = sender.publishes - 1
        sender.publish("s1", bytes(900))  # waits until the stall gives it credit
        event = watcher.next_delivery().deliver
        self.assertEqual((event.subject, event.type),
                         (f"$SYS.stall.{reader.welcome.peer}", "ramal.api.v1.StallEvent"))
        self.assertFalse(event.sender.HasField("local"))
        stall = api.StallEvent.FromString(event.payload)
        self.assertEqual((stall.peer.id, stall.sid, stall.pattern, stall.queued_messages),
                         (reader.welcome.peer, sid, "s1", waiting))
        self.assertGreaterEqual(stall.waited_us, STALL * 1000000)
        self.assertEqual(reader.next_delivery().deliver.payload, b"1")
        notice = reader.next_of("interest").interest
        self.assertEqual((notice.sid, notice.state, notice.why), (sid, pb.STATE_DEMOTED, pb.WHY_STALLED))
        sender.ping()
        self.assertEqual(sender.credit_used, 0)
        row = self.ledger(reader, sid)
        self.assertEqual((row.state, row.queued, row.dropped), ("demoted", 2, row.matched - 3))
        self.assertEqual(self.counter("stalls", sender), 1)

    def test_two_that_only_publish_to_each_other_are_not_locked_up(self):
        one, two = self.connect(), self.connect()
        for bus, subject in ((one, "s2"), (two, "s3")):
            bus.subscribe(subject, credit_messages=1, overflow=pb.OVERFLOW_BLOCK)

        def flood(bus, subject):
            for _ in range(20):
                bus.publish(subject, bytes(900))

        threads = [threading.Thread(target=flood, args=args) for args in ((one, "s3"), (two, "s2"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for bus in (one, two):
            bus.ping()
            self.assertEqual(bus.credit_used, 0)


if __name__ == "__main__":
    main()
