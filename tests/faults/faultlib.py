# SPDX-License-Identifier: MIT
"""What all fault tests have in common: bytes that no serializer would write, and what must hold whatever was sent.

After each test, when its connections are closed: the broker is the same process as before; a pair of well-behaved
clients, that exchanged messages all the while, lost nothing and saw nothing out of order; descriptors, peers,
interests, names, calls and queued bytes are what they were before. After each class: the broker idles, its memory is
what it was within 3 MiB, and it counted the connections that it closed and logged why.

sleeps() says that the broker has nothing to do while a fault lasts, counted(), logged() that it is known afterwards.
"""

import contextlib
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "interop"))

import buscase  # noqa: E402
import ramal  # noqa: E402
from buscase import SECONDS, BusCase  # noqa: E402
from ramal import pb  # noqa: E402
from ramald import STRANGER, as_uid, clean_environment  # noqa: E402

# wire types
VARINT, FIXED64, LEN, START, END, FIXED32 = range(6)
CLOSING_SECONDS = 5  # for a connection that ought to be closed: some tests wait for many
IDLE_SECONDS = 0.4  # how long the broker is watched while it ought to sleep
IDLE_WAKEUPS = 20   # and how often it may wake up at most: one that does so for nothing does it thousands of times
KEPT = 3 << 20      # bytes of memory that the broker may keep when all is over: tables that grew stay as large
IDLE_SUBJECT = "idle.nobody-answers"
# Log lines of one cause: a burst, and a few more as time goes by. The floods of these tests are far larger.
LINES_MAX = 150
KIND = {field.name: field.number for field in pb.Frame.DESCRIPTOR.fields if field.name != "id"}


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number, wire):
    return varint(number << 3 | wire)


def number(field, value):
    """A varint field."""
    return tag(field, VARINT) + varint(value)


def chunk(field, data):
    """A length-delimited field: bytes, string, message."""
    return tag(field, LEN) + varint(len(data)) + data


def prefix(length):
    return struct.pack(">I", length)


def frame(body):
    return prefix(len(body)) + body


def kind(name, body=b"", ident=0):
    """A whole frame with one kind in it, whatever its body."""
    return frame((number(1, ident) if ident else b"") + chunk(KIND[name], body))


def publish(subject=b"f.x", hop=b"", tail=b"", ident=0):
    return kind("publish", hop + chunk(11, subject) + tail, ident)


def subscribe(ident, sid=1, pattern=b"f.sub", more=b""):
    return kind("subscribe", number(1, sid) + chunk(2, pattern) + more, ident)


class Witness(threading.Thread):
    """Two clients, a hundred messages a second from one to the other. The thread alone touches the connections."""

    def __init__(self, sender, reader):
        super().__init__(daemon=True)
        self.sender, self.reader = sender, reader
        self.count = 0
        self.failure = None
        self.times = []               # how long each message took, when they are asked for
        self.timing = False
        self.turn = threading.Lock()  # whoever holds it keeps the witnesses quiet
        self.stopping = threading.Event()
        self.changed = threading.Condition()
        reader.subscribe("witness.>")

    def run(self):
        while not self.stopping.is_set():
            try:
                with self.turn:
                    self.one()
            except BaseException as error:  # the test thread reports it
                self.failure = error
                return
            finally:
                with self.changed:
                    self.changed.notify_all()
            self.stopping.wait(0.01)

    def one(self):
        n, began = self.count + 1, time.monotonic()
        receivers = self.sender.publish(f"witness.{n % 3}", b"%d" % n, receipt=True)
        data = self.reader.next_delivery().deliver
        seen = (receivers, data.seq, data.payload, len(self.reader.inbox), len(self.sender.inbox))
        if seen != (1, n, b"%d" % n, 0, 0):
            raise AssertionError(f"message {n}: receivers, seq, payload, unexpected frames = {seen}")
        self.count = n
        if self.timing:
            self.times.append(time.monotonic() - began)

    def passed(self, more):
        """Waits until so many more messages have gone through."""
        with self.changed:
            goal = self.count + more
            if not self.changed.wait_for(lambda: self.count >= goal or self.failure, SECONDS):
                raise AssertionError("the witnesses are stuck")
        if self.failure:
            raise AssertionError("the witnesses were disturbed") from self.failure


