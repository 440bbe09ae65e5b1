#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Faults of group G: the network, as far as TCP without TLS goes."""

import os
import re
import socket
import struct
import subprocess

import ramal
from faultlib import SECONDS, FaultCase, chunk, main, prefix, publish
from ramal import pb
from ramald import STRANGER, Directory, Ramald, as_uid, fail

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a reset
# Words in front of a command: a network namespace with loopback up.
NETWORK = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
NO_IPV6 = ["unshare", "-n", "sh", "-c",
           'ip link set lo up && echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6 && exec "$@"', "sh"]


def reset(bus):
    """Ends a connection as a machine does that has lost its memory."""
    bus.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    bus.close()


class Network(FaultCase):
    transport = "tcp"
    limits = {"hello_timeout": "500ms", "flush_timeout": "300ms"}

    def fault_G115_half_open_connections_are_asked_if_they_live(self):
        """The kernel asks: a machine that is gone does not answer, and the connection ends. That the time for it runs
        can be seen from outside."""
        bus = self.connect()
        port = bus.sock.getsockname()[1]

        def timer():
            done = subprocess.run(["ss", "-tnoH", f"dport = :{port}"], capture_output=True, timeout=SECONDS, check=True)
            return re.search(r"timer:\(keepalive,(\d+)(?:\.\d+)?(ms|sec),", done.stdout.decode())

        # Within a minute, and not in the two hours that are the kernel's own wish.
        self.assertTrue(self.until(timer, "the kernel to ask in less than a minute"))
        bus.ping()

    def fault_G116_resets_at_any_moment_leave_nothing(self):
        reader = self.connect("unix")
        reader.subscribe("f.g116.>")
        served = self.connect("unix")
        served.serve("f.g116.call")
        for _ in range(10):
            bus = self.raw()  # in the handshake
            reset(bus)
            bus = self.raw()  # in its first frame
            bus.send_bytes(prefix(100) + b"\x08")
            reset(bus)
            bus = self.raw()  # between HELLO and AUTH
            bus.request(pb.Frame(hello=pb.Hello(version_min=1, version_max=1, nonce=bytes(32))))
            reset(bus)
            bus = self.connect()  # in the middle of a frame
            bus.send_bytes(publish(b"f.g116.cut", tail=chunk(15, bytes(5000)))[:3000])
            reset(bus)
        for _ in range(10):  # with data queued for it, and calls open at both ends
            bus, sender = self.connect(), self.connect("unix")
            bus.subscribe("f.queue")
            bus.serve("f.g116.serve", group="g")
            for _ in range(500):
                sender.publish("f.queue", bytes(8000))
            call = sender.call("f.g116.serve")
            bus.call("f.g116.call")
            token = served.next_delivery().deliver.token
            sender.ping()
            reset(bus)
            # The bus may or may not have sent the call before the end was known.
            self.refused(pb.CODE_RESPONDER_GONE, call.result)
            cancel = served.next_of("cancel").cancel
            self.assertEqual((cancel.token, cancel.why), (token, pb.WHY_GONE))
            sender.close()
        self.silent(reader, served)
        self.sleeps("resets")

    def fault_G117_slow_greeters_are_bounded_in_number_and_time(self):
        """A thousand that say a byte of HELLO now and then."""
        # Long enough for all of them to run out of time, and for those that are refused, which may stay for a second.
        hello = ramal.pack(pb.Frame(id=1, hello=pb.Hello(version_min=1, version_max=1, app="x" * 255, nonce=bytes(32))))
        most = self.use("unauthenticated").value
        before, memory, slow, refused = self.counters(), self.private_memory(), [], 0
        for _ in range(1000):
            bus = self.raw()
            try:
                bus.send_bytes(hello[:1])
                slow.append(bus)
            except OSError:
                refused += 1
            row = self.use("unauthenticated")
            self.assertLessEqual(row.used, most)
        if not self.sanitized():
            self.assertLess(self.private_memory() - memory, 2 << 20)
        self.witness.passed(5)
        # A byte now and then moves no deadline.
        ended = []
        for at in range(1, len(hello)):
            alive = []
            for bus in slow:
                try:
                    bus.sock.send(hello[at:at + 1], socket.MSG_NOSIGNAL)
                    alive.append(bus)
                except OSError:
                    ended.append(bus)
            slow = alive
            self.witness.passed(2)
            if not slow:
                break
        self.assertEqual(slow, [], "some were still heard")
        self.assertEqual(self.use("unauthenticated").used, 0)
        self.counted(before, goaways=1)
        self.connect().ping()
        self.connect("unix").ping()

    def fault_G124_port_0_is_told_as_the_port_that_it_became(self):
        address = self.address("tcp")
        self.assertRegex(address, r"^tcp:127\.0\.0\.1:[1-9]\d*$")
        self.assertIn(f"event=listening address={address} ", self.broker.log())
        self.assertIn(address, list(self.control.api("status").broker.listening))
        self.connect().ping()

    def fault_G126_peer_without_a_uid_has_none_that_a_rule_could_match(self):
        bus, reader = self.connect(), self.connect("unix")
        reader.subscribe("f.g126")
        bus.publish("f.g126", b"x")
        sender = reader.next_delivery().deliver.sender
        self.assertFalse(sender.HasField("local"))
        self.assertEqual((sender.peer, sender.identity), (bus.welcome.peer, "token"))
        row = {p.id: p for p in self.control.api("list").peers}[bus.welcome.peer]
        self.assertEqual((row.local, row.uid, row.gid, row.pid, row.identity), (False, 0, 0, 0, "token"))
        # Not root's, although 0 is what the fields read that are not there; and no two are the same user.
        reader.claim("f.g126.name")
        self.refused(pb.CODE_EXISTS, bus.claim, "f.g126.name", no_queue=True)
        self.refused(pb.CODE_DENIED, bus.call(f"$PEER.{reader.welcome.peer}.x").result)
        other = self.connect()
        self.refused(pb.CODE_DENIED, bus.call(f"$PEER.{other.welcome.peer}.x").result)

    def fault_G126_rule_for_a_uid_lets_nobody_in_without_the_token(self):
        for fields in ({"nonce": b""}, {"nonce": bytes(32)}):
            bus = self.raw()
            bus.send_frame(pb.Frame(id=1, hello=pb.Hello(version_min=1, version_max=1, **fields)))
            answer = bus.next_frame()
            if answer.HasField("challenge"):
                bus.send_frame(pb.Frame(id=2, auth=pb.Auth(proof=bytes(32))))
                answer = bus.next_frame()
            self.assertEqual(answer.status.code, pb.CODE_DENIED)
            self.assertEqual(self.ended(bus), [])


