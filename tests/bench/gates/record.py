# SPDX-License-Identifier: MIT
"""The recorded values, and what a measured one is worth beside them.

The file has a line `with COMPILER ...`: the values hold for that compiler, C library, valgrind and machine, and are
compared nowhere else. Every other line is a gate: name, value (- where only the budget counts), budget (- for none), unit.
Budgets are edited by hand; `check --update` keeps them and writes the values.
"""

import collections

# Of the recorded value, up and down: what has become better is recorded, or it could be lost again.
TOLERANCE = 0.05

Gate = collections.namedtuple("Gate", "value budget unit")
Record = collections.namedtuple("Record", "tools gates head")


class Malformed(Exception):
    """The file is not one of ours."""


def number(text):
    return None if text == "-" else float(text)


def read(path):
    """A Record: what it holds for, {name: Gate} in order, and the comment that it begins with."""
    tools, gates, head = "", {}, []
    with open(path, encoding="utf-8") as file:
        for at, line in enumerate(file.read().splitlines(), 1):
            words = line.split()
            try:
                if not words or line.startswith("#"):
                    if not tools:
                        head.append(line)
                elif words[0] == "with":
                    tools = " ".join(words[1:])
                else:
                    name, value, budget, unit = words
                    gates[name] = Gate(number(value), number(budget), unit)
            except ValueError as error:
                raise Malformed(f"{path}:{at}: {error}") from error
    return Record(tools, gates, head)


def text(value):
    """As it stands in the file and in the table: three digits behind the point for none that need them."""
    return "-" if value is None else f"{value:.0f}" if value >= 10000 else f"{value:.1f}"


def write(path, record, tools, measured):
    """The same gates with the values that were measured; those that were not keep theirs."""
    rows = [(name, text(measured.get(name, gate.value) if gate.value is not None else None),
             "-" if gate.budget is None else f"{gate.budget:.0f}", gate.unit) for name, gate in record.gates.items()]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(record.head) + f"\nwith {tools}\n\n")
        for name, value, budget, unit in rows:
            file.write(f"{name:<24}{value:>10}{budget:>10}  {unit}\n")


def verdict(gate, value, same_tools):
    """("ok" or what it is otherwise, does it fail?)"""
    if gate.budget is not None and value > gate.budget:
        return "over the budget", True
    if gate.value is None:
        return "ok", False
    if not same_tools:
        return "not compared", False
    change = value / gate.value - 1 if gate.value else 0.0
    if abs(change) <= TOLERANCE:
        return "ok", False
    return f"{abs(change) * 100:.1f} % {'more' if change > 0 else 'less'} than recorded", True
