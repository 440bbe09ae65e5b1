# SPDX-License-Identifier: MIT
"""The socket's path: what ramald replaces, what it refuses and leaves alone, and two brokers on one path. Part of it as
uid 64999, for whom permissions count."""

import os
import signal
import socket
import stat
import subprocess
import threading
import unittest

import ramal
from ramald import STRANGER, Directory, Ramald, StartError, as_uid, clean_environment, fail, program, wait_for


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def squat(path, kind=socket.SOCK_STREAM, listening=True):
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(path)
    if listening:
        sock.listen(1)
    return sock


class Refused(unittest.TestCase):
    """H137: each refused with one line and 73, and nothing followed, removed or changed."""

    def refuse(self, path, text, status=73, before=()):
        got, log = fail("--listen", f"unix:{path}", before=before)
        self.assertEqual(got, status, log)
        self.assertIn(text, log)
        self.assertEqual(len(log.splitlines()), 1, log)
        self.assertTrue(log.startswith("ramald: "))

    def test_fault_H137_path_that_is_no_socket(self):
        with Directory() as place:
            path, target = place / "bus", place / "target"
            for make, text in ((lambda: open(path, "w", encoding="utf-8").close(), "is a regular file, not a socket"),
                               (lambda: os.mkfifo(path), "is a FIFO, not a socket"),
                               (lambda: os.mkdir(path), "is a directory, not a socket"),
                               (lambda: os.symlink(target, path), "is a symbolic link, not a socket")):
                make()
                before = os.lstat(path)
                self.refuse(path, text)
                after = os.lstat(path)
                self.assertEqual((before.st_ino, before.st_mode, before.st_mtime_ns),
                                 (after.st_ino, after.st_mode, after.st_mtime_ns))
                os.rmdir(path) if stat.S_ISDIR(before.st_mode) else os.unlink(path)
                self.assertEqual(os.listdir(str(place)), [])
            # A link to a stale socket of ours is still a link.
            squat(target).close()
            os.symlink(target, path)
            self.refuse(path, "is a symbolic link, not a socket")
            self.assertTrue(os.path.lexists(target))

    def test_fault_H137_directory_that_is_not_there_or_none(self):
        with Directory() as place:
            self.refuse(place / "no/bus", f"the directory {place}/no does not exist; create it")
            open(place / "file", "w", encoding="utf-8").close()
            self.refuse(place / "file/bus", "is a regular file and no directory")

    def test_fault_H137_directory_that_is_not_ours(self):
        with Directory() as place:
            # Ours is where we may write; here it is root's.
            self.refuse(place / "bus",
                        f"cannot create files in the directory {place} as uid {STRANGER}: Permission denied",
                        before=as_uid(STRANGER))
            os.chown(str(place), STRANGER + 1, -1)
            os.chmod(str(place), 0o777)
            self.refuse(place / "bus", f"belongs to uid {STRANGER + 1}", before=as_uid(STRANGER))
            os.chown(str(place), STRANGER, -1)
            self.refuse(place / "bus", "everybody may write to the directory", before=as_uid(STRANGER))
            # Not even by root, for the owner could put another socket there.
            os.chmod(str(place), 0o755)
            self.refuse(place / "bus", f"belongs to uid {STRANGER}")

    def test_fault_H137_path_of_107_bytes_works_and_of_108_does_not(self):
        with Directory() as place:
            path = str(place) + "/" + "p" * (106 - len(str(place)))
            self.assertEqual(len(path), 107)
            with Ramald("--listen", "unix:" + path) as broker, ramal.connect(broker.address) as bus:
                bus.ping()
            self.refuse(path + "p", "its path has 108 bytes, and a Unix socket's may have 107", status=64)

    def test_path_that_belongs_to_somebody_else(self):
        with Directory(uid=STRANGER) as place:
            path = place / "bus"
            squat(path).close()  # root's, in the stranger's directory
            self.refuse(path, "belongs to uid 0 and is left alone", before=as_uid(STRANGER))
            self.assertTrue(os.path.lexists(path))

    def test_path_where_another_program_listens(self):
        with Directory() as place:
            path = place / "bus"
            for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
                with squat(path, kind, kind != socket.SOCK_DGRAM):
                    self.refuse(path, "another program listens on", status=71)
                    self.assertTrue(os.path.lexists(path))
                os.unlink(path)


