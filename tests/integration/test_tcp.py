# SPDX-License-Identifier: MIT
"""TCP: the switch, ports, hosts, services, and the token. What needs a port of its own runs in a network namespace."""

import os
import re
import socket
import stat
import unittest

import ramal
from ramald import STRANGER, Directory, Ramald, StartError, as_uid, fail, wait_for

def network(*settings):
    """Words in front of a command: a network namespace with loopback up and these settings of /proc/sys/net."""
    script = "ip link set lo up && "
    for name, value in settings:
        script += f"echo {value} >/proc/sys/net/{name} && "
    return ["unshare", "-n", "sh", "-c", script + 'exec "$@"', "sh"]


UP = network()
UP_V4 = network(("ipv6/conf/lo/disable_ipv6", 1))


def strangely(before):
    """The same, as uid 64999 at the end."""
    return before[:-1] + ["sh", *as_uid(STRANGER)]


class Ports(unittest.TestCase):
    def test_port_0_prints_the_port_it_got(self):
        with Directory() as place, Ramald("--listen", f"unix:{place}/bus", "--listen", "tcp:127.0.0.1:0", "--listen",
                                          "tcp:[::1]:0") as broker:
            self.assertRegex(broker.addresses[1], r"^tcp:127\.0\.0\.1:[1-9]\d*$")
            self.assertRegex(broker.addresses[2], r"^tcp:\[::1\]:[1-9]\d*$")
            for address in broker.addresses:
                self.assertIn(f"event=listening address={address} ", broker.log())
            token = ramal.read_token(broker.token_file)
            for address in broker.addresses[1:]:
                with ramal.connect(address, token=token) as bus:
                    bus.ping()


class Switch(unittest.TestCase):
    """--tcp, in a namespace where port 7265 is ours."""

    def test_tcp_listens_on_both_loopbacks(self):
        with Directory() as place:
            with Ramald("--listen", f"unix:{place}/bus", "--tcp", before=UP) as broker:
                self.assertEqual(broker.addresses, [f"unix:{place}/bus", "tcp:127.0.0.1:7265", "tcp:[::1]:7265"])
                self.assertEqual(stat.S_IMODE(os.stat(place / "token").st_mode), 0o600)
                first = broker.log().splitlines()[0]
                self.assertIn(f"event=token-made path={place}/token", first)
                self.assertIn("tcp=on", broker.log())
                self.assertNotIn("exposed", broker.log())

    def test_tcp_without_ipv6_warns(self):
        with Ramald("--tcp", before=UP_V4) as broker:
            self.assertEqual(broker.addresses[1:], ["tcp:127.0.0.1:7265"])
            self.assertIn("level=warning event=address-absent address=tcp:[::1]:7265", broker.log())

    def test_listen_on_an_absent_address_is_an_error(self):
        for address, before in (("tcp:[::1]:7265", UP_V4), ("tcp:192.0.2.1:7265", UP)):
            with Directory() as place:
                status, log = fail("--listen", f"unix:{place}/bus", "--listen", address, before=before)
                self.assertEqual(status, 71, log)
                self.assertEqual(len(log.splitlines()), 1, log)
                self.assertIn(f"cannot listen on {address}: this machine has no such address", log)

    def test_ipv6_listener_leaves_ipv4_alone(self):
        with Directory() as place:
            with Ramald("--listen", f"unix:{place}/bus", "--listen", "tcp:[::]:7265", "--listen", "tcp:0.0.0.0:7265",
                        before=UP) as broker:
                self.assertEqual(broker.addresses[1:], ["tcp:[::]:7265", "tcp:0.0.0.0:7265"])
                self.assertIn("level=warning event=exposed address=tcp:0.0.0.0:7265", broker.log())
                self.assertIn("event=exposed address=tcp:[::]:7265", broker.log())

    def test_system_port_without_the_right_names_the_threshold(self):
        with Directory(uid=STRANGER) as place:
            words = ["--listen", f"unix:{place}/bus", "--listen", "tcp:127.0.0.1:99"]
            status, log = fail(*words, before=strangely(UP))
            self.assertEqual(status, 71)
            self.assertIn("cannot listen on tcp:127.0.0.1:99: Permission denied", log)
            self.assertIn("here ports from 1024 on are free for all", log)
            self.assertEqual(len(log.splitlines()), 1)
            # The kernel decides, not a number of ours.
            lowered = network(("ipv4/ip_unprivileged_port_start", 90))
            with Ramald(*words, before=strangely(lowered)) as broker:
                self.assertEqual(broker.addresses[1], "tcp:127.0.0.1:99")
            words[-1] = "tcp:127.0.0.1:80"
            status, log = fail(*words, before=strangely(lowered))
            self.assertEqual(status, 71)
            self.assertIn("here ports from 90 on are free for all", log)
            raised = network(("ipv4/ip_unprivileged_port_start", 7300))
            status, log = fail("--listen", f"unix:{place}/bus", "--tcp", before=strangely(raised))
            self.assertEqual(status, 71)
            self.assertIn("tcp:127.0.0.1:7265", log)
            self.assertIn("here ports from 7300 on are free for all", log)

    def test_port_in_the_ephemeral_range_warns(self):
        ranged = network(("ipv4/ip_local_port_range", "5000 8000"))
        with Ramald("--tcp", before=ranged) as broker:
            self.assertIn("level=warning event=ephemeral-port address=tcp:127.0.0.1:7265 low=5000 high=8000",
                          broker.log())
        with Ramald("--tcp", before=UP) as broker:
            self.assertNotIn("ephemeral-port", broker.log())


