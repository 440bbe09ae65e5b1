# SPDX-License-Identifier: MIT
"""Connections as sockets: what a client sent before it left is read, one that does not read disturbs nobody, and no
descriptor is lost."""

import os
import select
import socket
import struct
import unittest

import ramal
from ramald import Directory, Ramald, wait_for

COUNT = 2000


def hello_bytes():
    return ramal.pack(ramal.pb.Frame(id=1, hello=ramal.pb.Hello(version_min=1, version_max=1, app="raw")))


def publish_bytes(number, size=1024):
    payload = struct.pack(">I", number) + bytes(size)
    return ramal.pack(ramal.pb.Frame(publish=ramal.pb.Data(subject="flood.x", payload=payload)))


def ping_bytes(first, count):
    return b"".join(ramal.pack(ramal.pb.Frame(id=first + i, ping=ramal.pb.Ping())) for i in range(count))


class Vanish(unittest.TestCase):
    def brokers(self):
        with Directory() as place:
            with Ramald("--listen", f"unix:{place}/bus", "--listen", f"unix:@ramal-vanish-{os.getpid()}") as broker:
                for address in broker.addresses:
                    yield broker, address

    def test_client_that_publishes_and_closes_is_read_to_its_end(self):
        """It never reads: not its WELCOME, not anything. More than any socket holds, and no word of farewell."""
        for broker, address in self.brokers():
            with ramal.connect(address) as bus:
                bus.subscribe("flood.>")
                sock = ramal.open_socket(address)
                sock.sendall(hello_bytes() + b"".join(publish_bytes(i) for i in range(COUNT)))
                sock.close()
                for i in range(COUNT):
                    payload = bus.next_delivery().deliver.payload
                    self.assertEqual(struct.unpack(">I", payload[:4])[0], i)
                bus.ping()
                wait_for(lambda: len(bus.api("list").peers) == 1, "it to be forgotten")

    def test_client_that_closes_its_end_still_gets_its_answers(self):
        for _, address in self.brokers():
            sock = ramal.open_socket(address)
            sock.sendall(hello_bytes() + ping_bytes(2, 98))
            sock.shutdown(socket.SHUT_WR)
            with ramal.Connection(sock) as bus:
                self.assertEqual(bus.next_frame().WhichOneof("kind"), "welcome")
                for i in range(2, 100):
                    self.assertEqual(bus.next_of("pong").id, i)
                self.assertIsNone(bus.next_frame())

    def test_client_that_stops_taking_but_goes_on_sending_is_still_read(self):
        for broker, address in self.brokers():
            with ramal.connect(address) as bus:
                bus.subscribe("flood.>")
                sock = ramal.open_socket(address)
                sock.sendall(hello_bytes())
                sock.shutdown(socket.SHUT_RD)
                for i in range(100):
                    sock.sendall(publish_bytes(i))
                    self.assertEqual(struct.unpack(">I", bus.next_delivery().deliver.payload[:4])[0], i)
                sock.close()
                wait_for(lambda: len(bus.api("list").peers) == 1, "it to be forgotten")

    def test_client_that_asks_and_takes_no_answer_is_given_up(self):
        """When it is owed too much to be read any more, and nothing can be sent: nothing would ever change again."""
        for _, address in self.brokers():
            with ramal.connect(address) as bus:
                sock = ramal.open_socket(address)
                sock.sendall(hello_bytes())
                sock.shutdown(socket.SHUT_RD)
                ident = 2
                with self.assertRaises(OSError):
                    while ident < 1000000:
                        sock.sendall(ping_bytes(ident, 1000))
                        ident += 1000
                sock.close()
                wait_for(lambda: len(bus.api("list").peers) == 1, "it to be forgotten")

    def test_idle_broker_sleeps_whatever_state_its_connections_are_in(self):
        patient = [f"--limit-{what}-timeout=1h" for what in ("hello", "frame", "flush")]
        with Ramald(*patient) as broker:
            socks = [ramal.open_socket(broker.address) for _ in range(4)]
            socks[0].sendall(b"\0\0\1")           # half a frame
            socks[1].sendall(hello_bytes())
            socks[1].shutdown(socket.SHUT_WR)     # half closed
            socks[2].sendall(hello_bytes())
            socks[2].shutdown(socket.SHUT_RD)
            with ramal.connect(broker.address) as bus:
                # One that asks and never reads, until it is not read any more.
                socks[3].sendall(hello_bytes())
                socks[3].setblocking(False)
                ident = 2
                try:
                    while True:
                        ping = ping_bytes(ident, 1000)
                        taken = socks[3].send(ping)
                        ident += 1000
                        if taken < len(ping):
                            break
                        bus.ping()
                except BlockingIOError:
                    pass
                bus.ping()
                cpu = broker.cpu()
                select.select([], [], [], 1)  # a second in which nothing happens
                self.assertLess(broker.cpu() - cpu, 0.2)
                bus.ping()
            for sock in socks:
                sock.close()


class Count(unittest.TestCase):
    def test_descriptors_are_given_back(self):
        with Ramald() as broker:
            before = broker.fds()
            for _ in range(3):
                buses = [ramal.connect(broker.address) for _ in range(100)]
                self.assertEqual(broker.fds(), before + 100)
                for number, bus in enumerate(buses):
                    if number % 3 == 0:
                        bus.bye()
                    elif number % 3 == 1:
                        bus.send_bytes(b"\0\0\0\0")
                        bus.next_of("goaway")
                    bus.close()
                wait_for(lambda: broker.fds() == before, "descriptors to be given back")

    def test_descriptors_that_clients_send_are_not_kept(self):
        with Ramald() as broker:
            with ramal.connect(broker.address) as bus:
                bus.ping()
                before = broker.fds()
                reading, writing = os.pipe()
                frame = ramal.pack(ramal.pb.Frame(id=bus.new_id(), ping=ramal.pb.Ping()))
                bus.sock.setblocking(True)
                socket.send_fds(bus.sock, [frame], [reading] * 10)
                bus.sock.setblocking(False)
                os.close(reading)
                bus.next_of("pong")
                self.assertEqual(broker.fds(), before)
                # Nobody has the reading end any more.
                with self.assertRaises(BrokenPipeError):
                    os.write(writing, b"x")
                os.close(writing)

    def test_flood_of_connections_leaves_room_for_the_others(self):
        with Ramald() as broker, ramal.connect(broker.address) as bus:
            socks = [socket.socket(socket.AF_UNIX) for _ in range(1000)]
            for sock in socks:
                sock.setblocking(False)
                try:
                    sock.connect(broker.path)
                except BlockingIOError:  # the backlog is full
                    pass
                if sock.fileno() % 100 == 0:
                    bus.ping(timeout=2)
            for sock in socks:
                sock.close()
            bus.ping()


if __name__ == "__main__":
    unittest.main()
