#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Groups: of each message exactly one member gets it."""

from buscase import main, over_both
from ramal import pb


def waiting(bus):
    """Payloads of all deliveries that are there by now."""
    bus.ping()
    found = [f.deliver.payload for f in bus.inbox if f.WhichOneof("kind") == "deliver"]
    rest = [f for f in bus.inbox if f.WhichOneof("kind") != "deliver"]
    bus.inbox.clear()
    bus.inbox.extend(rest)
    return found


@over_both(globals())
class Groups:
    def crew(self, count, pattern, **fields):
        members = [self.connect() for _ in range(count)]
        for member in members:
            member.subscribe(pattern, group="crew", **fields)
        return members

    def send(self, bus, subject, count):
        for i in range(count):
            bus.publish(subject, b"%d" % i)
        bus.ping()

    def test_each_message_goes_to_exactly_one_member_and_every_plain_interest(self):
        members, plain, sender = self.crew(3, "g1.x"), self.connect(), self.connect()
        plain.subscribe("g1.>")
        self.send(sender, "g1.x", 60)
        shares = [waiting(m) for m in members]
        self.assertEqual(sorted(sum(shares, []), key=int), [b"%d" % i for i in range(60)])
        self.assertEqual(waiting(plain), [b"%d" % i for i in range(60)])

    def test_round_robin_takes_turns(self):
        members, sender = self.crew(3, "g2.x", policy=pb.POLICY_ROUND_ROBIN), self.connect()
        self.send(sender, "g2.x", 30)
        shares = [waiting(m) for m in members]
        self.assertEqual([len(s) for s in shares], [10, 10, 10])
        shares.sort(key=lambda share: int(share[0]))
        self.assertEqual(shares, [[b"%d" % n for n in range(i, 30, 3)] for i in range(3)])

    def test_primary_gives_all_to_the_first_then_to_the_next(self):
        members, sender = self.crew(2, "g3.x", policy=pb.POLICY_PRIMARY), self.connect()
        self.send(sender, "g3.x", 10)
        self.assertEqual((len(waiting(members[0])), len(waiting(members[1]))), (10, 0))
        members[0].bye()
        self.assertEqual(members[1].next_of("interest").interest.state, pb.STATE_OWNER)
        self.send(sender, "g3.x", 10)
        self.assertEqual(len(waiting(members[1])), 10)

    def test_least_pending_avoids_the_member_that_does_not_confirm(self):
        lazy, keen, sender = self.connect(), self.connect(), self.connect()
        lazy.subscribe("g4.x", group="crew4", credit_messages=1000)
        sid = keen.subscribe("g4.x", group="crew4", credit_messages=1000).sid
        for i in range(20):
            sender.publish("g4.x", b"%d" % i, receipt=True)
            keen.ping()
            while keen.inbox:
                keen.credit(keen.inbox.popleft().deliver.seq, sid=sid)
            keen.ping()
        lazy.ping()
        self.assertEqual(len(lazy.inbox), 1)

    def test_one_group_spans_patterns(self):
        first, second, sender = self.connect(), self.connect(), self.connect()
        first.subscribe("g5.a", group="crew5")
        second.subscribe("g5.*", group="crew5")
        for i in range(40):
            self.assertEqual(sender.publish("g5.a", b"%d" % i, receipt=True), 1)
        both = waiting(first) + waiting(second)
        self.assertEqual(sorted(both, key=int), [b"%d" % i for i in range(40)])
        self.assertEqual(sender.publish("g5.b", b"only", receipt=True), 1)
        self.assertEqual(waiting(second)[-1:], [b"only"])

    def test_queue_of_a_dead_member_moves_in_order_and_is_marked(self):
        dying, heir, sender = self.connect(), self.connect(), self.connect()
        dying.subscribe("g6.x", group="crew6", policy=pb.POLICY_PRIMARY, credit_messages=1)
        heir.subscribe("g6.x", group="crew6", policy=pb.POLICY_PRIMARY)
        self.send(sender, "g6.x", 5)
        self.assertEqual(dying.next_delivery().deliver.payload, b"0")
        dying.close()
        self.assertEqual(heir.next_delivery().deliver.flags, pb.DATA_FLAG_REDELIVERED)
        moved = [heir.next_delivery().deliver for _ in range(4)]
        self.assertEqual([d.payload for d in moved], [b"1", b"2", b"3", b"4"])
        self.assertTrue(all(d.flags & pb.DATA_FLAG_MOVED for d in moved))
        self.send(sender, "g6.x", 1)
        self.assertEqual(heir.next_delivery().deliver.flags, 0)

    def test_what_a_dead_member_had_not_confirmed_is_redelivered_once(self):
        first, second, third, sender = (self.connect() for _ in range(4))
        for bus in (first, second, third):
            bus.subscribe("gc.x", group="crewc", policy=pb.POLICY_PRIMARY, credit_messages=3)
        self.send(sender, "gc.x", 5)
        sids = [first.next_delivery().deliver.sid for _ in range(3)]
        first.credit(1, sid=sids[0])
        self.assertEqual(first.next_delivery().deliver.payload, b"3")  # it has confirmed 0, and has 1, 2 and 3
        first.close()
        again = [second.next_delivery().deliver for _ in range(3)]
        self.assertEqual([d.payload for d in again], [b"1", b"2", b"3"])
        self.assertTrue(all(d.flags == pb.DATA_FLAG_REDELIVERED for d in again))
        second.close()
        moved = third.next_delivery().deliver
        self.assertEqual((moved.payload, moved.flags), (b"4", pb.DATA_FLAG_MOVED))
        self.send(sender, "gc.x", 1)
        self.assertEqual(waiting(third), [b"0"])

    def test_random_reaches_everybody(self):
        members, sender = self.crew(3, "gd.x", policy=pb.POLICY_RANDOM), self.connect()
        self.send(sender, "gd.x", 300)
        shares = [waiting(m) for m in members]
        self.assertEqual(sorted(sum(shares, []), key=int), [b"%d" % i for i in range(300)])
        self.assertTrue(all(50 <= len(share) <= 150 for share in shares), [len(s) for s in shares])

    def test_key_goes_to_one_member_in_order(self):
        members, sender = self.crew(3, "ge.x", policy=pb.POLICY_KEY), self.connect()
        for i in range(300):
            sender.publish("ge.x", b"%d %d" % (i % 30, i // 30), key="key %d" % (i % 30))
        sender.ping()
        seen, busy = {}, 0
        for member in members:
            mine = [payload.split() for payload in waiting(member)]
            busy += bool(mine)
            for key in {key for key, _ in mine}:
                self.assertNotIn(key, seen)
                seen[key] = [int(n) for k, n in mine if k == key]
        self.assertEqual(len(seen), 30)
        self.assertGreater(busy, 1)  # by chance, one of three may have none of thirty
        self.assertTrue(all(numbers == list(range(10)) for numbers in seen.values()))

    def test_key_in_progress_stays_when_a_member_joins(self):
        first, sender = self.connect(), self.connect()
        sid = first.subscribe("gf.x", group="crewf", policy=pb.POLICY_KEY, credit_messages=1000).sid
        for i in range(50):
            sender.publish("gf.x", b"old", key="key %d" % i)
        sender.ping()
        others = [self.connect() for _ in range(3)]
        for other in others:
            other.subscribe("gf.x", group="crewf", credit_messages=1000)
        for i in range(50):
            sender.publish("gf.x", b"new", key="key %d" % i)
        sender.ping()
        self.assertEqual(waiting(first), [b"old"] * 50 + [b"new"] * 50)
        first.credit(100, sid=sid)
        first.ping()
        for i in range(50):
            sender.publish("gf.x", b"later", key="key %d" % i)
        sender.ping()
        went = sum(len(waiting(other)) for other in others)
        self.assertTrue(0 < went <= 50)  # the first one's share may be small, by chance
        self.assertEqual(waiting(first), [b"later"] * (50 - went))

    def test_key_of_256_bytes_is_invalid(self):
        bus = self.connect()
        self.refused(pb.CODE_INVALID, bus.publish, "gg.x", b"", receipt=True, key="k" * 256)
        self.assertEqual(bus.publish("gg.x", b"", receipt=True, key="k" * 255), 0)

    def test_member_that_unsubscribes_hands_its_queue_over(self):
        leaving, heir, sender = self.connect(), self.connect(), self.connect()
        sid = leaving.subscribe("g7.x", group="crew7", policy=pb.POLICY_PRIMARY, credit_messages=1).sid
        heir.subscribe("g7.x", group="crew7", policy=pb.POLICY_PRIMARY)
        self.send(sender, "g7.x", 4)
        leaving.unsubscribe(sid)
        kinds = [f.WhichOneof("kind") for f in leaving.inbox]
        self.assertEqual(kinds, ["deliver", "gap"])
        gap = leaving.inbox[1].gap
        self.assertEqual((gap.first, gap.last, gap.count, gap.why), (2, 4, 3, pb.WHY_MOVED))
        self.assertEqual(self.payloads(heir, 3), [b"1", b"2", b"3"])

    def test_policy_is_that_of_the_first_member(self):
        first, second, sender = self.connect(), self.connect(), self.connect()
        first.subscribe("g8.x", group="crew8", policy=pb.POLICY_PRIMARY)
        second.subscribe("g8.x", group="crew8", policy=pb.POLICY_ROUND_ROBIN)
        self.send(sender, "g8.x", 6)
        self.assertEqual(len(waiting(first)), 6)

    def test_second_serving_group_on_a_pattern_exists_already(self):
        first, second = self.connect(), self.connect()
        first.serve("g9.x", group="crew9")
        self.refused(pb.CODE_EXISTS, second.serve, "g9.x", group="other9")
        self.refused(pb.CODE_EXISTS, second.serve, "g9.x")
        second.serve("g9.x", group="crew9")

    def test_call_goes_to_the_most_specific_pattern(self):
        servers = {}
        for pattern in ("ga.>", "ga.*.c", "ga.b.*", "ga.b.c", "*.b.c"):
            servers[pattern] = self.connect()
            servers[pattern].serve(pattern)
        caller = self.connect()
        for pattern in ("ga.b.c", "ga.b.*", "ga.*.c", "ga.>", "*.b.c"):
            call = caller.call("ga.b.c", pattern.encode())
            data = servers[pattern].next_delivery().deliver
            self.assertEqual(data.payload, pattern.encode())
            servers[pattern].reply(data.token, b"ok")
            self.assertEqual(call.result(), b"ok")
            servers[pattern].bye()

    def test_group_name_is_a_subject(self):
        bus = self.connect()
        for group in ("a b", "a..b", "*", "a.>", "."):
            self.refused(pb.CODE_BAD_SUBJECT, bus.subscribe, "gb.x", group=group)


if __name__ == "__main__":
    main()