class Words(unittest.TestCase):
    """Addresses that lead nowhere: one line that says what is wrong."""

    def refuse(self, address, status, *texts, before=()):
        with Directory() as place:
            got, log = fail("--listen", f"unix:{place}/bus", "--listen", address, before=before)
            self.assertEqual(got, status, log)
            self.assertEqual(len(log.splitlines()), 1, log)
            for text in texts:
                self.assertIn(text, log)
            self.assertFalse(os.path.exists(place / "bus"))

    def test_no_such_host(self):
        self.refuse("tcp:no-such-host.invalid:7265", 69, "cannot listen on tcp:no-such-host.invalid:7265", "host",
                    before=UP)

    def test_no_such_service(self):
        self.refuse("tcp:127.0.0.1:no-such-service", 69, "no such service: 'no-such-service'")

    def test_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as squatter:
            port = squatter.getsockname()[1]
            self.refuse(f"tcp:127.0.0.1:{port}", 71, f"another program has port {port}", "choose another port")

    def test_malformed(self):
        for address in ("tcp:127.0.0.1", "tcp::7265", "tcp:127.0.0.1:65536", "tcp:[::1:7265", "tcp:::1:7265",
                        "tcp:1.2.3.4:-1"):
            self.refuse(address, 64, f"--listen: address '{address}'")

    def test_host_name_is_resolved(self):
        with Directory() as place, Ramald("--listen", f"unix:{place}/bus", "--listen", "tcp:localhost:0") as broker:
            self.assertGreaterEqual(len(broker.addresses), 2)
            for address in broker.addresses[1:]:
                self.assertRegex(address, r"^tcp:(127\.0\.0\.1|\[::1\]):\d+$")

    def test_host_that_is_named_twice_is_bound_once(self):
        with Directory() as place:
            with open(place / "hosts", "w", encoding="ascii") as hosts:
                hosts.write("127.0.0.1 twice\n127.0.0.1 twice\n")
            hosts = ["unshare", "-m", "sh", "-c", f'mount --bind {place}/hosts /etc/hosts && exec "$@"', "sh"]
            with Ramald("--listen", f"unix:{place}/bus", "--listen", "tcp:twice:7265", before=UP + hosts) as broker:
                self.assertEqual(broker.addresses[1:], ["tcp:127.0.0.1:7265"])


