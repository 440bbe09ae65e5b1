# SPDX-License-Identifier: MIT
"""At the limit of descriptors: refused with a word, no spinning, nobody who is there loses anything, who looks after the
broker still comes in, and everything again when somebody leaves. Run as root: others connect as uid 64999."""

import os
import resource
import select
import unittest

import ramal
from ramald import STRANGER, Ramald, wait_for

OPEN = ("--socket-mode", "0666", "--allow-uid", str(STRANGER), "--limit-uid-connect-rate", "1000000")


def socket_as(uid, address):
    """A connected socket whose kernel credentials are those of another uid."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(uid)
    os.seteuid(uid)
    try:
        return ramal.open_socket(address)
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def connect_as(uid, address):
    bus = ramal.Connection(socket_as(uid, address))
    try:
        bus.hello(app=f"uid {uid}")
    except BaseException:
        bus.close()
        raise
    return bus


class Full(unittest.TestCase):
    def fill(self, broker, most=200):
        """Strangers, until one is refused. Returns those that are in and what the last one was told."""
        buses = []
        self.addCleanup(lambda: [bus.close() for bus in buses])
        while len(buses) < most:
            try:
                buses.append(connect_as(STRANGER, broker.address))
            except ramal.SentAway as away:
                return buses, away.goaway
        self.fail(f"{most} connections and none refused")

    def witness(self, broker):
        """Two that talk to each other."""
        hears, says = ramal.connect(broker.address), ramal.connect(broker.address)
        self.addCleanup(hears.close)
        self.addCleanup(says.close)
        hears.subscribe("witness.>")
        return hears, says

    def talk(self, pair, first, count=20):
        hears, says = pair
        for i in range(first, first + count):
            says.publish("witness.x", str(i).encode())
        for i in range(first, first + count):
            self.assertEqual(hears.next_delivery().deliver.payload, str(i).encode())

    def fill_and_look(self, descriptors):
        limits = {resource.RLIMIT_NOFILE: (descriptors, descriptors)}
        with Ramald(*OPEN, limits=limits) as broker:
            pair = self.witness(broker)
            before = broker.fds()
            buses, goaway = self.fill(broker)
            self.assertEqual(goaway.reason, ramal.pb.CODE_OVER_LIMIT)
            self.assertIn(f"no descriptor left: RLIMIT_NOFILE is {descriptors}", goaway.text)
            self.assertGreater(len(buses), 4)
            self.talk(pair, 0)

            # Who looks after the broker comes in, as often as places are kept; a stranger does not meanwhile.
            looking = []
            for _ in range(4):
                looking.append(ramal.connect(broker.address, inspect=True))
                self.assertGreaterEqual(len(looking[-1].api("list").peers), len(buses) + 2)
                with self.assertRaises(ramal.SentAway):
                    connect_as(STRANGER, broker.address)
            with self.assertRaises(ramal.SentAway):
                ramal.connect(broker.address, inspect=True)
            for bus in looking:
                bus.ping()
                bus.close()
            # One that comes for more than to look is told why not.
            wait_for(lambda: self.refused_for_more(broker), "a kept place to be free again")

            # Nobody spins on the one that waits, or on those that were refused.
            cpu = broker.cpu()
            select.select([], [], [], 1)  # a second in which nothing happens
            self.assertLess(broker.cpu() - cpu, 0.2)
            self.talk(pair, 20)

            # A place that somebody leaves is the next one's, at once: by the first answer that a witness gets after it.
            for _ in range(3):
                buses.pop().close()
                pair[0].ping()
                buses.append(connect_as(STRANGER, broker.address))
                with self.assertRaises(ramal.SentAway):
                    connect_as(STRANGER, broker.address)
            self.talk(pair, 40)
            log = broker.log()
            self.assertLess(log.count("event=no-descriptors"), 5, log)  # as it comes and goes, and once a second
            self.assertIn(f"limit=RLIMIT_NOFILE value={descriptors}", log)
            self.assertRegex(log, f"event=refused address=unix:\\S+ uid={STRANGER} pid={os.getpid()} process=\\S+ text=")
            for bus in buses:
                bus.ping()
                bus.close()
            wait_for(lambda: broker.fds() == before, "descriptors to be given back")

    @staticmethod
    def refused_for_more(broker):
        try:
            ramal.connect(broker.address).close()
        except ramal.Refused as refused:
            return (refused.code == ramal.pb.CODE_OVER_LIMIT and not refused.status.limit and
                    refused.status.text.startswith("the broker has no descriptor left") and
                    "HELLO.inspect" in refused.status.text)
        except ramal.SentAway:
            return False
        raise AssertionError("it was let in")

    def test_descriptors_64_are_used_up_by_strangers(self):
        self.fill_and_look(64)

    def test_descriptors_40_are_used_up_by_strangers(self):
        self.fill_and_look(40)

    def test_descriptors_20_leave_room_for_some(self):
        with Ramald(limits={resource.RLIMIT_NOFILE: (20, 20)}) as broker:
            buses = [ramal.connect(broker.address) for _ in range(4)]
            with ramal.connect(broker.address, inspect=True) as looking:
                self.assertGreaterEqual(len(looking.api("list").peers), 5)
            for bus in buses:
                bus.ping()
                bus.close()

    def test_own_connections_are_used_up_and_who_looks_comes_in(self):
        """The limit of own connections is half of 40."""
        with Ramald(limits={resource.RLIMIT_NOFILE: (40, 40)}) as broker:
            before = broker.fds()
            buses = [ramal.connect(broker.address) for _ in range(20)]
            with self.assertRaises(ramal.Refused) as caught:
                ramal.connect(broker.address)
            self.assertEqual(caught.exception.status.limit, "limits.own_connections")
            self.assertEqual(caught.exception.status.value, 20)
            for _ in range(3):
                with ramal.connect(broker.address, inspect=True) as looking:
                    self.assertEqual(len(looking.api("list").peers), 21)
            for bus in buses:
                bus.ping()
                bus.close()
            wait_for(lambda: broker.fds() == before, "descriptors to be given back")

    def test_descriptors_taken_away_at_run_time(self):
        with Ramald(*OPEN) as broker:
            buses = [connect_as(STRANGER, broker.address) for _ in range(4)]
            most = broker.fds()
            resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (most, most))
            cpu = broker.cpu()
            for _ in range(100):
                with self.assertRaises((ramal.SentAway, ConnectionError)):
                    connect_as(STRANGER, broker.address)
            with ramal.connect(broker.address, inspect=True) as looking:
                looking.ping()
            self.assertEqual(broker.log().count("event=no-descriptors"), 1)
            self.assertLess(broker.cpu() - cpu, 1.0)
            for bus in buses:
                bus.ping()
            buses.pop().close()
            buses[0].ping()
            buses.append(connect_as(STRANGER, broker.address))
            for bus in buses:
                bus.ping()
                bus.close()

    def test_places_for_who_looks_can_be_none(self):
        with Ramald(*OPEN, "--limit-reserved-connections", "0", limits={resource.RLIMIT_NOFILE: (40, 40)}) as broker:
            self.fill(broker)
            with self.assertRaises(ramal.SentAway):
                ramal.connect(broker.address, inspect=True)


if __name__ == "__main__":
    unittest.main()
