# SPDX-License-Identifier: MIT
"""Every public header compiles alone, and twice over.

usage: headers.py SUFFIX COMPILER FLAG...      (SUFFIX: .c or .cc)
"""

import os
import subprocess
import sys
import tempfile

import tree


def main():
    suffix, *compiler = sys.argv[1:]
    include = os.path.join(tree.ROOT, "include")
    headers = [f for f in tree.files() if f.startswith("include/ramal/") and f.endswith(".h")]
    faults = []
    with tempfile.TemporaryDirectory() as directory:
        source = os.path.join(directory, "alone" + suffix)
        for header in headers:
            name = os.path.relpath(header, "include")
            with open(source, "w", encoding="ascii") as file:
                # The function keeps the file from being empty, which strict C forbids.
                file.write(f"#include <{name}>\n#include <{name}>\n\nint main(void) {{ return 0; }}\n")
            done = subprocess.run([*compiler, "-fsyntax-only", f"-I{include}", source], check=False)
            if done.returncode != 0:
                faults.append(f"{header}: does not compile alone with {' '.join(compiler)}")
    return tree.report("headers", len(headers), faults)


sys.exit(main())
