# SPDX-License-Identifier: MIT
"""What the tests of the command share: a broker for each class, commands that run to their end or beside the test, and
Python clients for the other end."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import ramal
from ramal import api
from ramald import SECONDS, Ramald, clean_environment, program, wait_for

OK, REFUSED, USAGE, DATA, UNAVAILABLE, LATER, DENIED, CONFIG, INTERRUPTED = 0, 1, 64, 65, 69, 75, 77, 78, 130


class Done:
    """How a command ended: status, out and err as text, raw as bytes."""

    def __init__(self, status, raw, err):
        self.status, self.raw = status, raw
        self.out, self.err = raw.decode(errors="backslashreplace"), err.decode(errors="backslashreplace")

    def lines(self):
        return self.out.splitlines()

    def json(self):
        """One object a line."""
        return [json.loads(line) for line in self.lines()]


class Running:
    """A command that runs beside the test."""

    def __init__(self, words, env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **more):
        self.process = subprocess.Popen(words, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=env, **more)
        self._buffers = {}

    def line(self, stream="stdout"):
        """The next line of its output, without the newline."""
        fd = getattr(self.process, stream).fileno()
        buffer = self._buffers.get(fd, b"")
        end = time.monotonic() + SECONDS
        while b"\n" not in buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                raise AssertionError(f"no line on {stream} within {SECONDS} s; so far {buffer!r}")
            piece = os.read(fd, 65536)
            if not piece:
                raise AssertionError(f"{stream} has ended; so far {buffer!r}")
            buffer += piece
        line, self._buffers[fd] = buffer.split(b"\n", 1)
        return line.decode(errors="backslashreplace")

    def object(self):
        return json.loads(self.line())

    def send(self, number):
        self.process.send_signal(number)

    def end(self):
        """Waits for its end. Output that was not read with line() is in the result."""
        early = {getattr(self.process, s).fileno(): s for s in ("stdout", "stderr") if getattr(self.process, s)}
        read = {name: self._buffers.pop(fd, b"") for fd, name in early.items()}
        out, err = self.process.communicate(timeout=SECONDS)
        return Done(self.process.returncode, read.get("stdout", b"") + (out or b""),
                    read.get("stderr", b"") + (err or b""))

    def stop(self, number=signal.SIGINT):
        self.send(number)
        return self.end()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class CmdCase(unittest.TestCase):
    """args: more arguments of the class's broker."""

    args = ()

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="ramal-test-")
        os.chmod(cls.directory, 0o755)
        cls.broker = cls.start_broker()
        cls.tcp = next(a for a in cls.broker.addresses if a.startswith("tcp:"))

    @classmethod
    def start_broker(cls):
        return Ramald("--listen", f"unix:{cls.directory}/bus", "--listen", "tcp:127.0.0.1:0", *cls.args)

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()
        shutil.rmtree(cls.directory)

    def environment(self, env=None):
        return clean_environment(**{"RAMAL_ADDRESS": self.broker.address, "HOME": "/nonexistent", **(env or {})})

    def cmd(self, *args, status=OK, stdin=None, env=None, **more):
        """Runs a command to its end, which must be `status`."""
        source = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin or subprocess.DEVNULL}
        done = subprocess.run([program("RAMAL"), *args], capture_output=True, env=self.environment(env),
                              timeout=SECONDS, check=False, **source, **more)
        result = Done(done.returncode, done.stdout, done.stderr)
        self.assertEqual(result.status, status, f"{args}: {result.out}{result.err}")
        return result

    def start(self, *args, env=None, **more):
        """Runs a command beside the test."""
        running = Running([program("RAMAL"), *args], self.environment(env), **more)
        self.addCleanup(running.kill)
        return running

    def wrong(self, status, said, *args, **more):
        """The command must end with that status, print nothing, and say one line on stderr with `said` in it."""
        done = self.cmd(*args, status=status, **more)
        self.assertEqual(done.out, "")
        self.assertEqual(len(done.err.splitlines()), 1, done.err)
        self.assertTrue(done.err.startswith("ramal: "), done.err)
        self.assertIn(said, done.err)
        return done

    def client(self, **fields):
        bus = ramal.connect(self.broker.address, timeout=SECONDS, **fields)
        self.addCleanup(bus.close)
        return bus

    def who(self, subject):
        with ramal.connect(self.broker.address, timeout=SECONDS) as bus:
            return bus.api("who", api.WhoRequest(subject=subject))

    def until_heard(self, subject, count=1):
        """Waits until so many interests would get a publish."""
        wait_for(lambda: len(self.who(subject).publish) >= count, f"{count} subscribers of {subject}")

    def until_served(self, subject, count=1):
        wait_for(lambda: len(self.who(subject).call) >= count, f"{count} servers of {subject}")

    def listen(self, *args, subject, count=1, **more):
        """Starts a `sub` and waits until it is there."""
        running = self.start("sub", *args, **more)
        self.until_heard(subject, count)
        return running

    def serve(self, *args, subject=None, **more):
        """Starts a `reply` and waits until it is there."""
        running = self.start("reply", *args, **more)
        self.until_served(subject or args[0])
        return running


def main():
    """Runs the tests of the calling script; arguments choose some by a part of their name."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    wanted = [a for a in sys.argv[1:] if not a.startswith("-")]
    if wanted:
        suite = unittest.TestSuite(t for t in _flatten(suite) if any(w in t.id() for w in wanted))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(0 if result.wasSuccessful() and result.testsRun and not result.skipped else 1)


def _flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flatten(test)
        else:
            yield test
