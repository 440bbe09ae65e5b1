# SPDX-License-Identifier: MIT
"""User instructions per message, counted by callgrind.

Every load runs twice, with N and with 2 N rounds, each time in a new process; the difference is what N rounds take,
free of start and end. A round is one send of a few hundred messages, then nothing until all that it causes has
arrived. It is short enough to be one piece of the socket's queue, so that the other end reads it at once, however
busy the machine is: the same rounds make the same turns, reads and sends every time. Nobody spins.
"""

import collections
import os
import socket
import struct
import subprocess
import tempfile

import ramal
from ramald import Ramald, clean_environment

SECONDS = 60            # the longest that anything here waits
SUBJECT = "bench.hot"
SERVICE = "bench.svc"
ROUND_BYTES = 32 << 10  # what the kernel surely puts into one piece
FIRST_CALL = 1 << 14    # ids from here to 2^21 are of the same length

Load = collections.namedtuple("Load", "name run rounds options")


class End:
    """A client that sends prepared bytes, and reads a known number of frames."""

    def __init__(self, address):
        self.bus = ramal.connect(address, timeout=SECONDS)
        self._bytes = b""

    def raw(self):
        self.bus.sock.settimeout(SECONDS)
        return self

    def send(self, data):
        if len(data) > ROUND_BYTES:
            raise ValueError(f"a round of {len(data)} bytes may come in two pieces")
        self.bus.sock.sendall(data)

    def frames(self, number):
        """The next `number` frames of the broker, without their lengths."""
        found, at = [], 0
        while len(found) < number:
            while len(found) < number and len(self._bytes) - at >= 4:
                size = struct.unpack_from(">I", self._bytes, at)[0]
                if len(self._bytes) - at < 4 + size:
                    break
                found.append(self._bytes[at + 4:at + 4 + size])
                at += 4 + size
            if len(found) < number:
                piece = self.bus.sock.recv(1 << 18)
                if not piece:
                    raise ConnectionError("the broker closed the connection")
                self._bytes, at = self._bytes[at:] + piece, 0
        self._bytes = self._bytes[at:]
        return found


def deliveries(frames):
    """The frames must all be deliveries: a gap or a refusal would be another load than the one meant."""
    parsed = [ramal.pb.Frame.FromString(frame) for frame in frames]
    if any(frame.WhichOneof("kind") != "deliver" for frame in parsed):
        raise AssertionError("something else than a delivery: " + str(
            next(frame for frame in parsed if frame.WhichOneof("kind") != "deliver")))
    return [frame.deliver for frame in parsed]


def publish_frame(subject, size):
    return ramal.pack(ramal.pb.Frame(publish=ramal.pb.Data(subject=subject, payload=bytes(size))))


# ---- what the broker does ------------------------------------------------------------------------------------


def publish(address, rounds, messages=256, size=64, receivers=1, subjects=1, others=0, confirm=False, **interest):
    """Publishes to `receivers`, which take everything before the next round. Returns the number of deliveries.
    others: so many interests more, in other subjects. confirm: each round, as the library does."""
    source, sinks = End(address), [End(address) for _ in range(receivers)]
    for sink in sinks:
        sink.bus.subscribe("bench.>" if subjects > 1 else SUBJECT, sid=1, **interest)
    for first in range(0, others, 250):
        source.send(b"".join(ramal.pack(ramal.pb.Frame(id=source.bus.new_id(), subscribe=ramal.pb.Subscribe(
            sid=2 + number, pattern=f"other.s{number}"))) for number in range(first, min(first + 250, others))))
        source.bus.ping()
    names = [SUBJECT] if subjects == 1 else [f"bench.s{number:03}" for number in range(subjects)]
    batch = b"".join(publish_frame(names[number % subjects], size) for number in range(messages))
    ends = [end.raw() for end in [source, *sinks]]
    for number in range(rounds):
        source.send(batch)
        for sink in ends[1:]:
            got = sink.frames(messages)
            if number == 0:
                deliveries(got)
            if confirm:
                sink.send(ramal.pack(ramal.pb.Frame(credit=ramal.pb.Credit(sid=1, seq=(number + 1) * messages))))
    for end in ends:
        end.bus.close()
    return rounds * messages * receivers


def unheard(address, rounds, messages=256, size=64):
    """Publishes what nobody hears; a PING at the end of each round says that it is done."""
    source = End(address).raw()
    batch = publish_frame(SUBJECT, size) * messages
    for _ in range(rounds):
        source.send(batch + ramal.pack(ramal.pb.Frame(id=source.bus.new_id(), ping=ramal.pb.Ping())))
        while ramal.pb.Frame.FromString(source.frames(1)[0]).WhichOneof("kind") != "pong":
            pass
    source.bus.close()
    return rounds * messages


