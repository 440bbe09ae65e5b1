# SPDX-License-Identifier: MIT
"""Sockets from a service manager, by LISTEN_PID and LISTEN_FDS: Unix and TCP, never unlinked, never given another
mode."""

import os
import select
import signal
import socket
import stat
import subprocess
import unittest

import ramal
from ramald import Directory, Ramald, StartError, clean_environment, program, wait_for


def listening(path, mode=0o604):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    os.chmod(path, mode)
    sock.listen(5)
    return sock


class Inherit(unittest.TestCase):
    def test_inherited_unix_socket_is_served_and_left_alone(self):
        with Directory() as place, listening(place / "bus") as sock:
            with Ramald(listen=False, inherit=[sock.fileno()], env={"XDG_RUNTIME_DIR": str(place)}) as broker:
                self.assertEqual(broker.addresses, [f"unix:{place}/bus"])  # and no default one
                self.assertIn(f"event=listening address=unix:{place}/bus socket=inherited", broker.log())
                self.assertIn("tcp=off", broker.log().splitlines()[0])
                with ramal.connect(broker.address) as bus:
                    bus.ping()
                self.assertEqual(os.listdir(str(place)), ["bus"])  # no lock either: the manager sees to that
                self.assertEqual(stat.S_IMODE(os.stat(place / "bus").st_mode), 0o604)
            self.assertTrue(os.path.exists(place / "bus"))
            # The socket outlives the broker: who connects meanwhile waits for the next one.
            early = ramal.open_socket(f"unix:{place}/bus")
            with Ramald(listen=False, inherit=[sock.fileno()]), ramal.Connection(early) as bus:
                bus.hello()
                bus.ping()

    def test_inherited_unix_and_tcp_together(self):
        with Directory() as place, listening(place / "bus") as unix, socket.create_server(("127.0.0.1", 0)) as tcp:
            with Ramald(listen=False, inherit=[unix.fileno(), tcp.fileno()]) as broker:
                port = tcp.getsockname()[1]
                self.assertEqual(broker.addresses, [f"unix:{place}/bus", f"tcp:127.0.0.1:{port}"])
                with ramal.connect(broker.addresses[1], token=ramal.read_token(place / "token")) as bus:
                    bus.ping()

    def test_inherited_and_own_sockets_together(self):
        with Directory() as place, listening(place / "bus") as sock:
            with Ramald("--listen", f"unix:{place}/own", listen=False, inherit=[sock.fileno()]) as broker:
                self.assertEqual(broker.addresses, [f"unix:{place}/bus", f"unix:{place}/own"])
                for address in broker.addresses:
                    with ramal.connect(address) as bus:
                        bus.ping()
            self.assertEqual(os.listdir(str(place)), ["bus"])

    def test_inherited_abstract_socket(self):
        name = f"ramal-inherit-{os.getpid()}"
        with listening_abstract(name) as sock, Ramald(listen=False, inherit=[sock.fileno()]) as broker:
            self.assertEqual(broker.addresses, [f"unix:@{name}"])
            with ramal.connect(broker.address) as bus:
                bus.ping()

    def test_inherited_sockets_of_another_process_are_not_taken(self):
        with Directory() as place:
            with Ramald("--listen", f"unix:{place}/bus", env={"LISTEN_PID": "1", "LISTEN_FDS": "1"}) as broker:
                self.assertEqual(broker.addresses, [f"unix:{place}/bus"])

    def test_inherited_descriptor_that_is_no_listener_is_refused(self):
        pair = socket.socketpair()
        reading, writing = os.pipe()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for fd, text in ((pair[0].fileno(), "does not listen"), (reading, "is no socket"),
                             (udp.fileno(), "is no Unix or TCP stream socket")):
                with self.assertRaises(StartError) as caught:
                    Ramald(listen=False, inherit=[fd])
                self.assertEqual(caught.exception.status, 78)
                self.assertIn("LISTEN_FDS: ", caught.exception.log)
                self.assertIn(text, caught.exception.log)
                self.assertEqual(len(caught.exception.log.splitlines()), 1)
        for end in pair:
            end.close()
        os.close(reading)
        os.close(writing)

    def test_inherited_number_that_is_nonsense_is_refused(self):
        for count in ("-1", "many", "65", ""):
            script = 'LISTEN_FDS="$1" LISTEN_PID=$$; export LISTEN_FDS LISTEN_PID; exec "$2"'
            done = subprocess.run(["sh", "-c", script, "sh", count, program()], stdin=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, env=clean_environment(), timeout=20, check=False)
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertIn(b"is no number from 0 to 64", done.stderr)

    def test_inherited_socket_that_is_shut_down_does_not_spin(self):
        with Directory() as place, listening(place / "bus") as unix, socket.create_server(("127.0.0.1", 0)) as tcp:
            with Ramald("--listen", f"unix:{place}/own", listen=False, inherit=[unix.fileno(), tcp.fileno()]) as broker:
                unix.shutdown(socket.SHUT_RDWR)
                tcp.shutdown(socket.SHUT_RDWR)
                for address in broker.addresses[:2]:
                    line = f"event=listener-lost address={address} "
                    wait_for(lambda: line in broker.log(), "the listener to be put aside")
                cpu = broker.cpu()
                with ramal.connect(broker.addresses[2]) as bus:
                    select.select([], [], [], 0.5)
                    bus.ping()
                self.assertLess(broker.cpu() - cpu, 0.2)


def listening_abstract(name):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind("\0" + name)
    sock.listen(5)
    return sock


class Standard(unittest.TestCase):
    def test_closed_standard_descriptors_are_not_given_to_clients(self):
        """What would be written to the log must not go to whoever got descriptor 2."""
        with Directory() as place:
            closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
            process = subprocess.Popen([*closed, program(), "--listen", f"unix:{place}/bus"], env=clean_environment())
            try:
                wait_for(lambda: os.path.exists(place / "bus"), "the socket")
                for fd in range(3):
                    self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/{fd}"), "/dev/null")
            finally:
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(20), 0)


if __name__ == "__main__":
    unittest.main()
