#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A reader that does not keep up, under each overflow rule: one that is slow, one that is stopped, one that is killed
and one that closes its sending end. In all twenty cases every message is accounted for, exactly.

The reader is another process. The numbers that must agree are its own, its ledger's (where it is still there), and the
broker's counters."""

import json
import signal

import ramal
from faultlib import SECONDS, FaultCase, main
from ramal import pb

MESSAGES = 3000
SIZE = 1000
WINDOW = 300
SUBJECTS = 7
RULES = {"drop_old": pb.OVERFLOW_DROP_OLD, "drop_new": pb.OVERFLOW_DROP_NEW, "latest": pb.OVERFLOW_LATEST,
         "evict": pb.OVERFLOW_EVICT, "block": pb.OVERFLOW_BLOCK}

# Reads as it is told: "one" message; "end": all until nothing more can come; a number: all until so many are accounted
# for. "half" closes its sending end.
READER = """
import json, socket, sys
import ramal
bus = ramal.connect(sys.argv[1], app="reader", timeout=20)
sid = bus.subscribe("flood.*", overflow=int(sys.argv[2]), window_messages=int(sys.argv[3]), credit_messages=10).sid
seen = {"got": 0, "missing": 0, "replaced": 0, "ended": False, "disorder": 0}
last, half = {}, False

def take():
    frame = bus.next_frame()
    if frame is None:
        seen["ended"] = True
    elif frame.HasField("gap"):
        seen["missing"] += frame.gap.count
    elif frame.HasField("interest"):
        seen["ended"] |= frame.interest.state == ramal.pb.STATE_ENDED
    elif frame.HasField("deliver"):
        data = frame.deliver
        number = int(data.payload.split(b" ", 1)[0])
        seen["disorder"] += number <= last.get(data.subject, -1)
        last[data.subject] = number
        seen["got"] += 1
        seen["replaced"] += data.replaced
        if not half:
            bus.credit(data.seq, sid=sid)

print(json.dumps({"peer": bus.welcome.peer, "sid": sid}), flush=True)
for line in sys.stdin:
    if line == "one\\n":
        if not seen["ended"]:
            take()
    elif line == "half\\n":
        half = True
        bus.sock.shutdown(socket.SHUT_WR)
    else:
        most = 1 << 60 if line == "end\\n" else int(line)
        while not seen["ended"] and seen["got"] + seen["missing"] + seen["replaced"] < most:
            take()
    print(json.dumps(seen), flush=True)
"""


