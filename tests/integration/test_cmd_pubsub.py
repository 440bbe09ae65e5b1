# SPDX-License-Identifier: MIT
"""pub, sub and wait."""

import base64
import os
import pty
import signal
import subprocess

import ramal
from cmdcase import DATA, DENIED, INTERRUPTED, LATER, REFUSED, UNAVAILABLE, CmdCase, Running, main
from ramald import SECONDS, Directory, Ramald, program, wait_for


class Pub(CmdCase):
    def received(self, subject, *args, **more):
        """What a subscriber gets from a pub."""
        bus = self.client()
        bus.subscribe(subject)
        self.cmd("pub", subject, *args, **more)
        return bus.next_delivery().deliver

    def test_pub_payload_comes_as_it_is(self):
        for data in ("hello", "", " with spaces\n", "caf\u00e9"):
            self.assertEqual(self.received("p.a", data).payload, data.encode())
        self.assertEqual(self.received("p.a", "-", stdin=b"\0\xff\n").payload, b"\0\xff\n")
        self.assertEqual(self.received("p.a", stdin=b"piped").payload, b"piped")
        self.assertEqual(self.received("p.a").payload, b"")
        with Directory() as directory:
            with open(directory / "file", "wb") as file:
                file.write(os.urandom(300000))
            with open(directory / "file", "rb") as file:
                self.assertEqual(self.received("p.a", "--file", directory / "file").payload, file.read())

    def test_pub_envelope(self):
        got = self.received("p.b", "x", "--type", "some.Type", "--header", "a=1", "-H", "b=x=y", "-H", "a=")
        self.assertEqual(got.type, "some.Type")
        self.assertEqual([(h.name, h.value) for h in got.headers], [("a", b"1"), ("b", b"x=y"), ("a", b"")])
        self.assertEqual(got.sender.local.uid, os.getuid())

    def test_pub_to_nobody_says_so(self):
        done = self.cmd("pub", "no.body", "x")
        self.assertEqual((done.out, done.err), ("", "ramal: pub: no.body: nobody listens\n"))
        done = self.cmd("pub", "no.body", "x", "-n", "3")
        self.assertIn("nobody listened to 3 of 3", done.err)

    def test_pub_need_receiver(self):
        self.wrong(UNAVAILABLE, "nobody listens", "pub", "no.body", "x", "--need-receiver")
        done = self.cmd("pub", "no.body", "x", "--need-receiver", "-n", "1000", "--receipt", status=UNAVAILABLE)
        self.assertEqual(len(done.lines()), 1)
        self.client().subscribe("some.body")
        done = self.cmd("pub", "some.body", "x", "--need-receiver", "-n", "10")
        self.assertEqual((done.out, done.err), ("", ""))

    def test_pub_receipts_count_receivers(self):
        first, second = self.client(), self.client()
        for bus in (first, second):
            bus.subscribe("r.x")
        self.assertEqual(self.cmd("pub", "r.x", "x", "--receipt", "-n", "2").out, "r.x 2\nr.x 2\n")
        self.assertEqual(self.cmd("pub", "r.x", "x", "-r", "-j").json(),
                         [{"publish": 1, "subject": "r.x", "receivers": 2}])

    def test_pub_many(self):
        bus = self.client()
        bus.subscribe("m.x")
        done = self.cmd("pub", "m.x", "x", "-n", "20000", "--receipt", "--json")
        self.assertEqual([r["publish"] for r in done.json()], list(range(1, 20001)))
        self.assertEqual({r["receivers"] for r in done.json()}, {1})

    def test_pub_every_is_a_clock(self):
        bus = self.client()
        bus.subscribe("c.x")
        self.cmd("pub", "c.x", "tick", "--count", "3", "--every", "20ms")
        self.assertEqual([bus.next_delivery().deliver.payload for _ in range(3)], [b"tick"] * 3)

    def test_pub_every_until_ctrl_c(self):
        bus = self.client()
        bus.subscribe("c.y")
        running = self.start("pub", "c.y", "tick", "--every", "1ms", "--receipt")
        for _ in range(3):
            self.assertEqual(running.line(), "c.y 1")
        done = running.stop()
        self.assertEqual((done.status, done.err), (INTERRUPTED, ""))

    def test_pub_bad_data(self):
        for subject in ("a.*", "a.>", "a..b", "", ".", "a b", "x" * 300):
            with self.subTest(subject=subject[:10]):
                self.wrong(DATA, "not a subject", "pub", subject, "x")
        self.wrong(DATA, "cannot be opened", "pub", "a.b", "--file", "/nonexistent")
        self.wrong(DATA, "cannot be read", "pub", "a.b", "--file", "/")
        self.wrong(DATA, "larger than the broker takes (8388608 bytes)", "pub", "a.b", stdin=bytes((8 << 20) + 1))
        self.wrong(DENIED, "$SYS", "pub", "$SYS.peer.1", "x")
        for header in ("n=" + "x" * 9000, "n" * 300 + "=x"):
            self.wrong(DATA, "", "pub", "a.b", "x", "--header", header)

    def test_pub_largest_payload_goes_through(self):
        self.cmd("pub", "big.x", stdin=bytes(8 << 20))


