#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Faults of group D: resources. Here: connections, descriptors, readers and writers; test_D_limits.py has the rest."""

import errno
import os
import resource
import shutil
import socket
import struct
import subprocess
import tempfile

import ramal
from faultlib import FaultCase, chunk, kind, main, over_both, prefix, program
from ramal import pb
from ramald import SECONDS, clean_environment

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a reset


class Full(FaultCase):
    """What the tests at a limit of connections share."""

    def fill(self, most=10000):
        """Connects until it is refused. Returns the connections, and what the last one was told: its first words."""
        buses = []
        while len(buses) < most:
            bus = self.raw()
            try:
                self.hello(bus)
            except ramal.SentAway as away:
                bus.close()
                return buses, (away.goaway.reason, away.goaway.text)
            except ramal.Refused as refused:  # it had one of the last places, which are for who only looks
                bus.close()
                status = refused.status
                return buses, (status.code, f"{status.text}: {status.limit} is {status.value}")
            buses.append(bus)
        self.fail(f"{most} connections, and no limit")

    def looks(self):
        """A peer that only looks comes in, and so does the command."""
        bus = self.raw("unix")
        bus.request(pb.Frame(hello=pb.Hello(version_min=1, version_max=1, app="looks", inspect=True)))
        self.assertGreater(bus.api("status").broker.peers, 0)
        self.refused(pb.CODE_DENIED, bus.publish, "f.x", receipt=True)
        self.refused(pb.CODE_DENIED, bus.subscribe, "f.x")
        bus.close()
        done = subprocess.run([program("RAMAL"), "status"], capture_output=True, timeout=SECONDS, check=False,
                              env=clean_environment(RAMAL_ADDRESS=self.address("unix")))
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertIn(b"peers", done.stdout.lower())

    def comes_in(self):
        bus = self.raw()
        try:
            self.hello(bus)
            return bus
        except (ConnectionError, ramal.Refused):
            bus.close()
            return None


class Descriptors(Full):
    options = {"before": ["prlimit", "--nofile=64:64"]}

    def fault_D56_limit_of_connections_refuses_the_next_and_frees_at_once(self):
        buses, (code, text) = self.fill()
        most = self.use("own_connections").value
        self.assertEqual(code, pb.CODE_OVER_LIMIT)
        self.assertIn(f"limits.own_connections is {most}", text)
        for _ in range(300):
            self.assertIsNone(self.comes_in())
        # At most one line a second tells of it.
        self.until(lambda: not self.comes_in() and "limits.own_connections" in self.broker.log(), "a line of log")
        self.logged("limits.own_connections")
        self.sleeps("at the limit of connections")
        self.witness.passed(5)
        self.looks()
        for bus in buses:
            bus.ping()
        for _ in range(20):  # who leaves makes room at once, and for one
            buses.pop(0).bye()
            buses.append(self.connect())
            self.assertIsNone(self.comes_in())
        self.witness.passed(5)

    def fault_D56_descriptors_that_run_out_refuse_the_next_and_come_back(self):
        buses = [self.connect() for _ in range(8)]
        highest = max(int(fd) for fd in os.listdir(f"/proc/{self.broker.pid}/fd"))
        before = resource.prlimit(self.broker.pid, resource.RLIMIT_NOFILE)
        lines = self.broker.log().count("event=no-descriptors")
        try:
            resource.prlimit(self.broker.pid, resource.RLIMIT_NOFILE, (highest + 1, before[1]))
            more, (code, text) = self.fill()
            self.assertEqual(code, pb.CODE_OVER_LIMIT)
            self.assertTrue(text)
            for _ in range(300):
                self.assertIsNone(self.comes_in())
            self.sleeps("without descriptors")
            self.witness.passed(5)
            self.looks()
            for bus in buses + more:
                bus.ping()
            buses.pop().close()
            self.until(self.comes_in, "the slot that came free", self.control)
        finally:
            resource.prlimit(self.broker.pid, resource.RLIMIT_NOFILE, before)
        self.until(self.comes_in, "room", self.control)
        self.assertEqual(self.logged("event=no-descriptors") - lines, 1)