class Modes(unittest.TestCase):
    """H138: exactly as configured, under any umask."""

    def test_fault_H138_mode_under_any_umask(self):
        for umask in (0, 0o777, 0o027):
            with Directory(uid=STRANGER) as place:
                env = {"XDG_RUNTIME_DIR": str(place)}
                with Ramald(listen=False, env=env, before=as_uid(STRANGER), umask=umask):
                    self.assertEqual(mode(place / "ramal"), 0o750)
                    self.assertEqual(mode(place / "ramal/bus"), 0o600)
                with Ramald("--socket-mode", "0666", listen=False, env=env, before=as_uid(STRANGER), umask=umask):
                    self.assertEqual(mode(place / "ramal"), 0o755)
                    self.assertEqual(mode(place / "ramal/bus"), 0o666)

    def test_fault_H138_no_instant_with_another_mode(self):
        """Somebody looks all the time while brokers start, under a umask that hides nothing."""
        seen, ending = set(), threading.Event()
        with Directory(uid=STRANGER) as place:

            def look():
                while not ending.is_set():
                    for name in ("ramal", "ramal/bus", "ramal/bus.lock"):
                        try:
                            seen.add((name, mode(place / name)))
                        except FileNotFoundError:
                            pass

            watcher = threading.Thread(target=look)
            watcher.start()
            try:
                for _ in range(10):
                    with Ramald(listen=False, env={"XDG_RUNTIME_DIR": str(place)}, before=as_uid(STRANGER), umask=0):
                        pass
                    os.rmdir(place / "ramal")
            finally:
                ending.set()
                watcher.join()
        self.assertLessEqual(seen, {("ramal", 0o700), ("ramal", 0o750), ("ramal/bus", 0o600),
                                    ("ramal/bus.lock", 0o600)})

    def test_mode_and_group_are_set_together(self):
        group = STRANGER + 2
        with Directory() as place:
            env = {"XDG_RUNTIME_DIR": str(place)}
            words = ("--user", "--socket-mode", "0660", "--socket-group", group)
            for _ in range(2):  # a directory that is there already is set right, too
                with Ramald(*words, listen=False, env=env):
                    for name, wanted in (("ramal", 0o750), ("ramal/bus", 0o660)):
                        self.assertEqual(mode(place / name), wanted)
                        self.assertEqual(os.stat(place / name).st_gid, group)
                os.chmod(place / "ramal", 0o700)
                os.chown(place / "ramal", -1, 0)

    def test_group_alone_means_that_it_may_connect(self):
        with Ramald("--socket-group", STRANGER) as broker:
            self.assertEqual(mode(broker.path), 0o660)
        with Ramald("--socket-group", STRANGER, "--socket-mode", "0620") as broker:
            self.assertEqual(mode(broker.path), 0o620)

    def test_group_that_we_may_not_give_is_refused(self):
        with Directory(uid=STRANGER) as place:
            status, log = fail("--listen", f"unix:{place}/bus", "--socket-mode", "0660", "--socket-group", "0",
                               before=as_uid(STRANGER))
            self.assertEqual(status, 77, log)
            self.assertIn("--socket-group: cannot give the socket", log)
            self.assertEqual([n for n in os.listdir(str(place)) if n.startswith("bus")], [])

    def test_directory_that_was_there_is_left_alone(self):
        with Directory(mode=0o711) as place:
            with Ramald("--listen", f"unix:{place}/bus", "--socket-mode", "0666"):
                self.assertEqual(mode(str(place)), 0o711)
            self.assertEqual(mode(str(place)), 0o711)


