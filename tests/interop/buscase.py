# SPDX-License-Identifier: MIT
"""What the Python tests of the broker share: a broker for each class of tests, connections that are closed at the end
of a test, and the same cases over both transports."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import ramal
from ramal import api, pb
from ramald import Ramald, as_uid

SECONDS = 20  # the longest that anything waits; nothing is meant to take so long


def start(limits=None, *args, **kwargs):
    """A broker on a Unix socket and on TCP with port 0, with these limits (the keys of [limits])."""
    directory = tempfile.mkdtemp(prefix="ramal-test-")
    os.chmod(directory, 0o755)
    path = os.path.join(directory, "ramald.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write("[limits]\n" + "".join(f"{key} = {value}\n" for key, value in (limits or {}).items()))
    os.chmod(path, 0o600)
    try:
        broker = Ramald("-c", path, "--listen", f"unix:{directory}/bus", "--listen", "tcp:127.0.0.1:0", *args, **kwargs)
    except BaseException:
        _remove(directory)
        raise
    broker.bus_directory = directory
    return broker


def stop(broker):
    """Ends a broker of start(), which must end well."""
    try:
        broker.stop()
    finally:
        broker.kill_only()
        _remove(broker.bus_directory)


def _remove(directory):
    for name in os.listdir(directory):
        os.unlink(os.path.join(directory, name))
    os.rmdir(directory)


class BusCase(unittest.TestCase):
    """limits: of the class's broker. args: more of its arguments. options: of Ramald(). transport: how connect() goes
    there."""

    limits = {}
    args = ()
    options = {}
    transport = "unix"

    @classmethod
    def setUpClass(cls):
        cls.broker = start(cls.limits, *cls.args, **cls.options)
        cls.token = ramal.read_token(cls.broker.token_file)

    @classmethod
    def tearDownClass(cls):
        stop(cls.broker)

    def address(self, transport=None):
        return next(a for a in self.broker.addresses if a.startswith(transport or self.transport))

    def raw(self, transport=None):
        """A connection that has not said hello."""
        address = self.address(transport)
        bus = ramal.Connection(ramal.open_socket(address, SECONDS), timeout=SECONDS)
        self.addCleanup(bus.close)
        return bus

    def hello(self, bus, transport=None, **fields):
        return bus.hello(token=self.token if (transport or self.transport) == "tcp" else None, **fields)

    def connect(self, transport=None, **fields):
        """A connection that has."""
        bus = self.raw(transport)
        self.hello(bus, transport, **fields)
        return bus

    def foreign(self, uid):
        """A connection (without hello) whose kernel credentials are those of another uid: that one's process connects
        and hands the socket over, because credentials are those of connect()."""
        path = self.address("unix")[len("unix:"):]
        ours, theirs = socket.socketpair()
        script = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
                  "socket.send_fds(socket.socket(fileno=0),[b'x'],[s.fileno()])")
        with ours, theirs:
            done = subprocess.run([*as_uid(uid), "/usr/bin/python3", "-I", "-c", script, path], stdin=theirs,
                                  stderr=subprocess.PIPE, cwd="/", timeout=SECONDS, check=False)
            self.assertEqual(done.returncode, 0, done.stderr.decode())
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        bus = ramal.Connection(socket.socket(fileno=fds[0]), timeout=SECONDS)
        self.addCleanup(bus.close)
        return bus

    # ---- expectations ----------------------------------------------------------------------------------------

    def refused(self, code, what, *args, **kwargs):
        """what(...) must be refused with that code; returns the Status."""
        with self.assertRaises(ramal.Refused) as caught:
            what(*args, **kwargs)
        status = caught.exception.status
        self.assertEqual(ramal.code_name(status.code), ramal.code_name(code), status.text)
        return status

    def sent_away(self, bus, code=pb.CODE_MALFORMED, offset=None):
        """The broker must say GOAWAY and close, and nothing else that was not asked for. Returns the Goaway."""
        goaway = None
        while True:
            try:
                frame = bus.next_frame()
            except ConnectionResetError:
                frame = None
            if frame is None:
                break
            if frame.WhichOneof("kind") == "goaway":
                self.assertIsNone(goaway, "a second GOAWAY")
                goaway = frame.goaway
        self.assertIsNotNone(goaway, "closed without GOAWAY")
        self.assertEqual(ramal.code_name(goaway.reason), ramal.code_name(code), goaway.text)
        self.assertTrue(goaway.text, "no reason given")
        self.assertLessEqual(goaway.offset, bus.bytes_sent)
        if offset is not None:
            self.assertEqual(goaway.offset, offset, goaway.text)
        return goaway

    def ended(self, bus):
        """Reads to the end of the connection; returns the frames that came before it."""
        frames = []
        while True:
            try:
                frame = bus.next_frame()
            except ConnectionResetError:
                return frames
            if frame is None:
                return frames
            frames.append(frame)

    def payloads(self, bus, count):
        """The payloads of the next deliveries."""
        return [bus.next_delivery().deliver.payload for _ in range(count)]

    def silent(self, *connections):
        """Nothing may be waiting on these connections: a PING brings everything out that was there before."""
        for bus in connections:
            bus.ping()
            self.assertEqual([f for f in bus.inbox], [])

    def status(self, bus=None, peer=0):
        asking = bus or self.connect("unix")
        return asking.api("status", api.StatusRequest(peer=peer))

    def ledger(self, bus, sid, asking=None):
        """The InterestStatus of an interest; its equation is checked."""
        for one in (asking or bus).api("status", api.StatusRequest(peer=bus.welcome.peer)).interests:
            if one.sid == sid:
                self.assertEqual(one.matched, one.queued + one.in_flight + one.confirmed + one.expired + one.dropped
                                 + one.replaced + one.moved + one.unconfirmed, str(one))
                return one
        self.fail(f"no interest {sid}")

    def counter(self, name, bus):
        for counter in bus.api("status").counters:
            if counter.name == name:
                return counter.value
        self.fail(f"no counter {name}")

    def until(self, condition, what, turn=None):
        """Asks the broker over and over (turn: a connection to ping) until condition() holds."""
        turn = turn or self.connect("unix")
        end = time.monotonic() + SECONDS
        while True:
            answer = condition()
            if answer:
                return answer
            self.assertLess(time.monotonic(), end, f"waited {SECONDS} s for {what}")
            turn.ping()


def over_both(namespace):
    """Class decorator: makes of cases a class for each transport, in the module's namespace (globals())."""
    def make(cases):
        for transport in ("unix", "tcp"):
            name = cases.__name__ + "Over" + transport.capitalize()
            namespace[name] = type(name, (cases, BusCase), {"transport": transport, "__module__": cases.__module__})
        return cases
    return make


class _Result(unittest.TextTestResult):
    """Says at the end, once more and in one line each, which tests failed."""

    def failed(self):
        return [test.id() for test, _ in self.failures + self.errors]


def main(prefix="test_"):
    """Runs the tests of the calling script; arguments choose some by a part of their name. A script without tests, or
    with a skipped one, fails."""
    loader = unittest.TestLoader()
    loader.testMethodPrefix = prefix
    suite = loader.loadTestsFromModule(sys.modules["__main__"])
    wanted = [a for a in sys.argv[1:] if not a.startswith("-")]
    if wanted:
        flat = [t for t in _flatten(suite) if any(w in t.id() for w in wanted)]
        suite = unittest.TestSuite(flat)
    result = unittest.TextTestRunner(verbosity=2, resultclass=_Result, failfast="-f" in sys.argv).run(suite)
    for name in result.failed():
        print("FAILED", name.removeprefix("__main__."))
    sys.exit(0 if result.wasSuccessful() and result.testsRun and not result.skipped else 1)


def _flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flatten(test)
        else:
            yield test