class Injected(FaultCase):
    """System calls of the broker fail: see inject.c."""

    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.mkdtemp(prefix="ramal-test-")
        cls.addClassCleanup(shutil.rmtree, cls.place)
        fifo = os.path.join(cls.place, "control")
        os.mkfifo(fifo)
        cls.fifo = os.open(fifo, os.O_RDWR)
        cls.addClassCleanup(os.close, cls.fifo)
        cls.options = {"before": [program("FAULT_INJECT"), fifo, "accept4,epoll_ctl,recvfrom,sendmsg"]}
        super().setUpClass()

    def inject(self, call, error, count):
        os.write(self.fifo, f"{call} {error} {count}\n".encode())

    def fault_D57_errors_of_a_connection_that_came_do_not_keep_the_next_out(self):
        for error in (errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.EINTR, errno.ENETDOWN):
            with self.subTest(errno.errorcode[error]):
                self.inject("accept4", error, 5)
                self.connect().ping()
                self.witness.passed(1)

    def fault_D57_errors_of_the_system_delay_a_connection_without_spinning(self):
        for error in (errno.ENFILE, errno.EMFILE, errno.ENOBUFS, errno.ENOMEM, errno.EIO):
            with self.subTest(errno.errorcode[error]):
                self.inject("accept4", error, 1000000)
                waiting = self.raw()
                waiting.send_frame(pb.Frame(id=waiting.new_id(), hello=pb.Hello(version_min=1, version_max=1)))
                self.sleeps(errno.errorcode[error])
                self.witness.passed(3)
                self.inject("accept4", error, 0)
                self.assertTrue(waiting.answer(1).HasField("welcome"))
                self.logged("level=warning", os.strerror(error))

    def fault_D57_connection_that_cannot_be_watched_is_refused(self):
        for error in (errno.ENOSPC, errno.ENOMEM):  # fs.epoll.max_user_watches, and memory
            self.inject("epoll_ctl", error, 1)
            bus = self.raw()
            with self.subTest(errno.errorcode[error]), self.assertRaises(ConnectionError):
                self.hello(bus)
            self.inject("epoll_ctl", error, 0)
            self.connect().ping()

    def fault_D57_interrupted_and_empty_handed_calls_are_made_again(self):
        for call in ("recvfrom", "sendmsg"):
            for error in (errno.EINTR, errno.EAGAIN):
                with self.subTest(f"{call} {errno.errorcode[error]}"):
                    bus = self.connect()
                    self.inject(call, error, 50)
                    for _ in range(100):
                        bus.ping()
                    bus.close()
            self.inject(call, 0, 0)


@over_both(globals())
class Storm:
    def fault_D58_storm_of_connections_that_close_at_once_disturbs_nobody(self):
        address = self.address()
        before = self.counters()
        for how in (None, b"", prefix(100), None):
            for _ in range(750):
                sock = ramal.open_socket(address, SECONDS)
                if how:
                    sock.send(how)
                if self.transport == "tcp":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                sock.close()
            self.witness.passed(2)
        self.control.ping()
        self.assertGreaterEqual(self.counters()["connections"], before["connections"])
        self.connect().ping()


class Idle(FaultCase):
    COUNT = 2000

    def fault_D59_idle_connections_cost_little_and_no_time(self):
        self.connect().close()
        before, opened = self.private_memory(), []
        for _ in range(self.COUNT):
            opened.append(self.connect())
        after = self.private_memory()
        self.assertEqual(self.control.api("status").broker.peers, self.baseline["peers"] + self.COUNT)
        if not self.sanitized():  # 1 KiB of heap is the aim: this counts pages
            self.assertLess((after - before) / self.COUNT, 2048)
        self.sleeps(f"{self.COUNT} idle connections")
        self.witness.passed(5)
        for bus in opened:
            bus.close()
        self.gone(opened[0], opened[-1])


class Silent(Full):
    transport = "tcp"
    limits = {"hello_timeout": "1h"}

    def fault_D60_silent_sockets_keep_nobody_out_who_is_known(self):
        most = self.use("unauthenticated").value
        silent = [self.raw() for _ in range(most)]
        self.until(lambda: self.use("unauthenticated").used == most, "all to be there", self.control)
        for _ in range(200):
            self.assertIsNone(self.comes_in())
        goaway = self.sent_away(self.raw(), pb.CODE_OVER_LIMIT)
        self.assertIn(f"limits.unauthenticated is {most}", goaway.text)
        self.logged("event=refused", "limits.unauthenticated")
        # Local ones say who they are by connecting.
        for _ in range(20):
            self.connect("unix").ping()
        self.sleeps("the pool of the unauthenticated is full")
        self.witness.passed(5)
        silent.pop().close()
        self.until(self.comes_in, "the free place", self.control)


