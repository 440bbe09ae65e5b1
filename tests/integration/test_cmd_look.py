# SPDX-License-Identifier: MIT
"""The verbs that only look: list, names, who, status, ping; their tables and their JSON; and completion."""

import os
import pwd
import re
import subprocess

import ramal
from cmdcase import DATA, INTERRUPTED, REFUSED, CmdCase, main
from ramald import program

HOSTILE = "evil\033[2J\u202e\u009b31m\nline"


class List(CmdCase):
    def test_list_shows_who_is_there(self):
        bus = self.client(app="a tester")
        bus.subscribe("x.y")
        bus.claim("tester.name")
        table = self.cmd("list").lines()
        self.assertEqual(table[0].split(), ["ID", "APP", "NAMES", "PID", "PROCESS", "USER", "ADDRESS", "SINCE",
                                            "INTERESTS", "QUEUED"])
        row = next(line for line in table if "a tester" in line)
        user = pwd.getpwuid(os.getuid()).pw_name
        for word in (str(bus.welcome.peer), "tester.name", str(os.getpid()), user, self.broker.address):
            self.assertIn(word, row)
        self.assertRegex(row, r" \d\d:\d\d:\d\d +2 +0$")
        self.assertIn("ramal list", "\n".join(table))

    def test_list_as_json(self):
        bus = self.client(app="a tester")
        bus.claim("json.name")
        peers = self.cmd("list", "--json").json()[0]
        peer = next(p for p in peers if p["id"] == bus.welcome.peer)
        self.assertEqual((peer["app"], peer["names"], peer["local"], peer["uid"], peer["pid"], peer["interests"]),
                         ("a tester", ["json.name"], True, os.getuid(), os.getpid(), 1))
        self.assertTrue(peer["process"].startswith("python3"))
        self.assertRegex(peer["since"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual((peer["queued_messages"], peer["queued_bytes"]), (0, 0))

    def test_list_of_a_peer_over_tcp_has_no_user(self):
        token = ramal.read_token(self.broker.token_file)
        with ramal.connect(self.tcp, token=token, app="remote") as bus:
            row = next(line for line in self.cmd("list").lines() if "remote" in line)
            self.assertRegex(row, r"remote +- +- +- +\(token\)")
            peer = next(p for p in self.cmd("list", "-j").json()[0] if p["id"] == bus.welcome.peer)
            self.assertEqual((peer["local"], peer["identity"]), (False, "token"))
            self.assertNotIn("uid", peer)

    def test_list_escapes_what_peers_call_themselves(self):
        self.client(app=HOSTILE)
        done = self.cmd("list")
        self.assertIn("evil\\x1b[2J\\u202e\\u009b31m\\nline", done.out)
        self.assertNotIn(b"\033", done.raw)
        done = self.cmd("list", "--json")
        self.assertIn(HOSTILE, [p["app"] for p in done.json()[0]])
        self.assertNotIn(b"\033", done.raw)
        self.assertNotIn("\u009b".encode(), done.raw)

    def test_list_fits_the_terminal(self):
        self.client(app="an application with a really long name that goes on and on")
        for width in (60, 80, 100):
            lines = self.cmd("list", env={"COLUMNS": str(width)}).lines()
            self.assertTrue(all(len(line) <= max(width, 72) for line in lines), lines)
            self.assertIn("…", "".join(lines))
        self.assertNotIn("…", self.cmd("list").out)


class Names(CmdCase):
    def test_names_owner_and_queue(self):
        first, second = self.client(), self.client()
        first.claim("a.name")
        second.claim("a.name")
        second.claim("b.name")
        table = [line.split() for line in self.cmd("names").lines()]
        self.assertEqual(table[0], ["NAME", "OWNER", "USER", "QUEUE"])
        user = pwd.getpwuid(os.getuid()).pw_name
        self.assertIn(["a.name", str(first.welcome.peer), user, str(second.welcome.peer)], table)
        self.assertIn(["b.name", str(second.welcome.peer), user, "-"], table)
        names = {name["name"]: name for name in self.cmd("names", "--json").json()[0]}
        self.assertEqual(names["a.name"]["owner"], first.welcome.peer)
        self.assertEqual(names["a.name"]["queue"], [second.welcome.peer])
        self.assertEqual(names["b.name"]["uid"], os.getuid())


class Who(CmdCase):
    def test_who_lists_receivers_and_servers(self):
        plain, worker, server = self.client(app="plain"), self.client(app="worker"), self.client(app="server")
        plain.subscribe("w.>")
        worker.subscribe("w.x", group="g")
        server.serve("w.*")
        table = self.cmd("who", "w.x").lines()
        self.assertEqual(table[0].split(), ["FOR", "NEXT", "PEER", "APP", "SID", "PATTERN", "GROUP", "POLICY",
                                            "PENDING", "WHY"])
        self.assertEqual(len(table), 4)
        self.assertRegex(table[-1], r"^call +yes +\d+ +server +\d+ +w\.\*")
        who = self.cmd("who", "w.x", "--json").json()[0]
        self.assertEqual({(r["app"], r["pattern"], r["group"], r["chosen"]) for r in who["publish"]},
                         {("plain", "w.>", "", True), ("worker", "w.x", "g", True)})
        self.assertEqual([(r["peer"], r["chosen"]) for r in who["call"]], [(server.welcome.peer, True)])
        self.assertTrue(all(r["why"] for r in who["publish"] + who["call"]))

    def test_who_of_nobody_says_so(self):
        done = self.cmd("who", "no.body")
        self.assertEqual(len(done.lines()), 1)
        self.assertIn("nobody listens, and nobody serves it", done.err)
        self.assertEqual(self.cmd("who", "no.body", "--json").json(),
                         [{"subject": "no.body", "publish": [], "call": []}])

    def test_who_of_what_is_no_subject(self):
        for subject, said in (("", "'': it is empty"), ("a..b", "a..b: it has an empty token"),
                              ("a.*", "a.*: it has a wildcard"), (b"a\xff", "a\\xff: it is not valid UTF-8"),
                              ("x" * 300, "x: it is longer than 255 bytes"), ("x" * 3000, "too long")):
            with self.subTest(subject=subject[:10]):
                self.wrong(DATA, said, "who", subject)


class Status(CmdCase):
    def test_status_of_the_broker(self):
        done = self.cmd("status")
        for line in (f"address     {self.broker.address}", f"pid         {self.broker.pid}", f"            {self.tcp}"):
            self.assertIn(line + "\n", done.out)
        self.assertRegex(done.out, r"(?m)^ +\d+  connections$")
        status = self.cmd("status", "--json").json()[0]
        self.assertEqual(status["broker"]["pid"], self.broker.pid)
        self.assertEqual(status["broker"]["listening"], self.broker.addresses)
        self.assertIsInstance(status["broker"]["epoch"], str)
        self.assertGreater(status["counters"]["connections"], 0)

    def test_status_of_a_peer_balances(self):
        bus = self.client(app="reader")
        bus.subscribe("s.t", overflow=ramal.pb.OVERFLOW_DROP_NEW, window_messages=5, credit_messages=3)
        self.cmd("pub", "s.t", "x", "-n", "20")
        status = self.cmd("status", str(bus.welcome.peer), "--json").json()[0]
        self.assertEqual(status["peer"]["app"], "reader")
        one = status["interests"][0]
        self.assertEqual((one["pattern"], one["kind"], one["overflow"]), ("s.t", "subscribe", "drop_new"))
        self.assertEqual((one["matched"], one["in_flight"], one["queued"], one["dropped"]), (20, 3, 5, 12))
        self.assertEqual(one["matched"], sum(one[term] for term in (
            "queued", "in_flight", "confirmed", "expired", "dropped", "replaced", "moved", "unconfirmed")))
        done = self.cmd("status", str(bus.welcome.peer))
        head, row = [line.split() for line in done.lines() if re.match(r" *(SID|1) ", line)]
        cells = dict(zip(head, row))
        self.assertEqual((cells["MATCHED"], cells["FLIGHT"], cells["QUEUED"], cells["DROPPED"]), ("20", "3", "5", "12"))
        narrow = self.cmd("status", str(bus.welcome.peer), env={"COLUMNS": "90"})
        self.assertNotIn("UNCONFIRMED", narrow.out)
        self.assertIn("DROPPED", narrow.out)

    def test_status_of_the_owner_of_a_name(self):
        bus = self.client(app="owner")
        bus.claim("status.name")
        self.assertEqual(self.cmd("status", "status.name", "-j").json()[0]["peer"]["id"], bus.welcome.peer)

    def test_status_of_nobody(self):
        self.wrong(REFUSED, "ramal list", "status", "999999")
        self.wrong(REFUSED, "ramal list", "status", "no.such.name")
        self.wrong(DATA, "0 is no peer", "status", "0")

    def test_status_limits_show_value_and_use(self):
        bus = self.client()
        for _ in range(3):
            bus.subscribe("l.x")
        rows = {row["key"]: row for row in self.cmd("status", str(bus.welcome.peer), "--limits", "--json").json()[0]}
        self.assertEqual(rows["limits.payload_bytes"]["value"], 8 << 20)
        self.assertEqual(rows["limits.own_interests"]["used"], 3)
        self.assertEqual((rows["limits.own_interests"]["counted"], rows["limits.uid_interests"]["counted"]), (True, False))
        self.assertFalse(rows["limits.payload_bytes"]["counted"])
        table = self.cmd("status", str(bus.welcome.peer), "--limits").lines()
        self.assertEqual(table[0].split(), ["LIMIT", "VALUE", "USED", "%", "OF"])
        lines = {line.split()[0]: line.split()[1:] for line in table[1:]}
        self.assertEqual(lines["limits.payload_bytes"], ["8.00", "MiB", "-", "-", "message"])
        self.assertEqual(lines["limits.stall_max"], ["5.00", "s", "-", "-", "interest"])
        self.assertEqual(lines["limits.own_interests"], ["1048576", "interests", "3", "<1", "connection"])
        self.assertEqual(lines["limits.uid_interests"], ["65536", "interests", "-", "-", "uid"])
        # From what concerns one connection to what concerns all.
        scopes = [line.split()[-1] for line in table[1:]]
        self.assertEqual(list(dict.fromkeys(scopes)), ["message", "interest", "connection", "uid", "broker"])

    def test_status_users_show_what_they_hold(self):
        bus = self.client()
        bus.claim("users.name")
        bus.subscribe("u.x")
        token = ramal.read_token(self.broker.token_file)
        with ramal.connect(self.tcp, token=token, app="remote"):
            users = self.cmd("status", "--users", "--json").json()[0]
            table = self.cmd("status", "--users").lines()
        mine = next(user for user in users if user["local"])
        self.assertEqual((mine["uid"], mine["user"], mine["own"]), (os.getuid(), pwd.getpwuid(os.getuid()).pw_name, True))
        self.assertEqual((mine["interests"], mine["names"], mine["queued_bytes"]), (2, 1, 0))
        self.assertGreaterEqual(mine["connections"], 2)
        remote = next(user for user in users if not user["local"])
        self.assertEqual((remote["connections"], remote["interests"]), (1, 0))
        self.assertNotIn("uid", remote)
        self.assertEqual(table[0].split()[:6], ["USER", "CONNECTIONS", "INTERESTS", "NAMES", "CALLS", "QUEUED"])
        self.assertTrue(any(line.startswith("(token) ") for line in table))


class Ping(CmdCase):
    def test_ping_says_how_long_it_took(self):
        self.assertRegex(self.cmd("ping").out, r"^ramald [\d.]+ at unix:\S+: [\d.]+ (us|ms)\n$")

    def test_ping_several_times(self):
        lines = self.cmd("ping", "-n", "3", "--every", "1ms").lines()
        self.assertEqual(len(lines), 4)
        self.assertRegex(lines[3], r"^3 round trips: min [\d.]+ \w+, mean [\d.]+ \w+, max [\d.]+ \w+$")

    def test_ping_as_json(self):
        answers = self.cmd("ping", "-n", "2", "--every", "1ms", "--json").json()
        self.assertEqual([a["seq"] for a in answers], [1, 2])
        self.assertTrue(all(0 < a["rtt_us"] < 5e6 and a["address"] == self.broker.address for a in answers))

    def test_ping_until_ctrl_c(self):
        running = self.start("ping", "--every", "1ms")
        running.line()
        running.line()
        done = running.stop()
        self.assertEqual(done.status, INTERRUPTED)
        self.assertIn("round trips", done.lines()[-1])


class Completion(CmdCase):
    def complete(self, *words):
        return [line.split("\t")[0] for line in self.cmd("__complete", *words).lines()]

    def test_completion_of_verbs(self):
        self.assertEqual(self.complete("s"), ["status", "sub"])
        self.assertIn("list", self.complete(""))
        self.assertNotIn("__complete", self.complete(""))

    def test_completion_of_options_and_their_values(self):
        self.assertEqual(self.complete("sub", "x", "--over"), ["--overflow"])
        self.assertEqual(self.complete("sub", "--overflow", "drop"), ["drop_old", "drop_new"])
        self.assertIn("--json", self.complete("list", "-"))
        self.assertEqual(self.complete("pub", "x", "--file", ""), [":file"])
        self.assertEqual(self.complete("completion", ""), ["bash", "zsh", "fish"])
        self.assertEqual(self.complete("help", "e"), ["exit"])

    def test_completion_asks_the_bus(self):
        bus = self.client()
        bus.claim("live.name")
        self.assertEqual(self.complete("call", "liv"), ["live.name"])
        self.assertIn(str(bus.welcome.peer), self.complete("status", ""))
        elsewhere = {"RAMAL_ADDRESS": "unix:/nonexistent/bus"}
        done = self.cmd("__complete", "--address", self.broker.address, "call", "liv", env=elsewhere)
        self.assertEqual(done.out, "live.name\twell-known name\n")

    def test_completion_without_a_broker_is_silent(self):
        done = self.cmd("__complete", "call", "x", env={"RAMAL_ADDRESS": "unix:/nonexistent/bus"})
        self.assertEqual((done.out, done.err), ("", ""))

    def test_completion_in_bash(self):
        self.client().claim("bash.name")
        script = ('PATH="$(dirname "$0"):$PATH"; eval "$(ramal completion bash)" || exit 1\n'
                  'try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _ramal; echo "${COMPREPLY[*]}"; }\n'
                  "try ramal st\ntry ramal sub --overflow l\ntry ramal call bash\ntry ramal ''\ncomplete -p ramal")
        done = subprocess.run(["bash", "--norc", "-c", script, program("RAMAL")], env=self.environment(),
                              capture_output=True, check=False)
        lines = done.stdout.decode().splitlines()
        self.assertEqual(done.stderr, b"")
        self.assertEqual(lines[:3], ["status", "latest", "bash.name"])
        self.assertIn("completion", lines[3])
        self.assertIn("_ramal", lines[4])

    def test_completion_scripts_of_the_other_shells(self):
        self.assertTrue(self.cmd("completion", "zsh").out.startswith("#compdef ramal\n"))
        self.assertIn("complete -c ramal", self.cmd("completion", "fish").out)


if __name__ == "__main__":
    main()
