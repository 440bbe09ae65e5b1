# SPDX-License-Identifier: MIT
"""docs/sockets.md says which of the ten socket primitives ramald and libramal call, and where. Is it so?

usage: test_imports.py NM RAMALD LIBRAMAL [--no-tcp]

In the table between "table: begin" and "table: end" of the page, a cell names functions as `file:function`, with an arrow
between one and those that it calls on the way to the primitive.
- Each function named is in the file named, and calls the primitive or a function named after it in the cell.
- Each function in proto/, broker/ and client/ that calls a primitive stands in the table (but for close, which is for
  files, too).
- A binary imports the primitives for which its column names functions, and none of the others.
Beside the table, every `file:function` in docs/ must be there.
"""

import re
import subprocess
import sys

import tree

PAGE = "docs/sockets.md"
PRIMITIVES = ("getaddrinfo", "socket", "bind", "connect", "listen", "accept", "send", "recv", "close", "shutdown")
# What may stand for a primitive. sendto is a send that names the receiver.
STANDS_FOR = {"accept": ("accept", "accept4"), "send": ("send", "sendmsg", "sendto"), "recv": ("recv", "recvmsg")}
NAMED = re.compile(r"`([\w/]+\.c):(\w+)`")


def names_of(primitive):
    return STANDS_FOR.get(primitive, (primitive,))


def read_table():
    """{primitive: (cell of ramald, cell of libramal)}"""
    text = "\n".join(tree.lines(PAGE))
    table = text[text.index("table: begin"):text.index("table: end")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): (row[2], row[3]) for row in rows}


def plain(line):
    """Without comments and texts, in which words are not calls. Enough for our style: no comment spans code."""
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    line = re.sub(r"/\*.*?(\*/|$)", "", line)
    return "" if line.lstrip().startswith("*") else line


def functions(path):
    """{name: body} of a C file in our style: a definition begins in the first column, and ends with a } there."""
    found, name, body = {}, None, []
    for line in tree.lines(path):
        if name is None:
            match = re.match(r"(?:\w[\w \*]*[ \*])?(\w+)\(", line)
            if match and not line.startswith(("#", "}", " ")) and not line.rstrip().endswith(";"):
                name, body = match[1], []
        elif line.startswith("}"):
            found[name] = "\n".join(body)
            name = None
        elif re.match(r"\S.*;$", line):
            name = None  # a declaration over two lines
        else:
            body.append(plain(line))
    return found


def calls(body, names):
    return any(re.search(rf"(?<![\w.>]){name}\(", body) for name in names)


def check_cell(primitive, cell, sources, faults):
    """Every function named leads to the primitive. Returns the (file, function) pairs."""
    pairs = set()
    for chain in re.split(r"[;]", cell):
        named = NAMED.findall(chain)
        pairs.update(named)
        steps = [NAMED.findall(part) for part in chain.split("→")]
        for at, step in enumerate(steps):
            wanted = names_of(primitive) if at == len(steps) - 1 else tuple(name for _, name in steps[at + 1])
            for path, name in step:
                body = sources.get(path, {}).get(name)
                if body is None:
                    faults.append(f"{PAGE}: {primitive}: there is no function {name} in {path}")
                elif not calls(body, wanted):
                    faults.append(f"{PAGE}: {primitive}: {name} in {path} does not call {' or '.join(wanted)}")
    return pairs


def check_complete(primitive, pairs, sources, faults):
    for path, bodies in sources.items():
        for name, body in bodies.items():
            if (path, name) not in pairs and calls(body, names_of(primitive)):
                faults.append(f"{path}: {name} calls {primitive}, and does not stand in the table of {PAGE}")


def check_pages(sources, faults):
    """Returns how many functions the pages name."""
    count = 0
    for page in tree.files():
        if page.startswith("docs/") and page.endswith(".md"):
            for path, name in NAMED.findall("\n".join(tree.lines(page))):
                count += 1
                if name not in sources.get(path, {}):
                    faults.append(f"{page}: there is no function {name} in {path}")
    return count


def symbols(nm, path):
    """(what the binary asks of others, what it has at all), among the dynamic symbols. (A sanitizer that is linked
    statically brings functions of the same names with it.)"""
    text = subprocess.run([nm, "-D", path], check=True, stdout=subprocess.PIPE, text=True).stdout
    asked, there = set(), set()
    for line in text.splitlines():
        *_, kind, name = line.split()
        name = name.split("@")[0]
        match = re.fullmatch(r"__(\w+)_chk", name)  # of a hardened build
        name = match[1] if match else name
        there.add(name)
        if kind in "Uw":
            asked.add(name)
    return asked, there


def check_binary(nm, path, column, table, without, faults):
    asked, there = symbols(nm, path)
    for primitive, cells in table.items():
        if primitive in without:
            continue
        expected = bool(NAMED.search(cells[column]))
        if expected and not there.intersection(names_of(primitive)):
            faults.append(f"{path}: does not import {primitive}, against {PAGE}")
        elif not expected and asked.intersection(names_of(primitive)):
            faults.append(f"{path}: imports {primitive}, against {PAGE}")


def main():
    arguments = sys.argv[1:]
    without = ()
    if arguments[-1] == "--no-tcp":
        arguments.pop()
        without = ("getaddrinfo",)
    nm, ramald, libramal = arguments
    table, faults = read_table(), []
    if tuple(table) != PRIMITIVES:
        faults.append(f"{PAGE}: the table has {list(table)}, and should have {list(PRIMITIVES)}")
    sources = {path: functions(path) for path in tree.files()
               if path.startswith(("proto/", "broker/", "client/")) and path.endswith(".c")}
    checked = 0
    for primitive, cells in table.items():
        pairs = set()
        for cell in cells:
            pairs |= check_cell(primitive, cell, sources, faults)
        checked += len(pairs)
        if primitive != "close":
            check_complete(primitive, pairs, sources, faults)
    checked += check_pages(sources, faults)
    check_binary(nm, ramald, 0, table, without, faults)
    check_binary(nm, libramal, 1, table, without, faults)
    return tree.report("imports", checked, faults)


sys.exit(main())
