# SPDX-License-Identifier: MIT
"""A client of each broker in a few lines, on its own protocol: no library between what a broker says and what is
counted here, nothing buffered, nothing sent again.

A client knows how to connect and subscribe (both block, with a deadline), what the bytes of a message are, and what
the bytes that come in mean: feed() counts what they tell. The roles (roles.py) move the bytes.
"""

import collections
import json
import os
import select
import socket
import struct
import sys
import time

import dbuswire

SECONDS = 10  # to connect and to subscribe
MARK = b"\xa5number\xa5"  # where the number of a message stands in a template


def open_socket(address):
    scheme, _, rest = address.partition(":")
    if scheme == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(SECONDS)
        sock.connect(rest)
        return sock
    host, _, port = rest.rpartition(":")
    sock = socket.create_connection((host, int(port)), SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Client:
    """What all of them have. The `options` are those of the scenario's row: {"qos": 1}, {"overflow": "latest"}, ..."""

    def __init__(self, address, options):
        self.options = options
        self.sock = open_socket(address)
        self.out = bytearray()    # what has to be answered
        self.data = bytearray()   # what came and is not a whole message yet
        self.on_message = None    # called with each payload
        self.missing = 0          # messages that we were told will not come
        self.last = 0             # the number of the last message that we had or were told of, where they are numbered
        self.replaced = 0         # ... that a newer one stands for
        self.refused = 0          # our own messages that the broker refused
        self.acks = 0             # ... that it acknowledged
        self.barriers = 0         # answers to barrier()
        self.ended = False        # the subscription ended, and we were told
        self.told = collections.Counter()  # everything else that was said, in words
        self.handshake()
        self.sock.setblocking(False)

    def handshake(self):
        pass

    def room(self, messages, size):
        """How many of these may be sent now."""
        return messages

    def settled(self, sent):
        """Has the broker answered all that it is going to?"""
        return True

    def subscribe(self, subject):
        raise NotImplementedError

    def message(self, subject, payload):
        """The bytes that publish one message."""
        raise NotImplementedError

    def barrier(self):
        """Bytes that the broker answers once it has handled everything before them."""
        raise NotImplementedError

    def take(self):
        """Handles one whole message of self.data from self.at on, and says whether there was one."""
        raise NotImplementedError

    def template(self, subject, size):
        """A function that gives the bytes of the messages first to last - 1, each with its number in the payload."""
        head, tail = self.message(subject, MARK + bytes(size - len(MARK))).split(MARK)
        pack = struct.Struct("<Q").pack
        return lambda first, last: b"".join(head + pack(n) + tail for n in range(first, last))

    def feed(self, data):
        self.data += data
        self.at = 0
        while self.take():
            pass
        del self.data[:self.at]

    def until(self, condition, what):
        """Blocks until the condition holds; for the time before a scenario."""
        end = time.monotonic() + SECONDS
        while not condition():
            if self.out:
                self.sock.setblocking(True)
                self.sock.sendall(self.out)
                self.sock.setblocking(False)
                self.out.clear()
            if not select.select([self.sock], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"no answer to {what}")
            data = self.sock.recv(1 << 16)
            if not data:
                raise ConnectionError(f"the broker closed the connection at {what}")
            self.feed(data)

    def line(self):
        """The next line, without its end, or None."""
        end = self.data.find(b"\r\n", self.at)
        if end < 0:
            return None
        text = bytes(self.data[self.at:end])
        self.at = end + 2
        return text


class Nats(Client):
    """Text, in lines. Every PING of the server is answered."""

    def handshake(self):
        self.connected = False
        options = {"verbose": False, "pedantic": False, "protocol": 1, "lang": "python", "version": "1",
                   "name": "peers"}
        self.out += b"CONNECT " + json.dumps(options).encode() + b"\r\n" + self.barrier()
        self.until(lambda: self.barriers, "CONNECT")

    def subscribe(self, subject):
        before = self.barriers
        self.out += b"SUB " + subject.encode() + b" 1\r\n" + self.barrier()
        self.until(lambda: self.barriers > before, "SUB")

    def message(self, subject, payload):
        return b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(payload), payload)

    def barrier(self):
        return b"PING\r\n"

    def take(self):
        begin = self.at
        line = self.line()
        if line is None:
            return False
        if line.startswith(b"MSG"):
            size = int(line.rsplit(b" ", 1)[1])
            if len(self.data) - self.at < size + 2:
                self.at = begin
                return False
            self.on_message(self.data[self.at:self.at + size])
            self.at += size + 2
        elif line == b"PING":
            self.out += b"PONG\r\n"
        elif line == b"PONG":
            self.barriers += 1
        elif line.startswith(b"-ERR"):
            self.told[line.decode(errors="replace")] += 1
        return True


