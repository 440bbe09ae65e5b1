# SPDX-License-Identifier: MIT
"""Every shell script is one for the shell that it names."""

import os
import subprocess
import sys

import tree


def shell_of(path):
    """The shell that runs a file, or None if it is no shell script."""
    interpreter = tree.shebang(path)
    if interpreter:
        return interpreter if interpreter in ("sh", "bash") else None
    return {".sh": "sh", ".bash": "bash"}.get(os.path.splitext(path)[1])


def main():
    checked, faults = 0, []
    for path in tree.files():
        shell = shell_of(path)
        if shell is None:
            continue
        checked += 1
        if subprocess.run([shell, "-n", os.path.join(tree.ROOT, path)], check=False).returncode != 0:
            faults.append(f"{path}: {shell} -n refuses it")
    return tree.report("shell syntax", checked, faults)


sys.exit(main())
