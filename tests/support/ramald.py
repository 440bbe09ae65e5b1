# SPDX-License-Identifier: MIT
"""Starts and stops ramald for tests.

    from ramald import Ramald

    with Ramald() as broker:                       # on a socket of its own in a new directory
        ramal.connect(broker.address)
    with Ramald("--listen", "tcp:127.0.0.1:0") as broker:
        ramal.connect(broker.address, token=ramal.read_token(broker.token_file))

The program comes from the environment variable RAMALD, which CTest sets. Ramald() returns once the
broker has said on --ready-fd that it listens; it raises StartError with exit status and log when it
ends before. At the end of the `with` block the broker is stopped with SIGTERM and must have ended
well. fail() runs one that is meant not to start.
"""

import glob
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

SECONDS = 20  # the longest that anything here waits
STRANGER = 64999  # a uid of nobody; 65534 is what the kernel shows for unmapped ones


class StartError(Exception):
    """ramald ended before it was ready. status: its exit status. log: its stderr."""

    def __init__(self, status, log):
        super().__init__(f"ramald ended with {status}: {log}")
        self.status = status
        self.log = log


def program(name="RAMALD"):
    """The path of a program under test: RAMALD or RAMAL from the environment."""
    path = os.environ.get(name)
    if not path:
        raise SystemExit(f"set {name} to the path of the program to test")
    return os.path.abspath(path)


