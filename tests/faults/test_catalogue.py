#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every case of the catalogue that is promised has a test with its number in its name."""

import glob
import os
import re
import sys

GROUPS = {"A": range(1, 14), "B": range(14, 33), "C": range(33, 56)}


def main():
    here = os.path.dirname(os.path.realpath(__file__))
    found = set()
    for path in glob.glob(os.path.join(here, "test_?.py")):
        with open(path, encoding="utf-8") as file:
            for letter, number in re.findall(r"^    def fault_([A-Z])(\d\d)_\w+\(", file.read(), re.M):
                if os.path.basename(path) != f"test_{letter}.py":
                    print(f"{letter}{number} is in {os.path.basename(path)}")
                    return 1
                found.add((letter, int(number)))
    missing = [f"{letter}{number:02}" for letter, numbers in GROUPS.items() for number in numbers
               if (letter, number) not in found]
    print(f"{len(found)} cases of the catalogue have tests; missing: {' '.join(missing) or 'none'}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
