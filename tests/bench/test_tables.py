# SPDX-License-Identifier: MIT
"""What the benches make of measurements: tables, verdicts, and a page between two remarks."""

import os
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "peers"), os.path.join(HERE, "gates")]

import budgets  # noqa: E402
import page  # noqa: E402
import peers  # noqa: E402
import record  # noqa: E402
import syscalls  # noqa: E402
import tables  # noqa: E402


def measured(peer, rep, rate, **more):
    return {"peer": peer, "scenario": "pub_64", "rep": rep, "ok": True, "msgs_per_s": rate, **more}


class Tables(unittest.TestCase):
    ROWS = [measured("raw", 0, 4000000.0), measured("ramal", 0, 2000000.0), measured("redis", 0, 1000000.0),
            measured("raw", 1, 8000000.0), measured("ramal", 1, 2000000.0), measured("redis", 1, 1200000.0),
            measured("raw", 2, 4000000.0), measured("ramal", 2, 3000000.0), measured("redis", 2, 1100000.0)]

    def line(self, rows):
        lines = tables.summary(rows, ["raw", "ramal", "redis"])
        return next(line for line in lines if line.startswith("| 64 B, 1 → 1"))

    def test_the_best_broker_is_bold_and_the_relay_is_none(self):
        self.assertEqual(self.line(self.ROWS),
                         "| 64 B, 1 → 1 | k msg/s | 4000 (100 %) | **2000** (50 %) | 1100 (18 %) | 0.50 |")

    def test_a_ratio_is_that_of_the_same_repetition(self):
        self.assertEqual(tables.ratio(self.ROWS, "pub_64", "msgs_per_s", "ramal", "raw"), 0.5)
        self.assertIsNone(tables.ratio(self.ROWS, "pub_64", "msgs_per_s", "ramal", "zmq"))

    def test_a_failed_measurement_is_not_a_rate(self):
        rows = [measured("redis", 0, 5.0),
                {"peer": "redis", "scenario": "pub_64", "rep": 1, "ok": False, "error": "timeout"}]
        self.assertEqual(tables.values(rows, "pub_64", "redis", "msgs_per_s"), [5.0])
        text = "\n".join(tables.details(rows[1:], ["redis"], ["pub_64"]))
        self.assertIn("| redis | timeout |", text)

    def test_what_is_not_applicable_names_peers_and_scenarios(self):
        for name, scenario in peers.NOT_APPLICABLE:
            self.assertIn(name, peers.PEERS)
            self.assertIn(scenario, tables.SCENARIOS)

    def test_strace_is_read(self):
        with tempfile.NamedTemporaryFile("w", suffix=".strace") as file:
            file.write("% time     seconds  usecs/call     calls    errors syscall\n"
                       "------ ----------- ----------- --------- --------- ----------------\n"
                       " 60.00    0.000300           3       100        10 recvfrom\n"
                       " 40.00    0.000200           2        50           sendmsg\n"
                       "------ ----------- ----------- --------- --------- ----------------\n"
                       "100.00    0.000500           3       150        10 total\n")
            file.flush()
            self.assertEqual(syscalls.read(file.name), {"recvfrom": 100, "sendmsg": 50})


class Budgets(unittest.TestCase):
    def test_a_budget_is_met_at_its_very_value(self):
        for value, least, what in ((80.0, False, "met"), (80.1, False, "missed"), (80.0, True, "met"),
                                   (79.9, True, "missed"), (None, True, "not measured")):
            self.assertEqual(budgets.verdict(budgets.Line("", None, value, "", 80, least)), what)

    def test_every_line_finds_its_value(self):
        side = {"rate": 9e6, "bytes_per_s": 2e9, "cpu_ns": 70.0, "latency_us": {"p50": 12.0, "p99": 30.0}, "held": 9000}
        row = {"ramal": side, "relay": side, "ratio": {"rate": 1.0, "p50": 1.0, "cpu": 1.0}}
        gates = record.read(os.path.join(HERE, "gates", "recorded")).gates
        found = budgets.lines({name: row for name in budgets.RUNS}, gates)
        self.assertEqual([line.what for line in found if line.value is None], [])
        self.assertEqual(len(list(budgets.table(found))), len(found) + 2)

    def test_a_run_without_a_relay_leaves_dashes(self):
        gates = record.read(os.path.join(HERE, "gates", "recorded")).gates
        text = "\n".join(budgets.table(budgets.lines({name: {} for name in budgets.RUNS}, gates)))
        self.assertIn("| 64 B, 1 → 1, batched | - | - | M msg/s | ≥ 8 | not measured |", text)


class Page(unittest.TestCase):
    def test_only_what_stands_between_the_remarks_is_replaced(self):
        with tempfile.TemporaryDirectory(prefix="ramal-test-") as directory:
            path = os.path.join(directory, "page.md")
            with open(path, "w", encoding="utf-8") as file:
                file.write("before\n<!-- it: begin -->\nold\n<!-- it: end -->\nafter\n")
            page.PAGE, was = path, page.PAGE
            try:
                page.replace("it", "new")
                page.replace("it", "newer")
                with self.assertRaises(SystemExit):
                    page.replace("other", "new")
            finally:
                page.PAGE = was
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), "before\n<!-- it: begin -->\nnewer\n<!-- it: end -->\nafter\n")

    def test_the_page_has_all_remarks(self):
        with open(page.PAGE, encoding="utf-8") as file:
            text = file.read()
        for name in ("budgets", "peers", "syscalls", "growth"):
            self.assertEqual((text.count(f"<!-- {name}: begin -->"), text.count(f"<!-- {name}: end -->")), (1, 1), name)


if __name__ == "__main__":
    unittest.main()