class FaultCase(BusCase):
    """A broker with a witness pair for each class."""

    @classmethod
    def setUpClass(cls):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
        super().setUpClass()
        address = next(a for a in cls.broker.addresses if a.startswith("unix"))
        cls.control, sender, reader = (ramal.connect(address, app="witness", timeout=SECONDS) for _ in range(3))
        cls.control.serve(IDLE_SUBJECT)
        cls.witness = Witness(sender, reader)
        cls.witness.start()
        cls.witness.passed(1)
        cls.pid = cls.broker.pid
        cls.baseline = cls.charges()
        cls.memory = cls.private_memory()
        cls.causes = []  # what GOAWAY said to those whom closes() saw closed

    @classmethod
    def tearDownClass(cls):
        try:
            cls.aftermath()
        finally:
            cls.witness.stopping.set()
            cls.witness.join()
            cls.leave()

    @classmethod
    def aftermath(cls):
        """What must hold when all is over."""
        counters = {c.name: c.value for c in cls.control.api("status").counters}
        assert counters["goaways"] >= len(cls.causes), counters
        if cls.causes:  # of a flood of them the log shows some, and counts the others
            log = cls.broker.log()
            assert "event=goaway" in log and cls.causes[0].replace('"', '\\"') in log, log
        used, began = cls.processor_time(), time.monotonic()
        cls.witness.passed(10)  # a hundredth of a second apart
        share = (cls.processor_time() - used) / (time.monotonic() - began)
        assert share < 0.5, f"the broker uses {share:.0%} of a processor for ten messages"
        end = time.monotonic() + SECONDS
        while not cls.sanitized() and cls.private_memory() - cls.memory > KEPT:
            kept = cls.private_memory() - cls.memory
            assert time.monotonic() < end, f"the broker keeps {kept} bytes of memory"
            cls.control.ping()

    @classmethod
    def leave(cls):
        for bus in (cls.control, cls.witness.sender, cls.witness.reader):
            bus.close()
        super(FaultCase, cls).tearDownClass()

    @classmethod
    def charges(cls):
        """What must come back to where it was. The witnesses' own message may be on its way: their queue is not
        counted."""
        broker = cls.control.api("status").broker
        return {"descriptors": cls.broker.fds(), "peers": broker.peers, "interests": broker.interests,
                "names": broker.names, "calls": broker.calls, "queued": broker.queued_messages > 1}

    def setUp(self):
        self.addCleanup(self.settled)  # runs last, when the connections of the test are closed

    def settled(self):
        self.assertTrue(self.broker.alive(), self.broker.log())
        self.assertEqual(self.broker.pid, self.pid)
        seen = {}

        def back():
            seen.update(self.charges())
            return seen == self.baseline

        try:
            self.until(back, "charges to return to the baseline", self.control)
        except AssertionError:
            self.assertEqual(seen, self.baseline, "what the test left behind")
        self.witness.passed(2)

    # ---- what is known of a fault ------------------------------------------------------------------------------

    def sleeps(self, what):
        """The broker wakes up for nothing. How long it is watched is its own word: it ends a call that nobody
        answers."""
        with self.witness.turn:
            call = self.control.call(IDLE_SUBJECT, deadline=IDLE_SECONDS)
            self.control.next_delivery()
            woken, used = self.wakeups(), self.processor_time()
            self.refused(pb.CODE_DEADLINE, call.result)
            woken, used = self.wakeups() - woken, self.processor_time() - used
            self.control.next_of("cancel")
        self.assertLess(woken, IDLE_WAKEUPS, f"{what}: wake-ups in {IDLE_SECONDS} s")
        self.assertLess(used, IDLE_SECONDS / 2, f"{what}: processor time in {IDLE_SECONDS} s")

    def wakeups(self):
        """How often the broker has gone to sleep so far."""
        with open(f"/proc/{self.broker.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches:"))

    def until(self, condition, what, turn=None):
        return super().until(condition, what, turn or self.control)

    def counters(self):
        """All counters of the broker by their names."""
        return {c.name: c.value for c in self.control.api("status").counters}

    def counted(self, before, **least):
        """These counters have gone up since by so much at least."""
        now = self.counters()
        for name, more in least.items():
            self.assertGreaterEqual(now[name] - before[name], more, f"counter {name}")

    def use(self, key, peer=0):
        """The row of `limits.<key>` for that peer (0: the control connection)."""
        rows = self.control.api("limits", ramal.api.LimitsRequest(peer=peer)).limits
        return next(row for row in rows if row.key == "limits." + key)

    def logged(self, *words):
        """The log has a line with all of these, and not too many. Returns how many."""
        lines = []

        def there():
            lines[:] = [line for line in self.broker.log().splitlines() if all(word in line for word in words)]
            return lines

        self.until(there, f"{words} in the log", self.control)
        self.assertLess(len(lines), LINES_MAX, f"too many lines with {words}")
        return len(lines)

    def over_limit(self, key, value, what, *args, **kwargs):
        """what(...) must be refused for that limit, whose key and value it names."""
        status = self.refused(pb.CODE_OVER_LIMIT, what, *args, **kwargs)
        self.assertEqual((status.limit, status.value), (key, value), status.text)
        return status

    @contextlib.contextmanager
    def frozen(self):
        """The broker stands still. The witnesses, too: they would only wait for it."""
        with self.witness.turn:
            os.kill(self.broker.pid, signal.SIGSTOP)
            try:
                self.until_state("T")
                yield
            finally:
                os.kill(self.broker.pid, signal.SIGCONT)

    def until_state(self, state, pid=None):
        """Waits until the process is in that state ('T': stopped)."""
        while True:
            with open(f"/proc/{pid or self.broker.pid}/stat", encoding="ascii") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == state:
                    return

    @staticmethod
    def until_over(when):
        """Waits until time.monotonic() is `when`."""
        while time.monotonic() < when:
            select.select([], [], [], max(0, when - time.monotonic()))

    # ---- others ------------------------------------------------------------------------------------------------

    def strangers(self, count, uid=STRANGER):
        """So many sockets that a process of another uid has connected."""
        path = self.address("unix")[len("unix:"):]
        ours, theirs = socket.socketpair()
        script = ("import socket,sys\nout=socket.socket(fileno=0)\nfor i in range(int(sys.argv[2])):\n"
                  " s=socket.socket(socket.AF_UNIX)\n s.connect(sys.argv[1])\n "
                  "socket.send_fds(out,[b'x'],[s.fileno()])")
        fds = []
        with ours, theirs:
            process = subprocess.Popen([*as_uid(uid), "/usr/bin/python3", "-I", "-c", script, path, str(count)],
                                       stdin=theirs, stderr=subprocess.PIPE, cwd="/")
            theirs.close()
            ours.settimeout(SECONDS)
            while len(fds) < count:
                data, more, _, _ = socket.recv_fds(ours, 1, 1)
                fds += more
                if not data:
                    break
            error = process.communicate(timeout=SECONDS)[1]
        buses = [ramal.Connection(socket.socket(fileno=fd), timeout=SECONDS) for fd in fds]
        for bus in buses:
            self.addCleanup(bus.close)
        self.assertEqual((process.returncode, len(fds)), (0, count), error.decode())
        return buses

    def stranger(self, uid=STRANGER):
        """A connection of another uid that has said hello."""
        bus = self.strangers(1, uid)[0]
        bus.hello(app=f"stranger {uid}")
        return bus

    def child(self, *words, **options):
        """Another process, which goes with the test. Its stdin and stdout are pipes."""
        return self.adopt(subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           env=clean_environment(), **options))

    def adopt(self, process):
        def end():
            if process.poll() is None:
                process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def mishap(self, what, address=None):
        """A program on libramal that comes to grief in that way: mishap.c."""
        return self.child(program("FAULT_MISHAP"), what, address or self.address("unix"))

    def says(self, process):
        """The next line of its output."""
        line = process.stdout.readline()
        self.assertTrue(line, f"it ended with {process.wait(SECONDS) if not line else None}")
        return line.decode().rstrip("\n")

    def tell(self, process):
        """Lets it go on."""
        process.stdin.write(b"\n")
        process.stdin.flush()

    def gone(self, *buses):
        """Waits until the broker has forgotten these connections."""
        numbers = {bus.welcome.peer for bus in buses}
        self.until(lambda: not numbers & {p.id for p in self.control.api("list").peers}, "them to be forgotten",
                   self.control)

    # ---- sending what nobody should ---------------------------------------------------------------------------

    def throw(self, bus, data):
        """Sends bytes to a broker that may hang up in the middle of them."""
        try:
            bus.send_bytes(data)
        except ConnectionError:
            pass

    def closes(self, data, code=pb.CODE_MALFORMED, bus=None, what=None):
        """These bytes, after a hello, must end the connection with GOAWAY at an offset within them."""
        bus = bus or self.connect()
        bus.timeout = CLOSING_SECONDS
        before = bus.bytes_sent
        self.throw(bus, data)
        with self.subTest(what or data[:80].hex(" ")):
            goaway = self.sent_away(bus, code)
            self.assertGreaterEqual(goaway.offset, before, goaway.text)
            self.assertLessEqual(goaway.offset, before + len(data), goaway.text)
            self.causes.append(goaway.text)
        bus.close()

    def answers(self, bus, data, code, publish=0):
        """These bytes must be answered with that STATUS, and the connection stays. Returns the Status."""
        bus.send_bytes(data)
        with self.subTest(data[:80].hex(" ")):
            status = bus.next_of("status").status
            self.assertEqual(ramal.code_name(status.code), ramal.code_name(code), status.text)
            self.assertTrue(status.text)
            self.assertEqual(status.publish, publish)
            self.next_ping(bus)
        return status

    def next_ping(self, bus):
        """The connection still works, and nothing else was said."""
        self.silent(bus)

    @classmethod
    def kibibytes(cls, what):
        with open(f"/proc/{cls.broker.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(what + ":"))

    @classmethod
    def sanitized(cls):
        """Is the broker built with a sanitizer? Then its memory says nothing: the shadow alone is terabytes."""
        return cls.kibibytes("VmSize") > 1 << 32

    @classmethod
    def private_memory(cls):
        return cls.kibibytes("RssAnon") * 1024

    @classmethod
    def processor_time(cls):
        with open(f"/proc/{cls.broker.pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e9


def program(name):
    """The path of a helper, from the environment."""
    path = os.environ.get(name)
    if not path:
        raise SystemExit(f"set {name}: see tests/faults/CMakeLists.txt")
    return path


def over_both(namespace, **limits):
    """As buscase.over_both, for classes of faults; limits: those of the class's broker. Over TCP, too, as many
    connections a second as the tests make: D78 has that limit."""
    def make(cases):
        for transport in ("unix", "tcp"):
            name = cases.__name__ + "Over" + transport.capitalize()
            namespace[name] = type(name, (cases, FaultCase), {
                "transport": transport, "limits": {"uid_connect_rate": 100000, **limits},
                "__module__": cases.__module__})
        return cases
    return make


def main():
    unittest.installHandler()
    buscase.main("fault_")