class Sub(CmdCase):
    def test_sub_prints_a_payload_a_line(self):
        sub = self.listen("s.a", "--count", "3", subject="s.a")
        for data in (b"one", b"two\n", b""):
            self.cmd("pub", "s.a", "-", stdin=data)
        done = sub.end()
        self.assertEqual((done.status, done.raw, done.err), (0, b"one\ntwo\n\n", ""))

    def test_sub_names_the_subject_where_there_may_be_several(self):
        for words in (["t.*"], ["t.>"], ["t.a", "t.b"], ["t.a", "-v"]):
            sub = self.listen(*words, "-n", "1", subject="t.a")
            self.cmd("pub", "t.a", "x")
            self.assertEqual(sub.end().out, "t.a x\n", words)

    def test_sub_star_inside_a_token_is_no_wildcard(self):
        sub = self.listen("t*.a>", "-n", "1", subject="t*.a>")
        self.cmd("pub", "t*.a>", "x")
        self.assertEqual(sub.end().out, "x\n")

    def test_sub_raw_prints_bytes_alone(self):
        sub = self.listen("s.raw", "-n", "2", "--raw", subject="s.raw")
        self.cmd("pub", "s.raw", "-", stdin=b"\0a\n")
        self.cmd("pub", "s.raw", "b")
        self.assertEqual(sub.end().raw, b"\0a\nb")

    def test_sub_json_is_an_object_a_line(self):
        sub = self.listen("s.>", "-n", "2", "--json", subject="s.j")
        self.cmd("pub", "s.j", "caf\u00e9\n", "--type", "T", "-H", "k=v")
        self.cmd("pub", "s.k", "-", "-H", "k=v", stdin=b"\xff\0")
        first, second = sub.end().json()
        sender = first.pop("sender")
        self.assertEqual(first, {"subject": "s.j", "seq": 1, "type": "T", "headers": [{"name": "k", "value": "v"}],
                                 "payload": "caf\u00e9\n"})
        self.assertEqual((sender["local"], sender["uid"]), (True, os.getuid()))
        self.assertEqual((second["seq"], base64.b64decode(second["payload_base64"])), (2, b"\xff\0"))
        self.assertNotIn("payload", second)

    def test_sub_on_a_terminal_has_no_control_characters(self):
        ours, theirs = pty.openpty()
        running = self.listen("tty.x", "tty.y", "-n", "2", stdout=theirs, subject="tty.x")
        os.close(theirs)
        self.cmd("pub", "tty.x", "-", stdin=b"a\033[2Jb\nc\xc2\x9bd\xff\n")
        self.cmd("pub", "tty.y", "-", "--header", "x=\033", stdin=b"ok\n")
        self.assertEqual(running.end().status, 0)
        expected = b"tty.x a\\x1b[2Jb\\nc\\u009bd\\xff\r\ntty.y ok\r\n"
        shown = b""
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            while len(shown) < len(expected):  # a terminal gives a line at a time
                shown += terminal.read(1000)
        self.assertEqual(shown, expected)

    def test_sub_count_ends_exactly(self):
        sub = self.listen("n.x", "--count", "5", subject="n.x")
        self.cmd("pub", "n.x", "x", "-n", "500")
        self.assertEqual(sub.end().out, "x\n" * 5)

    def test_sub_timeout(self):
        done = self.cmd("sub", "never.x", "-n", "1", "--timeout", "100ms", status=LATER)
        self.assertIn("1 of 1 messages", done.err)
        self.assertEqual(self.cmd("sub", "never.x", "--timeout", "100ms").err, "")

    def test_sub_group_shares(self):
        subs = [self.listen("g.x", "--group", "workers", "-n", "3", subject="g.x", count=n + 1) for n in range(2)]
        self.cmd("pub", "g.x", "job", "-n", "6")
        self.assertEqual([sub.end().out for sub in subs], ["job\n" * 3] * 2)

    def test_sub_worker_takes_no_more_than_it_counts(self):
        bus = self.client()
        sub = self.listen("one.x", "--group", "one", "-n", "2", subject="one.x")
        for n in range(5):
            bus.publish("one.x", b"%d" % n)
        self.assertEqual(sub.end().out, "0\n1\n")
        other = self.client()
        other.subscribe("one.x", group="one")
        bus.publish("one.x", b"5")
        self.assertEqual(other.next_delivery().deliver.payload, b"5")

    def stuck(self, *args):
        """A sub that is stopped while 600 messages of 60 000 bytes are published."""
        sub = self.listen("stuck.x", *args, subject="stuck.x")
        sub.send(signal.SIGSTOP)
        self.cmd("pub", "stuck.x", "-", "-n", "600", stdin=b"x" * 60000)
        sub.send(signal.SIGCONT)
        return sub

    def test_sub_gap_as_json_balances(self):
        sub = self.stuck("--json", "--window-messages", "5")
        seen = missed = gaps = 0
        while seen + missed < 600:
            line = sub.object()
            if "gap" in line:
                self.assertEqual(list(line), ["gap"])
                gap = line["gap"]
                self.assertEqual(list(gap), ["first", "last", "count", "bytes", "why"])
                self.assertEqual((gap["why"], gap["first"]), ("window", seen + missed + 1))
                self.assertEqual(gap["count"], gap["last"] - gap["first"] + 1)
                self.assertGreaterEqual(gap["bytes"], 60000 * gap["count"])
                missed += gap["count"]
                gaps += 1
            else:
                seen += 1
                self.assertEqual(line["seq"], seen + missed)
        self.assertGreater(missed, 0)
        self.assertLess(gaps, 4)  # one for all that was lost in a row, not one for each message
        self.assertEqual(sub.stop().out, "")

    def test_sub_gap_goes_to_stderr(self):
        sub = self.stuck("--window-messages", "5", "--raw")
        self.assertRegex(self.drained(sub), r"^ramal: sub: stuck.x: \d+ messages of \d+ bytes are missing between")

    def drained(self, sub):
        """The first line on stderr of a sub whose stdout is read all the while."""
        with subprocess.Popen(["cat"], stdin=sub.process.stdout, stdout=subprocess.DEVNULL) as reader:
            line = sub.line("stderr")
            sub.send(signal.SIGINT)
            sub.process.wait(SECONDS)
            reader.wait(SECONDS)
        return line

    def test_sub_evict_ends_it(self):
        sub = self.stuck("--overflow", "evict", "--window-messages", "5", "--raw")
        with subprocess.Popen(["cat"], stdin=sub.process.stdout, stdout=subprocess.DEVNULL):
            sub.process.wait(SECONDS)
        done = sub.end()
        self.assertEqual(done.status, REFUSED)
        self.assertIn("are missing", done.err)
        self.assertIn("the subscription has ended (evicted)", done.err)

    def test_sub_latest_says_how_many_it_replaced(self):
        sub = self.stuck("--overflow", "latest", "--window-messages", "2", "--json")
        seen = 0
        while seen < 600:
            line = sub.object()
            self.assertNotIn("gap", line)
            seen += 1 + line.get("replaced", 0)
        self.assertEqual(seen, 600)

    def test_sub_bad_patterns(self):
        for pattern in ("a..b", "", "a.>.b", "a b", "x" * 300):
            with self.subTest(pattern=pattern[:10]):
                self.wrong(DATA, "not a pattern", "sub", pattern)
        self.wrong(DATA, "group", "sub", "a", "--group", "a b")

    def test_sub_finds_the_broker_again(self):
        with Directory() as directory:
            address = f"unix:{directory}/bus"
            env = {"RAMAL_ADDRESS": address}
            first = Ramald("--listen", address)
            sub = self.start("sub", "again.x", "-v", env=env)
            sub.line("stderr")
            first.kill()
            self.assertIn("the broker is gone", sub.line("stderr"))
            with Ramald("--listen", address):
                self.assertIn("connected again", sub.line("stderr"))
                with ramal.connect(address) as bus:
                    wait_for(lambda: bus.publish("again.x", b"hello", receipt=True), "the subscription")
                self.assertEqual(sub.line(), "again.x hello")
                self.assertEqual(sub.stop().status, INTERRUPTED)


