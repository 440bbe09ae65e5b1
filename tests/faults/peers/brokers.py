# SPDX-License-Identifier: MIT
"""Private brokers: each in its own temporary directory, on its own socket or port, with its own configuration."""

import ctypes
import getpass
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import dbuswire

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
SECONDS = 10
PR_SET_PDEATHSIG = 1

DBUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
</policy>{limits}</busconfig>
"""
# Those of /usr/share/dbus-1/session.conf that matter here. The system bus has the built-in ones.
SESSION = """<limit name="max_incoming_bytes">1000000000</limit><limit name="max_outgoing_bytes">1000000000</limit>
<limit name="max_message_size">1000000000</limit>
"""
MOSQUITTO = "listener 0 {path}\nallow_anonymous true\nuser {user}\nlog_dest stderr\n"

# What dbus-broker-launch 33 passes on for the two buses: the limit of a connection times that of connections a user.
BROKER_LIMITS = {
    "session": ("--max-bytes", "100000000000000", "--max-fds", "25000000000000", "--max-matches", "5000000000"),
    "system": ("--max-bytes", "536870912", "--max-fds", "4096", "--max-matches", "16384")}


class Missing(Exception):
    """A program is not here."""


def dies_with_us():
    """In a child: it is killed when we are."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def find(program, packages):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Missing(f"{program} is not installed: apt-get install {packages} (or: run --install)")
    return path


def find_ramald(chosen):
    path = chosen or os.environ.get("RAMALD") or os.path.join(ROOT, "build", "release", "bin", "ramald")
    if os.access(path, os.X_OK):
        return path
    if chosen or os.environ.get("RAMALD"):
        raise Missing(f"{path} is no program: name a ramald with --ramald or RAMALD")
    raise Missing("there is no ramald in build/release: cmake --preset release && cmake --build --preset release "
                  "(or name one with --ramald)")


def find_protobuf(packages):
    """What tests/interop/ramal.py needs: Google's protobuf, and the modules of our messages or protoc to make them."""
    made = importlib.util.find_spec("ramal_pb2") or shutil.which(os.environ.get("PROTOC", "protoc"))
    if not made or not importlib.util.find_spec("google") or not importlib.util.find_spec("google.protobuf"):
        raise Missing(f"Google's protobuf for {sys.executable} is not installed: apt-get install {packages} "
                      "(or: run --install), and run it with /usr/bin/python3")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Broker:
    """A running broker. It is gone, with its directory, after the `with` block."""

    def __init__(self, row, ramald):
        self.row = row
        self.directory = tempfile.mkdtemp(prefix="ramal-peers-")
        self.path = os.path.join(self.directory, "bus")
        self.address = "unix:" + self.path
        self.process = self.control = None
        self.log = open(os.path.join(self.directory, "log"), "w+b")
        try:
            getattr(self, "start_" + row.broker)(ramald)
            self.wait_until_up()
        except BaseException:
            self.stop()
            raise
        self.base = self.memory("VmRSS")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def spawn(self, *argv, **more):
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        cwd=self.directory, start_new_session=True, preexec_fn=dies_with_us, **more)

    def file(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def start_nats(self, _):
        port = free_port()
        self.address = f"tcp:127.0.0.1:{port}"
        self.spawn(find("nats-server", "nats-server"), "-a", "127.0.0.1", "-p", str(port))

    def start_mosquitto(self, _):
        config = MOSQUITTO.format(path=self.path, user=getpass.getuser())
        self.spawn(find("mosquitto", "mosquitto"), "-c", self.file("mosquitto.conf", config))

    def start_redis(self, _):
        self.spawn(find("redis-server", "redis-server"), "--port", "0", "--unixsocket", self.path, "--save", "",
                   "--daemonize", "no")

    def start_dbus_daemon(self, _):
        limits = SESSION if self.row.options["limits"] == "session" else ""
        config = self.file("dbus.conf", DBUS.format(path=self.path, limits=limits))
        self.spawn(find("dbus-daemon", "dbus-daemon"), "--nofork", "--nopidfile", "--config-file=" + config)

    def start_dbus_broker(self, _):
        """With the limits that dbus-broker-launch gives it, but without that launcher, which wants a systemd."""
        program = find("dbus-broker", "dbus-broker")
        ours, theirs = socket.socketpair()
        log, theirs_log = socket.socketpair()
        self.control = ours
        with socket.socket(socket.AF_UNIX) as listening, theirs, theirs_log:
            listening.bind(self.path)
            listening.listen(64)
            listening.setblocking(False)
            for sock in (theirs, theirs_log):
                sock.setblocking(False)
            self.spawn(program, "--controller", str(theirs.fileno()), "--log", str(theirs_log.fileno()),
                       "--machine-id", "0123456789abcdef0123456789abcdef",
                       *BROKER_LIMITS[self.row.options["limits"]],
                       pass_fds=(theirs.fileno(), theirs_log.fileno()))
            ours.settimeout(SECONDS)
            dbuswire.add_listener(ours, listening)
        ours.settimeout(None)
        for sock, out in ((ours, None), (log, self.log)):
            threading.Thread(target=self.drain, args=(sock, out), daemon=True).start()

    @staticmethod
    def drain(sock, out):
        """Reads what the dbus-broker tells its controller and its log; nothing of it wants an answer."""
        try:
            while data := sock.recv(65536):
                if out:
                    os.write(out.fileno(), data)
        except (OSError, ValueError):
            pass

    def start_ramald(self, ramald):
        self.spawn(find_ramald(ramald), "--listen", self.address)

    def wait_until_up(self):
        end = time.monotonic() + SECONDS
        family = socket.AF_UNIX if self.address.startswith("unix:") else socket.AF_INET
        where = self.path if family == socket.AF_UNIX else ("127.0.0.1", int(self.address.rsplit(":", 1)[1]))
        while True:
            with socket.socket(family) as sock:
                try:
                    sock.connect(where)
                    return
                except OSError:
                    pass
            if self.process.poll() is not None:
                said = self.said() or ["nothing"]
                raise RuntimeError(f"{self.row.broker} ended with {self.process.returncode}: {said[-1]}")
            if time.monotonic() > end:
                raise RuntimeError(f"{self.row.broker} does not listen after {SECONDS} s")
            time.sleep(0.01)

    def alive(self):
        return self.process.poll() is None

    def memory(self, what):
        """VmRSS or VmHWM in bytes; 0 when the process is gone."""
        try:
            with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
                return next((int(line.split()[1]) * 1024 for line in file if line.startswith(what + ":")), 0)
        except OSError:
            return 0

    def cpu(self):
        """Seconds of processor time of all its threads."""
        try:
            return time.clock_gettime(~self.process.pid << 3 | 2)  # as clock_getcpuclockid(3) makes it
        except OSError:
            return 0.0

    def said(self):
        """The lines of its log."""
        with open(self.log.name, "rb") as file:
            return file.read().decode(errors="replace").splitlines()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.control:
            self.control.close()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)
