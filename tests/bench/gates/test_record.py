# SPDX-License-Identifier: MIT
"""What tests/bench/gates/check makes of values; and that every gate of the record is one that it can measure."""

import importlib.machinery
import importlib.util
import os
import tempfile
import unittest

import loads
import record

HERE = os.path.dirname(os.path.realpath(__file__))
TEXT = """# SPDX
# a remark

with gcc 12.2.0, glibc 2.36

publish  600.0  600  instructions
size  390000  1000000  bytes
idle  -  2000000  bytes
"""


def check_module():
    loader = importlib.machinery.SourceFileLoader("check", os.path.join(HERE, "check"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", loader))
    loader.exec_module(module)
    return module


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="ramal-test-")
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "recorded")
        self.say(TEXT)

    def say(self, text):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)


class Verdict(Case):
    GATE = record.Gate(1000.0, 2000.0, "instructions")

    def test_within_the_tolerance_up_and_down_passes(self):
        for value in (951.0, 1000.0, 1049.0):
            self.assertEqual(record.verdict(self.GATE, value, True), ("ok", False))

    def test_more_than_the_tolerance_fails(self):
        self.assertEqual(record.verdict(self.GATE, 1051.0, True), ("5.1 % more than recorded", True))

    def test_better_than_the_tolerance_fails_so_that_it_is_recorded(self):
        self.assertEqual(record.verdict(self.GATE, 940.0, True), ("6.0 % less than recorded", True))

    def test_other_tools_are_not_compared_but_the_budget_holds(self):
        self.assertEqual(record.verdict(self.GATE, 1500.0, False), ("not compared", False))
        self.assertEqual(record.verdict(self.GATE, 2000.1, False), ("over the budget", True))

    def test_over_the_budget_fails_though_it_was_recorded(self):
        self.assertEqual(record.verdict(record.Gate(600.0, 500.0, "bytes"), 600.0, True), ("over the budget", True))

    def test_a_gate_without_a_value_has_its_budget_alone(self):
        gate = record.Gate(None, 100.0, "bytes")
        self.assertEqual(record.verdict(gate, 1.0, True), ("ok", False))
        self.assertEqual(record.verdict(gate, 101.0, True), ("over the budget", True))


class File(Case):
    def test_reading_finds_tools_values_and_budgets(self):
        known = record.read(self.path)
        self.assertEqual(known.tools, "gcc 12.2.0, glibc 2.36")
        self.assertEqual(known.gates["publish"], record.Gate(600.0, 600.0, "instructions"))
        self.assertEqual(known.gates["idle"], record.Gate(None, 2000000.0, "bytes"))

    def test_an_update_writes_what_was_measured_and_keeps_the_rest(self):
        record.write(self.path, record.read(self.path), "gcc 14", {"publish": 512.34, "idle": 5.0})
        known = record.read(self.path)
        self.assertEqual(known.tools, "gcc 14")
        self.assertEqual(known.gates["publish"], record.Gate(512.3, 600.0, "instructions"))
        self.assertEqual(known.gates["size"], record.Gate(390000.0, 1000000.0, "bytes"))
        self.assertEqual(known.gates["idle"], record.Gate(None, 2000000.0, "bytes"))
        self.assertEqual(known.head, ["# SPDX", "# a remark", ""])

    def test_an_update_with_the_same_values_changes_nothing(self):
        path = os.path.join(HERE, "recorded")
        record.write(self.path, record.read(path), record.read(path).tools, {})
        with open(path, encoding="utf-8") as was, open(self.path, encoding="utf-8") as now:
            self.assertEqual(was.read(), now.read())

    def test_a_line_that_is_none_is_told_with_its_number(self):
        self.say(TEXT + "publish twice\n")
        with self.assertRaisesRegex(record.Malformed, ":9: "):
            record.read(self.path)


class Gates(Case):
    def test_what_is_recorded_is_what_is_measured(self):
        known = record.read(os.path.join(HERE, "recorded"))
        self.assertEqual(sorted(known.gates), sorted(check_module().measurements("/nowhere")))

    def test_every_value_is_recorded_but_where_only_the_budget_counts(self):
        for name, gate in record.read(os.path.join(HERE, "recorded")).gates.items():
            self.assertTrue(gate.value or gate.budget, name)

    def test_a_round_that_may_come_in_pieces_is_refused(self):
        end = loads.End.__new__(loads.End)
        with self.assertRaisesRegex(ValueError, "two pieces"):
            end.send(bytes(loads.ROUND_BYTES + 1))


if __name__ == "__main__":
    unittest.main()
