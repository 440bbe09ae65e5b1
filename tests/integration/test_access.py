# SPDX-License-Identifier: MIT
"""Who may connect: other uids through --allow-uid and --allow-group, and the modes that must let them. The foreign side
runs as uid 64999."""

import json
import os
import re
import subprocess
import sys
import unittest

import ramal
from ramald import STRANGER, Directory, Ramald, as_uid, fail, wait_for

GROUP = 64998

# What a stranger does: says hello, prints the outcome.
CLIENT = """
import json, sys
import ramal
try:
    with ramal.connect(sys.argv[1]) as bus:
        bus.ping()
        print(json.dumps(["in", bus.welcome.peer]))
except ramal.Refused as refused:
    print(json.dumps(["refused", ramal.code_name(refused.code), refused.status.text]))
except OSError as error:
    print(json.dumps(["error", error.errno]))
"""

# What one does that comes too often: so many times, staying or going; prints what the last one was told.
OFTEN = """
import sys
import ramal
address, times, stay = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "stay"
there = []
for _ in range(times):
    bus = ramal.connect(address)
    there.append(bus)
    if not stay:
        bus.close()
try:
    ramal.connect(address)
    print("in")
except ramal.SentAway as away:
    print(ramal.code_name(away.goaway.reason), away.goaway.text)
for bus in there if stay else []:
    bus.ping()
"""


