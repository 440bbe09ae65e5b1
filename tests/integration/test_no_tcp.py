# SPDX-License-Identifier: MIT
"""A build without TCP: everything else works, and whatever asks for TCP is told."""

import os
import socket
import unittest

import ramal
from ramald import Directory, Ramald, StartError, fail


class NoTcp(unittest.TestCase):
    def test_unix_sockets_work_and_the_log_says_what_is_missing(self):
        with Ramald() as broker, ramal.connect(broker.address) as bus:
            bus.ping()
            self.assertIn('tcp=off hint="built without TCP (RAMAL_TCP=OFF)"', broker.log().splitlines()[0])

    def test_tcp_is_refused_and_nothing_is_left(self):
        for words in (["--tcp"], ["--listen", "tcp:127.0.0.1:0"]):
            with Directory() as place:
                status, log = fail("--listen", f"unix:{place}/bus", *words)
                self.assertEqual(status, 64)
                self.assertIn("this ramald was built without TCP (RAMAL_TCP=OFF)", log)
                self.assertEqual(os.listdir(str(place)), [])

    def test_inherited_tcp_socket_is_refused(self):
        with socket.create_server(("127.0.0.1", 0)) as tcp:
            with self.assertRaises(StartError) as caught:
                Ramald(listen=False, inherit=[tcp.fileno()])
        self.assertEqual(caught.exception.status, 78)
        self.assertIn("built without TCP", caught.exception.log)

    def test_version_says_so(self):
        self.assertIn("tcp not built", fail("--version")[1])


if __name__ == "__main__":
    unittest.main()
