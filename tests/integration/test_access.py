# SPDX-License-Identifier: MIT
"""Who may connect: other uids through --allow-uid and --allow-group, and the modes that must let them. The foreign side
runs as uid 64999."""

import json
import os
import subprocess
import sys
import unittest

import ramal
from ramald import STRANGER, Directory, Ramald, as_uid, fail

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

# What one does that connects twice.
TWICE = """
import sys
import ramal
first = ramal.connect(sys.argv[1])
try:
    ramal.connect(sys.argv[1])
except ramal.SentAway as away:
    print(ramal.code_name(away.goaway.reason), away.goaway.text)
first.ping()
"""


def visit(address, uid=STRANGER, gid=None, groups=None):
    """The outcome of a hello by that uid."""
    with Directory() as place:
        # Modules may lie where the stranger cannot read: give it copies.
        for module in (ramal.__file__, ramal.pb.__file__, ramal.api.__file__):
            place.program(module)
        done = subprocess.run([*as_uid(uid, gid, groups), "/usr/bin/python3", "-c", CLIENT, address],
                              env={"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20, check=False)
        if done.returncode:
            sys.stderr.write(done.stderr.decode())
        return json.loads(done.stdout or "null")


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
            with Directory() as place:
                for module in (ramal.__file__, ramal.pb.__file__, ramal.api.__file__):
                    place.program(module)
                done = subprocess.run([*as_uid(STRANGER), "/usr/bin/python3", "-c", TWICE, broker.address],
                                      env={"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"},
                                      stdout=subprocess.PIPE, timeout=20, check=True)
            self.assertEqual(done.stdout.decode(), "OVER_LIMIT too many connections: limits.uid_connections is 1\n")
            self.assertIn("event=refused", broker.log())


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
