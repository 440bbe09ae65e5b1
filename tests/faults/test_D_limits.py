#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Faults of group D: resources. Here: bombs, quotas and the log; test_D.py has the connections, test_D_memory.py the
lack of memory."""

import os
import random
import shutil
import tempfile
import time

import ramal
from faultlib import FaultCase, chunk, kind, main, number, over_both, publish, subscribe
from ramal import pb
from ramald import STRANGER

OTHERS = ("--allow-uid", str(STRANGER), "--allow-uid", str(STRANGER + 1), "--allow-uid", str(STRANGER + 2),
          "--socket-mode", "0666")
MOST = (1 << 64) - 1


class Bombs(FaultCase):
    args = OTHERS
    limits = {"interests": 1000, "own_interests": 20000, "uid_interests": 2500, "names": 10, "uid_names": 15,
              "calls": 500, "uid_calls": 700, "uid_connect_rate": 1000}

    def bomb(self, bus, first, count, pattern):
        """So many SUBSCRIBEs at once. Returns the answers."""
        bus.send_bytes(b"".join(subscribe(bus.new_id(), first + i, pattern(first + i)) for i in range(count)))
        return [bus.next_of("subscribed", "status") for _ in range(count)]

    def accepted(self, answers):
        return sum(one.HasField("subscribed") for one in answers)

    def fault_D65_bomb_of_interests_meets_the_limits_of_connection_and_uid(self):
        first = self.stranger()
        answers = self.bomb(first, 1, 1500, lambda i: b"f.d65.%d" % i)
        self.assertEqual(self.accepted(answers), 1000)
        status = answers[-1].status
        self.assertEqual((status.code, status.limit, status.value), (pb.CODE_OVER_LIMIT, "limits.interests", 1000))
        more = [self.stranger() for _ in range(3)]
        taken = 1000
        for bus in more:
            answers = self.bomb(bus, 1, 1000, lambda i: b"f.d65.%d" % i)
            taken += self.accepted(answers)
        self.assertEqual(taken, 2500)
        status = answers[-1].status
        self.assertEqual((status.code, status.limit, status.value), (pb.CODE_OVER_LIMIT, "limits.uid_interests", 2500))
        self.logged("event=limit", "limits.uid_interests", f"uid={STRANGER}")
        # Another uid has its own.
        other = self.stranger(STRANGER + 1)
        self.assertEqual(self.accepted(self.bomb(other, 1, 100, lambda i: b"f.d65.%d" % i)), 100)
        self.assertEqual(self.connect().publish("f.d65.7", receipt=True), 3 + 1)
        self.sleeps("many interests")

    def fault_D65_bomb_of_names_meets_the_limits_of_connection_and_uid(self):
        first, second = self.stranger(), self.stranger()
        for i in range(10):
            first.claim(f"f.d65.a{i}")
        self.over_limit("limits.names", 10, first.claim, "f.d65.more")
        for i in range(5):
            second.claim(f"f.d65.b{i}")
        self.over_limit("limits.uid_names", 15, second.claim, "f.d65.more")
        self.stranger(STRANGER + 1).claim("f.d65.more")

    def fault_D65_many_interests_of_the_own_uid_work_and_go(self):
        bus, sender = self.connect(), self.connect()
        count = 20000
        for first in range(0, count, 5000):
            self.assertEqual(self.accepted(self.bomb(bus, 1 + first, 5000, lambda i: b"f.many.%d" % i)), 5000)
        self.over_limit("limits.own_interests", count, bus.subscribe, "f.many.more", sid=count + 1)
        for i in random.Random(65).sample(range(1, count + 1), 50):
            self.assertEqual(sender.publish(f"f.many.{i}", receipt=True), 1)
            self.assertEqual(bus.next_delivery().deliver.sid, i)
        self.sleeps("20 000 interests")

    def fault_D66_bomb_of_wildcards_matches_what_it_should(self):
        bus, sender = self.connect(), self.connect()
        shapes = ("*.*.*.>", "f.*.*.>", "*.d66.*.>", "f.d66.*.>", "*.*.x.>", "f.d66.x.>", "f.*.>", "*.*.>", "f.>",
                  "*.*.*.*", "f.*.x.*", "*.d66.>", "f.d66.x.y", "f.*.x.y", "*.*.x.y", "f.d66.x.*")
        total = 4000
        answers = self.bomb(bus, 1, total, lambda i: shapes[i % len(shapes)].encode())
        self.assertEqual(self.accepted(answers), total)
        # Deep ones that share their beginnings and part late.
        deep = [b".".join([b"*" if i >> bit & 1 else b"f" for bit in range(10)] + [b">"]) for i in range(1024)]
        self.assertEqual(self.accepted(self.bomb(bus, total + 1, 1024, lambda i: deep[i - total - 1])), 1024)
        for subject, hits in (("f.d66.x.y", total), ("f.d66.q.y", None), (".".join("f" * 11), None), ("f", None)):
            patterns = [shapes[i % len(shapes)] for i in range(1, total + 1)] + [d.decode() for d in deep]
            matching = sum(matches(p, subject) for p in patterns)
            if hits:
                self.assertEqual(matching, hits)
            self.assertEqual(sender.publish(subject, receipt=True), matching, subject)
            for _ in range(matching):
                bus.next_delivery()
        self.silent(bus)

    def fault_D67_patterns_of_many_tokens_are_refused_by_their_length(self):
        bus = self.connect()
        for text in ("*." * 9999 + ">", "a." * 9999 + "a", "." * 10000, "*." * 127 + ">", ">." * 10000, "*" * 256):
            self.refused(pb.CODE_BAD_SUBJECT, bus.subscribe, text)
            self.refused(pb.CODE_BAD_SUBJECT, bus.publish, text, receipt=True)
            self.refused(pb.CODE_BAD_SUBJECT, bus.call(text).result)
        self.assertEqual(bus.subscribe("*." * 31 + ">").state, pb.STATE_ACTIVE)
        self.assertEqual(bus.publish("a." * 31 + "a", receipt=True), 1)
        bus.next_delivery()
        self.silent(bus)

    def fault_D68_subjects_that_collide_under_common_hashes_are_told_apart(self):
        """Every pair of these has the same value under the hashes of Java and Python 2, or sums of bytes; how ours is
        seeded nobody knows."""
        bus, sender = self.connect(), self.connect()
        words = [b""]
        for _ in range(10):
            words = [w + pair for w in words for pair in (b"Aa", b"BB")]
        subjects = [b"f.d68." + w for w in words] + [bytes(b"f.d68." + w[::-1]) for w in words[:200]]
        subjects = sorted(set(subjects))
        self.assertEqual(self.accepted(self.bomb(bus, 1, len(subjects), lambda i: subjects[i - 1])), len(subjects))
        for i, subject in enumerate(subjects, 1):
            sender.send_bytes(publish(subject, tail=chunk(15, b"%d" % i)))
        for i in range(1, len(subjects) + 1):
            data = bus.next_delivery().deliver
            self.assertEqual((data.sid, data.payload), (i, b"%d" % i))
        self.silent(bus)

    def fault_D69_bomb_of_calls_meets_the_limits_and_each_ends_once(self):
        server, first, second = self.connect(), self.stranger(), self.stranger()
        server.serve("f.d69")
        calls = {first: [], second: []}
        for bus, count in ((first, 1000), (second, 1000)):
            for _ in range(count):
                calls[bus].append(bus.call("f.d69", deadline=30).id)
        refusals = {}
        for bus, most in ((first, 500), (second, 200)):
            for ident in calls[bus][most:]:
                status = bus.answer(ident).status
                refusals[bus] = (ramal.code_name(status.code), status.limit, status.value)
            bus.ping()
            self.assertEqual(len(bus.inbox), 0)
        self.assertEqual(refusals[first], ("OVER_LIMIT", "limits.calls", 500))
        self.assertEqual(refusals[second], ("OVER_LIMIT", "limits.uid_calls", 700))
        self.logged("event=limit", "limits.calls")
        self.assertEqual(self.connect().call("f.other").id, 2)
        self.sleeps("700 open calls")
        for _ in range(700):
            server.reply(server.next_delivery().deliver.token, b"ok")
        for bus, most in ((first, 500), (second, 200)):
            for ident in calls[bus][:most]:
                self.assertEqual(bus.answer(ident).reply.payload, b"ok")
        self.silent(first, second, server)


class Timers(FaultCase):
    limits = {"calls": 20000}

    def fault_D70_many_deadlines_at_one_instant_end_each_call_once(self):
        server, other = self.connect(), self.connect()
        callers = [self.connect() for _ in range(3)]
        server.serve("f.d70")
        count = 8000
        for caller in callers:
            first = caller.last_id + 1
            caller.last_id += count
            caller.send_bytes(b"".join(kind("call", number(4, 300000) + chunk(11, b"f.d70"), first + i)
                                       for i in range(count)))
            caller.ping()
        began = time.monotonic()
        with self.frozen():  # until all of them are over: they come due at one instant
            self.until_over(began + 0.4)
            ident = other.new_id()
            other.send_frame(pb.Frame(id=ident, ping=pb.Ping()))
        other.answer(ident)
        for caller in callers:
            codes = set()
            for i in range(count):
                frame = caller.next_frame()
                self.assertEqual((frame.id, frame.WhichOneof("kind")), (caller.last_id - 1 - count + 1 + i, "status"))
                codes.add(frame.status.code)
            self.assertEqual(codes, {pb.CODE_DEADLINE})
            self.silent(caller)
        self.assertEqual(self.control.api("status").broker.calls, 0)


def matches(pattern, subject):
    """The rule, as plainly as it can be put."""
    want, have = pattern.split("."), subject.split(".")
    for at, token in enumerate(want):
        if token == ">":
            return len(have) > at
        if at >= len(have) or token not in ("*", have[at]):
            return False
    return len(want) == len(have)


class Quotas(FaultCase):
    args = OTHERS
    limits = {"uid_bytes": "512K", "broker_bytes": "4M", "reserve_bytes": "1M", "connection_bytes": "16M",
              "uid_connect_rate": 1000}

    def stuck(self, uid=None):
        """A reader that takes one message and no more."""
        bus = self.stranger(uid) if uid else self.connect()
        bus.subscribe("f.quota.>", credit_messages=1)
        bus.subscribe("f.first", credit_messages=1)
        return bus

    def read_all(self, bus, total):
        """Reads, giving credit, until so many messages are accounted for. Returns why some are missing."""
        got, missing, whys = 0, 0, set()
        while got + missing < total:
            frame = bus.next_of("deliver", "gap")
            if frame.HasField("gap"):
                missing += frame.gap.count
                whys.add(frame.gap.why)
            else:
                got += 1
                bus.credit(frame.deliver.seq, sid=frame.deliver.sid)
        self.assertEqual(got + missing, total)
        self.silent(bus)
        return whys

    def fault_D71_quota_of_a_uid_is_reached_by_it_alone(self):
        stuck = [self.stuck(STRANGER), self.stuck(STRANGER)]
        sender, other = self.stranger(STRANGER), self.stranger(STRANGER + 1)
        other.subscribe("f.quota.>")
        for i in range(400):
            self.assertEqual(sender.publish("f.quota.a", bytes(4000), receipt=True), 3)
            self.assertEqual(other.next_delivery().deliver.seq, i + 1)
        row = self.use("uid_bytes", sender.welcome.peer)
        self.assertLessEqual(row.used, row.value)
        self.assertGreater(row.used, row.value // 2)
        self.assertEqual(self.use("uid_bytes", other.welcome.peer).used, 0)
        self.witness.passed(5)
        # Its calls are refused there, too, and it is told by which limit.
        server = self.connect()
        server.serve("f.d71", credit_messages=1)
        calls = [sender.call("f.d71", bytes(20000)).id for _ in range(60)]
        sender.ping()
        refusals = [f.status for f in sender.inbox if f.HasField("status")]
        self.assertGreater(len(refusals), 10)
        self.assertEqual({(s.code, s.limit) for s in refusals}, {(pb.CODE_OVER_LIMIT, "limits.uid_bytes")})
        self.assertEqual(self.connect().call("f.d71.none").id, 2)
        self.logged("event=limit", "limits.uid_bytes", f"uid={STRANGER}")
        self.sleeps("a uid at its quota")
        for bus in stuck:
            self.assertIn(pb.WHY_UID, self.read_all(bus, 400))
        self.assertEqual(self.use("uid_bytes", other.welcome.peer).used, 0)
        for ident in calls:
            sender.cancel(ident)

    def fault_D72_quotas_that_add_up_to_more_stay_within_the_whole(self):
        stuck = [self.stuck(uid) for uid in (None, None, None, None, STRANGER, STRANGER + 1, STRANGER + 2)]
        sender, server, caller = self.connect(), self.connect(), self.connect()
        server.serve("f.d72")
        for bus in stuck:
            self.assertGreater(self.use("broker_bytes", bus.welcome.peer).value, 0)
        # Messages of their own for each: no body is shared.
        for reader in stuck[:4]:
            reader.subscribe(f"$PEER.{reader.welcome.peer}.x", credit_messages=1)
        for i in range(800):
            for reader in stuck[:4]:
                sender.publish(f"$PEER.{reader.welcome.peer}.x", bytes(4000))
            if i % 100 == 0:
                row = self.use("broker_bytes")
                self.assertLessEqual(row.used, row.value)
        row = self.use("broker_bytes")
        self.assertLessEqual(row.used, row.value)
        self.assertGreater(row.used, row.value // 2)
        # Others, and the reserve: status and replies work while it is full.
        self.witness.passed(5)
        call = caller.call("f.d72", b"?")
        server.reply(server.next_delivery().deliver.token, bytes(100000))
        self.assertEqual(len(call.result()), 100000)
        self.connect().api("list")
        self.sleeps("a broker at its budget")
        for reader in stuck[:4]:
            # Who is of the broker's own uid has what the reserve leaves.
            self.assertLessEqual(self.read_all(reader, 800), {pb.WHY_BROKER, pb.WHY_UID})
        for reader in stuck[4:]:
            self.silent(reader)

    def fault_D73_numbers_at_the_end_of_their_type_do_not_wrap(self):
        bus, sender = self.connect(), self.connect()
        for value in (MOST, MOST - 1, 1 << 63, (1 << 63) - 1, 1 << 32, (1 << 32) - 1, 1):
            with self.subTest(value):
                sid = bus.subscribe("f.d73", sid=value, window_bytes=value, window_messages=value, credit_bytes=value,
                                    credit_messages=value).sid
                for i in range(1, 4):
                    self.assertEqual(sender.publish("f.d73", b"x" * 100, receipt=True), 1)
                    self.assertEqual(bus.next_delivery().deliver.seq, i)
                    bus.credit(i, sid=sid)
                ledger = self.ledger(bus, sid)
                self.assertEqual((ledger.matched, ledger.confirmed), (3, 3))
                self.assertLessEqual(ledger.window_bytes, 8 << 20)
                stray = self.counters()["stray_credits"]
                bus.credit(value, sid=sid)  # beyond what was delivered: as if it were all of it
                bus.credit(value, sid=value - 1 or 5)
                bus.credit(value, call=value)
                self.silent(bus)
                self.assertGreater(self.counters()["stray_credits"], stray)
                bus.unsubscribe(sid)
        bus.serve("f.d73.call")
        for value in (MOST, 1 << 63, 1):
            call = pb.Frame(id=sender.new_id(), call=pb.Data(subject="f.d73.call", time_left_us=value))
            call.call.hop_ext.stream_credit = value
            sender.send_frame(call)
            if value == 1:
                self.assertEqual(sender.answer(call.id).status.code, pb.CODE_DEADLINE)
                continue
            data = bus.next_delivery().deliver  # with a deadline in the far future, or with none
            self.assertTrue(data.time_left_us == 0 or data.time_left_us > 1 << 60)
            bus.reply(data.token, b"ok")
            self.assertEqual(sender.answer(call.id).reply.payload, b"ok")
        third = self.connect()
        third.request(pb.Frame(bye=pb.Bye(drain=True, drain_us=MOST)))
        self.assertEqual(self.ended(third), [])


class Crowd(FaultCase):
    args = OTHERS
    limits = {"uid_connections": 40, "uid_connect_rate": 20}

    def outcome(self, bus):
        """'in', or why not."""
        try:
            bus.hello()
            return "in"
        except ramal.SentAway as away:
            bus.close()
            return away.goaway.text
        except ConnectionError as error:
            bus.close()
            return str(error)

    def fault_D75_many_processes_of_one_uid_meet_its_limit_of_connections(self):
        came = []
        for _ in range(6):  # processes, of ten connections each
            came += [(bus, self.outcome(bus)) for bus in self.strangers(10)]
        inside = [bus for bus, what in came if what == "in"]
        self.assertEqual(len(inside), 40)
        self.assertEqual({what for bus, what in came if what != "in"},
                         {"too many connections: limits.uid_connections is 40"})
        self.logged("event=refused", "limits.uid_connections")
        self.assertEqual(self.outcome(self.strangers(1, STRANGER + 1)[0]), "in")
        self.connect().ping()
        self.sleeps("a uid at its limit of connections")
        self.witness.passed(5)
        inside.pop().close()
        self.until(lambda: self.outcome(self.strangers(1)[0]) == "in", "the free place", self.control)

    def fault_D78_loop_of_reconnects_of_one_uid_is_slowed(self):
        refused, own = set(), 0
        uid = STRANGER + 2
        for _ in range(12):
            for bus in self.strangers(40, uid):
                what = self.outcome(bus)
                if what == "in":
                    own += 1
                    bus.bye()
                else:
                    refused.add(what)
                bus.close()
        self.assertTrue(any("limits.uid_connect_rate" in what for what in refused), refused)
        self.assertGreaterEqual(own, 40)  # the first burst
        self.logged("event=refused", "limits.uid_connect_rate")
        # Nobody else is slowed.
        for _ in range(200):
            self.connect().close()
        self.assertEqual(self.outcome(self.strangers(1, STRANGER + 1)[0]), "in")
        self.witness.passed(5)
        self.until(lambda: self.outcome(self.strangers(1, uid)[0]) == "in", "its bucket to fill", self.control)


class Log(FaultCase):
    """Its log is a pipe that nobody reads."""

    args = ("--log-level", "debug")

    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.mkdtemp(prefix="ramal-test-")
        cls.addClassCleanup(shutil.rmtree, cls.place)
        fifo = os.path.join(cls.place, "log")
        os.mkfifo(fifo)
        cls.pipe = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        cls.addClassCleanup(os.close, cls.pipe)
        cls.options = {"before": ["sh", "-c", f'exec "$@" 2>{fifo}', "sh"]}
        super().setUpClass()

    def read_log(self):
        text = b""
        try:
            while True:
                text += os.read(self.pipe, 1 << 20)
        except BlockingIOError:
            return text.decode()

    def fault_D76_log_that_nobody_reads_blocks_nobody_and_counts(self):
        self.read_log()
        for _ in range(1000):  # two lines for each at least: far more than a pipe holds
            bus = self.connect()
            bus.close()
        self.sleeps("a log that nobody reads")
        self.witness.passed(5)
        before = self.read_log()
        self.assertIn("event=welcome", before)
        self.connect().close()
        self.until(lambda: "event=log-lost lines=" in self.read_log(), "the lost lines to be told", self.control)


class Flood(FaultCase):
    def fault_D76_flood_of_one_cause_is_cut_to_a_few_lines(self):
        before = self.broker.log().count("\n")
        for _ in range(1500):
            self.closes(kind("ping", b""))  # without an id
        self.until(lambda: "suppressed=" in self.once_more(), "the suppressed ones to be told", self.control)
        self.assertLess(self.broker.log().count("\n") - before, 400)
        self.counted({"goaways": 0}, goaways=1500)

    def once_more(self):
        self.closes(kind("ping", b""))
        return self.broker.log()


@over_both(globals(), flush_timeout="200ms")
class Conservation:
    STEPS = 1500

    def fault_D77_charges_are_zero_when_all_have_left(self):
        seed = int(os.environ.get("FAULT_SEED", "77"))
        chance = random.Random(f"{seed} {self.transport}")
        print(f"seed {seed} ", end="", flush=True)
        self.buses, self.calls = [], []
        for _ in range(self.STEPS):
            if len(self.buses) < 2 or chance.random() < 0.03:
                self.buses.append(self.connect())
            try:
                self.step(chance, chance.choice(self.buses))
            except ConnectionError as error:
                self.fail(f"seed {seed}: {error!r}")
        for bus in self.buses:
            bus.close()
        self.until(lambda: self.control.api("status").broker.peers == self.baseline["peers"], "all to be forgotten",
                   self.control)
        fresh = self.connect()
        own = ("own_connections", "uid_connections", "connections")
        rows = {r.key.removeprefix("limits."): r.used for r in fresh.api("limits").limits if r.used}
        left = {key: used for key, used in rows.items() if key not in own}
        # The one call that asks is there, and the three interests of this class.
        self.assertLessEqual(set(left), {"calls", "uid_calls", "interests", "uid_interests", "own_interests"}, left)
        self.assertLessEqual(left.get("calls", 0), 1)

    def step(self, chance, bus):
        """One thing that a client may do. Answers are read where there is one; deliveries are left to lie."""
        what = chance.randrange(100)
        subject = "f.d77." + chance.choice("abc")
        if what < 15:
            more = {"group": "f.g"} if chance.random() < 0.3 else {}
            if chance.random() < 0.6:
                more |= {"credit_messages": chance.randrange(1, 4), "window_messages": chance.randrange(1, 30)}
            bus.subscribe(chance.choice((subject, "f.d77.*", "f.>")),
                          overflow=chance.choice((pb.OVERFLOW_DROP_OLD, pb.OVERFLOW_DROP_NEW, pb.OVERFLOW_LATEST,
                                                  pb.OVERFLOW_EVICT)), **more)
        elif what < 20:
            try:
                bus.serve(subject, group="f.s", credit_messages=2)
            except ramal.Refused:
                pass
        elif what < 24:
            try:
                bus.claim("f.name." + chance.choice("ab"), allow_replace=True, replace=True)
            except ramal.Refused:
                pass
        elif what < 30 and bus.last_sid:
            try:
                bus.unsubscribe(chance.randrange(1, bus.last_sid + 1))
            except ramal.Refused:
                pass
        elif what < 65:
            bus.publish(subject, bytes(chance.choice((0, 10, 3000, 50000))))
        elif what < 80:
            bus.call(chance.choice((subject, "f.name.a.x", "f.none")), bytes(chance.choice((0, 5000))),
                     deadline=chance.choice((None, 0.01, 20)))
        elif what < 88:
            bus.ping()
            while bus.inbox:
                frame = bus.inbox.popleft()
                if not frame.HasField("deliver"):
                    continue
                if frame.deliver.token and chance.random() < 0.8:
                    bus.reply(frame.deliver.token, bytes(chance.choice((0, 3000))), more=chance.random() < 0.2)
                elif frame.deliver.seq:
                    bus.credit(frame.deliver.seq, sid=frame.deliver.sid)
        elif what < 92 and bus.last_id > 1:
            bus.cancel(chance.randrange(1, bus.last_id))
        elif what < 94:
            bus.bye()
            self.leave_out(bus)
        elif what < 96:
            self.leave_out(bus)

    def leave_out(self, bus):
        bus.close()
        self.buses.remove(bus)


if __name__ == "__main__":
    main()
