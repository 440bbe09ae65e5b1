#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Faults of group H: time. Disk and privileges come with what they are about; H137 and H138, the path of the socket,
are in tests/integration/test_paths.py."""

import os
import shutil
import tempfile

import ramal
from faultlib import FaultCase, SECONDS, kind, chunk, main, number, over_both, program
from ramal import pb
from ramald import Directory, Ramald

YEAR = 366 * 86400


class WallClock(FaultCase):
    """The broker's wall clock is set while it works: see clock.c."""

    limits = {"hello_timeout": "300ms", "frame_timeout": "300ms"}

    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.mkdtemp(prefix="ramal-test-")
        cls.addClassCleanup(shutil.rmtree, cls.place)
        cls.clock = os.path.join(cls.place, "clock")
        cls.set_clock(0)
        cls.options = {"env": {"LD_PRELOAD": program("FAULT_CLOCK_SO"), "FAULT_CLOCK": cls.clock,
                               "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=1"}}
        super().setUpClass()

    @classmethod
    def set_clock(cls, seconds):
        with open(cls.clock + ".new", "w", encoding="ascii") as file:
            file.write(f"{seconds}\n")
        os.rename(cls.clock + ".new", cls.clock)

    def fault_H128_wall_clock_that_is_set_changes_nothing(self):
        server, caller = self.connect(), self.connect()
        server.serve("f.h128")
        for off in (YEAR, -YEAR, 10 * YEAR, -40 * YEAR, 0):
            with self.subTest(off):
                # Timers that run while it is set: a deadline, a HELLO that does not come, half a frame.
                short, long = caller.call("f.h128", deadline=0.2), caller.call("f.h128", deadline=1000)
                for _ in range(2):
                    server.next_delivery()
                silent, half, idle = self.raw(), self.connect(), self.connect()
                half.send_bytes(b"\0\0\1")
                uptime = self.control.api("status").broker.uptime_us
                self.set_clock(off)
                self.assertEqual(self.refused(pb.CODE_DEADLINE, short.result).code, pb.CODE_DEADLINE)
                self.sent_away(silent, pb.CODE_TIMEOUT)
                self.sent_away(half, pb.CODE_TIMEOUT)
                idle.ping()
                caller.cancel(long.id)
                self.refused(pb.CODE_CANCELLED, long.result)
                for _ in range(2):
                    server.next_of("cancel")
                self.assertLess(self.control.api("status").broker.uptime_us - uptime, SECONDS * 1000000)
                self.sleeps(f"the wall clock is {off} s off")
                self.witness.passed(5)
        # It did see it: the log is stamped with it.
        years = {line[5:9] for line in self.broker.log().splitlines() if line.startswith("time=")}
        self.assertGreater(len(years), 3, years)

    def fault_H128_clock_of_another_start_is_nobodys_business(self):
        """A broker whose monotonic clock is ten years ahead of its clients': the wire carries time that is left."""
        with Directory() as place:
            before = ["unshare", "-T", "--monotonic", str(10 * YEAR), "--boottime", str(10 * YEAR)]
            with Ramald("--listen", f"unix:{place}/bus", before=before) as broker:
                server, caller = (ramal.connect(broker.address, timeout=SECONDS) for _ in range(2))
                server.serve("f.h128")
                call = caller.call("f.h128", b"?", deadline=1000)
                data = server.next_delivery().deliver
                self.assertLess(data.time_left_us, 1000 * 1000000 + 1)
                self.assertGreater(data.time_left_us, 900 * 1000000)
                server.reply(data.token, b"!")
                self.assertEqual(call.result(), b"!")
                self.refused(pb.CODE_DEADLINE, caller.call("f.h128", deadline=0.05).result)
                server.close()
                caller.close()


@over_both(globals())
class Deadlines:
    MOST = (1 << 64) - 1

    def fault_H129_deadlines_at_the_ends_of_their_range_have_one_meaning(self):
        server, caller = self.connect(), self.connect()
        server.serve("f.h129")
        for left in (0, 10**15, self.MOST // 1000, self.MOST // 1000 + 1, 1 << 63, self.MOST - 1, self.MOST):
            with self.subTest(left):
                ident = caller.new_id()
                caller.send_bytes(kind("call", (number(4, left) if left else b"") + chunk(11, b"f.h129"), ident))
                data = server.next_delivery().deliver
                if left == 0:
                    self.assertEqual(data.time_left_us, 0)
                else:  # what is left of it, or none where that is as good as for ever
                    self.assertTrue(data.time_left_us == 0 or 10**14 < data.time_left_us <= left)
                server.reply(data.token, b"ok")
                self.assertEqual(caller.answer(ident).reply.payload, b"ok")
        self.sleeps("deadlines at the end of time")
        # The shortest there is: over before it can be delivered, or at once after.
        calls = [caller.call("f.h129", deadline=0.000001) for _ in range(50)]
        for call in calls:
            self.refused(pb.CODE_DEADLINE, call.result)
        caller.ping()
        server.ping()
        for frame in list(server.inbox):
            self.assertIn(frame.WhichOneof("kind"), ("deliver", "cancel", "gap"))
        server.inbox.clear()

    def fault_H129_publishes_that_expire_at_the_ends_of_their_range(self):
        reader, sender = self.connect(), self.connect()
        sid = reader.subscribe("f.h129", credit_messages=1).sid
        sender.publish("f.h129", b"first")
        self.assertEqual(reader.next_delivery().deliver.payload, b"first")  # takes up the credit
        lefts = (0, 1, self.MOST, 1 << 63, 10**15)
        for left in lefts:
            sender.publishes += 1
            sender.send_bytes(kind("publish", (number(4, left) if left else b"") + chunk(11, b"f.h129")
                                   + chunk(15, b"%d" % left)))
        sender.ping()
        self.until(lambda: self.ledger(reader, sid, self.control).expired == 1, "the shortest to expire")
        got, missing = [], 0
        reader.credit(1, sid=sid)
        while len(got) + missing < len(lefts):
            frame = reader.next_of("deliver", "gap")
            if frame.HasField("gap"):
                self.assertEqual((frame.gap.why, frame.gap.count), (pb.WHY_EXPIRED, 1))
                missing += 1
                continue
            got.append(int(frame.deliver.payload))
            self.assertLessEqual(frame.deliver.time_left_us, got[-1])
            reader.credit(frame.deliver.seq, sid=sid)
        self.assertEqual((got, missing), ([0, self.MOST, 1 << 63, 10**15], 1))
        self.silent(sender)


class Library(FaultCase):
    def fault_H129_deadlines_of_the_library_that_are_over_fail_at_once(self):
        server = self.connect("unix")
        server.serve("mishap.late")
        process = self.mishap("late")
        self.assertEqual(self.says(process), "ready")
        self.tell(process)
        for what in ("past", "zero", "one", "async"):
            self.assertEqual(self.says(process), f"{what} -110")  # ETIMEDOUT
        self.silent(server)  # none of them was ever sent
        self.tell(process)
        for what in ("last", "never"):
            data = server.next_delivery().deliver
            server.reply(data.token, b"ok")
            self.assertEqual(self.says(process), f"{what} 0")
        self.assertEqual(self.says(process), "unsent 0")
        self.assertEqual(process.wait(SECONDS), 0)


if __name__ == "__main__":
    main()
