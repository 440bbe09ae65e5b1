# SPDX-License-Identifier: MIT
"""What all fault tests have in common: bytes that no serializer would write, and what must hold whatever was sent.

After each test, when its connections are closed: the broker is the same process as before; a pair of well-behaved
clients, that exchanged messages all the while, lost nothing and saw nothing out of order; descriptors, peers,
interests, names, calls and queued bytes are what they were before. After each class: the broker idles, it kept no
memory to speak of, and it counted the connections that it closed and logged why.
"""

import os
import resource
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "interop"))

import buscase  # noqa: E402
import ramal  # noqa: E402
from buscase import SECONDS, BusCase  # noqa: E402
from ramal import pb  # noqa: E402

# wire types
VARINT, FIXED64, LEN, START, END, FIXED32 = range(6)
CLOSING_SECONDS = 5  # for a connection that ought to be closed: some tests wait for many
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
        self.stopping = threading.Event()
        self.changed = threading.Condition()
        reader.subscribe("witness.>")

    def run(self):
        while not self.stopping.is_set():
            try:
                self.one()
            except BaseException as error:  # the test thread reports it
                self.failure = error
                return
            finally:
                with self.changed:
                    self.changed.notify_all()
            self.stopping.wait(0.01)

    def one(self):
        n = self.count + 1
        receivers = self.sender.publish(f"witness.{n % 3}", b"%d" % n, receipt=True)
        data = self.reader.next_delivery().deliver
        seen = (receivers, data.seq, data.payload, len(self.reader.inbox), len(self.sender.inbox))
        if seen != (1, n, b"%d" % n, 0, 0):
            raise AssertionError(f"message {n}: receivers, seq, payload, unexpected frames = {seen}")
        self.count = n

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
        if not cls.sanitized():
            assert cls.private_memory() - cls.memory < 16 << 20, "the broker kept memory"

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


def over_both(namespace, **limits):
    """As buscase.over_both, for classes of faults; limits: those of the class's broker."""
    def make(cases):
        for transport in ("unix", "tcp"):
            name = cases.__name__ + "Over" + transport.capitalize()
            namespace[name] = type(name, (cases, FaultCase), {
                "transport": transport, "limits": limits, "__module__": cases.__module__})
        return cases
    return make


def main():
    unittest.installHandler()
    buscase.main("fault_")
