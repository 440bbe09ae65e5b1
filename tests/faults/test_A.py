#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Faults of group A: framing."""

import os
import select
import signal
import socket
import time

import ramal
from faultlib import (KIND, chunk, frame, kind, main, number, over_both, prefix, publish, subscribe)
from ramal import pb

PAYLOAD = 1 << 20  # so that a frame of the limit is quickly sent


@over_both(globals(), payload_bytes=PAYLOAD)
class Framing:
    def fault_A01_length_of_zero_closes(self):
        self.closes(prefix(0))
        self.closes(prefix(0) + publish())
        self.closes(prefix(0), bus=self.raw(), what="before HELLO")

    def fault_A02_length_above_the_limit_closes_before_any_body(self):
        limit = self.connect().welcome.limits.frame_bytes
        for length in (limit + 1, limit + 2, 2 * limit):
            self.closes(prefix(length), pb.CODE_TOO_LARGE)
        for length in (4097, 65536, limit):
            self.closes(prefix(length), pb.CODE_TOO_LARGE, bus=self.raw(), what=f"{length} before HELLO")

    def fault_A03_lengths_near_the_ends_of_the_type_close(self):
        for length in (0xffffffff, 0xfffffffe, 0xfffffffc, 0x80000000, 0x7fffffff, 0x7ffffffc):
            self.closes(prefix(length), pb.CODE_TOO_LARGE)
            self.closes(prefix(length) + bytes(1000), pb.CODE_TOO_LARGE, bus=self.raw(),
                        what=f"{length:#x} before HELLO")

    def fault_A04_the_limit_itself_is_accepted_and_one_more_is_not(self):
        bus = self.connect()
        limits = bus.welcome.limits
        bus.subscribe("f.big")
        payload = os.urandom(limits.payload_bytes)
        self.assertEqual(bus.publish("f.big", payload, receipt=True), 1)
        self.assertEqual(bus.next_delivery().deliver.payload, payload)
        status = self.refused(pb.CODE_TOO_LARGE, bus.publish, "f.big", payload + b"x", receipt=True)
        self.assertEqual((status.limit, status.value), ("limits.payload_bytes", PAYLOAD))
        # The largest frame there is: of a kind that nobody knows, which is skipped.
        head = len(chunk(2000, bytes(limits.frame_bytes - 20))) - (limits.frame_bytes - 20)
        body = chunk(2000, bytes(limits.frame_bytes - head))
        self.assertEqual(len(body), limits.frame_bytes)
        bus.send_bytes(frame(body))
        self.silent(bus)
        self.closes(prefix(limits.frame_bytes + 1), pb.CODE_TOO_LARGE, bus=bus)

    def fault_A05_frame_cut_at_every_byte_has_no_effect(self):
        watcher = self.connect()
        watcher.subscribe("f.cut.>")
        whole = subscribe(100, 7, b"f.cut.sub") + publish(b"f.cut.pub", tail=chunk(15, b"x" * 30))
        first = len(subscribe(100, 7, b"f.cut.sub"))
        for end in range(len(whole)):
            bus = self.connect()
            bus.send_bytes(whole[:end])
            bus.sock.shutdown(socket.SHUT_WR)
            frames = self.ended(bus)
            kinds = [f.WhichOneof("kind") for f in frames]
            self.assertEqual(kinds, ["subscribed"] if end >= first else [], end)
            bus.close()
        self.silent(watcher)

    def fault_A05_hello_cut_at_every_byte_has_no_effect(self):
        whole = ramal.pack(pb.Frame(id=1, hello=pb.Hello(version_min=1, version_max=1, app="cut", nonce=bytes(32))))
        peers = len(self.control.api("list").peers)
        for end in range(len(whole)):
            bus = self.raw()
            bus.send_bytes(whole[:end])
            bus.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(self.ended(bus), [], end)
            bus.close()
        self.until(lambda: len(self.control.api("list").peers) == peers, "the cut ones to go", self.control)

    def fault_A07_one_byte_a_send_gives_the_same_transcript(self):
        self.assertEqual(self.transcript(1), self.transcript(1 << 30))
        self.assertEqual(self.transcript(3), self.transcript(7))

    def transcript(self, step):
        """Everything that the broker says to a fixed talk that is sent in pieces of `step` bytes."""
        bus = self.raw()
        send = bus.send_bytes

        def in_pieces(data, timeout=None):
            for at in range(0, len(data), step):
                send(data[at:at + step], timeout)

        bus.send_bytes = in_pieces
        frames = [self.hello(bus)]
        bus.send_frame(pb.Frame(id=10, subscribe=pb.Subscribe(sid=1, pattern="f.t.>")))
        bus.send_frame(pb.Frame(id=11, subscribe=pb.Subscribe(sid=2, pattern="f.t.call", serve=True)))
        for i in range(3):
            bus.send_frame(pb.Frame(publish=pb.Data(subject="f.t.a", payload=b"%d" % i * 300)))
        bus.send_frame(pb.Frame(id=12, publish=pb.Data(subject="f.t.b", flags=pb.DATA_FLAG_RECEIPT)))
        bus.send_frame(pb.Frame(publish=pb.Data(subject="f..t")))
        bus.send_frame(pb.Frame(id=13, call=pb.Data(subject="f.t.call", payload=b"?")))
        token = 0
        while not token:
            frames.append(bus.next_frame())
            token = frames[-1].deliver.token
        bus.send_frame(pb.Frame(reply=pb.Data(token=token, payload=b"!")))
        bus.send_frame(pb.Frame(id=14, unsubscribe=pb.Unsubscribe(sid=1)))
        bus.send_frame(pb.Frame(id=15, bye=pb.Bye()))
        frames += self.ended(bus)
        text = []
        for one in frames:
            if isinstance(one, pb.Welcome):
                one.peer = 0
            elif one.HasField("deliver"):
                one.deliver.token = min(one.deliver.token, 1)
                one.deliver.sender.peer = 0
            elif one.HasField("reply"):
                one.reply.sender.peer = 0
            text.append(str(one))
        self.assertEqual(len(frames), 13, text)
        return text

    def fault_A08_ten_thousand_frames_in_one_write_leave_room_for_others(self):
        flood, other, reader = self.connect(), self.connect(), self.connect()
        reader.subscribe("f.flood")
        one = publish(b"f.flood", tail=chunk(15, b"12345678" * 10))
        flood.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        os.kill(self.broker.pid, signal.SIGSTOP)  # so that all of it is there when it reads
        try:
            queued = 0
            data = one * 10000
            while queued < len(data) and select.select([], [flood.sock], [], 0)[1]:
                queued += flood.sock.send(data[queued:queued + 32768])
            other.send_bytes(publish(b"f.flood", tail=chunk(15, b"other")))
        finally:
            os.kill(self.broker.pid, signal.SIGCONT)
        self.assertGreater(queued, 2 << 16, "the socket took too little for this test")
        flood.send_bytes(data[queued:])
        place = [p for p in self.payloads(reader, 10001)].index(b"other")
        self.assertLess(place, queued // len(one), "the other had to wait for the whole flood")

    def fault_A09_frame_longer_than_meant_swallows_what_follows(self):
        bus, reader = self.connect(), self.connect()
        reader.subscribe("f.swallow")
        inner = subscribe(50, 9, b"f.inner") + kind("ping", b"", 51) + ramal.pack(
            pb.Frame(id=52, hello=pb.Hello(version_min=1, version_max=1)))
        bus.send_bytes(publish(b"f.swallow", tail=chunk(15, b"head" + inner)))
        self.assertEqual(reader.next_delivery().deliver.payload, b"head" + inner)
        self.silent(bus)
        # And at the end of input what was swallowed is gone.
        head = prefix(1000) + chunk(KIND["publish"], b"")[:1]
        bus.send_bytes(head + inner)
        bus.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(self.ended(bus), [])

    def fault_A10_frame_shorter_than_meant_closes(self):
        whole = publish(b"f.short", tail=chunk(15, b"\xff" * 40))
        body = whole[4:]
        for cut in (1, 2, 10, 39, 41, len(body) - 1):
            self.closes(prefix(len(body) - cut) + body)

    def fault_A11_other_protocols_are_closed_at_once(self):
        strangers = (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
            b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
            b"CONNECT {\"verbose\":false}\r\n",
            b"l\x01\x00\x01" + bytes(60),
            b"*1\r\n$4\r\nPING\r\n",
            b"\x10\x16\x00\x04MQTT\x04\x02\x00<\x00\x0ahello" + bytes(8),
            b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f" + bytes(54),
            (20).to_bytes(4, "little") + bytes(20),
            (20).to_bytes(8, "big") + bytes(20),
        )
        for data in strangers:
            bus = self.raw()
            self.throw(bus, data)
            with self.subTest(data[:20]):
                self.assertEqual([f.WhichOneof("kind") for f in self.ended(bus)], ["goaway"])
            bus.close()

    def fault_A12_memory_grows_with_received_bytes_only(self):
        count = 1000
        warm = [self.connect() for _ in range(8)]
        before = self.private_memory()
        many = [self.connect() for _ in range(count)] if self.transport == "unix" else [
            self.connect() for _ in range(200)]
        opened = self.private_memory()
        for bus in many:
            bus.send_bytes(prefix(PAYLOAD))
        for bus in warm:
            bus.ping()
        self.until(lambda: True, "a turn")
        announced = self.private_memory()
        if not self.sanitized():
            self.assertLess(announced - opened, 4096 * len(many))
            self.assertLess(announced - before, 12288 * len(many))
        else:
            self.assertLess(announced - before, PAYLOAD // 8 * len(many))

    def fault_A13_bytes_after_the_kind_close(self):
        for rest in (b"\x00", b"\xff", b"\x08\x01", number(40, 1), chunk(4, b""), chunk(40, b"x"), bytes(100)):
            self.closes(frame(chunk(KIND["publish"], chunk(11, b"f.trail")) + rest))
            self.closes(frame(number(1, 90) + chunk(KIND["ping"], b"") + rest))
        self.closes(frame(b"\x08\x05"), what="an id alone")


@over_both(globals(), frame_timeout="400ms")
class SlowFrames:
    """30 s in the ordinary configuration, 0.4 s here."""

    def trickle(self, bus, data):
        """One byte at a time, a good deal more slowly than the broker bears, until it hangs up. Returns how long that
        took."""
        began = time.monotonic()
        for byte in data:
            self.throw(bus, bytes([byte]))
            if select.select([bus.sock], [], [], 0.05)[0]:
                return time.monotonic() - began
        self.fail("all of it was taken")

    def fault_A06_frame_sent_slowly_is_closed(self):
        bus = self.connect()
        took = self.trickle(bus, publish(tail=chunk(15, bytes(100))))
        self.sent_away(bus, pb.CODE_TIMEOUT)
        self.assertGreater(took, 0.35)

    def fault_A06_frame_begun_and_left_is_closed(self):
        begun = []
        for part in (prefix(100)[:1], prefix(100)[:3], prefix(100), prefix(100) + b"\x12"):
            begun.append(self.connect())
            begun[-1].send_bytes(part)
        for bus in begun:
            self.sent_away(bus, pb.CODE_TIMEOUT)

    def fault_A06_large_frame_that_makes_progress_is_accepted(self):
        bus = self.connect()
        bus.subscribe("f.slow")
        data = publish(b"f.slow", tail=chunk(15, bytes(6 * 65536)))
        began = time.monotonic()
        for at in range(0, len(data), 2 * 65536):
            bus.send_bytes(data[at:at + 2 * 65536])
            if at + 2 * 65536 < len(data):
                self.assertEqual(select.select([bus.sock], [], [], 0.15)[0], [], "hung up on")
        self.assertEqual(len(bus.next_delivery().deliver.payload), 6 * 65536)
        self.assertGreater(time.monotonic() - began, 0.4)

    def fault_A06_idle_connection_between_frames_stays(self):
        bus = self.connect()
        self.assertEqual(select.select([bus.sock], [], [], 0.6)[0], [])
        self.silent(bus)


if __name__ == "__main__":
    main()
