#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Faults of group D: no memory. The broker's own, by a limit to its address space: not for one that is built with a
sanitizer, whose shadow alone is terabytes. (The sweeps over all its allocations run under those, too.)"""

import resource

import ramal
from faultlib import FaultCase, main
from ramal import pb


class Memory(FaultCase):
    """Less memory than the budgets allow."""

    SIZE = 16 << 10
    ROOM = 24 << 20
    limits = {"broker_bytes": "1G", "interest_bytes": "512M", "connection_bytes": "1G", "publish_credit_bytes": "1G"}

    def confine(self):
        """Returns a function that takes the limit away again."""
        before = resource.prlimit(self.broker.pid, resource.RLIMIT_AS)
        most = (self.kibibytes("VmSize") << 10) + self.ROOM
        resource.prlimit(self.broker.pid, resource.RLIMIT_AS, (most, before[1]))
        return lambda: resource.prlimit(self.broker.pid, resource.RLIMIT_AS, before)

    def flood(self, sender, count):
        """Publishes until there is no memory, and then some. Who is sent away for that is told so, and comes again; or
        finds that there is no memory for newcomers either."""
        for _ in range(count):
            try:
                for _ in range(50):
                    sender.publish("f.d74", bytes(self.SIZE))
                sender.ping()
            except ConnectionError:
                away = [f.goaway for f in self.ended(sender) if f.HasField("goaway")]
                self.assertEqual([a.reason for a in away], [pb.CODE_OVER_LIMIT])
                self.assertIn("memory", away[0].text)
                self.refusals += 1
                sender.close()
                sender = self.raw()
                try:
                    self.hello(sender)
                except ConnectionError:
                    sender.close()
                    return

    def drained(self, reader, sid, seen):
        """Reads what is there. Returns the ledger when it agrees that this was all."""
        reader.ping()
        while reader.inbox:
            frame = reader.inbox.popleft()
            if frame.HasField("gap"):
                self.assertEqual(frame.gap.why, pb.WHY_BROKER)
                seen["missing"] += frame.gap.count
                continue
            seen["got"] += 1
            reader.credit(frame.deliver.seq, sid=sid)
        try:
            ledger = self.ledger(reader, sid, self.control)
        except ramal.Refused:  # there is no memory for the answer yet
            return None
        return ledger if ledger.queued + ledger.in_flight == 0 and sum(seen.values()) == ledger.matched else None

    def fault_D74_memory_that_runs_out_is_refused_and_comes_back(self):
        reader, sender = self.connect(), self.connect()
        sid = reader.subscribe("f.d74", credit_messages=1).sid
        self.refusals = 0
        with self.witness.turn:  # what it needs may not be there, either
            release = self.confine()
            try:
                self.flood(sender, 80)
            finally:
                release()
        self.assertTrue(self.broker.alive(), self.broker.log())
        seen = {"got": 0, "missing": 0}
        ledger = self.until(lambda: self.drained(reader, sid, seen), "all that was kept")
        total = ledger.matched
        self.assertGreater(ledger.dropped + self.refusals, 0, "there was memory enough")
        self.assertEqual((seen["missing"], seen["got"]), (ledger.dropped, ledger.confirmed))
        self.logged("memory")
        # And everything works as before.
        sender = self.connect()
        for i in range(300):
            self.assertEqual(sender.publish("f.d74", bytes(self.SIZE), receipt=True), 1)
            frame = reader.next_delivery()
            self.assertEqual(frame.deliver.seq, total + 1 + i)
            reader.credit(frame.deliver.seq, sid=sid)


if __name__ == "__main__":
    main()
