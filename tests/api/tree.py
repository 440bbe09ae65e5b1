# SPDX-License-Identifier: MIT
"""The files of the source tree, for the tests that read it."""

import os

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
FOLDERS = ("proto", "broker", "client", "include", "tests", "tools", "docs", "examples", ".ci")


def files():
    """Yields the path of every file, relative to ROOT, in a fixed order. Build trees are not in it."""
    for name in sorted(os.listdir(ROOT)):
        if os.path.isfile(os.path.join(ROOT, name)):
            yield name
    for folder in FOLDERS:
        for directory, folders, names in os.walk(os.path.join(ROOT, folder)):
            folders[:] = sorted(f for f in folders if f not in ("__pycache__", "corpus"))
            for name in sorted(names):
                yield os.path.relpath(os.path.join(directory, name), ROOT)


def lines(path):
    """The lines of a file, without their ends. Bytes that are no UTF-8 are replaced."""
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def shebang(path):
    """The interpreter that the first line names, or ''."""
    with open(os.path.join(ROOT, path), "rb") as file:
        if file.read(2) != b"#!":
            return ""
        words = file.readline(256).decode("ascii", "replace").split()
    if words and os.path.basename(words[0]) == "env":
        words = words[1:]
    return os.path.basename(words[0]) if words else ""


def report(what, checked, faults):
    """Prints the outcome; returns the exit status. Nothing checked is a fault of the test itself."""
    for fault in faults:
        print(fault)
    if checked == 0:
        print(f"{what}: nothing found to check")
        return 1
    print(f"{what}: {checked} checked, {len(faults)} wrong")
    return 1 if faults else 0
