# SPDX-License-Identifier: MIT
"""What the benches share: the release that they measure, the machine, and the page that they write."""

import os
import platform
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
PAGE = os.path.join(ROOT, "docs", "performance.md")
RELEASE = os.path.join(ROOT, "build", "bench")


def quietly(*words):
    """Runs a command; shows what it said, and ends, when it fails."""
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.stderr.buffer.write(done.stdout)
        sys.exit(f"{os.path.basename(sys.argv[0])}: {' '.join(words)} failed")


def build(sections, *targets):
    """Installs those sections of tools/packages and makes targets of a release of this tree."""
    quietly(os.path.join(ROOT, "tools", "setup.sh"), *sections)
    quietly("cmake", "--preset", "release", "-B", RELEASE, "-DRAMAL_BUILD_TESTS=OFF")
    quietly("cmake", "--build", RELEASE, "-j", str(os.cpu_count()), "--target", *targets)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return f"{os.cpu_count()} CPUs ({(models or [platform.machine()])[0]}), Linux {platform.release().split('-')[0]}"


def replace(name, text):
    """Puts the text between the remarks `NAME: begin` and `NAME: end` of the page."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    if begin not in page or end not in page:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {PAGE} has no {begin.strip()} and {end}")
    head, rest = page.split(begin, 1)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(head + begin + text + "\n" + end + rest.split(end, 1)[1])