class Mqtt(Client):
    """MQTT 3.1.1. With QoS 1 at most 1000 publishes wait for their PUBACK."""

    WINDOW = 1000

    def handshake(self):
        self.qos = self.options["qos"]
        self.answers = 0
        self.sent = 0
        name = b"peers%d.%d" % (os.getpid(), self.sock.fileno())
        body = b"\0\x04MQTT\x04\x02\0\0" + struct.pack(">H", len(name)) + name
        self.out += self.packet(0x10, body)
        self.until(lambda: self.answers, "CONNECT")

    @staticmethod
    def packet(kind, body):
        size, out = len(body), bytearray([kind])
        while True:
            out.append(size & 127 | (128 if size > 127 else 0))
            size >>= 7
            if not size:
                return bytes(out + body)

    def subscribe(self, subject):
        before = self.answers
        self.out += self.packet(0x82, struct.pack(">HH", 1, len(subject)) + subject.encode() + bytes([self.qos]))
        self.until(lambda: self.answers > before, "SUBSCRIBE")

    def message(self, subject, payload):
        head = struct.pack(">H", len(subject)) + subject.encode()
        if self.qos:
            self.sent += 1
            head += struct.pack(">H", self.sent % 65535 + 1)
        return self.packet(0x30 | self.qos << 1, head + payload)

    def template(self, subject, size):
        if not self.qos:
            return super().template(subject, size)
        pack = struct.Struct("<Q").pack
        filler = bytes(size - 8)
        return lambda first, last: b"".join(self.message(subject, pack(n) + filler) for n in range(first, last))

    def room(self, messages, size):
        return min(messages, self.WINDOW - (self.sent - self.acks)) if self.qos else messages

    def settled(self, sent):
        return not self.qos or self.acks >= sent

    def barrier(self):
        return b"\xc0\0"

    def take(self):
        size, shift, at = 0, 0, self.at + 1
        while True:
            if at >= len(self.data):
                return False
            size |= (self.data[at] & 127) << shift
            shift += 7
            at += 1
            if not self.data[at - 1] & 128:
                break
        if len(self.data) - at < size:
            return False
        self.packet_in(self.data[self.at], self.data[at:at + size])
        self.at = at + size
        return True

    def packet_in(self, first, body):
        kind = first >> 4
        if kind == 3:
            topic = 2 + struct.unpack_from(">H", body)[0]
            if first >> 1 & 3:
                self.out += self.packet(0x40, body[topic:topic + 2])
                topic += 2
            self.on_message(body[topic:])
        elif kind == 4:
            self.acks += 1
        elif kind == 13:
            self.barriers += 1
        elif kind in (2, 9):
            self.answers += 1
            if body[-1] & 128 or kind == 2 and body[1]:
                raise ConnectionError(f"the broker refused: packet {kind}, code {body[-1]}")


class Redis(Client):
    """RESP 2. PUBLISH is answered with the number of subscribers that it went to."""

    def handshake(self):
        self.receivers = collections.Counter()
        self.answers = 0

    @staticmethod
    def command(*words):
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)

    def subscribe(self, subject):
        self.out += self.command(b"SUBSCRIBE", subject.encode())
        self.until(lambda: self.answers, "SUBSCRIBE")

    def message(self, subject, payload):
        return self.command(b"PUBLISH", subject.encode(), payload)

    def settled(self, sent):
        return sum(self.receivers.values()) >= sent

    def barrier(self):
        return self.command(b"PING")

    def value(self):
        """The next value; None if it is not all there, as a reply is never null here."""
        line = self.line()
        if line is None:
            return None
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            size = int(rest)
            if len(self.data) - self.at < size + 2:
                return None
            self.at += size + 2
            return self.data[self.at - size - 2:self.at - 2]
        if kind == b"*":
            values = []
            for _ in range(int(rest)):
                values.append(self.value())
                if values[-1] is None:
                    return None
            return values
        return int(rest) if kind == b":" else line

    def take(self):
        begin = self.at
        value = self.value()
        if value is None:
            self.at = begin
            return False
        if isinstance(value, list):
            if value[0] == b"message":
                self.on_message(value[2])
            elif value[0] == b"subscribe":
                self.answers += 1
        elif isinstance(value, int):
            self.receivers[value] += 1
        elif value.startswith(b"-"):
            self.told[value.decode(errors="replace")] += 1
        else:
            self.barriers += 1
        return True


class Dbus(Client):
    """Publishes are broadcast signals, the subject is their interface."""

    BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")

    def handshake(self):
        self.serial = 0
        dbuswire.authenticate(self.sock)
        self.ask("Hello")

    def ask(self, member, signature="", body=()):
        before = self.barriers
        self.out += self.request(member, signature, body)
        self.until(lambda: self.barriers > before, member)

    def request(self, member, signature="", body=()):
        self.serial += 1
        return dbuswire.call(self.serial, *self.BUS, member, signature, body)

    def subscribe(self, subject):
        self.ask("AddMatch", "s", (f"type='signal',interface='peers.{subject}'",))

    def message(self, subject, payload):
        self.serial += 1
        return dbuswire.signal(self.serial, "peers." + subject, payload)

    def template(self, subject, size):
        head, tail = self.message(subject, MARK + bytes(size - len(MARK))).split(MARK)
        begin, rest = head[:8], head[12:]
        number, serial = struct.Struct("<Q").pack, struct.Struct("<I").pack
        return lambda first, last: b"".join(
            begin + serial(1000 + n) + rest + number(n) + tail for n in range(first, last))

    def barrier(self):
        return self.request("GetId")

    def take(self):
        size = dbuswire.length(self.data, self.at)
        if size is None or len(self.data) - self.at < size:
            return False
        kind, head, body = dbuswire.parts(bytes(self.data[self.at:self.at + size]))
        self.at += size
        if kind == dbuswire.SIGNAL:
            if b"\0peers." in head:
                self.on_message(body[4:])
        elif kind == dbuswire.RETURN:
            self.barriers += 1
        elif kind == dbuswire.ERROR:
            self.told["error: " + body[4:].rstrip(b"\0").decode(errors="replace")] += 1
        return True


