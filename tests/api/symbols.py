# SPDX-License-Identifier: MIT
"""What libramal shows to the linker: the shared library exactly what the public headers declare, by a
versioned symbol each; the archive nothing but ramal_ and rml_ names.

usage: symbols.py NM SHARED_LIBRARY ARCHIVE
"""

import os
import re
import subprocess
import sys

import tree

DECLARED = re.compile(r"^RAMAL_API [^;(]*?\b(ramal_\w+)\(", re.MULTILINE)
OURS = re.compile(r"^(ramal_|rml_)")
# Sanitizers and gcov add names of their own.
ADDED = re.compile(r"^(__(a|t|ub|m)san|__odr_asan|__sanitizer|__gcov|_gcov|__llvm|__start_|__stop_)")


def defined(nm, *arguments):
    """The names that a file defines and shows."""
    text = subprocess.run([nm, "--defined-only", "--extern-only", *arguments], check=True, stdout=subprocess.PIPE,
                          text=True).stdout
    return [line.split()[2] for line in text.splitlines() if len(line.split()) == 3]


def declared():
    names = set()
    for path in tree.files():
        if path.startswith("include/ramal/") and path.endswith(".h"):
            with open(os.path.join(tree.ROOT, path), encoding="utf-8") as file:
                names.update(DECLARED.findall(file.read()))
    return names


def main():
    nm, library, archive = sys.argv[1:]
    shown = [name for name in defined(nm, "--dynamic", library) if not ADDED.match(name)]
    # A version is itself a symbol ("RAMAL_0").
    names = {name.split("@")[0] for name in shown if not name.startswith("RAMAL_")}
    wanted = declared()
    faults = [f"{library}: {name} is declared and not exported" for name in sorted(wanted - names)]
    faults += [f"{library}: {name} is exported and not declared" for name in sorted(names - wanted)]
    faults += [f"{library}: {name} has no version" for name in shown if "@" not in name and not name.startswith("RAMAL_")]
    leaked = {name for name in defined(nm, archive) if not OURS.match(name) and not ADDED.match(name)}
    faults += [f"{archive}: {name} is not ours alone" for name in sorted(leaked)]
    return tree.report("symbols", len(wanted), faults)


sys.exit(main())
