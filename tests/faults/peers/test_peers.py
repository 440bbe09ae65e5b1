# SPDX-License-Identifier: MIT
"""The scenario of `run` for ramal alone, with few messages: its sums balance, and it would notice if they did not."""

import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
RUN = os.path.join(HERE, "run")
MESSAGES, SIZE = 4000, 8192  # twice and a half of what the window and the receive credit hold

sys.path.insert(0, HERE)

import dbuswire  # noqa: E402
import wire  # noqa: E402


def load():
    """`run` as a module."""
    loader = importlib.machinery.SourceFileLoader("peers_run", RUN)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("peers_run", loader))
    loader.exec_module(module)
    return module


def command(*words, env=None):
    return subprocess.run([sys.executable, RUN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=110, check=False, env=dict(os.environ, **(env or {})))


class Scenario(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory(prefix="ramal-test-") as directory:
            out = os.path.join(directory, "out")
            cls.done = command("--peers", "ramal-drop_old,ramal-drop_new,ramal-latest,ramal-evict", "--messages",
                               str(MESSAGES), "--size", str(SIZE), "--json", "--out", out, env={"TMPDIR": directory})
            cls.left = [name for name in os.listdir(directory) if name != "out"]
            with open(out, encoding="ascii") as file:
                cls.results = {r["broker"][6:]: r for r in map(json.loads, file)}

    def check(self, rule):
        result = self.results[rule]
        self.assertNotIn("error", result)
        self.assertEqual(result["sent"], MESSAGES)
        self.assertEqual(result["silent"], 0)
        self.assertEqual(result["disorder"], 0)
        self.assertIsNone(result["closed"])
        self.assertFalse(result["blocked"])
        self.assertGreater(result["got"], 0)
        self.assertEqual((result["witness_lost"], result["witness_disorder"]), (0, 0))
        self.assertGreater(result["witness_sent"], 0)
        return result

    def test_run_ends_well_and_leaves_nothing(self):
        self.assertEqual((self.done.returncode, self.left), (0, []), self.done.stderr)
        self.assertEqual([json.loads(line)["broker"][6:] for line in self.done.stdout.splitlines()],
                         list(self.results))

    def test_drop_old_and_drop_new_tell_of_all_that_is_missing(self):
        for rule in ("drop_old", "drop_new"):
            with self.subTest(rule):
                result = self.check(rule)
                self.assertGreater(result["missing"], 0)
                self.assertEqual(result["got"] + result["missing"], MESSAGES + 1)
                self.assertTrue(result["still"])

    def test_latest_tells_of_all_that_was_replaced(self):
        result = self.check("latest")
        self.assertGreater(result["replaced"], 0)
        self.assertEqual(result["got"] + result["replaced"], MESSAGES + 1)

    def test_evict_tells_of_all_up_to_its_end(self):
        result = self.check("evict")
        self.assertTrue(result["ended"])
        self.assertGreater(result["missing"], 0)
        self.assertEqual(result["got"] + result["missing"] + result["after_end"], MESSAGES)


class Block(unittest.TestCase):
    def test_block_holds_the_publisher_and_loses_nothing_while_the_reader_pauses(self):
        done = command("--peers", "ramal-block", "--variants", "paused", "--pause", "0.3", "--messages", str(MESSAGES),
                       "--size", str(SIZE), "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertEqual((result["sent"], result["got"], result["told"], result["silent"], result["disorder"]),
                         (MESSAGES, MESSAGES + 1, 0, 0, 0))
        self.assertGreaterEqual(result["publisher_told"]["no publish credit"], 1)
        self.assertEqual(result["witness_lost"], 0)


class Sums(unittest.TestCase):
    def test_a_message_in_silence_is_noticed(self):
        run = load()
        good = {"variant": "stopped", "silent": 0, "disorder": 0, "ended": False, "got": 1, "missing": 1,
                "replaced": 0}
        self.assertTrue(run.balanced(good))
        for fault in ({"silent": 1}, {"silent": -1}, {"disorder": 1}):
            self.assertFalse(run.balanced({**good, **fault}), fault)


class Arguments(unittest.TestCase):
    def refused(self, words, expected, env=None):
        done = command(*words, env=env)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(expected, done.stderr.splitlines()[-1])
        self.assertEqual(done.stdout, "")

    def test_what_cannot_be_run_is_refused_in_one_line(self):
        self.refused(["--peers", "carrier-pigeon"], "carrier-pigeon is no broker here")
        self.refused(["--variants", "bored"], "bored is no variant")
        self.refused(["--messages", "1"], "--messages wants at least 2")
        self.refused(["--peers", "ramal", "--ramald", "/nonexistent"], "/nonexistent is no program")
        self.refused(["--peers", "redis"], "apt-get install redis-server", env={"PATH": "/nonexistent"})
        self.refused(["--tables", "/nonexistent"], "No such file")


class Parsers(unittest.TestCase):
    """The clients of the other brokers, without them: what they read, in whatever pieces it comes."""

    def read(self, kind, data, **state):
        client = object.__new__(wire.KINDS[kind])
        client.data, client.out, client.got = bytearray(), bytearray(), []
        client.acks = client.barriers = client.answers = 0
        client.on_message = lambda payload: client.got.append(bytes(payload))
        client.told, client.receivers = wire.collections.Counter(), wire.collections.Counter()
        for name, value in state.items():
            setattr(client, name, value)
        for size in (1, 7, len(data)):
            client.got.clear()
            for at in range(0, len(data), size):
                client.feed(data[at:at + size])
            self.assertEqual(client.got, [b"one\r\n", b""])
            self.assertEqual(client.data, b"")
        return client

    def test_clients_take_what_comes_in_any_pieces(self):
        nats = self.read("nats", b"MSG s 1 5\r\none\r\n\r\nPING\r\n-ERR 'no'\r\nMSG s 1 0\r\n\r\nPONG\r\n")
        self.assertEqual((nats.out, nats.barriers, nats.told), (b"PONG\r\n" * 3, 3, {"-ERR 'no'": 3}))
        redis = self.read("redis", b"*3\r\n$7\r\nmessage\r\n$1\r\ns\r\n$5\r\none\r\n\r\n:1\r\n+PONG\r\n-ERR no\r\n"
                                   b"*3\r\n$7\r\nmessage\r\n$1\r\ns\r\n$0\r\n\r\n:0\r\n")
        self.assertEqual((redis.barriers, redis.receivers, redis.told), (3, {1: 3, 0: 3}, {"-ERR no": 3}))
        mqtt = self.read("mosquitto", b"\x32\x0a\0\1s\0\7one\r\n\x30\3\0\1s\x40\2\0\1\xd0\0")
        self.assertEqual((mqtt.out, mqtt.acks, mqtt.barriers), (b"\x40\2\0\7" * 3, 3, 3))
        signals = [dbuswire.signal(serial, "peers.s", payload) for serial, payload in ((1, b"one\r\n"), (2, b""))]
        answer = dbuswire.message(dbuswire.RETURN, 3, {dbuswire.REPLY_SERIAL: ("u", 1)})
        refusal = dbuswire.message(dbuswire.ERROR, 4, {dbuswire.REPLY_SERIAL: ("u", 1)}, "s", ("no",))
        dbus = self.read("dbus", answer.join(signals) + refusal)
        self.assertEqual((dbus.barriers, dbus.told), (3, {"error: no": 3}))


if __name__ == "__main__":
    unittest.main()