def run(script, *words, uid=STRANGER, gid=None, groups=None):
    """What a Python script prints that runs as that uid."""
    with Directory() as place:
        # Modules may lie where the stranger cannot read: give it copies.
        for module in (ramal.__file__, ramal.pb.__file__, ramal.api.__file__):
            place.program(module)
        done = subprocess.run([*as_uid(uid, gid, groups), "/usr/bin/python3", "-c", script, *words],
                              env={"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20, check=False)
        if done.returncode:
            sys.stderr.write(done.stderr.decode())
        return done.stdout.decode()


def visit(address, **who):
    """The outcome of a hello."""
    return json.loads(run(CLIENT, address, **who) or "null")


class Foreign(unittest.TestCase):
    def test_other_uid_cannot_reach_the_default_socket(self):
        with Ramald() as broker:
            self.assertEqual(visit(broker.address), ["error", 13])

    def test_other_uid_that_reaches_the_socket_is_denied(self):
        with Ramald("--socket-mode", "0666") as broker:
            what, code, _ = visit(broker.address)
            self.assertEqual((what, code), ("refused", "DENIED"))
            self.assertIn(f"event=denied peer=1 app=ramal.py uid={STRANGER}", broker.log())

    def test_allowed_uid_is_let_in(self):
        with Ramald("--socket-mode", "0666", "--allow-uid", STRANGER) as broker:
            self.assertEqual(visit(broker.address), ["in", 1])
            self.assertEqual(visit(broker.address, uid=STRANGER + 1)[1], "DENIED")

    def test_member_of_an_allowed_group_is_let_in(self):
        with Ramald("--socket-mode", "0660", "--socket-group", GROUP, "--allow-group", GROUP) as broker:
            self.assertEqual(visit(broker.address, gid=GROUP), ["in", 1])
            self.assertEqual(visit(broker.address, groups=[GROUP]), ["in", 2])
            self.assertEqual(visit(broker.address), ["error", 13])

    def test_foreign_uid_on_an_abstract_name_is_denied(self):
        name = f"unix:@ramal-access-{os.getpid()}"
        with Ramald("--listen", name, "--allow-uid", STRANGER + 1) as broker:
            self.assertEqual(visit(broker.address)[1], "DENIED")
            self.assertEqual(visit(broker.address, uid=STRANGER + 1), ["in", 2])

    def test_root_is_always_let_in(self):
        with Directory(uid=STRANGER) as place:
            with Ramald("--listen", f"unix:{place}/bus", before=as_uid(STRANGER)) as broker:
                with ramal.connect(broker.address) as bus:
                    bus.ping()

    def test_connections_of_another_uid_have_their_limit(self):
        with Ramald("--socket-mode", "0666", "--allow-uid", STRANGER, "--limit-uid-connections", "1") as broker:
            self.assertEqual(run(OFTEN, broker.address, "1", "stay"),
                             "OVER_LIMIT too many connections: limits.uid_connections is 1\n")
            self.assertRegex(broker.log(), rf"event=refused address=unix:\S+ uid={STRANGER} pid=\d+ process=python3 "
                                           'text="too many connections: limits.uid_connections is 1" '
                                           "limit=limits.uid_connections value=1\n")
            # The broker's own is bound otherwise.
            buses = [ramal.connect(broker.address) for _ in range(10)]
            for bus in buses:
                bus.close()

    def test_connections_of_another_uid_may_not_come_too_fast(self):
        with Ramald("--socket-mode", "0666", "--allow-uid", STRANGER, "--limit-uid-connections", "8",
                    "--limit-uid-connect-rate", "1") as broker:
            # All eight at once, but then a second goes by for each; two, since one may have gone by already.
            told = {run(OFTEN, broker.address, str(8 - i), "go") for i in range(3)}
            self.assertIn("OVER_LIMIT too many new connections: limits.uid_connect_rate is 1 a second\n", told)
            self.assertIn("limit=limits.uid_connect_rate value=1\n", broker.log())
            for _ in range(20):
                ramal.connect(broker.address).close()

    def test_storm_of_another_uid_delays_nobody_and_every_refusal_is_counted(self):
        storm = ("import socket, sys\n"
                 "for _ in range(int(sys.argv[2])):\n"
                 "    s = socket.socket(socket.AF_UNIX)\n"
                 "    s.connect(sys.argv[1])\n"
                 "    s.close()\n")
        times, uid = 3000, STRANGER
        with Ramald("--socket-mode", "0666", "--allow-uid", uid, "--limit-uid-connections", "4",
                    "--limit-uid-connect-rate", "1") as broker:
            with ramal.connect(broker.address) as hears, ramal.connect(broker.address) as says:
                hears.subscribe("witness.>")
                before = broker.fds()
                process = subprocess.Popen([*as_uid(uid), "/usr/bin/python3", "-I", "-c", storm, broker.path, str(times)],
                                           cwd="/")
                sent = 0
                while process.poll() is None or sent < 100:
                    says.publish("witness.x", str(sent).encode())
                    self.assertEqual(hears.next_delivery().deliver.payload, str(sent).encode())
                    sent += 1
                self.assertEqual(process.returncode, 0)
                hears.ping()  # all of them have been looked at: they came before this did
                came_in = {c.name: c.value for c in says.api("status").counters}["connections"] - 2

                def told():
                    lines = [line for line in broker.log().splitlines() if "event=refused" in line]
                    self.assertLess(len(lines), 60)
                    alone = [line for line in lines if "cause=" in line]  # for those that were left out, and no other
                    left_out = sum(int(n) for line in lines for n in re.findall(r"suppressed=(\d+)", line))
                    return len(lines) - len(alone) + left_out == times - came_in

                wait_for(told, "each refusal to be told or counted")
                wait_for(lambda: broker.fds() == before, "descriptors to be given back")
            self.assertIn(f"uid={uid}", broker.log())

    def test_one_uid_may_have_limits_of_its_own(self):
        with Directory() as place:
            with open(place / "conf", "w", encoding="ascii") as file:
                file.write(f"[limits uid {STRANGER}]\nuid_connections = 2\n[limits]\nuid_connections = 1\n")
            with Ramald("-c", place / "conf", "--listen", f"unix:{place}/bus", "--socket-mode", "0666", "--allow-uid",
                        STRANGER, "--allow-uid", STRANGER + 1) as broker:
                self.assertEqual(run(OFTEN, broker.address, "1", "stay"), "in\n")
                self.assertEqual(run(OFTEN, broker.address, "2", "stay"),
                                 f"OVER_LIMIT too many connections: limits uid {STRANGER}.uid_connections is 2\n")
                self.assertEqual(run(OFTEN, broker.address, "1", "stay", uid=STRANGER + 1),
                                 "OVER_LIMIT too many connections: limits.uid_connections is 1\n")
                self.assertIn(f'limit="limits uid {STRANGER}.uid_connections" value=2\n', broker.log())


class KeptOut(unittest.TestCase):
    """An allowed uid that the modes would keep out: an error at the start that names the option."""

    def refuse(self, *words, text, path=None):
        with Directory() as place:
            status, log = fail("--listen", path or f"unix:{place}/bus", *words)
            self.assertEqual(status, 78, log)
            self.assertIn(text, log)
            self.assertEqual(len(log.splitlines()), 1)
            self.assertEqual(os.listdir(str(place)), [])

    def test_uid_kept_out_by_the_socket(self):
        self.refuse("--allow-uid", STRANGER, text=f"--allow-uid {STRANGER}: the socket ")

    def test_group_kept_out_by_the_socket(self):
        self.refuse("--allow-group", GROUP, text=f"--allow-group {GROUP}: the socket ")
        self.refuse("--allow-group", GROUP, "--socket-mode", "0660", text="--socket-group with --socket-mode 0660")

    def test_uid_kept_out_by_a_directory(self):
        with Directory(mode=0o700) as place:
            os.mkdir(place / "d")
            status, log = fail("--listen", f"unix:{place}/d/bus", "--socket-mode", "0666", "--allow-uid", STRANGER)
            self.assertEqual(status, 78)
            self.assertIn(f"--allow-uid {STRANGER}: the directory {place} (mode 0700, uid 0, gid 0) keeps them out",
                          log)
            self.assertEqual(os.listdir(place / "d"), [])

    def test_uid_with_another_way_in_is_fine(self):
        with Directory() as place:
            way = f"unix:@ramal-way-{os.getpid()}"
            with Ramald("--listen", f"unix:{place}/bus", "--listen", way, "--allow-uid", STRANGER) as broker:
                self.assertEqual(visit(broker.addresses[1]), ["in", 1])

    def test_owner_and_root_are_never_kept_out(self):
        with Ramald("--allow-uid", "0", "--allow-uid", str(os.getuid())):
            pass


if __name__ == "__main__":
    unittest.main()