def calls(address, rounds, messages=64, size=64):
    """Calls, all answered at once. Returns the number of calls: each is a request and a reply."""
    caller, service = End(address), End(address)
    service.bus.serve(SERVICE, sid=1)
    caller.raw(), service.raw()
    data, ident = ramal.pb.Data(subject=SERVICE, payload=bytes(size)), FIRST_CALL
    for _ in range(rounds):
        caller.send(b"".join(ramal.pack(ramal.pb.Frame(id=ident + n, call=data)) for n in range(messages)))
        ident += messages
        service.send(b"".join(ramal.pack(ramal.pb.Frame(reply=ramal.pb.Data(token=call.token, payload=call.payload)))
                              for call in deliveries(service.frames(messages))))
        for frame in caller.frames(messages):
            if ramal.pb.Frame.FromString(frame).WhichOneof("kind") != "reply":
                raise AssertionError("something else than a reply: " + str(ramal.pb.Frame.FromString(frame)))
    caller.bus.close()
    service.bus.close()
    return rounds * messages


def connect(address, rounds):
    """Connections that say hello, are held until all are there, and go, one by one: the PING of one that stays says
    that the broker has seen the end."""
    witness = ramal.connect(address, timeout=SECONDS)
    held = [ramal.connect(address, timeout=SECONDS) for _ in range(rounds)]
    for bus in held:
        bus.close()
        witness.ping()
    witness.close()
    return rounds


BROKER = (
    Load("publish", publish, 40, {}),
    Load("publish-single", publish, 1500, {"messages": 1}),
    Load("publish-1k", publish, 80, {"messages": 28, "size": 1024}),
    Load("publish-4k", publish, 200, {"messages": 7, "size": 4096}),
    Load("publish-fanout-8", publish, 25, {"messages": 100, "size": 256, "receivers": 8}),
    Load("publish-100-subjects", publish, 40, {"subjects": 100, "messages": 200}),
    Load("publish-10k-interests", publish, 40, {"others": 10000}),
    Load("publish-group", publish, 40, {"group": "g"}),
    Load("publish-credit", publish, 40, {"credit_bytes": 4 << 20, "credit_messages": 65536, "confirm": True}),
    Load("publish-unheard", unheard, 40, {}),
    Load("call", calls, 80, {}),
    Load("connect", connect, 250, {}),
)


# ---- what the library does -----------------------------------------------------------------------------------


def told(client):
    """Waits for the byte that says that a round is done."""
    if not client.stdout.read(1):
        raise AssertionError("gates_client ended early")


def feed(client, address, messages, rounds):
    source = End(address).raw()
    batch = publish_frame(SUBJECT, 64) * messages
    told(client)
    for _ in range(rounds):
        source.send(batch)
        told(client)
    source.bus.close()


def ask(client, address, messages, rounds):
    told(client)
    subprocess.run([*client.args[-5:-4], "request", address, str(messages), str(rounds)], check=True, timeout=SECONDS)


CLIENT = (
    Load("client-publish", None, 40, {"mode": "publish", "messages": 256}),
    Load("client-receive", feed, 40, {"mode": "receive", "messages": 256}),
    Load("client-request", None, 80, {"mode": "request", "messages": 64}),
    Load("client-serve", ask, 80, {"mode": "serve", "messages": 64}),
)


# ---- counting ------------------------------------------------------------------------------------------------


def callgrind(out):
    return ["valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=" + out]


def total(out):
    """What callgrind has counted in the whole process."""
    with open(out, encoding="utf-8") as file:
        for line in file:
            if line.startswith("totals:"):
                return int(line.split()[1])
    raise AssertionError(f"{out}: no totals")


def broker(**more):
    return Ramald("--limit-spin", "0us", "--log-level", "warning", **more)


def count_broker(load, rounds, directory):
    """(instructions of ramald, messages)"""
    out = os.path.join(directory, f"{load.name}.{rounds}")
    with broker(before=callgrind(out)) as ramald:
        messages = load.run(ramald.address, rounds, **load.options)
    return total(out), messages


def count_client(program, load, rounds, directory):
    """(instructions of gates_client, messages)"""
    out = os.path.join(directory, f"{load.name}.{rounds}")
    mode, messages = load.options["mode"], load.options["messages"]
    with broker() as ramald:
        words = [program, mode, ramald.address, str(messages), str(rounds)]
        helper = []
        if mode == "request":
            helper = [subprocess.Popen([program, "serve", *words[2:]], stdout=subprocess.PIPE)]
            told(helper[0])
        client = subprocess.Popen([*callgrind(out), *words], stdout=subprocess.PIPE, env=clean_environment())
        try:
            if load.run:
                load.run(client, ramald.address, messages, rounds)
            for process in [client, *helper]:
                if process.wait(SECONDS) != 0:
                    raise AssertionError(f"gates_client ended with {process.returncode}")
        finally:
            for process in [client, *helper]:
                process.kill()
                process.wait()
                process.stdout.close()
    return total(out), messages * rounds


def per_message(count, load):
    """User instructions per message."""
    with tempfile.TemporaryDirectory(prefix="ramal-gates-") as directory:
        once, few = count(load, load.rounds, directory)
        twice, many = count(load, 2 * load.rounds, directory)
    return (twice - once) / (many - few)