class Wait(CmdCase):
    def waiting(self, *words, seen):
        """A wait that has subscribed to `seen`."""
        running = self.start("wait", *words)
        self.until_heard(seen)
        return running

    def test_wait_for_a_name_that_is_there(self):
        bus = self.client()
        bus.claim("here.name")
        for words in (["here.name"], ["here.name", "--name"], ["here.name.below"]):
            self.assertIn(f"by peer {bus.welcome.peer}\n", self.cmd("wait", *words).out)
        self.assertEqual(self.cmd("wait", "here.name", "--name", "--json").json(),
                         [{"subject": "here.name", "owner": bus.welcome.peer}])
        self.assertEqual(self.cmd("wait", "here.name", "--json").json(),
                         [{"subject": "here.name", "server": bus.welcome.peer}])

    def test_wait_for_a_name_that_comes(self):
        for n, words in enumerate((["--name"], [])):
            name = f"later.name{n}"
            running = self.waiting(name, *words, seen=f"$SYS.name.{name}")
            bus = self.client()
            bus.claim(name)
            self.assertIn(f"by peer {bus.welcome.peer}\n", running.end().out)

    def test_wait_for_a_service_that_comes(self):
        running = self.waiting("later.service", seen="$SYS.peer.1")
        bus = self.client()
        self.cmd("ping")  # a peer that comes is not enough
        bus.serve("later.*")
        self.assertEqual(running.end().out, f"later.service is served by peer {bus.welcome.peer}\n")

    def test_wait_for_a_message(self):
        for words in (["msg.x"], ["msg.x", "--message"], ["msg.*"], ["msg.>"]):
            running = self.waiting(*words, seen="msg.x")
            self.cmd("pub", "msg.x", "now")
            self.assertEqual(running.end().out, "msg.x now\n")

    def test_wait_for_a_message_only(self):
        self.client().claim("both.name")
        running = self.waiting("both.name", "--message", "--json", seen="both.name")
        self.cmd("pub", "both.name", "now")
        self.assertEqual(running.end().json()[0]["payload"], "now")

    def test_wait_in_time(self):
        done = self.cmd("wait", "nobody.there", "--timeout", "100ms", status=LATER)
        self.assertIn("nothing there in time", done.err)

    def test_wait_bad_words(self):
        for words in (["a..b"], ["a..b", "--name"], ["a.*", "--name"], ["$x", "--name"]):
            self.wrong(DATA, words[0], "wait", *words)

    def test_wait_for_the_broker_too(self):
        with Directory() as directory:
            env = {"RAMAL_ADDRESS": f"unix:{directory}/bus"}
            self.cmd("wait", "x", env=env, status=UNAVAILABLE)
            running = Running([program("RAMAL"), "wait", "x.y", "--broker"], self.environment(env))
            self.addCleanup(running.kill)
            with Ramald("--listen", f"unix:{directory}/bus") as broker, ramal.connect(broker.address) as bus:
                bus.serve("x.y")
                self.assertEqual(running.end().status, 0)

    def test_wait_by_ctrl_c(self):
        running = self.waiting("ctrl.c", seen="ctrl.c")
        self.assertEqual(running.stop().status, INTERRUPTED)


if __name__ == "__main__":
    main()