@over_both(globals())
class Readers:
    SIZE = 4096

    def flood(self, sender, subject, first, count):
        for i in range(first, first + count):
            sender.publish(subject, struct.pack(">I", i) + bytes(self.SIZE))

    def take(self, reader, seen, until):
        """Reads until so many messages of the reader's one interest are accounted for, in order."""
        while seen["got"] + seen["missing"] < until:
            frame = reader.next_of("deliver", "gap")
            if frame.HasField("gap"):
                seen["missing"] += frame.gap.count
                self.assertEqual(frame.gap.why, pb.WHY_WINDOW)
                continue
            number = struct.unpack(">I", frame.deliver.payload[:4])[0]
            self.assertGreater(number, seen["last"])
            seen["got"], seen["last"] = seen["got"] + 1, number

    def fault_D61_slow_reader_loses_what_it_is_told_and_holds_nobody_up(self):
        sender, slow, fast = self.connect(), self.connect(), self.connect()
        sid = slow.subscribe("f.d61", credit_messages=1, window_messages=100).sid
        fast.subscribe("f.d61")
        before, total, seen = self.counters(), 5000, {"got": 0, "missing": 0, "last": -1}
        for first in range(0, total, 250):
            self.flood(sender, "f.d61", first, 250)
            for i in range(first, first + 250):
                self.assertEqual(struct.unpack(">I", fast.next_delivery().deliver.payload[:4])[0], i)
            # The slow one deals with one message in 250.
            frame = slow.next_of("deliver")
            seen["missing"] += sum(f.gap.count for f in slow.inbox if f.HasField("gap"))
            slow.inbox.clear()
            seen["got"], seen["last"] = seen["got"] + 1, struct.unpack(">I", frame.deliver.payload[:4])[0]
            slow.credit(frame.deliver.seq, sid=sid)
        sender.ping()
        ledger = self.ledger(slow, sid, self.control)
        self.assertLessEqual(ledger.queued, 100)
        self.sleeps("a slow reader")
        while seen["got"] + seen["missing"] < total:
            frame = slow.next_of("deliver", "gap")
            if frame.HasField("gap"):
                seen["missing"] += frame.gap.count
            else:
                self.assertGreater(struct.unpack(">I", frame.deliver.payload[:4])[0], seen["last"])
                seen["got"], seen["last"] = seen["got"] + 1, struct.unpack(">I", frame.deliver.payload[:4])[0]
                slow.credit(frame.deliver.seq, sid=sid)
        ledger = self.ledger(slow, sid, self.control)
        self.assertEqual((ledger.matched, ledger.dropped), (total, seen["missing"]))
        self.counted(before, dropped=seen["missing"])

    def fault_D62_reader_that_never_reads_is_kept_and_costs_its_window(self):
        sender, never, fast = self.connect(), self.connect(), self.connect()
        sid = never.subscribe("f.d62").sid
        fast.subscribe("f.d62")
        memory, before, total = self.private_memory(), self.counters(), 6000
        for first in range(0, total, 500):
            self.flood(sender, "f.d62", first, 500)
            for i in range(first, first + 500):
                self.assertEqual(struct.unpack(">I", fast.next_delivery().deliver.payload[:4])[0], i)
        sender.ping()
        ledger = self.ledger(never, sid, self.control)
        self.assertEqual(ledger.matched, total)
        self.assertLessEqual(ledger.queued_bytes, ledger.window_bytes)
        if not self.sanitized():  # a window of 8 MiB, and what is committed to the connection
            self.assertLess(self.private_memory() - memory, 16 << 20)
        self.sleeps("a reader that never reads")
        # It is there still, and gets all that it is told it gets.
        seen = {"got": 0, "missing": 0, "last": -1}
        self.take(never, seen, total)
        self.assertGreater(seen["missing"], 0)
        self.counted(before, dropped=seen["missing"])
        self.silent(never)

    def fault_D62_reader_that_never_reads_and_leaves_gives_all_back(self):
        held = []
        for _ in range(4):
            sender, never = self.connect(), self.connect()
            never.subscribe("f.d62b")
            self.flood(sender, "f.d62b", 0, 3000)
            sender.ping()
            self.assertGreater(self.control.api("status").broker.queued_bytes, 1 << 20)
            never.close()
            self.gone(never)
            sender.close()
            self.assertEqual(self.control.api("status").broker.queued_bytes, 0)
            held.append(self.private_memory())
        if not self.sanitized():  # what malloc() keeps after the first time is used again
            self.assertLess(held[-1] - held[0], 2 << 20)

    def fault_D63_requester_that_never_reads_is_not_read_either(self):
        greedy = self.connect()
        memory, first, count = self.private_memory(), greedy.last_id + 1, 30000
        question = chunk(11, b"$SYS.api.limits") + chunk(12, b"t" * 500)  # more of them than any socket holds
        data = memoryview(b"".join(kind("call", question, first + i) for i in range(count)))
        same, handled = 0, -1
        while same < 5:  # in each turn it is read as far as may be: when nothing changes, it is not read any more
            data = self.push(greedy, data)
            now = self.counters()["calls"]
            same, handled = same + 1 if now == handled + 1 else 0, now
        self.assertGreater(len(data), 0, "the broker read all of it")
        unread = self.use("unread_answers_bytes", greedy.welcome.peer)
        self.assertEqual(unread.value, 256 << 10)
        self.assertGreater(unread.used, 0)
        self.assertLess(unread.used, unread.value + (64 << 10))
        if not self.sanitized():
            self.assertLess(self.private_memory() - memory, 4 << 20)
        self.sleeps("a requester that never reads")
        self.witness.passed(5)
        for i in range(count):
            data = self.push(greedy, data)
            self.assertEqual(greedy.next_of("reply").id, first + i)
        self.assertEqual(len(data), 0)
        greedy.last_id = first + count
        greedy.ping()

    def push(self, bus, data):
        """Sends what the socket takes; returns the rest."""
        try:
            return data[bus.sock.send(data):] if data else data
        except BlockingIOError:
            return data