class Listening(FaultCase):
    """What is refused at the start; the brokers that do start are others than the class's."""

    def refuse(self, *words, status, said, before=(), uid=None):
        """ramald must not start with these words, say one line with all of `said`, and leave nothing."""
        with Directory(uid=uid) as place:
            got, log = fail("--listen", f"unix:{place}/bus", *words, before=before)
            self.assertEqual(got, status, log)
            self.assertEqual(len(log.splitlines()), 1, log)
            for text in said:
                self.assertIn(text, log)
            self.assertEqual(os.listdir(str(place)), [], "half started")

    def fault_G122_address_that_others_reach_is_warned_of_and_proves_the_token(self):
        """Without TLS: the token keeps strangers out, and the log says that nothing is encrypted."""
        with Directory() as place:
            words = ["--listen", f"unix:{place}/bus", "--listen", "tcp:0.0.0.0:0"]
            with Ramald(*words) as broker:
                self.assertIn("level=warning event=exposed", broker.log())
                port = int(broker.addresses[1].rpartition(":")[2])
                with self.assertRaises((ramal.Refused, ConnectionError)):
                    ramal.connect(f"tcp:127.0.0.1:{port}")
                with ramal.connect(f"tcp:127.0.0.1:{port}", token=ramal.read_token(place / "token")) as bus:
                    bus.ping()
            with Ramald("--listen", f"unix:{place}/bus", "--listen", "tcp:127.0.0.1:0") as broker:
                self.assertNotIn("event=exposed", broker.log())
            # Default: no TCP at all.
            with Ramald("--listen", f"unix:{place}/bus") as broker:
                self.assertEqual(broker.addresses, [f"unix:{place}/bus"])
                self.assertIn("tcp=off", broker.log())
        self.refuse("--listen", "tls:0.0.0.0:7265", status=64, said=["no TLS"])

    def fault_G123_port_that_cannot_be_had_is_an_error_that_says_why(self):
        self.refuse("--listen", "tcp:127.0.0.1:99", status=71, uid=STRANGER,
                    before=NETWORK[:-1] + ["sh", *as_uid(STRANGER)],
                    said=["cannot listen on tcp:127.0.0.1:99", "Permission denied", "1024"])
        with socket.create_server(("127.0.0.1", 0)) as squatter:
            port = squatter.getsockname()[1]
            self.refuse("--listen", f"tcp:127.0.0.1:{port}", status=71, said=[f"another program has port {port}"])
        self.refuse("--listen", "tcp:no-such-host.invalid:7265", status=69, said=["no-such-host.invalid"],
                    before=NETWORK)
        self.refuse("--listen", "tcp:127.0.0.1:no-such-service", status=69, said=["no such service"])
        self.refuse("--listen", "tcp:[::1]:7265", status=71, said=["no such address"], before=NO_IPV6)
        self.refuse("--listen", "tcp:127.0.0.1:65536", status=64, said=["--listen"])
        # One that is good does not make up for one that is not.
        self.refuse("--listen", "tcp:127.0.0.1:0", "--listen", "tcp:192.0.2.1:7265", status=71,
                    said=["no such address"], before=NETWORK)

    def fault_G125_listener_on_ipv6_takes_no_ipv4(self):
        with Directory() as place:
            words = ["--listen", f"unix:{place}/bus", "--listen", "tcp:[::]:7265"]
            with Ramald(*words, "--listen", "tcp:0.0.0.0:7265", before=NETWORK) as broker:
                self.assertEqual(broker.addresses[1:], ["tcp:[::]:7265", "tcp:0.0.0.0:7265"])
                self.assertEqual(self.reach(broker, place), {"127.0.0.1": "in", "::1": "in"})
                log = broker.log()
            self.assertNotIn("ffff:", log)  # an IPv4 address is one, not an IPv6 one with it inside
            with Ramald(*words, before=NETWORK) as broker:
                self.assertEqual(self.reach(broker, place), {"127.0.0.1": "refused", "::1": "in"})

    def reach(self, broker, place):
        """Which of the loopback addresses let us in, in the namespace of that broker, and as whom."""
        script = ("import sys\nimport ramal\nfor host in ('127.0.0.1', '::1'):\n try:\n"
                  "  bus = ramal.connect(f'tcp:[{host}]:7265' if ':' in host else f'tcp:{host}:7265',\n"
                  "                      token=ramal.read_token(sys.argv[1]))\n"
                  "  print(host, 'in', [p.address for p in bus.api('list').peers])\n"
                  " except ConnectionRefusedError:\n  print(host, 'refused', [])\n")
        done = subprocess.run(["nsenter", "-t", str(broker.pid), "-n", "/usr/bin/python3", "-c", script,
                               place / "token"], capture_output=True, timeout=SECONDS, check=True)
        answers = {}
        for line in done.stdout.decode().splitlines():
            host, what, addresses = line.split(" ", 2)
            answers[host] = what
            if what == "in":
                self.assertIn("from tcp:" + (f"[{host}]" if ":" in host else host), addresses)
                self.assertNotIn("ffff", addresses)
        return answers


if __name__ == "__main__":
    main()
