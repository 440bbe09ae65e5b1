#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Limits: each refusal names the limit that was met, its value and its key."""

import ramal
from buscase import BusCase, main, over_both
from ramal import api, pb


class LimitsOfOthers(BusCase):
    """Peers with a token have another uid's limits."""

    transport = "tcp"
    limits = {"calls": 4, "interests": 5, "names": 2, "payload_bytes": "10K"}

    def over(self, key, value, what, *args, **kwargs):
        status = self.refused(pb.CODE_OVER_LIMIT, what, *args, **kwargs)
        self.assertEqual((status.limit, status.value), (key, value), status.text)

    def test_calls_in_flight(self):
        server, caller = self.connect(), self.connect()
        server.serve("l1")
        calls = [caller.call("l1") for _ in range(4)]
        self.over("limits.calls", 4, caller.call("l1").result)
        server.reply(server.next_delivery().deliver.token, b"one less")
        calls[0].result()
        calls.append(caller.call("l1"))
        for call in calls[1:]:
            server.reply(server.next_delivery().deliver.token, b"ok")
            self.assertEqual(call.result(), b"ok")

    def test_interests(self):
        bus = self.connect()
        sids = [bus.subscribe("l2").sid for _ in range(5)]
        self.over("limits.interests", 5, bus.subscribe, "l2")
        bus.unsubscribe(sids[0])
        bus.subscribe("l2")

    def test_names(self):
        bus = self.connect()
        sid = bus.claim("l3.a").sid
        bus.claim("l3.b")
        self.over("limits.names", 2, bus.claim, "l3.c")
        bus.unsubscribe(sid)
        bus.claim("l3.c")

    def test_own_uid_has_other_limits(self):
        bus = self.connect("unix")
        for i in range(6):
            bus.claim(f"l4.{i}")

    def test_reply_that_is_too_large_ends_the_call(self):
        server, caller = self.connect(), self.connect()
        server.serve("l5")
        call = caller.call("l5")
        token = server.next_delivery().deliver.token
        server.reply(token, bytes(10241))
        status = self.refused(pb.CODE_TOO_LARGE, call.result)
        self.assertTrue(status.text)
        cancel = server.next_of("cancel").cancel
        self.assertEqual((cancel.token, cancel.why), (token, pb.WHY_TOO_LARGE))

    def test_call_that_is_too_large_is_refused(self):
        caller = self.connect()
        status = self.refused(pb.CODE_TOO_LARGE, caller.call("l6", bytes(10241)).result)
        self.assertEqual((status.limit, status.value), ("limits.payload_bytes", 10240))

    def test_limits_in_welcome_and_in_the_api_agree(self):
        bus = self.connect()
        limits = {limit.key: limit.value for limit in bus.api("limits").limits}
        said = bus.welcome.limits
        self.assertEqual((limits["limits.calls"], limits["limits.interests"], limits["limits.names"]), (4, 5, 2))
        self.assertEqual((said.calls, said.interests, said.names, said.payload_bytes), (4, 5, 2, 10240))


@over_both(globals())
class Budgets:
    limits = {"connection_bytes": "64K", "interest_bytes": "48K"}

    def test_budget_of_the_connection_is_an_overflow_of_the_interest(self):
        sender, reader = self.connect(), self.connect()
        sids = [reader.subscribe(f"l7.{i}", credit_messages=1).sid for i in range(2)]
        for i in range(101):
            for subject in ("l7.0", "l7.1"):
                sender.publish(subject, bytes(1000))
        sender.ping()
        peer = {p.id: p for p in sender.api("list").peers}[reader.welcome.peer]
        self.assertLessEqual(peer.queued_bytes, 65536)
        counts, whys = {sid: 0 for sid in sids}, set()
        while min(counts.values()) < 101:
            frame = reader.next_of("deliver", "gap")
            if frame.HasField("gap"):
                counts[frame.gap.sid] += frame.gap.count
                whys.add(frame.gap.why)
            else:
                counts[frame.deliver.sid] += 1
                reader.credit(frame.deliver.seq, sid=frame.deliver.sid)
        self.assertEqual(set(counts.values()), {101})
        self.assertIn(pb.WHY_CONNECTION, whys)
        for sid in sids:
            self.ledger(reader, sid)

    def test_reply_that_does_not_fit_the_caller_ends_the_call(self):
        server, caller = self.connect(), self.connect()
        server.serve("l8")
        reader_sid = caller.subscribe("l8.fill").sid
        full, dropped = 0, self.counter("dropped", server)
        while full < 3:  # it does not read: until nothing more goes into its sockets, and its budget is full
            for _ in range(500):
                server.publish("l8.fill", bytes(1000))
            before, dropped = dropped, self.counter("dropped", server)
            full = full + 1 if dropped - before == 500 else 0
        # Replies have that budget for themselves: the first fits however many deliveries wait, not all of them do.
        calls = [caller.call("l8") for _ in range(10)]
        tokens = [server.next_delivery().deliver.token for _ in calls]
        for token in tokens:
            server.reply(token, bytes(40000))
        server.ping()  # all of them are there before the caller makes room by reading
        self.assertEqual(len(calls[0].result()), 40000)
        refused = []
        for call, token in zip(calls[1:], tokens[1:]):
            try:
                call.result()
            except ramal.Refused as e:
                self.assertEqual(e.status.code, pb.CODE_OVER_LIMIT)
                self.assertEqual((e.status.limit, e.status.value), ("limits.connection_bytes", 65536))
                refused.append(token)
        self.assertTrue(refused)
        self.assertEqual([server.next_of("cancel").cancel.token for _ in refused], refused)
        caller.unsubscribe(reader_sid)

    def test_client_that_leaves_answers_unread_is_not_read_until_it_reads(self):
        bus, other = self.connect(), self.connect()
        count, first = 60000, bus.last_id + 1
        data = memoryview(b"".join(
            ramal.pack(pb.Frame(id=first + i, call=pb.Data(subject="$SYS.api.limits"))) for i in range(count)))
        before = self.counter("calls", other)
        handled, same, turns = -1, 0, 0
        while same < 5:  # it reads in every turn what it can: when nothing changes it does not read any more
            data = self.push(bus, data)
            turns += 1
            now = self.counter("calls", other) - before - turns
            same, handled = same + 1 if now == handled else 0, now
        self.assertGreater(handled, 0)
        self.assertLess(handled, count, "the broker read all of it")
        for i in range(count):
            data = self.push(bus, data)
            self.assertEqual(bus.next_of("reply").id, first + i)
        bus.last_id = first + count
        bus.ping()

    def push(self, bus, data):
        """Sends what the socket takes; returns the rest."""
        try:
            return data[bus.sock.send(data):] if data else data
        except BlockingIOError:
            return data


class Connections(BusCase):
    limits = {"uid_connections": 2}
    args = ("--allow-uid", "64999", "--socket-mode", "0666")

    def comes_in(self):
        bus = self.foreign(64999)
        try:
            return bus.hello()
        except ConnectionError:
            return None

    def test_connections_of_another_uid_are_bounded(self):
        first, second = self.foreign(64999), self.foreign(64999)
        first.hello()
        second.hello()
        self.assertIsNone(self.comes_in())
        own = self.connect()
        rows = {r.key: r for r in own.api("limits", api.LimitsRequest(peer=first.welcome.peer)).limits}
        self.assertEqual((rows["limits.uid_connections"].used, rows["limits.uid_connections"].value), (2, 2))
        second.bye()
        self.until(self.comes_in, "a free place", own)


if __name__ == "__main__":
    main()
