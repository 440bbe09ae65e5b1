# SPDX-License-Identifier: MIT
"""Who may include whom. Every #include line of the sources is held against RULES."""

import os
import re
import sys

import tree

# For the files of a folder (the first that fits counts): what they may include of ours, as folders
# (ending in /) or files. The last column says which generated headers (from the .proto file named)
# they may see.
RULES = (
    ("proto/", ("proto/",), ("proto/ramal.proto",)),
    ("broker/core/", ("broker/core/", "proto/"), ("proto/ramal.proto", "include/ramal/api.proto")),
    ("broker/io/", ("broker/io/", "broker/core/core.h", "broker/log.h", "proto/"), ("proto/ramal.proto",)),
    ("broker/", ("broker/", "proto/"), ("proto/ramal.proto", "include/ramal/api.proto")),
    ("client/", ("client/", "proto/", "include/ramal/"), ("proto/ramal.proto", "include/ramal/api.proto")),
    ("tools/", ("tools/", "include/ramal/"), ("tools/", "include/ramal/")),
    ("examples/", ("examples/", "include/ramal/"), ("examples/", "include/ramal/")),
    ("include/ramal/", ("include/ramal/",), ()),
)

# Sockets are the library's business: in these folders nobody opens one, but for the files named, which are what the
# library is measured against.
NO_SOCKETS = ("tools/", "examples/")
MAY_OPEN_SOCKETS = ("tools/bench_relay.c", "tools/bench_relay_ends.c")
SOCKETS = re.compile(r"<(sys/socket|sys/un|netinet/\w+|netdb|arpa/inet)\.h>")

INCLUDE = re.compile(r'^\s*#\s*include\s*(.*)$')
NAMED = re.compile(r'^(?:"([^"]+)"|<([^>]+)>)')
# Where the compiler looks for a name, beside the folder of the file itself.
SEARCHED = ("proto", "broker", "client", "include", "")


def allowed(path, among):
    return any(path == a or (a.endswith("/") and path.startswith(a)) for a in among)


def resolve(name, quoted, includer):
    """The file of ours that is meant, or None."""
    places = ([os.path.dirname(includer)] if quoted else []) + list(SEARCHED)
    for place in places:
        path = os.path.normpath(os.path.join(place, name))
        if os.path.isfile(os.path.join(tree.ROOT, path)):
            return path
    return None


def generated_from(name, protos):
    """The .proto file that a generated header comes from, or None."""
    if not name.endswith(".pb-c.h"):
        return None
    wanted = os.path.basename(name)[: -len(".pb-c.h")] + ".proto"
    return next((p for p in protos if os.path.basename(p) == wanted), None)


def judge(path, text, protos):
    """What is wrong with the include line whose rest is `text`, or None."""
    folder, may, may_generated = next(rule for rule in RULES if path.startswith(rule[0]))
    match = NAMED.match(text)
    if not match:
        return "an include that names its file through a macro cannot be checked"
    quoted, name = match[1] is not None, match[1] or match[2]
    if SOCKETS.match(text) and path.startswith(NO_SOCKETS) and path not in MAY_OPEN_SOCKETS:
        return f"{folder} may not open sockets: that is for libramal"

    ours = resolve(name, quoted, path)
    if ours:
        return None if allowed(ours, may) else f"{folder} may not include {ours}"
    proto = generated_from(name, protos)
    if proto:
        return None if allowed(proto, may_generated) else f"{folder} may not include what {proto} generates"
    # Headers of the system and of other libraries are in angle brackets.
    if quoted:
        return "no such file in the tree"
    return None


def main():
    files = list(tree.files())
    protos = [f for f in files if f.endswith(".proto")]
    checked, faults = 0, []
    for path in files:
        if not path.endswith((".c", ".h", ".h.in")) or not any(path.startswith(rule[0]) for rule in RULES):
            continue
        checked += 1
        for number, line in enumerate(tree.lines(path), 1):
            match = INCLUDE.match(line)
            fault = judge(path, match[1], protos) if match else None
            if fault:
                faults.append(f"{path}:{number}: {line.strip()}: {fault}")
    return tree.report("layering", checked, faults)


sys.exit(main())
