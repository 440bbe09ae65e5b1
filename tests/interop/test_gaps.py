#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Overflow and the ledger: what does not arrive is told, exactly."""

from buscase import main, over_both
from ramal import pb


@over_both(globals())
class Gaps:
    def overflow(self, subject, count, **fields):
        """A reader with a credit of one message and a window of three, after `count` publishes."""
        sender, reader = self.connect(), self.connect()
        sid = reader.subscribe(subject, credit_messages=1, window_messages=3, **fields).sid
        for i in range(1, count + 1):
            sender.publish(subject, b"%d" % i)
        sender.ping()
        return reader, sid

    def read_out(self, reader, sid, last):
        """Confirms and reads until `last` messages were delivered or reported. Returns [(seq, payload)], [gap]."""
        got, gaps = [], []
        while len(got) + sum(g.count for g in gaps) < last:
            frame = reader.next_of("deliver", "gap")
            if frame.WhichOneof("kind") == "gap":
                gaps.append(frame.gap)
            else:
                got.append((frame.deliver.seq, frame.deliver.payload))
                reader.credit(frame.deliver.seq, sid=sid)
        return got, gaps

    def test_drop_old_keeps_the_newest_and_tells_the_gap_before_them(self):
        reader, sid = self.overflow("v1", 10)
        self.assertEqual(reader.next_delivery().deliver.payload, b"1")
        reader.credit(1, sid=sid)
        gap = reader.next_frame().gap
        self.assertEqual((gap.sid, gap.first, gap.last, gap.count, gap.why), (sid, 2, 7, 6, pb.WHY_WINDOW))
        self.assertGreater(gap.bytes, 0)
        got, gaps = self.read_out(reader, sid, 3)
        self.assertEqual((got, gaps), ([(8, b"8"), (9, b"9"), (10, b"10")], []))
        reader.ping()
        row = self.ledger(reader, sid)
        self.assertEqual((row.matched, row.confirmed, row.dropped), (10, 4, 6))

    def test_drop_new_keeps_the_oldest(self):
        reader, sid = self.overflow("v2", 10, overflow=pb.OVERFLOW_DROP_NEW)
        got, gaps = self.read_out(reader, sid, 10)
        self.assertEqual([s for s, _ in got], [1, 2, 3, 4])
        self.assertEqual([(g.first, g.last, g.count) for g in gaps], [(5, 10, 6)])

    def test_latest_replaces_in_place_and_says_how_many(self):
        sender, reader = self.connect(), self.connect()
        sid = reader.subscribe("v3.*", credit_messages=1, window_messages=2, overflow=pb.OVERFLOW_LATEST).sid
        for name, payload in (("x", b"first"), ("a", b"a1"), ("b", b"b1"), ("a", b"a2"), ("a", b"a3")):
            sender.publish("v3." + name, payload)
        sender.ping()
        seen = []
        for _ in range(3):
            data = reader.next_delivery().deliver
            seen.append((data.seq, data.payload, data.replaced))
            reader.credit(data.seq, sid=sid)
        self.assertEqual(seen, [(1, b"first", 0), (2, b"a3", 2), (3, b"b1", 0)])
        row = self.ledger(reader, sid)
        self.assertEqual((row.matched, row.confirmed, row.replaced, row.dropped), (5, 3, 2, 0))
        self.silent(reader)

    def test_latest_with_nothing_of_that_subject_is_drop_old(self):
        sender, reader = self.connect(), self.connect()
        sid = reader.subscribe("v4.*", credit_messages=1, window_messages=2, overflow=pb.OVERFLOW_LATEST).sid
        for name in "xabc":
            sender.publish("v4." + name, name.encode())
        sender.ping()
        got, gaps = self.read_out(reader, sid, 4)
        self.assertEqual(([p for _, p in got], [(g.first, g.last) for g in gaps]), ([b"x", b"b", b"c"], [(2, 2)]))

    def test_evict_ends_the_interest_and_nothing_else(self):
        reader, sid = self.overflow("v5", 10, overflow=pb.OVERFLOW_EVICT)
        other = reader.subscribe("v5.other").sid
        frames = [reader.next_of("deliver", "gap", "interest") for _ in range(3)]
        self.assertEqual([f.WhichOneof("kind") for f in frames], ["deliver", "gap", "interest"])
        self.assertEqual((frames[2].interest.sid, frames[2].interest.state, frames[2].interest.why),
                         (sid, pb.STATE_ENDED, pb.WHY_EVICTED))
        gap = frames[1].gap
        self.assertEqual((gap.first, gap.last, gap.count, gap.why), (2, 5, 4, pb.WHY_EVICTED))
        reader.publish("v5.other", b"alive")
        self.assertEqual(reader.next_delivery().deliver.sid, other)
        reader.subscribe("v5", sid=sid)

    def test_window_in_bytes_overflows_too(self):
        sender, reader = self.connect(), self.connect()
        sid = reader.subscribe("v6", credit_messages=1, window_bytes=3500).sid
        for i in range(1, 11):
            sender.publish("v6", b"%d" % i * 1000)
        sender.ping()
        got, gaps = self.read_out(reader, sid, 10)
        self.assertEqual(len(got) + sum(g.count for g in gaps), 10)
        self.assertEqual(got[-1][0], 10)
        self.assertTrue(gaps)

    def test_message_larger_than_the_window_is_admitted_when_empty(self):
        sender, reader = self.connect(), self.connect()
        sid = reader.subscribe("v7", credit_messages=1, window_bytes=100).sid
        for i in range(1, 3):
            sender.publish("v7", b"%d" % i * 1000)
        sender.ping()
        got, gaps = self.read_out(reader, sid, 2)
        self.assertEqual(([s for s, _ in got], gaps), ([1, 2], []))

    def test_unsubscribe_tells_what_was_queued(self):
        reader, sid = self.overflow("v9", 4)
        reader.unsubscribe(sid)
        frames = list(reader.inbox)
        self.assertEqual([f.WhichOneof("kind") for f in frames], ["deliver", "gap"])
        gap = frames[1].gap
        self.assertEqual((gap.first, gap.last, gap.count, gap.why), (2, 4, 3, pb.WHY_ENDED))

    def test_stuck_reader_gets_told_all_and_disturbs_nobody(self):
        count = 30000
        sender, stuck, other = self.connect(), self.connect(), self.connect()
        sid = stuck.subscribe("va", window_bytes=1 << 20).sid
        other.subscribe("va.mark")
        frame_bytes = b"x" * 1024
        for i in range(count):
            sender.publish("va", frame_bytes)
            if i % 1000 == 0:
                self.assertEqual(sender.publish("va.mark", b"%d" % i, receipt=True), 1)
                self.assertEqual(other.next_delivery().deliver.payload, b"%d" % i)
        sender.ping()
        row = self.ledger(stuck, sid, asking=other)
        self.assertEqual(row.matched, count)
        self.assertGreater(row.dropped, 0)
        self.assertLessEqual(row.queued_bytes, 1 << 20)
        delivered = missed = last = 0
        while delivered + missed < count:
            frame = stuck.next_of("deliver", "gap")
            if frame.WhichOneof("kind") == "gap":
                self.assertGreater(frame.gap.first, last)
                missed += frame.gap.count
            else:
                self.assertGreater(frame.deliver.seq, last)
                last = frame.deliver.seq
                delivered += 1
        self.assertEqual((delivered + missed, last), (count, count))
        self.assertEqual(missed, row.dropped)
        self.silent(stuck)
        row = self.ledger(stuck, sid)
        self.assertEqual((row.queued, row.in_flight, row.confirmed, row.dropped), (0, 0, delivered, missed))


if __name__ == "__main__":
    main()