class StuckReaders(FaultCase):
    limits = {"stall_max": "1500ms", "publish_credit_bytes": "256K", "flush_timeout": "20s"}

    def order(self, word):
        self.reader.stdin.write(f"{word}\n".encode())
        self.reader.stdin.flush()
        return json.loads(self.says(self.reader))

    def flood(self, sender, meanwhile, stuck):
        """Publishes all messages. meanwhile(i) after each; stuck() when the publisher has no credit left."""
        for i in range(MESSAGES):
            payload = (b"%d " % i).ljust(SIZE, b".")
            while not sender.credit_fits(2 * SIZE):
                sender.ping()
                if not sender.credit_fits(2 * SIZE):
                    stuck()
            sender.publish(f"flood.{i % SUBJECTS}", payload)
            meanwhile(i)
        sender.ping()

    def run_case(self, rule, how):
        self.reader = self.child("/usr/bin/python3", "-c", READER, self.address("unix"), RULES[rule], WINDOW)
        about = json.loads(self.says(self.reader))
        sender = self.connect()
        with self.witness.turn:  # the counters are to be those of this case alone
            before = self.counters()
            getattr(self, how)(rule, sender, about)
            after = {name: value - before[name] for name, value in self.counters().items()}
        # Whoever the end was: everything that was published is somewhere.
        self.assertEqual(after["publishes"], MESSAGES)
        self.assertEqual(after["refused"], 0)
        matched = MESSAGES - after["unheard"]
        self.assertEqual(matched, after["deliveries"] + after["dropped"] + after["replaced"] + after["expired"], after)

    def account(self, seen, matched):
        """What the reader saw makes up what matched."""
        self.assertEqual(seen["got"] + seen["missing"] + seen["replaced"], matched, seen)
        self.assertEqual(seen["disorder"], 0)

    def matched_by_ledger(self, about):
        """The ledger of the reader's interest, which must balance; None where it has ended."""
        rows = self.control.api("status", ramal.api.StatusRequest(peer=about["peer"])).interests
        for row in rows:
            if row.sid == about["sid"]:
                self.assertEqual(row.matched, row.queued + row.in_flight + row.confirmed + row.expired + row.dropped
                                 + row.replaced + row.moved + row.unconfirmed, str(row))
                self.assertLessEqual(row.queued, WINDOW if rule_keeps(row.overflow) else MESSAGES)
                return row
        return None

    def read_rest(self, rule, about, unheard):
        """The reader reads all that there is, and knows the same as its ledger."""
        matched = MESSAGES - (self.counters()["unheard"] - unheard)
        seen = self.order("end" if rule == "evict" else matched)
        self.account(seen, matched)
        if rule == "evict":
            self.assertTrue(seen["ended"])
            self.assertIsNone(self.matched_by_ledger(about))
            self.assertLess(matched, MESSAGES)
            return seen

        def confirmed():
            row = self.matched_by_ledger(about)
            return row if row.queued + row.in_flight == 0 else None

        row = self.until(confirmed, "the last confirmation", self.control)
        self.assertEqual((row.matched, row.confirmed, row.dropped, row.replaced),
                         (MESSAGES, seen["got"], seen["missing"], seen["replaced"]))
        return seen

    # ---- the four readers ----

    def slow(self, rule, sender, about):
        """Reads one message while thirty are published; holds up its publishers where the rule says so."""
        unheard = self.counters()["unheard"]
        self.flood(sender, lambda i: self.order("one") if i % 30 == 29 else None, lambda: self.order("one"))
        self.matched_by_ledger(about)
        seen = self.read_rest(rule, about, unheard)
        lost = seen["missing"] + seen["replaced"]
        self.assertEqual(lost == 0, rule == "block", seen)

    def stopped(self, rule, sender, about):
        """Does nothing at all while everything is published; then goes on."""
        unheard = self.counters()["unheard"]
        self.reader.send_signal(signal.SIGSTOP)
        self.until_state("T", self.reader.pid)
        self.flood(sender, lambda i: None, lambda: None)  # `block` holds nobody up for ever: stall_max
        self.matched_by_ledger(about)
        self.reader.send_signal(signal.SIGCONT)
        seen = self.read_rest(rule, about, unheard)
        self.assertGreater(seen["missing"] + seen["replaced"], 0)

    def killed(self, rule, sender, about):
        """Is stopped, and killed when all is published, or when it holds somebody up."""
        def kill():
            if self.reader.poll() is None:
                self.reader.kill()
                self.reader.wait(SECONDS)
        self.reader.send_signal(signal.SIGSTOP)
        self.until_state("T", self.reader.pid)
        self.flood(sender, lambda i: None, kill)
        kill()
        self.until(lambda: about["peer"] not in {p.id for p in self.control.api("list").peers}, "it to be forgotten")
        sender.ping()
        self.assertEqual(sender.credit_used, 0)

    def half_closed(self, rule, sender, about):
        """Closes its sending end when all is published, or when it holds somebody up, and reads what is left for it."""
        unheard = self.counters()["unheard"]
        done = []

        def half():
            if not done:
                done.append(self.order("half"))
        self.flood(sender, lambda i: None, half)
        half()
        seen = self.order("end")
        self.assertTrue(seen["ended"])
        self.account(seen, MESSAGES - (self.counters()["unheard"] - unheard))
        sender.ping()
        self.assertEqual(sender.credit_used, 0)


def rule_keeps(overflow):
    """Does this rule keep a queue within its window?"""
    return overflow != "block"


def add_cases():
    for rule in RULES:
        for how in ("slow", "stopped", "killed", "half_closed"):
            def case(self, rule=rule, how=how):
                self.run_case(rule, how)
            setattr(StuckReaders, f"fault_reader_{how}_under_{rule}_is_accounted_for_exactly", case)


add_cases()

if __name__ == "__main__":
    main()
