# SPDX-License-Identifier: MIT
"""What `cmake --install` leaves is enough to build the examples out of tree, with the line that stands at the top of each.

usage: test_install.py CMAKE BUILD_DIR CC PROTOC_C
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import unittest

from ramald import SECONDS, Directory, Ramald, clean_environment

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
CMAKE, BUILD, CC, PROTOC_C = sys.argv[1:5]


def recipe(path):
    """The commands that the first comment of an example gives: its indented lines."""
    with open(path, encoding="ascii") as file:
        comment = re.search(r"/\* (?!SPDX)(.*?)\*/", file.read(), re.S)[1]
    lines = re.findall(r"^ \*   +(\S.*)$", comment, re.M)
    return "\n".join(lines)


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Directory()
        cls.addClassCleanup(cls.directory.__exit__)
        cls.prefix = cls.directory / "usr"
        subprocess.run([CMAKE, "--install", BUILD, "--prefix", cls.prefix], check=True, stdout=subprocess.DEVNULL)
        cls.library = next(d for d, _, names in os.walk(cls.prefix) if "libramal.so" in names)
        # The compilers that the build used, under the names that the examples give them.
        tools = cls.directory / "tools"
        os.mkdir(tools)
        for name, program in (("cc", shutil.which(CC)), ("protoc-c", shutil.which(PROTOC_C))):
            with open(os.path.join(tools, name), "w", encoding="utf-8") as file:
                file.write(f'#!/bin/sh\nexec {shlex.quote(program)} "$@"\n')
            os.chmod(file.name, 0o755)
        with open(os.path.join(tools, "pkg-config"), "w", encoding="utf-8") as file:
            # The build was configured for another prefix.
            file.write(f'#!/bin/sh\nexec {shutil.which("pkg-config")} --define-variable=prefix={cls.prefix} "$@"\n')
        os.chmod(file.name, 0o755)
        cls.env = clean_environment(
            PATH=f"{tools}:{os.environ['PATH']}", LD_LIBRARY_PATH=cls.library,
            PKG_CONFIG_PATH=os.path.join(cls.library, "pkgconfig"))

    def build(self, source):
        """Copies an example's folder away from our tree and builds it there. Returns the program's path."""
        place = self.directory / os.path.basename(source)
        shutil.copytree(os.path.dirname(os.path.join(ROOT, source)), place, dirs_exist_ok=True)
        commands = recipe(os.path.join(ROOT, source))
        self.assertIn("pkg-config", commands)
        done = subprocess.run(["sh", "-ec", commands], cwd=place, env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""), commands)
        return os.path.join(place, os.path.basename(source)[: -len(".c")])

    def run_with_bus(self, *command):
        done = subprocess.run(command, env=dict(self.env, RAMAL_ADDRESS=self.broker.address), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_install_holds_programs_headers_and_libraries(self):
        found = {os.path.relpath(os.path.join(d, name), self.prefix) for d, _, names in os.walk(self.prefix) for name in names}
        for name in ("bin/ramal", "sbin/ramald", "include/ramal/ramal.h", "include/ramal/api.proto"):
            self.assertIn(name, found)
        for name in ("libramal.so", "libramal.a", "pkgconfig/ramal.pc"):
            self.assertTrue(any(f.endswith("/" + name) for f in found), name)

    def test_install_is_enough_for_every_small_example(self):
        for name in ("subscribe", "request", "serve", "pipeline", "foreign_loop"):
            self.build(f"examples/{name}.c")
        with Ramald() as self.broker:
            self.assertEqual(self.run_with_bus(self.build("examples/publish.c"), "a.b", "x"), "0 got it\n")

    def test_install_is_enough_for_hostmon(self):
        hostmon, hosttop = self.build("examples/hostmon/hostmon.c"), self.build("examples/hostmon/hosttop.c")
        with Ramald() as self.broker:
            service = subprocess.Popen([hostmon], env=dict(self.env, RAMAL_ADDRESS=self.broker.address))
            try:
                self.assertIn("host.", self.run_with_bus(hosttop, "--count", "1"))
            finally:
                service.terminate()
                self.assertEqual(service.wait(SECONDS), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