class Ramal(Client):
    """On the messages of tests/interop/ramal.py. Receive credit is asked for and given as libramal does; publish credit
    is kept as docs/protocol.md wants it."""

    RECEIVE_CREDIT = 4 << 20

    def handshake(self):
        sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "interop"))
        try:
            import ramal
        except (ImportError, OSError) as error:
            raise ConnectionError(f"{error}: the rows of ramal need apt-get install protobuf-compiler python3-protobuf "
                                  "and /usr/bin/python3") from None

        self.ramal, self.pb = ramal, ramal.pb
        self.ident = 0
        self.answer = None
        self.used = 0            # publish credit that is under way
        self.asked = False       # for what came back of it
        self.unconfirmed = 0
        hello = self.pb.Hello(version_min=1, version_max=1, app="peers", library="peers 1")
        welcome = self.ask(self.pb.Frame(hello=hello)).welcome
        self.credit = welcome.limits.publish_credit_bytes if "block" in welcome.features else 0

    def ask(self, frame):
        self.ident += 1
        frame.id = self.ident
        self.answer = None
        self.out += self.ramal.pack(frame)
        self.until(lambda: self.answer is not None, frame.WhichOneof("kind"))
        if self.answer.WhichOneof("kind") == "status" and self.answer.status.code:
            raise ConnectionError("the broker refused: " + self.answer.status.text)
        return self.answer

    def subscribe(self, subject):
        rule = self.options.get("overflow", "drop_old").upper()
        self.ask(self.pb.Frame(subscribe=self.pb.Subscribe(
            sid=1, pattern=subject, credit_bytes=self.RECEIVE_CREDIT,
            overflow=self.pb.Overflow.Value("OVERFLOW_" + rule))))

    def message(self, subject, payload):
        return self.ramal.pack(self.pb.Frame(publish=self.pb.Data(subject=subject, payload=payload)))

    def room(self, messages, size):
        if not self.credit:
            return messages
        size -= 4  # what counts is the value of the length prefix
        fit = min(messages, (self.credit - self.used) // size)
        if fit <= 0 and not self.asked:
            self.asked = True
            self.out += self.barrier(counts=False)
            self.told["no publish credit"] += 1
        self.used += max(0, fit) * size
        return fit

    def barrier(self, counts=True):
        self.ident += 1
        if counts:
            self.awaited = self.ident
        return self.ramal.pack(self.pb.Frame(id=self.ident, ping=self.pb.Ping()))

    awaited = 0

    def take(self):
        if len(self.data) - self.at < 4:
            return False
        size = struct.unpack_from(">I", self.data, self.at)[0]
        if len(self.data) - self.at < 4 + size:
            return False
        frame = self.pb.Frame.FromString(bytes(self.data[self.at + 4:self.at + 4 + size]))
        self.at += 4 + size
        kind = frame.WhichOneof("kind")
        if kind == "deliver":
            self.delivered(frame.deliver, size)
        elif frame.id:
            self.answer = frame
            self.barriers += kind == "pong" and frame.id == self.awaited
        elif kind == "gap":
            self.missing += frame.gap.count
            self.last = max(self.last, frame.gap.last)
            self.told["GAP " + self.pb.Why.Name(frame.gap.why)[4:].lower()] += frame.gap.count
        elif kind == "interest":
            state = self.pb.State.Name(frame.interest.state)[6:].lower()
            self.ended = self.ended or state == "ended"
            self.told[f"INTEREST {state} ({self.pb.Why.Name(frame.interest.why)[4:].lower()})"] += 1
        elif kind == "status":
            self.refused += max(1, frame.status.count)
            self.told["STATUS " + frame.status.text] += max(1, frame.status.count)
        elif kind == "credit":
            self.used -= frame.credit.publish_bytes
            self.asked = False
        elif kind == "goaway":
            self.told["GOAWAY " + frame.goaway.text] += 1
        return True

    def delivered(self, data, size):
        self.replaced += data.replaced
        self.last = max(self.last, data.seq)
        self.on_message(data.payload)
        self.unconfirmed += size
        if self.unconfirmed >= self.RECEIVE_CREDIT // 4:
            self.unconfirmed = 0
            self.out += self.ramal.pack(self.pb.Frame(credit=self.pb.Credit(sid=data.sid, seq=data.seq)))


KINDS = {"nats": Nats, "mosquitto": Mqtt, "redis": Redis, "dbus": Dbus, "ramal": Ramal}


def connect(kind, address, options):
    return KINDS[kind](address, options)
