# SPDX-License-Identifier: MIT
"""What pub, sub and call say about back-pressure: waiting for room, messages with an end, keys; and looking at a broker
that has no room for more."""

import os
import signal
import subprocess

import ramal
from cmdcase import LATER, USAGE, CmdCase, main
from ramal import pb
from ramald import wait_for


class Block(CmdCase):
    args = ("--limit-publish-credit-bytes", "64K")

    def reader(self, subject):
        """A subscriber that holds its publishers back and takes one message at a time."""
        bus = self.client()
        bus.subscribe(subject, overflow=pb.OVERFLOW_BLOCK, credit_messages=1)
        return bus

    def read(self, bus, count):
        """Takes so many messages; returns their numbers."""
        numbers = []
        for _ in range(count):
            got = bus.next_delivery().deliver
            bus.credit(got.seq, sid=got.sid)
            numbers.append(got.seq)
        return numbers

    def test_pub_waits_and_loses_nothing(self):
        bus = self.reader("b.wait")
        running = self.start("pub", "b.wait", "x" * 1000, "-n", "500")
        self.assertEqual(self.read(bus, 500), list(range(1, 501)))
        done = running.end()
        self.assertEqual((done.status, done.err), (0, ""))

    def test_sub_that_reads_is_not_demoted(self):
        sub = self.listen("b.fast", "--overflow", "block", "-n", "300", subject="b.fast",
                          stdout=subprocess.DEVNULL)
        self.cmd("pub", "b.fast", "-", "-n", "300", stdin=b"x" * 60000)
        done = sub.end()
        self.assertEqual((done.status, done.err), (0, ""))

    def test_pub_no_wait_ends_at_once(self):
        bus = self.reader("b.now")
        done = self.cmd("pub", "b.now", "x" * 1000, "-n", "500", "--no-wait", "--receipt", status=LATER)
        self.assertIn("ramal: pub: b.now: too much is under way", done.err)
        self.assertIn(len(done.lines()), range(60, 70))
        # What was taken is delivered: neither more nor less.
        self.cmd("pub", "b.now", "last")
        self.read(bus, len(done.lines()))
        self.assertEqual(bus.next_delivery().deliver.payload, b"last")

    def test_pub_timeout_is_the_longest_wait(self):
        self.reader("b.time")
        # Connecting has no more time than that, either.
        done = self.cmd("pub", "b.time", "x" * 1000, "-n", "500", "--timeout", "1s", status=LATER)
        self.assertIn("the deadline passed", done.err)

    def test_pub_waiting_ends_by_ctrl_c(self):
        self.reader("b.stop")
        running = self.start("pub", "b.stop", "x" * 1000, "-n", "500", "--receipt")
        for _ in range(60):
            running.line()
        self.assertEqual(running.stop().status, 130)

    def test_pub_expires_while_it_waits(self):
        self.reader("b.over")
        self.cmd("pub", "b.over", "under way, so that all others stay queued")
        running = self.start("pub", "b.over", "x" * 1000, "-n", "500", "--ttl", "3s", "--receipt")
        running.line()  # it waits now
        # Those before it expire first, and would make room.
        os.kill(self.broker.pid, signal.SIGSTOP)
        try:
            done = running.end()
        finally:
            os.kill(self.broker.pid, signal.SIGCONT)
        self.assertEqual(done.status, LATER)
        self.assertIn("expired before there was room for it", done.err)
        self.assertNotIn("--timeout", done.err)

    def test_pub_ttl_travels(self):
        sub = self.listen("b.ttl", "--json", "-n", "2", subject="b.ttl")
        self.cmd("pub", "b.ttl", "x", "--ttl", "30s")
        self.cmd("pub", "b.ttl", "y")
        first, second = sub.end().json()
        self.assertIn(first["time_left_us"], range(1, 30000001))
        self.assertNotIn("time_left_us", second)

    def test_pub_ttl_and_key_bad_values(self):
        self.wrong(USAGE, "--ttl", "pub", "b.x", "x", "--ttl", "soon")
        self.wrong(65, "the key", "pub", "b.x", "x", "--key", "k" * 256)

    def test_sub_key_and_random_policies(self):
        subs = [self.listen("b.key", "--group", "g", "--policy", "key", subject="b.key", count=n + 1)
                for n in range(2)]
        for n in range(16):
            for _ in range(3):
                self.cmd("pub", "b.key", str(n), "--key", f"key {n}", "--need-receiver")
        mine, theirs = (sub.stop().lines() for sub in subs)
        self.assertEqual(set(mine) & set(theirs), set())
        self.assertEqual(sorted(mine + theirs), sorted(str(n) for n in range(16) for _ in range(3)))

        subs = [self.listen("b.rnd", "--group", "r", "--policy", "random", subject="b.rnd", count=n + 1)
                for n in range(2)]
        self.cmd("pub", "b.rnd", "x", "-n", "50", "--need-receiver")
        self.assertEqual(sum(len(sub.stop().lines()) for sub in subs), 50)

    def test_call_key_reaches_the_same_server(self):
        for name in "one", "two":
            self.serve("b.call", name, "--group", "g", "--policy", "key")
        self.until_served("b.call", 2)
        for n in range(8):
            answers = {self.cmd("call", "b.call", "--key", f"key {n}").out for _ in range(4)}
            self.assertEqual(len(answers), 1)


