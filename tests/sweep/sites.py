# SPDX-License-Identifier: MIT
"""Runs a sweep, and shows that every call of an allocator in some folders was reached and has failed.

    sites.py PROGRAM FOLDER... [-- OPTION...]

The calls are read from the program itself (objdump, addr2line): what has an instruction that calls malloc, calloc,
realloc or strdup is a point; the sweep says by return address which of them it has let fail. A source line that is
in EXCEPT is none: why stands beside it.
"""

import collections
import re
import subprocess
import sys
import tempfile

CALL = re.compile(r"^\s*([0-9a-f]+):\s+(?:[0-9a-f]{2} )*\s*(?:\S+\s+)?(?:call|bl)\S*\s.*<__wrap_(malloc|calloc|realloc|strdup)(?:@plt)?>")
AT = re.compile(r"^\s*([0-9a-f]+):")


def run_sweep(program, options):
    """Returns {offset: (reached, failed)}."""
    with tempfile.NamedTemporaryFile("r", prefix="ramal-sites-") as file:
        done = subprocess.run([program, "--sites", file.name, *options], check=False)
        if done.returncode:
            sys.exit(f"sites: {program} ended with {done.returncode}")
        lines = [line.split() for line in file]
    return {int(at, 16): (int(seen), int(failed)) for at, seen, failed in lines}


def calls_of(program):
    """The return addresses of all calls of an allocator: {offset: its name}."""
    found, pending = {}, None
    text = subprocess.run(["objdump", "--disassemble", "--no-show-raw-insn", program], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    for line in text.splitlines():
        at = AT.match(line)
        if at and pending:
            found[int(at[1], 16)] = pending
            pending = None
        call = CALL.match(line)
        if call:
            pending = call[2]
    return found


def lines_of(program, offsets, folders):
    """{offset: "folder/file.c:line"} of those in the folders. The call is before the address it returns to."""
    asked = "\n".join(f"{offset - 1:x}" for offset in offsets)
    text = subprocess.run(["addr2line", "-e", program], input=asked, check=True, stdout=subprocess.PIPE, text=True).stdout
    place = re.compile("/((?:" + "|".join(map(re.escape, folders)) + r")/[a-z_]+\.[ch]):(\d+)")
    found = {}
    for offset, line in zip(offsets, text.splitlines()):
        match = place.search(line)
        if match:
            found[offset] = f"{match[1]}:{match[2]}"
    return found


def main():
    words = sys.argv[1:]
    options = words[words.index("--") + 1:] if "--" in words else []
    program, *folders = words[:words.index("--")] if "--" in words else words
    sites = run_sweep(program, options)
    calls = calls_of(program)
    lines = lines_of(program, sorted(calls), folders)
    if not lines:
        sys.exit(f"sites: {program} calls no allocator in {' '.join(folders)}, or has no debug information")
    reached, failed = collections.Counter(), collections.Counter()
    for offset, line in lines.items():
        seen, bad = sites.get(offset, (0, 0))
        reached[line] += seen
        failed[line] += bad
    missed = [line for line in sorted(set(lines.values())) if not failed[line]]
    for line in missed:
        print(f"sites: {line}: " + ("reached, and never failed" if reached[line] else "never reached"), file=sys.stderr)
    places = len(set(lines.values()))
    print(f"{places - len(missed)} of {places} lines that call an allocator in {', '.join(folders)} have seen it fail")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
