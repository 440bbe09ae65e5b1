#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The broker's own API and presence."""

import os

from buscase import main, over_both
from ramal import api, pb


@over_both(globals())
class Api:
    def test_list_shows_every_peer_with_who_it_is(self):
        bus, other = self.connect(app="lister"), self.connect("unix", app="other")
        other.subscribe("ap.x")
        other.claim("ap.name")
        peers = {p.id: p for p in bus.api("list").peers}
        me, it = peers[bus.welcome.peer], peers[other.welcome.peer]
        self.assertEqual((me.app, me.welcomed, me.local), ("lister", True, self.transport == "unix"))
        self.assertEqual(me.identity, "" if me.local else "token")
        self.assertEqual((it.uid, it.pid, list(it.names)), (os.geteuid(), os.getpid(), ["ap.name"]))
        self.assertGreaterEqual(it.interests, 2)
        self.assertTrue(me.address)

    def test_names_shows_owner_and_queue(self):
        first, second = self.connect(), self.connect()
        first.claim("ap.two")
        second.claim("ap.two")
        name = {n.name: n for n in first.api("names").names}["ap.two"]
        self.assertEqual((name.owner, list(name.queue)), (first.welcome.peer, [second.welcome.peer]))

    def test_who_says_who_would_get_it(self):
        bus, server, reader = self.connect(), self.connect(), self.connect()
        server.serve("ap.who.*")
        reader.subscribe("ap.who.>")
        answer = bus.api("who", api.WhoRequest(subject="ap.who.me"))
        self.assertEqual([(r.peer, r.pattern) for r in answer.publish], [(reader.welcome.peer, "ap.who.>")])
        self.assertEqual([(r.peer, r.pattern) for r in answer.call], [(server.welcome.peer, "ap.who.*")])
        self.assertTrue(answer.call[0].chosen)
        self.assertTrue(answer.call[0].why)
        nobody = bus.api("who", api.WhoRequest(subject="ap.nobody.there"))
        self.assertEqual((len(nobody.publish), len(nobody.call)), (0, 0))

    def test_who_refuses_a_pattern(self):
        bus = self.connect()
        for subject in ("a.*", "", "a..b"):
            self.refused(pb.CODE_BAD_SUBJECT, bus.api, "who", api.WhoRequest(subject=subject))

    def test_status_shows_the_broker_and_a_peer(self):
        bus = self.connect()
        broker = bus.api("status").broker
        self.assertEqual((broker.pid, broker.epoch), (self.broker.pid, bus.welcome.epoch))
        self.assertGreaterEqual(broker.peers, 1)
        self.assertEqual(sorted(broker.listening), sorted(self.broker.addresses))
        sid = bus.subscribe("ap.status", credit_messages=5, window_messages=7).sid
        row = self.ledger(bus, sid)
        self.assertEqual((row.pattern, row.serve, row.credit_messages, row.window_messages, row.overflow),
                         ("ap.status", False, 5, 7, "drop_old"))
        self.refused(pb.CODE_NOT_FOUND, bus.api, "status", api.StatusRequest(peer=1 << 60))

    def test_limits_names_every_limit(self):
        bus = self.connect()
        limits = {limit.key: limit for limit in bus.api("limits").limits}
        self.assertEqual(limits["limits.payload_bytes"].value, bus.welcome.limits.payload_bytes)
        self.assertEqual(limits["limits.calls"].value, bus.welcome.limits.calls)
        for limit in limits.values():
            self.assertTrue(limit.unit and limit.scope, limit)

    def test_unknown_verb_and_bad_payload_are_refused(self):
        bus = self.connect()
        self.refused(pb.CODE_NO_RESPONDER, bus.call("$SYS.api.nothing").result)
        self.refused(pb.CODE_INVALID, bus.call("$SYS.api.who", b"\xff\xff").result)

    def test_nobody_else_serves_below_sys(self):
        bus = self.connect()
        for pattern in ("$SYS.api.list", "$SYS.>", "$SYS.*"):
            self.refused(pb.CODE_DENIED, bus.serve, pattern)

    def test_coming_and_going_of_peers_is_published(self):
        watcher = self.connect()
        watcher.subscribe("$SYS.peer.*")
        guest = self.connect("unix", app="guest")
        peer = guest.welcome.peer
        guest.bye()
        events = []
        while len(events) < 2:
            data = watcher.next_delivery().deliver
            if data.subject == f"$SYS.peer.{peer}":
                self.assertEqual((data.sender.peer, data.sender.HasField("local")), (0, False))
                events.append(api.PeerEvent.FromString(data.payload))
        self.assertEqual([(e.gone, e.peer.id) for e in events], [(False, peer), (True, peer)])
        self.assertEqual((events[0].peer.app, events[0].peer.pid), ("guest", os.getpid()))


if __name__ == "__main__":
    main()