class FanOut(FaultCase):
    COUNT = 150
    SIZE = 1 << 20

    def fault_D64_large_message_to_many_is_held_once(self):
        sender, readers = self.connect(), [self.connect() for _ in range(self.COUNT)]
        sids = [reader.subscribe("f.d64", credit_messages=1).sid for reader in readers]
        self.assertEqual(sender.publish("f.d64", b"first", receipt=True), self.COUNT)  # takes up the credit
        memory, used = self.private_memory(), self.use("broker_bytes").used
        payload = os.urandom(self.SIZE)
        self.assertEqual(sender.publish("f.d64", payload, receipt=True), self.COUNT)
        self.assertEqual(self.control.api("status").broker.queued_messages, self.COUNT)
        self.assertLess(self.use("broker_bytes").used - used, self.SIZE + self.COUNT * 256 + 4096)
        self.assertGreaterEqual(self.use("connection_bytes", readers[0].welcome.peer).used, self.SIZE)
        if not self.sanitized():
            self.assertLess(self.private_memory() - memory, 4 * self.SIZE)
        self.sleeps("a large message that waits for many")
        for reader, sid in zip(readers, sids):
            reader.credit(reader.next_delivery().deliver.seq, sid=sid)
            self.assertEqual(reader.next_delivery().deliver.payload, payload)
        self.control.ping()
        self.assertLess(self.use("broker_bytes").used - used, 65536)

    def fault_D64_large_messages_to_many_stay_within_the_budget(self):
        """The bounds are the interest's window, the connection's, the user's and the broker's, not the number."""
        sender, readers = self.connect(), [self.connect() for _ in range(20)]
        for reader in readers:
            reader.subscribe("f.d64b", credit_messages=1)
        budget = self.use("broker_bytes").value
        for _ in range(12):  # 12 MiB for each: its window has 8
            sender.publish("f.d64b", bytes(self.SIZE))
            self.assertLess(self.use("broker_bytes").used, budget)
        sender.ping()
        self.assertLess(self.use("broker_bytes").used, 13 * self.SIZE)
        for reader in readers:
            reader.next_delivery()
            peer = {p.id: p for p in self.control.api("list").peers}[reader.welcome.peer]
            self.assertLessEqual(peer.queued_bytes, 8 << 20)


if __name__ == "__main__":
    main()