class Token(unittest.TestCase):
    def tcp(self, place, *more, **options):
        return Ramald("--listen", f"unix:{place}/bus", "--listen", "tcp:127.0.0.1:0", *more, **options)

    def test_token_is_made_once_and_kept(self):
        with Directory() as place:
            with self.tcp(place) as broker:
                token = ramal.read_token(broker.token_file)
                with ramal.connect(broker.addresses[1], token=token) as bus:
                    bus.ping()
                    peer = bus.api("list").peers[0]
                    self.assertFalse(peer.local)
                    self.assertEqual(peer.identity, "token")
                    self.assertRegex(peer.address, re.escape(broker.addresses[1]) + r" from tcp:127\.0\.0\.1:\d+$")
            with self.tcp(place) as broker:
                self.assertEqual(ramal.read_token(broker.token_file), token)
                self.assertIn("event=token-read", broker.log())

    def test_wrong_token_is_refused(self):
        with Directory() as place, self.tcp(place) as broker:
            with self.assertRaises(ConnectionError) as caught:  # our side finds out first
                ramal.connect(broker.addresses[1], token=bytes(32))
            self.assertIn("does not know the token", str(caught.exception))
            # A client that does not care gets an answer, and the end.
            with ramal.Connection(ramal.open_socket(broker.addresses[1])) as bus:
                bus.request(ramal.pb.Frame(hello=ramal.pb.Hello(version_min=1, version_max=1, nonce=bytes(32))))
                with self.assertRaises(ramal.Refused) as caught:
                    bus.request(ramal.pb.Frame(auth=ramal.pb.Auth(proof=bytes(32))))
                self.assertEqual(caught.exception.code, ramal.pb.CODE_DENIED)
                self.assertIsNone(bus.next_frame())
            wait_for(lambda: "event=denied" in broker.log(), "a line of log")

    def test_token_file_that_others_can_read_is_refused(self):
        with Directory() as place:
            with open(place / "token", "w", encoding="ascii") as file:
                file.write("00" * 32)
            for mode in (0o644, 0o640, 0o604):
                os.chmod(place / "token", mode)
                status, log = fail("--listen", f"unix:{place}/bus", "--listen", "tcp:127.0.0.1:0")
                self.assertEqual(status, 77)
                self.assertIn(f"others can read or change the token file {place}/token (mode {mode:04o})", log)
                self.assertEqual(sorted(os.listdir(str(place))), ["token"])
            os.chmod(place / "token", 0o600)
            os.chown(place / "token", STRANGER, -1)
            status, log = fail("--listen", f"unix:{place}/bus", "--listen", "tcp:127.0.0.1:0")
            self.assertEqual(status, 77)
            self.assertIn(f"belongs to uid {STRANGER}", log)

    def test_token_file_may_lie_elsewhere(self):
        with Directory() as place:
            with self.tcp(place, "--token-file", place / "secret") as broker:
                with ramal.connect(broker.addresses[1], token=ramal.read_token(place / "secret")) as bus:
                    bus.ping()
                self.assertFalse(os.path.exists(place / "token"))
            with self.assertRaises(StartError) as caught:
                self.tcp(place, "--token-file", place / "none/secret")
            self.assertEqual(caught.exception.status, 78)
            self.assertIn("cannot create the token file", caught.exception.log)
            self.assertFalse(os.path.exists(place / "bus"))

    def test_token_of_tcp_alone_lies_where_the_default_socket_would(self):
        with Directory(uid=STRANGER) as place:
            env = {"XDG_RUNTIME_DIR": str(place)}
            with Ramald("--listen", "tcp:127.0.0.1:0", env=env, before=as_uid(STRANGER)) as broker:
                with ramal.connect(broker.address, token=ramal.read_token(place / "ramal/token")) as bus:
                    bus.ping()
        status, log = fail("--listen", "tcp:127.0.0.1:0", env={"RAMAL_ADDRESS": "unix:@x"})
        self.assertEqual(status, 64)
        self.assertIn("name a file with --token-file", log)

    def test_token_that_a_failed_start_made_goes_again(self):
        with Directory() as place:
            status, _ = fail("--listen", f"unix:{place}/bus", "--listen", "tcp:127.0.0.1:0", "--allow-uid", STRANGER)
            self.assertEqual(status, 78)
            self.assertEqual(os.listdir(str(place)), [])

    def test_unauthenticated_connections_have_their_limit(self):
        with Directory() as place, self.tcp(place, "--limit-unauthenticated", "4") as broker:
            token = ramal.read_token(broker.token_file)
            waiting = [ramal.open_socket(broker.addresses[1]) for _ in range(4)]
            with self.assertRaises(ramal.SentAway) as caught:
                ramal.connect(broker.addresses[1], token=token)
            self.assertEqual(caught.exception.goaway.reason, ramal.pb.CODE_OVER_LIMIT)
            self.assertIn("limits.unauthenticated is 4", caught.exception.goaway.text)
            # The Unix socket is open all the while, and TCP is again when they go.
            with ramal.connect(broker.address) as bus:
                bus.ping()
            for sock in waiting:
                sock.close()

            def comes_in():
                try:
                    with ramal.connect(broker.addresses[1], token=token) as bus:
                        bus.ping()
                        return True
                except ramal.SentAway:
                    return False
            wait_for(comes_in, "room")


if __name__ == "__main__":
    unittest.main()
