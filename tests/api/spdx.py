# SPDX-License-Identifier: MIT
"""Every source file says its license in one of its first lines."""

import os
import sys

import tree

SUFFIXES = (".c", ".h", ".in", ".py", ".sh", ".bash", ".cmake", ".proto", ".map", ".conf")
NAMES = ("CMakeLists.txt",)
LINE = "SPDX-License-Identifier: MIT"
WITHIN = 5


def is_source(path):
    return path.endswith(SUFFIXES) or os.path.basename(path) in NAMES or tree.shebang(path) != ""


def main():
    checked, faults = 0, []
    for path in tree.files():
        if not is_source(path):
            continue
        checked += 1
        if not any(LINE in line for line in tree.lines(path)[:WITHIN]):
            faults.append(f"{path}: no '{LINE}' in its first {WITHIN} lines")
    return tree.report("spdx", checked, faults)


sys.exit(main())
