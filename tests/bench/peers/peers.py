# SPDX-License-Identifier: MIT
"""The brokers: how each is started, on a socket of its own in a directory of its own.

README.md says how to add one.
"""

import collections
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import page

BUILD = os.path.join(page.ROOT, "build", "peers")

DBUS_CONF = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
</policy>
<limit name="max_incoming_bytes">1000000000</limit><limit name="max_outgoing_bytes">1000000000</limit>
<limit name="max_message_size">130000000</limit><limit name="max_completed_connections">100000</limit>
<limit name="max_incomplete_connections">10000</limit><limit name="max_connections_per_user">100000</limit>
<limit name="max_names_per_connection">50000</limit><limit name="max_match_rules_per_connection">1000000</limit>
<limit name="max_replies_per_connection">1000000</limit></busconfig>
"""
MOSQUITTO_CONF = """%s
user root
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
log_type none
"""
REDIS_CONF = """%s
save ""
appendonly no
maxclients 20000
tcp-backlog 4096
client-output-buffer-limit pubsub 0 0 0
client-output-buffer-limit normal 0 0 0
daemonize no
dir %s
logfile redis.log
"""
NATS_CONF = """host: 127.0.0.1
port: %d
max_payload: 8388608
max_pending: 512MB
max_connections: 65536
max_subscriptions: 0
write_deadline: "30s"
"""
# To ramald all who come over TCP are one stranger.
RAMAL_TCP_LIMITS = ("unauthenticated", "uid-connections", "uid-connect-rate", "interests", "uid-interests")


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def port(address):
    return address.rsplit(":", 1)[1]


def raw(directory, address):
    return [BUILD + "/raw_relay", address]


def ramal(directory, address):
    words = [page.RELEASE + "/bin/ramald", "--listen", address, "--log-level", "warning"]
    if address.startswith("tcp:"):
        words += ["--token-file", directory + "/token"]
        for limit in RAMAL_TCP_LIMITS:
            words += ["--limit-" + limit, "1000000"]
    return words


def ramal_nospin(directory, address):
    return ramal(directory, address) + ["--limit-spin", "0us"]


def zmq(directory, address):
    return [BUILD + "/zmq_broker", address]


def dbus_broker(directory, address):
    return [BUILD + "/dbus_broker_ctl", address]


def dbus_daemon(directory, address):
    return ["dbus-daemon", "--nofork", "--config-file=" + write(directory + "/dbus.conf", DBUS_CONF % address[5:])]


def nats(directory, address):
    return ["nats-server", "-c", write(directory + "/nats.conf", NATS_CONF % int(port(address)))]


def mosquitto(directory, address):
    where = "listener 0 " + address[5:] if address.startswith("unix:") else f"listener {port(address)} 127.0.0.1"
    return ["mosquitto", "-c", write(directory + "/mosquitto.conf", MOSQUITTO_CONF % where)]


def redis(directory, address):
    where = ("port 0\nunixsocket " + address[5:] if address.startswith("unix:")
             else "bind 127.0.0.1\nport " + port(address))
    return ["redis-server", write(directory + "/redis.conf", REDIS_CONF % (where, directory))]


# client: the program of the Makefile. env: of broker and client.
Peer = collections.namedtuple("Peer", "client transport start env")
PEERS = {
    "raw": Peer("bench-raw", "unix", raw, {}),
    "raw-spin": Peer("bench-raw", "unix", raw, {"RAW_SPIN_US": "50"}),
    "raw-tcp": Peer("bench-raw", "tcp", raw, {}),
    "ramal": Peer("bench-ramal", "unix", ramal, {}),
    "ramal-nospin": Peer("bench-ramal", "unix", ramal_nospin, {"RAMAL_BENCH_NO_SPIN": "1"}),
    "ramal-tcp": Peer("bench-ramal", "tcp", ramal, {}),
    "dbus-broker": Peer("bench-sdbus", "unix", dbus_broker, {}),
    "dbus-daemon": Peer("bench-sdbus", "unix", dbus_daemon, {}),
    "nats": Peer("bench-nats", "tcp", nats, {}),
    "redis": Peer("bench-redis", "unix", redis, {}),
    "redis-tcp": Peer("bench-redis", "tcp", redis, {}),
    "mosquitto": Peer("bench-mosquitto", "unix", mosquitto, {}),
    "mosquitto-tcp": Peer("bench-mosquitto", "tcp", mosquitto, {}),
    "zmq": Peer("bench-zmq", "unix", zmq, {}),
    "zmq-tcp": Peer("bench-zmq", "tcp", zmq, {}),
}
# The relay has no subjects; the libraries of these two return from connect before the broker has seen them.
NOT_APPLICABLE = {(name, "many_subs") for name in PEERS if name.startswith("raw")} | {
    (name, "connect") for name in PEERS if name.startswith(("redis", "zmq"))}


class Broker:
    """A running broker: .address, .pid, .env for its clients. Use it in a `with` block."""

    def __init__(self, name):
        peer = PEERS[name]
        self.directory = tempfile.mkdtemp(prefix="ramal-peer-")
        self.address = f"unix:{self.directory}/s" if peer.transport == "unix" else f"tcp:127.0.0.1:{free_port()}"
        self.env = dict(os.environ, TMPDIR=self.directory, RAMAL_BENCH_TOKEN=self.directory + "/token", **peer.env)
        self.process = None
        self._log = open(self.directory + "/broker.log", "w+", encoding="utf-8")
        try:
            self._start(peer)
        except BaseException:
            self.stop()
            raise

    def _start(self, peer):
        # The controller of dbus-broker says whose parent it is.
        forks = peer.start is dbus_broker
        self.process = subprocess.Popen(peer.start(self.directory, self.address), cwd=self.directory, env=self.env,
                                        stdout=subprocess.PIPE if forks else self._log, stderr=self._log)
        self.pid = int(self.process.stdout.readline() or 0) if forks else self.process.pid
        suffix = ".xsub" if peer.start is zmq and peer.transport == "unix" else ""
        for _ in range(500):
            if answers(self.address, suffix):
                time.sleep(0.05)
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError("the broker does not listen: " + self.log()[-300:])

    def log(self):
        self._log.seek(0)
        return self._log.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process and self.process.stdout:
            self.process.stdout.close()
        self._log.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def free_port():
    """The first of four free ones, below the kernel's ephemeral ports: zmq's broker takes all four."""
    while True:
        first = random.randrange(20000, 30000, 4)
        try:
            for at in range(4):
                with socket.socket() as sock:
                    sock.bind(("127.0.0.1", first + at))
            return first
        except OSError:
            continue


def answers(address, suffix):
    family, where = ((socket.AF_UNIX, address[5:] + suffix) if address.startswith("unix:")
                     else (socket.AF_INET, ("127.0.0.1", int(port(address)))))
    with socket.socket(family) as sock:
        try:
            sock.connect(where)
        except OSError:
            return False
    return True
