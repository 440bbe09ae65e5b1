# SPDX-License-Identifier: MIT
"""tools/demo on programs that are built already: every part shows its result, and nothing stays behind.

usage: test_demo.py BUILD_DIR
"""

import os
import re
import signal
import subprocess
import sys
import unittest

from ramald import SECONDS, clean_environment, wait_for

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
DEMO = os.path.join(ROOT, "tools", "demo")
BUILD = os.path.abspath(sys.argv[1])
LONG = 6 * SECONDS  # for all of it, sanitizers included

# What each part must have shown, in this order. PLACE is the demo's own directory.
PARTS = (
    r"unix:PLACE/bus\ntcp:127\.0\.0\.1:\d+\n",
    r"\$ ramal ping .*\nramald \S+ at unix:PLACE/bus: .*\n",
    r"\$ hosttop --count 7\n(host\..*\n){7}\n",
    r"\$ hosttop --count 4 --address tcp:127\.0\.0\.1:\d+ --token-file PLACE/token 'host\.\*\.cpu'\n(host\.\S+\.cpu .*% busy.*\n){4}\n",
    r"\$ ramal list\nID +APP .*\n(.*\n)* +\d+ +hostmon .*\n(.*\n)* *\d+ +hosttop ",
    r"\$ ramal who host\.\S+\.cpu\nFOR .*\npublish +yes +\d+ +hosttop .*subscribes",
    r"\$ ramal who host\.\S+\.snapshot\n(.*\n)*call +yes +\d+ +hostmon .*serves it",
    r"\$ ramal call demo\.upper 'good morning'\nGOOD MORNING\n",
    r"\$ ramal call demo\.nobody hello\nramal: .*nobody serves.*\n\(exit status 69, after \d+ ms\)\n",
    r"\$ kill -KILL \d+ .*\nramal: .*may have run.*\n\(exit status 69, \d+ ms after the kill\)\n",
    r"missing between \d+ and \d+ \(window\)\n\d+ delivered \+ [1-9]\d* reported missing = 200001, of 200001 published\n",
    r"both have ended well, and the socket is gone\n\Z",
)


def place_of(text):
    """The directory that the demo made, as it stands in its output; None while it does not."""
    found = re.search(r"/tmp/ramal-demo\.\w+", text)
    return found and found[0]


def processes_of(session):
    """The processes of a session, as {pid: name}. Those that have ended and were not waited for do not count."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                name, fields = file.read().split("(", 1)[1].rsplit(") ", 1)
        except OSError:
            continue  # it has ended
        fields = fields.split()
        if int(fields[3]) == session and fields[0] not in "ZX":
            found[int(pid)] = name
    return found


class Demo(unittest.TestCase):
    def start(self, *args):
        process = subprocess.Popen([DEMO, "--build-dir", BUILD, *args], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_environment(),
                                   text=True, start_new_session=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(self.kill, process)
        return process

    @staticmethod
    def kill(process):
        """What a failed test leaves."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def assert_nothing_left(self, process, place):
        self.assertFalse(os.path.exists(place))
        self.assertEqual(processes_of(process.pid), {})

    def test_demo_shows_every_part_and_leaves_nothing(self):
        process = self.start()
        text, _ = process.communicate(timeout=LONG)
        self.assertEqual(process.returncode, 0, text)
        place = place_of(text)
        at = 0
        for part in PARTS:
            found = re.compile(part.replace("PLACE", re.escape(place))).search(text, at)
            self.assertTrue(found, f"there is no {part!r} from here on:\n{text[at:]}")
            at = found.end()
        self.assert_nothing_left(process, place)

    def interrupted(self, heading, number, group, status):
        process = self.start()
        text = ""
        for line in process.stdout:
            text += line
            if heading in line:
                break
        self.assertIn(heading, text)
        (os.killpg if group else os.kill)(process.pid, number)
        text += process.communicate(timeout=LONG)[0]
        self.assertEqual(process.returncode, status, text)
        self.assert_nothing_left(process, place_of(text))

    def test_demo_interrupted_leaves_nothing(self):
        # By Ctrl-C, which all processes of the terminal get.
        self.interrupted("ramal ping", signal.SIGINT, True, 130)
        self.interrupted("the peers", signal.SIGINT, True, 130)

    def test_demo_terminated_leaves_nothing(self):
        self.interrupted("hosttop --count 4", signal.SIGTERM, False, 143)
        self.interrupted("a service is killed", signal.SIGTERM, False, 143)
        self.interrupted("a reader that falls behind", signal.SIGTERM, False, 143)

    def test_demo_keep_leaves_a_bus_that_answers(self):
        process = self.start("--keep")
        text, _ = process.communicate(timeout=LONG)
        place = place_of(text)
        stop = re.search(r"To stop them: (kill (\d+) (\d+); rm -r (\S+))\n", text)
        try:
            self.assertEqual(process.returncode, 0, text)
            self.assertTrue(stop, text)
            self.assertEqual(processes_of(process.pid), {int(stop[2]): "ramald", int(stop[3]): "hostmon"})
            # As a user would: the lines that it printed, pasted into a shell.
            lines = [line for line in text[text.index("left running"):].splitlines() if line.startswith(("export", "ramal"))]
            self.assertEqual(len(lines), 4, text)
            done = subprocess.run(["sh", "-ec", "\n".join(lines)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  env=clean_environment(), text=True, timeout=SECONDS, check=False)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertEqual(len(re.findall(r"^ *\d+ +hostmon ", done.stdout, re.M)), 2, done.stdout)
        finally:
            if stop:
                subprocess.run(["sh", "-c", stop[1]], check=True)
        wait_for(lambda: not processes_of(process.pid), "what was left running to be gone")
        self.assertFalse(os.path.exists(place))

    def test_demo_wrong_arguments_are_told(self):
        for args, status, word in ((["--nonsense"], 64, "usage:"), (["--build-dir"], 64, "--build-dir"),
                                   (["--build-dir", "/nonexistent"], 64, "--build-dir"),
                                   (["--build-dir", "/"], 1, "no bin/ramald"), (["--help"], 0, "--keep")):
            done = subprocess.run([DEMO, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=SECONDS, check=False)
            self.assertEqual((done.returncode, word in done.stdout), (status, True), done.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
