#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Coming in: HELLO, WELCOME, the proof of the token."""

import os

import ramal
from buscase import BusCase, main, over_both
from ramal import pb


@over_both(globals())
class Hello:
    def test_hello_is_answered_by_welcome_with_limits(self):
        bus = self.raw()
        welcome = self.hello(bus)
        self.assertEqual(welcome.version, 1)
        self.assertGreater(welcome.peer, 0)
        self.assertGreater(welcome.epoch, 0)
        self.assertRegex(welcome.server, r"^ramald \d+\.\d+")
        for field in pb.Limits.DESCRIPTOR.fields:
            self.assertGreater(getattr(welcome.limits, field.name), 0, field.name)
        self.assertEqual(welcome.limits.frame_bytes, welcome.limits.payload_bytes + 65536)
        self.assertEqual((welcome.limits.subject_bytes, welcome.limits.subject_tokens), (255, 32))

    def test_peers_have_one_epoch_and_rising_numbers(self):
        first, second = self.connect().welcome, self.connect().welcome
        self.assertEqual(first.epoch, second.epoch)
        self.assertGreater(second.peer, first.peer)

    def test_newer_client_gets_the_version_of_the_broker(self):
        self.assertEqual(self.hello(self.raw(), version_min=1, version_max=7).version, 1)

    def test_app_and_library_are_shown_in_the_list(self):
        bus = self.connect(app="an app, with ünïcode")
        peer = {p.id: p for p in bus.api("list").peers}[bus.welcome.peer]
        self.assertEqual((peer.app, peer.library), ("an app, with ünïcode", "ramal.py 1"))

    def test_ping_is_answered_with_its_id(self):
        bus = self.connect()
        bus.send_frame(pb.Frame(id=900, ping=pb.Ping()))
        frame = bus.next_frame()
        self.assertEqual((frame.id, frame.WhichOneof("kind")), (900, "pong"))


class HelloOverTcpOnly(BusCase):
    transport = "tcp"

    def denied(self, bus, token):
        status = self.refused(pb.CODE_DENIED, bus.hello, token=token)
        self.assertTrue(status.text)
        self.assertEqual(self.ended(bus), [])

    def test_wrong_token_of_the_client_is_denied_then_closed(self):
        bus = self.raw()
        nonce = os.urandom(32)
        challenge = bus.request(pb.Frame(hello=pb.Hello(version_min=1, version_max=1, nonce=nonce))).challenge
        self.assertEqual(len(challenge.nonce), 32)
        self.assertEqual(challenge.proof, ramal.proof(self.token, b"ramal broker", nonce, challenge.nonce))
        wrong = ramal.proof(b"\0" * 32, b"ramal client", nonce, challenge.nonce)
        self.refused(pb.CODE_DENIED, bus.request, pb.Frame(auth=pb.Auth(proof=wrong)))
        self.assertEqual(self.ended(bus), [])

    def test_proof_of_the_broker_sent_back_is_denied(self):
        bus = self.raw()
        challenge = bus.request(pb.Frame(hello=pb.Hello(version_min=1, version_max=1, nonce=bytes(32)))).challenge
        self.refused(pb.CODE_DENIED, bus.request, pb.Frame(auth=pb.Auth(proof=challenge.proof)))
        self.assertEqual(self.ended(bus), [])

    def test_client_with_another_token_sends_no_proof(self):
        bus = self.raw()
        with self.assertRaisesRegex(ConnectionError, "does not know the token"):
            bus.hello(token=b"\1" * 32)

    def test_hello_without_nonce_is_refused_then_closed(self):
        bus = self.raw()
        with self.assertRaises(ramal.Refused):
            bus.hello(token=None)
        self.assertEqual(self.ended(bus), [])

    def test_nonce_of_another_length_is_refused_then_closed(self):
        for length in (1, 31, 33, 64):
            bus = self.raw()
            with self.assertRaises(ramal.Refused):
                bus.request(pb.Frame(hello=pb.Hello(version_min=1, version_max=1, nonce=bytes(length))))
            self.assertEqual(self.ended(bus), [])

    def test_two_challenges_have_different_nonces(self):
        seen = set()
        for _ in range(4):
            bus = self.raw()
            frame = bus.request(pb.Frame(hello=pb.Hello(version_min=1, version_max=1, nonce=bytes(32))))
            seen.add(frame.challenge.nonce)
        self.assertEqual(len(seen), 4)

    def test_frame_between_challenge_and_auth_is_malformed(self):
        bus = self.raw()
        bus.request(pb.Frame(hello=pb.Hello(version_min=1, version_max=1, nonce=bytes(32))))
        bus.send_frame(pb.Frame(id=2, ping=pb.Ping()))
        self.sent_away(bus)


class ForeignUid(BusCase):
    args = ("--allow-uid", "64999", "--socket-mode", "0666")

    def test_allowed_uid_comes_in_and_is_seen_as_itself(self):
        bus = self.foreign(64999)
        bus.hello()
        peer = {p.id: p for p in bus.api("list").peers}[bus.welcome.peer]
        self.assertEqual((peer.local, peer.uid, peer.gid), (True, 64999, 64999))
        self.assertEqual(bus.welcome.limits.names, 64)
        self.assertEqual(bus.welcome.limits.interests, 4096)

    def test_other_uid_is_denied_at_hello_then_closed(self):
        bus = self.foreign(64998)
        self.refused(pb.CODE_DENIED, bus.hello)
        self.assertEqual(self.ended(bus), [])

    def test_name_of_another_uid_cannot_be_taken_or_served(self):
        owner, stranger = self.connect(), self.foreign(64999)
        stranger.hello()
        owner.claim("svc.main", allow_replace=False)
        self.refused(pb.CODE_EXISTS, stranger.serve, "svc.main.deep")
        self.refused(pb.CODE_EXISTS, stranger.serve, "svc.main")

    def test_group_of_another_uid_is_denied(self):
        owner, stranger = self.connect(), self.foreign(64999)
        stranger.hello()
        owner.subscribe("work.>", group="crew")
        self.refused(pb.CODE_DENIED, stranger.subscribe, "work.>", group="crew")

    def test_unicast_across_uids_needs_a_call_in_progress(self):
        service, stranger = self.connect(), self.foreign(64999)
        stranger.hello()
        inbox = f"$PEER.{stranger.welcome.peer}.progress"
        stranger.subscribe(inbox)
        self.refused(pb.CODE_DENIED, service.publish, inbox, b"too early", receipt=True)
        service.serve("job.run")
        call = stranger.call("job.run", b"")
        token = service.next_delivery().deliver.token
        self.assertEqual(service.publish(inbox, b"half", receipt=True), 1)
        service.reply(token, b"done")
        self.assertEqual(call.result(), b"done")
        self.assertEqual(stranger.next_delivery().deliver.payload, b"half")
        self.refused(pb.CODE_DENIED, service.publish, inbox, b"too late", receipt=True)


if __name__ == "__main__":
    main()
