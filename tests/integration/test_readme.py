# SPDX-License-Identifier: MIT
"""What README.md shows of clients works as it is printed."""

import os
import re
import subprocess
import sys
import unittest

from ramald import SECONDS, Ramald, clean_environment

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def listing(name):
    """The code block between the marks of that name, and the one that follows it."""
    found = re.search(rf"<!-- {name}: begin -->\n```\w*\n(.*?)```\n<!-- {name}: end -->\n\n```\n(.*?)```", read("README.md"), re.S)
    return found[1], found[2]


class Readme(unittest.TestCase):
    def test_readme_shows_the_c_client_as_it_is(self):
        source = read("examples/subscribe.c")
        code, commands = listing("examples/subscribe.c")
        self.assertEqual(code, source[source.index("#include"):])
        self.assertIn(re.search(r"^ \*   (cc .*)$", source, re.M)[1], commands)

    def test_readme_python_client_prints_what_is_shown(self):
        code, output = listing("python")
        with Ramald() as broker:
            done = subprocess.run([sys.executable, "-c", code], cwd=os.path.join(ROOT, "tests", "interop"),
                                  env=clean_environment(RAMAL_ADDRESS=broker.address), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, output))

    def test_readme_links_lead_somewhere(self):
        for page in ("README.md", *(f"docs/{name}" for name in os.listdir(os.path.join(ROOT, "docs")) if name.endswith(".md"))):
            for target in re.findall(r"\]\(([^)#:]+)\)", read(page)):
                path = os.path.join(ROOT, os.path.dirname(page), target)
                self.assertTrue(os.path.exists(path), f"{page}: {target}")


if __name__ == "__main__":
    unittest.main()
