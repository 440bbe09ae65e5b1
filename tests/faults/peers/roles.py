# SPDX-License-Identifier: MIT
"""The processes of the scenario: the reader, the publisher, the witness. `run` starts one of each as

    roles.py ROLE '{"kind": "nats", "address": "tcp:127.0.0.1:4222", "options": {}, "size": 1024}'

and talks to it in lines of JSON: a command on its stdin, an answer on its stdout. It says {"ready": true} when it is
connected and subscribed, and ends when its stdin does.
"""

import json
import os
import select
import signal
import socket
import struct
import sys
import time

import wire

CHUNK = 64       # messages that are made at a time
READ = 1 << 18
NUMBER = struct.Struct("<Q")


def say(**answer):
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class Role:
    def __init__(self, kind, address, options, size):
        self.size = size
        self.closed = None       # why the connection is gone
        self.heard = time.monotonic()
        self.commands = b""
        self.client = wire.connect(kind, address, options)

    def receive(self, client):
        """Takes what is there."""
        try:
            data = client.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError as error:
            self.closed = os.strerror(error.errno)
            return
        self.heard = time.monotonic()
        if data:
            client.feed(data)
        else:
            self.closed = "end of file"

    def send(self, client, pending):
        """Sends what the socket takes of it. Says how much."""
        try:
            return client.sock.send(pending, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.closed = self.closed or os.strerror(error.errno)
            return 0

    def command(self):
        """The commands that are there; a missing end of stdin ends the process."""
        data = os.read(0, 4096)
        if not data:
            sys.exit(0)
        *lines, self.commands = (self.commands + data).split(b"\n")
        return [json.loads(line) for line in lines]


class Reader(Role):
    """Reads all the time. It is stopped from outside, by a signal, as a program in a debugger is."""

    def __init__(self, *args):
        super().__init__(*args)
        self.got, self.disorder, self.expected = 0, 0, 0
        self.client.on_message = self.message
        self.client.subscribe("flood")

    def message(self, payload):
        number = NUMBER.unpack_from(payload)[0]
        self.disorder += number < self.expected
        self.expected = number + 1
        self.got += 1

    def report(self):
        client = self.client
        say(got=self.got, disorder=self.disorder, expected=self.expected, missing=client.missing, last=client.last,
            replaced=client.replaced, ended=client.ended, told=dict(client.told), closed=self.closed,
            quiet=time.monotonic() - self.heard)

    def run(self):
        while True:
            sock = self.client.sock
            reading = [0] if self.closed else [0, sock]
            writing = [sock] if self.client.out and not self.closed else []
            readable, writable, _ = select.select(reading, writing, [])
            if sock in readable:
                self.receive(self.client)
            if writable:
                del self.client.out[:self.send(self.client, self.client.out)]
            if 0 in readable:
                for command in self.command():
                    if command == "half-close":
                        sock.shutdown(socket.SHUT_WR)
                    self.report()


class Publisher(Role):
    """{"publish": n, "bound": seconds}: sends so many messages, as fast as the broker takes them, and waits until the
    broker has answered what it answers. Gives up when the time is over; {"publish": 0} goes on with what is left."""

    def __init__(self, *args):
        super().__init__(*args)
        self.made = 0      # messages that were put into `pending`
        self.wanted = 0
        self.pending = b""
        self.flood = False  # is `pending` messages, or something else?
        self.make = self.client.template("flood", self.size)
        self.bytes = len(self.make(0, 1))
        if hasattr(self.client, "sent"):
            self.client.sent = 0
        self.barrier = 0   # the barrier that we wait for

    def more(self):
        """Makes the next messages, as many as may be sent."""
        room = self.client.room(min(CHUNK, self.wanted - self.made), self.bytes)
        if room > 0:
            self.pending = self.make(self.made, self.made + room)
            self.made += room
            self.flood = True

    def done(self):
        if self.made < self.wanted or self.pending or not self.client.settled(self.made):
            return False
        return self.asked and self.barrier <= self.client.barriers

    def publish(self, count, bound):
        self.wanted += count
        self.asked = False
        client, begin = self.client, time.monotonic()
        moved, held = begin, 0.0
        while not self.closed and not self.done():
            if not self.pending and self.made < self.wanted:
                self.more()
            if not self.pending and client.out:
                self.pending = bytes(client.out)
                client.out.clear()
                self.flood = False
            if not self.pending and self.made == self.wanted and client.settled(self.made) and not self.asked:
                self.asked = True
                self.barrier = client.barriers + 1
                self.pending, self.flood = client.barrier(), False
            now = time.monotonic()
            if now - begin > bound:
                break
            writing = [client.sock] if self.pending else []
            readable, writable, _ = select.select([client.sock], writing, [], 0.05)
            if readable:
                self.receive(client)
            if writable:
                taken = self.send(client, self.pending)
                self.pending = self.pending[taken:]
                if taken:
                    now = time.monotonic()
                    held, moved = max(held, now - moved), now
        now = time.monotonic()
        unsent = -(-len(self.pending) // self.bytes) if self.flood else 0
        say(seconds=now - begin, held=max(held, now - moved), blocked=not self.closed and not self.done(),
            sent=self.made - unsent, acks=client.acks, refused=client.refused, told=dict(client.told),
            closed=self.closed, receivers=dict(getattr(client, "receivers", {})))

    def run(self):
        while True:
            readable, _, _ = select.select([0] if self.closed else [0, self.client.sock], [], [])
            if self.client.sock in readable:
                self.receive(self.client)
            if 0 in readable:
                for command in self.command():
                    self.publish(command["publish"], command["bound"])


class Witness(Role):
    """Two connections that nobody disturbs: a message every 10 ms from one to the other, from the beginning to the end
    of a run. What is lost, and the longest that one took."""

    EVERY = 0.01
    PAYLOAD = struct.Struct("<Qd")

    def __init__(self, kind, address, options, size):
        options = {key: value for key, value in options.items() if key != "overflow"}
        super().__init__(kind, address, options, size)
        self.reader = wire.connect(kind, address, options)
        self.reader.on_message = self.message
        self.reader.subscribe("witness")
        self.sent, self.got, self.disorder, self.worst, self.pending = 0, 0, 0, 0.0, b""

    def message(self, payload):
        number, then = self.PAYLOAD.unpack_from(payload)
        self.disorder += number != self.got
        self.got = number + 1
        self.received += 1
        self.worst = max(self.worst, time.monotonic() - then)

    received = 0

    def turn(self, wait):
        """Moves what can be moved."""
        both = [self.client, self.reader]
        socks = {client.sock: client for client in both}
        writing = [c.sock for c in both if c.out or c is self.client and self.pending]
        reading = [] if self.closed else list(socks)
        readable, writable, _ = select.select([*reading, 0], writing, [], wait)
        for sock in readable:
            if sock != 0:
                self.receive(socks[sock])
        for sock in writable:
            client = socks[sock]
            if client is self.client and self.pending:
                self.pending = self.pending[self.send(client, self.pending):]
            elif client.out:
                del client.out[:self.send(client, client.out)]
        return 0 in readable

    def run(self):
        following = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= following and not self.closed:
                self.pending += self.client.message("witness", self.PAYLOAD.pack(self.sent, now))
                self.sent += 1
                following = now + self.EVERY
            if self.turn(max(0, following - now)):
                self.finish(self.command())

    def finish(self, commands):
        """Waits for what is under way, and reports."""
        end = time.monotonic() + commands[0]["wait"]
        while self.received < self.sent and not self.closed and time.monotonic() < end:
            self.turn(0.05)
        say(sent=self.sent, got=self.received, disorder=self.disorder, worst=self.worst, closed=self.closed)


ROLES = {"reader": Reader, "publisher": Publisher, "witness": Witness}


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # `run` ends us
    what = json.loads(sys.argv[2])
    try:
        role = ROLES[sys.argv[1]](what["kind"], what["address"], what["options"], what["size"])
    except (OSError, ConnectionError, ValueError, ImportError) as error:
        say(error=str(error))
        return
    say(ready=True)
    role.run()


main()
