#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Publish and subscribe: what arrives, at whom, in which order, and what is refused."""

import os

import ramal
from buscase import main, over_both
from ramal import pb


def refusals(bus, count):
    """The STATUS{publish} frames that refuse `count` publishes, as a list of (publish, code)."""
    seen = []
    while len(seen) < count:
        status = bus.next_of("status").status
        seen += [(status.publish + i, status.code) for i in range(status.count or 1)]
    return seen


@over_both(globals())
class PubSub:
    def test_delivery_bears_what_was_published(self):
        sender, reader = self.connect(), self.connect()
        sid = reader.subscribe("a.b").sid
        headers = [("one", b"\x00\xff"), ("one", b""), ("two", "zwei".encode())]
        sender.publish("a.b", b"payload", type="my.Type", headers=headers)
        frame = reader.next_delivery()
        data = frame.deliver
        self.assertEqual((frame.id, data.sid, data.seq, data.subject, data.type, data.payload, data.flags, data.token),
                         (0, sid, 1, "a.b", "my.Type", b"payload", 0, 0))
        self.assertEqual([(h.name, h.value) for h in data.headers], headers)
        self.assertEqual(data.sender.peer, sender.welcome.peer)

    def test_sender_is_what_the_kernel_or_the_token_says(self):
        bus = self.connect()
        bus.subscribe("who")
        bus.publish("who")
        sender = bus.next_delivery().deliver.sender
        if self.transport == "unix":
            self.assertTrue(sender.HasField("local"))
            self.assertEqual((sender.local.uid, sender.local.gid, sender.local.pid, sender.identity),
                             (os.geteuid(), os.getegid(), os.getpid(), ""))
        else:
            self.assertFalse(sender.HasField("local"), "no uid must not read as root")
            self.assertEqual(sender.identity, "token")

    def test_patterns_match_as_the_page_says(self):
        table = (
            ("a", ("a",), ("b", "a.b")),
            ("a.*", ("a.b", "a.*x"), ("a", "a.b.c", "b.a")),
            ("a.>", ("a.b", "a.b.c"), ("a", "b.a")),
            ("*.b", ("a.b", "x.b"), ("b", "a.b.c", "$x.b")),
            (">", ("a", "a.b.c"), ()),
            ("*.*.x.>", ("a.b.x.c", "a.b.x.c.d"), ("a.b.x", "a.x.b.c")),
            ("foo*", ("foo*",), ("foo", "foobar")),
            ("a.fo>o", ("a.fo>o",), ("a.foo",)),
        )
        for pattern, matching, other in table:
            reader, sender = self.connect(), self.connect()
            reader.subscribe(pattern)
            for subject in matching:
                self.assertEqual(sender.publish(subject, receipt=True), 1, (pattern, subject))
                self.assertEqual(reader.next_delivery().deliver.subject, subject)
            for subject in other:
                if not subject.startswith("$"):
                    self.assertEqual(sender.publish(subject, receipt=True), 0, (pattern, subject))
            reader.close()
            self.until(lambda: sender.api("list").peers and not [
                p for p in sender.api("list").peers if p.id == reader.welcome.peer], "the end of a peer", sender)

    def test_each_matching_interest_gets_its_own_copy(self):
        reader, sender = self.connect(), self.connect()
        sids = [reader.subscribe(p).sid for p in ("x.y", "x.*", "x.>", "x.y")]
        self.assertEqual(sender.publish("x.y", b"m", receipt=True), 4)
        self.assertEqual(sorted(reader.next_delivery().deliver.sid for _ in sids), sids)
        self.silent(reader)

    def test_wildcard_does_not_see_the_brokers_subjects(self):
        reader = self.connect()
        reader.subscribe(">")
        reader.subscribe("*.peer.>")
        self.connect()
        self.silent(reader)

    def test_order_of_one_sender_holds_across_subjects(self):
        sender, reader = self.connect(), self.connect()
        reader.subscribe("o.>")
        for i in range(500):
            sender.publish(f"o.{i % 7}", b"%d" % i)
        self.assertEqual(self.payloads(reader, 500), [b"%d" % i for i in range(500)])

    def test_sizes_around_the_copying_border_arrive_whole(self):
        sender, reader = self.connect(), self.connect()
        reader.subscribe("size")
        for size in (0, 1, 127, 128, 1023, 2047, 2048, 2049, 16383, 16384, 65535, 65536, 262144, 262145, 1 << 20):
            payload = os.urandom(size)
            sender.publish("size", payload)
            self.assertEqual(reader.next_delivery().deliver.payload, payload, size)

    def test_receipt_counts_the_receivers(self):
        sender, reader = self.connect(), self.connect()
        self.assertEqual(sender.publish("r.x", receipt=True), 0)
        reader.subscribe("r.x")
        reader.subscribe("r.*")
        self.assertEqual(sender.publish("r.x", receipt=True), 2)

    def test_nothing_arrives_after_the_answer_to_unsubscribe(self):
        sender, reader = self.connect(), self.connect()
        sid = reader.subscribe("u.x").sid
        for _ in range(50):
            sender.publish("u.x")
        sender.ping()
        reader.unsubscribe(sid)
        before = len(reader.inbox)
        sender.publish("u.x")
        sender.ping()
        reader.ping()
        self.assertEqual(len(reader.inbox), before)
        self.assertEqual(reader.subscribe("u.x", sid=sid).sid, sid)

    def test_refused_publish_names_its_number(self):
        bus = self.connect()
        bus.publish("fine")
        bus.publish("not..fine")
        bus.publish("fine")
        bus.publish("not.*.fine")
        self.assertEqual(refusals(bus, 2), [(2, pb.CODE_BAD_SUBJECT), (4, pb.CODE_BAD_SUBJECT)])

    def test_equal_refusals_add_up(self):
        bus = self.connect()
        bus.publish("fine")
        frame = ramal.pack(pb.Frame(publish=pb.Data(subject="a..b")))
        bus.send_bytes(frame * 20)
        self.assertEqual(refusals(bus, 20), [(n, pb.CODE_BAD_SUBJECT) for n in range(2, 22)])
        self.silent(bus)

    def test_refused_publish_with_receipt_bears_id_and_number(self):
        bus = self.connect()
        bus.publish("fine")
        status = self.refused(pb.CODE_BAD_SUBJECT, bus.publish, "", receipt=True)
        self.assertEqual(status.publish, 2)

    def test_only_the_broker_publishes_below_sys(self):
        bus = self.connect()
        for subject in ("$SYS.peer.1", "$SYS.x", "$JS.x", "$"):
            self.refused(pb.CODE_DENIED, bus.publish, subject, receipt=True)

    def test_unicast_reaches_one_peer_and_only_it_may_listen(self):
        first, second = self.connect(), self.connect()
        inbox = f"$PEER.{first.welcome.peer}.news"
        first.subscribe(inbox)
        self.refused(pb.CODE_DENIED, second.subscribe, inbox)
        self.refused(pb.CODE_DENIED, second.subscribe, "$PEER.*.news")
        if self.transport == "unix":
            self.assertEqual(second.publish(inbox, b"psst", receipt=True), 1)
            self.assertEqual(first.next_delivery().deliver.payload, b"psst")
        else:  # peers with a token are as strangers to each other
            self.refused(pb.CODE_DENIED, second.publish, inbox, receipt=True)


if __name__ == "__main__":
    main()