def wait_for(condition, what, seconds=SECONDS):
    """Asks `condition` until its answer is true, and returns that. Fails the test after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.002)


def clean_environment(**more):
    """The environment without a bus, a service manager or directories of the user who runs the tests."""
    unwanted = ("RAMAL_ADDRESS", "XDG_RUNTIME_DIR", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET",
                "JOURNAL_STREAM")
    env = {key: value for key, value in os.environ.items() if key not in unwanted}
    env.update({key: value for key, value in more.items() if value is not None})
    return env


def as_uid(uid, gid=None, groups=None):
    """What to put in front of a command so that it runs as that uid."""
    words = ["setpriv", "--reuid", str(uid), "--regid", str(uid if gid is None else gid)]
    return words + (["--groups", ",".join(str(g) for g in groups)] if groups else ["--clear-groups"])


class Directory:
    """A new directory that goes with the `with` block. As a string it is its path."""

    def __init__(self, uid=None, mode=0o755):
        self.path = tempfile.mkdtemp(prefix="ramal-test-")
        os.chmod(self.path, mode)
        if uid is not None:
            os.chown(self.path, uid, uid)

    def __str__(self):
        return self.path

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def program(self, path):
        """A copy of a program that other uids can reach, wherever the build tree lies."""
        copy = os.path.join(self.path, os.path.basename(path))
        if not os.path.exists(copy):
            shutil.copy(path, copy)
            os.chmod(copy, 0o755)
        return copy


class Ramald:
    """A running broker.

    args    its arguments. Without --listen, --user, --system or -c among them it listens on `bus` in its own
            directory; listen=False leaves that out (for the default socket, and for inherited ones).
    env     more environment variables.
    before  words in front of the command, as ["unshare", "-n"] or as_uid(STRANGER).
    inherit descriptors to pass as LISTEN_FDS, from 3 on.
    limits  of the process: {resource.RLIMIT_NOFILE: (soft, hard)}.
    """

    def __init__(self, *args, listen=True, env=None, before=(), inherit=(), limits=None, umask=-1):
        self.directory = tempfile.mkdtemp(prefix="ramal-test-")
        self.addresses = []
        self.process = None
        self.status = None
        self._last_log = ""
        self._stderr = open(os.path.join(self.directory, "stderr"), "w+b")
        os.chmod(self.directory, 0o755)
        words = [str(a) for a in args]
        own = not any(w.startswith(("--listen", "-c", "--config", "--user", "--system")) for w in words)
        if listen and own:
            words = ["--listen", "unix:" + os.path.join(self.directory, "bus"), *words]
        try:
            self._start(list(before), words, clean_environment(**(env or {})), list(inherit), limits or {}, umask)
        except BaseException:
            self.kill()
            raise

    def _start(self, before, words, env, inherit, limits, umask):
        binary = program()
        if before:  # perhaps as somebody who cannot reach the build tree
            binary = shutil.copy(binary, self.directory)
            os.chmod(binary, 0o755)
            if before[0] == "setpriv":
                os.chown(self.directory, int(before[2]), -1)
        reading, writing = os.pipe()
        ready = 3 + len(inherit)
        shell = ""
        if inherit:
            # The process that is listened to is the one that the shell becomes.
            shell = f"LISTEN_FDS={len(inherit)} LISTEN_PID=$$; export LISTEN_FDS LISTEN_PID; "
        # Descriptors get their numbers here, in the child, where nothing else is open but them.
        high = [os.dup(fd) for fd in inherit] + [os.dup(writing)]
        while min(high) < 64:
            high = [self._above(fd) for fd in high]
        moves = " ".join(f"{3 + i}>&{fd} {fd}>&-" for i, fd in enumerate(high))
        command = ["/bin/bash", "-c", f'{shell}exec "$@" {moves}', "sh", *before, binary, *words,
                   "--ready-fd", str(ready)]

        def prepare():
            import resource

            for what, value in limits.items():
                resource.setrlimit(what, value)

        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._stderr, stderr=self._stderr,
                                        env=env, pass_fds=high, umask=umask,
                                        preexec_fn=prepare if limits else None)
        for fd in [writing, *high]:
            os.close(fd)
        with open(reading, "rb", buffering=0) as pipe:
            text = self._read_all(pipe)
        self.addresses = text.decode().splitlines()
        if not self.addresses:
            self.status = self.process.wait(SECONDS)
            raise StartError(self.status, self.log())

    @staticmethod
    def _above(fd):
        import fcntl

        if fd >= 64:
            return fd
        moved = fcntl.fcntl(fd, fcntl.F_DUPFD, 64)
        os.close(fd)
        return moved

    @staticmethod
    def _read_all(pipe):
        text, end = b"", time.monotonic() + SECONDS
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise AssertionError(f"ramald said nothing on --ready-fd within {SECONDS} s")
            piece = pipe.read(65536)
            if not piece:
                return text
            text += piece

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.kill()

    @property
    def pid(self):
        return self.process.pid

    @property
    def address(self):
        """The first address that it listens on."""
        return self.addresses[0]

    @property
    def path(self):
        """The path of its first Unix socket."""
        return next(a for a in self.addresses if a.startswith("unix:/"))[len("unix:"):]

    @property
    def token_file(self):
        """Where its token lies when --token-file did not say so."""
        return os.path.join(os.path.dirname(self.path), "token")

    def log(self):
        """Everything that it has written to stderr (and stdout) so far."""
        if self._stderr.closed:
            return self._last_log
        with open(self._stderr.name, "rb") as file:
            return file.read().decode(errors="backslashreplace")

    def fds(self):
        """How many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self):
        """Its resident memory in bytes."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu(self):
        """The seconds of processor time that it has used."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def alive(self):
        return self.process.poll() is None

    def stop(self, expected=0):
        """SIGTERM, and a second one for those who do not let go after a second. The exit status must be `expected`."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGTERM)
        self.status = self.process.wait(SECONDS)
        log = self.log()
        self._remove()
        if expected is not None and self.status != expected:
            raise AssertionError(f"ramald ended with {self.status}, not {expected}: {log}")
        return self.status

    def kill(self):
        """SIGKILL, without a check. Its directory goes too."""
        self.kill_only()
        self._remove()

    def kill_only(self):
        """SIGKILL; what it leaves in the file system stays there for the next one."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.status = self.process.wait(SECONDS)

    def _remove(self):
        if self._stderr.closed:
            return
        self._last_log = self.log()
        self._stderr.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def fail(*args, env=None, before=(), umask=-1):
    """Runs a ramald that is meant to end by itself. Returns (exit status, its output)."""
    with Directory() as directory:
        binary = program()
        if before:
            binary = directory.program(binary)
        done = subprocess.run([*before, binary, *[str(a) for a in args]], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_environment(**(env or {})),
                              umask=umask, timeout=SECONDS, check=False)
        return done.returncode, done.stdout.decode(errors="backslashreplace")


def open_descriptors():
    """How many descriptors this process has open: the same before and after a test."""
    return len(glob.glob("/proc/self/fd/*")) - 1
