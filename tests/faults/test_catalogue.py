#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every case of the catalogue that is promised has a test with its number in its name; every other one has its line in
docs/faults.md, which says what it comes with."""

import glob
import os
import re
import sys

GROUPS = {"A": range(1, 14), "B": range(14, 33), "C": range(33, 56), "D": range(56, 79), "E": range(79, 97),
          "F": range(97, 115), "G": range(115, 128), "H": range(128, 141)}
# What these cases are about comes later. With what?
LATER = {
    "descriptors and memory files": [*range(79, 97)],
    "the daemon's privileges": [114, 140],
    "TLS": [118, 119, 120, 121],
    "bridges": [127],
    "stores on disk": [*range(130, 136)],
}
# Not here: tests/integration has them.
ELSEWHERE = {
    136: "test_start.py and tests/unit/broker/test_config.c",
    137: "test_paths.py",
    138: "test_paths.py",
    139: "test_access.py and test_paths.py",
}
HERE = os.path.dirname(os.path.realpath(__file__))
PAGE = os.path.join(HERE, "..", "..", "docs", "faults.md")


def tests():
    """Yields (letter, number, file) for each test here."""
    for path in sorted(glob.glob(os.path.join(HERE, "test_[A-Z]*.py"))):
        with open(path, encoding="utf-8") as file:
            for letter, number in re.findall(r"^    def fault_([A-Z])(\d+)_\w+\(", file.read(), re.M):
                yield letter, int(number), os.path.basename(path)


def main():
    wrong, found = [], set()
    for letter, number, name in tests():
        found.add(number)
        if number not in GROUPS.get(letter, ()):
            wrong.append(f"{letter}{number} is no case of group {letter}")
        if not re.fullmatch(rf"test_{letter}(_\w+)?\.py", name):
            wrong.append(f"{letter}{number} is in {name}")
    later = {number for numbers in LATER.values() for number in numbers}
    with open(PAGE, encoding="utf-8") as file:
        told = {int(number) for number in re.findall(r"^\| [A-H](\d+) \|", file.read(), re.M)}
    for letter, numbers in GROUPS.items():
        for number in numbers:
            homes = [number in found, number in later, number in ELSEWHERE]
            if homes.count(True) != 1:
                wrong.append(f"{letter}{number}: {'no test' if not any(homes) else 'a test, and yet it comes later'}")
            if number not in told:
                wrong.append(f"{letter}{number} is not in docs/faults.md")
    for line in wrong:
        print(line)
    print(f"{len(found)} cases of the catalogue have tests here, {len(ELSEWHERE)} elsewhere, {len(later)} come later; "
          f"{len(wrong)} wrong")
    return 1 if wrong or not found else 0


if __name__ == "__main__":
    sys.exit(main())