class Two(unittest.TestCase):
    """H135, for the socket: one broker at a time has the path."""

    def test_two_brokers_on_one_path_leave_the_first_one_alone(self):
        with Ramald() as first, ramal.connect(first.address) as bus:
            status, log = fail("--listen", first.address)
            self.assertEqual(status, 71)
            self.assertEqual(log, f"ramald: another ramald (pid {first.pid}) listens on {first.path}; "
                                  "stop it, or choose another path with --listen\n")
            bus.ping()
            with ramal.connect(first.address) as more:
                more.ping()

    def test_two_brokers_started_together_make_one(self):
        with Directory() as place:
            path = place / "bus"
            for _ in range(5):
                squat(path).close()  # stale: both of them may want to remove it
                running = [subprocess.Popen([program(), "--listen", "unix:" + path], stdin=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL, env=clean_environment()) for _ in range(4)]
                try:
                    wait_for(lambda: sum(p.poll() is None for p in running) == 1, "all but one to give up")
                    self.assertEqual(sorted(p.poll() for p in running if p.poll() is not None), [71] * 3)
                    with ramal.connect("unix:" + path) as bus:
                        bus.ping()
                finally:
                    for process in running:
                        if process.poll() is None:
                            process.send_signal(signal.SIGTERM)
                        process.wait(20)
                self.assertEqual(os.listdir(str(place)), [])

    def test_broker_killed_and_started_again_replaces_its_socket(self):
        with Directory() as place:
            first = Ramald("--listen", f"unix:{place}/bus")
            self.addCleanup(first.kill)
            with ramal.connect(first.address) as bus:
                first.kill_only()
                self.assertIsNone(bus.next_frame())
            self.assertTrue(os.path.exists(place / "bus"))
            self.assertTrue(os.path.exists(place / "bus.lock"))
            with self.assertRaises(ConnectionRefusedError):
                ramal.connect(first.address)
            with Ramald("--listen", f"unix:{place}/bus") as second, ramal.connect(second.address) as bus:
                bus.ping()
                self.assertEqual(mode(place / "bus"), 0o600)

    def test_socket_of_another_is_not_removed_at_the_end(self):
        with Directory() as place:
            with Ramald("--listen", f"unix:{place}/bus"):
                os.unlink(place / "bus")
                other = squat(place / "bus")
            self.assertTrue(os.path.exists(place / "bus"))
            other.close()

    def test_path_with_a_space_is_told_as_it_is(self):
        with Directory() as place:
            os.mkdir(place / "a b")
            address = f"unix:{place}/a b/b us"
            with Ramald("--listen", address, "--listen", "tcp:127.0.0.1:0") as broker:
                self.assertEqual(broker.address, address)
                self.assertIn(f'event=listening address="{address}"', broker.log())
                with ramal.connect(broker.address) as bus:
                    self.assertEqual(bus.api("list").peers[0].address, address)
                with ramal.connect(broker.addresses[1], token=ramal.read_token(place / "a b/token")) as bus:
                    bus.ping()

    def test_path_that_is_no_utf8_is_told_so_that_every_client_can_read_it(self):
        with Directory() as place:
            path = os.fsencode(place / "b") + b"\xff"
            with Ramald("--listen", f"unix:{place}/bus", "--listen", os.fsdecode(b"unix:" + path)) as broker:
                sock = socket.socket(socket.AF_UNIX)
                sock.connect(path)
                with ramal.Connection(sock) as bus:
                    bus.hello()
                    self.assertEqual(bus.api("list").peers[0].address, f"unix:{place}/b\\xff")
                    self.assertEqual(list(bus.api("status").broker.listening),
                                     [f"unix:{place}/bus", f"unix:{place}/b\\xff"])
                self.assertEqual(broker.addresses[1], f"unix:{place}/b\\xff")

    def test_lock_that_is_not_ours_is_refused(self):
        with Directory(uid=STRANGER) as place:
            open(place / "bus.lock", "w", encoding="utf-8").close()
            status, log = fail("--listen", f"unix:{place}/bus", before=as_uid(STRANGER))
            self.assertEqual(status, 73)
            self.assertIn("bus.lock", log)
            self.assertIn("uid 0", log)
            os.unlink(place / "bus.lock")
            os.symlink("/etc/passwd", place / "bus.lock")
            status, log = fail("--listen", f"unix:{place}/bus", before=as_uid(STRANGER))
            self.assertEqual(status, 73)
            self.assertIn("is a symbolic link", log)


class Abstract(unittest.TestCase):
    def test_abstract_name_taken_by_a_squatter(self):
        name = f"ramal-squatter-{os.getpid()}"
        with squat("\0" + name):
            status, log = fail("--listen", f"unix:@{name}")
            self.assertEqual(status, 71)
            self.assertIn(f"cannot listen on unix:@{name}: another program has this name", log)

    def test_ready_says_nothing_when_the_path_is_bad(self):
        with self.assertRaises(StartError) as caught:
            Ramald("--listen", "unix:/proc/bus")
        self.assertEqual(caught.exception.status, 73)


if __name__ == "__main__":
    unittest.main()