class Stall(CmdCase):
    args = ("--limit-stall-max", "200ms")

    def stalled(self, *args):
        """A sub that holds its publishers back and is stopped meanwhile."""
        sub = self.listen("stall.x", "--overflow", "block", *args, subject="stall.x")
        sub.send(signal.SIGSTOP)
        self.cmd("pub", "stall.x", "-", "-n", "300", stdin=b"x" * 60000)
        sub.send(signal.SIGCONT)
        return sub

    def test_sub_too_slow_is_demoted_and_says_so(self):
        sub = self.stalled("--raw")
        with subprocess.Popen(["cat"], stdin=sub.process.stdout, stdout=subprocess.DEVNULL) as reader:
            line = sub.line("stderr")
            sub.send(signal.SIGINT)
            sub.process.wait(10)
            reader.wait(10)
        self.assertRegex(line, r"^ramal: sub: stall\.x: too slow to hold its publishers back .* \(stalled\)$")

    def test_sub_too_slow_as_json_balances(self):
        sub = self.stalled("--json")
        seen = missed = demoted = 0
        while seen + missed < 300 or not demoted:
            line = sub.object()
            if "demoted" in line:
                self.assertEqual(line, {"demoted": {"why": "stalled"}})
                demoted += 1
            elif "gap" in line:
                missed += line["gap"]["count"]
            else:
                seen += 1
        self.assertEqual((seen + missed, demoted), (300, 1))
        states = self.cmd("status", self.peer_of("ramal sub"), "--json").json()[0]["interests"]
        self.assertEqual([(i["overflow"], i["state"]) for i in states], [("block", "demoted")])

    def peer_of(self, app):
        peers = self.cmd("list", "--json").json()[0]
        return str(next(p["id"] for p in peers if p["app"] == app))


class Full(CmdCase):
    """The broker's own user may have two connections, and both are taken."""

    args = ("--limit-own-connections", "2")

    def test_looking_works_where_nothing_else_does(self):
        buses = [self.client() for _ in range(2)]
        buses[0].subscribe("full.x")
        self.wrong(LATER, "own_connections", "pub", "full.x", "x")
        for words in (("list",), ("names",), ("who", "full.x"), ("status",), ("status", "--limits"), ("ping",),
                      ("status", str(buses[0].welcome.peer))):
            self.cmd(*words)
        # The place that is free is anybody's again.
        buses.pop().close()
        wait_for(lambda: self.start("pub", "full.x", "x").end().status == 0, "a free place")


if __name__ == "__main__":
    main()
