#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Well-known names: one owner, a queue behind it, and everybody told."""

from buscase import main, over_both
from ramal import api, pb


@over_both(globals())
class Names:
    def answer(self, caller, server, subject):
        call = caller.call(subject, b"?")
        data = server.next_delivery().deliver
        server.reply(data.token, data.subject.encode())
        return call.result()

    def test_owner_serves_the_name_and_what_is_below(self):
        owner, caller = self.connect(), self.connect()
        self.assertEqual(owner.claim("n1.svc").state, pb.STATE_OWNER)
        for subject in ("n1.svc", "n1.svc.get", "n1.svc.a.b"):
            self.assertEqual(self.answer(caller, owner, subject), subject.encode())
        self.refused(pb.CODE_NO_RESPONDER, caller.call("n1.svcx").result)

    def test_second_claim_queues_and_moves_up(self):
        owner, second, third, caller = (self.connect() for _ in range(4))
        owner.claim("n2")
        queued = second.claim("n2")
        self.assertEqual((queued.state, queued.queued), (pb.STATE_QUEUED, 1))
        self.assertEqual(third.claim("n2").queued, 2)
        self.assertEqual(self.answer(caller, owner, "n2"), b"n2")
        owner.close()
        self.assertEqual(second.next_of("interest").interest.state, pb.STATE_OWNER)
        self.assertEqual(self.answer(caller, second, "n2.x"), b"n2.x")
        moved = third.next_of("interest").interest
        self.assertEqual((moved.state, moved.queued), (pb.STATE_QUEUED, 1))

    def test_no_queue_is_refused_while_another_owns_it(self):
        owner, other = self.connect(), self.connect()
        owner.claim("n3")
        self.refused(pb.CODE_EXISTS, other.claim, "n3", no_queue=True)
        self.assertEqual(list(self.name("n3").queue), [])

    def test_replace_works_only_if_allowed(self):
        first, second = self.connect(), self.connect()
        first.claim("n4")
        self.assertEqual(second.claim("n4", replace=True).state, pb.STATE_QUEUED)

    def test_replaced_owner_stands_second(self):
        first, second, caller = self.connect(), self.connect(), self.connect()
        sid = first.claim("n5", allow_replace=True).sid
        self.assertEqual(second.claim("n5", replace=True).state, pb.STATE_OWNER)
        told = first.next_of("interest").interest
        self.assertEqual((told.sid, told.state), (sid, pb.STATE_LOST))
        name = self.name("n5")
        self.assertEqual((name.owner, list(name.queue)), (second.welcome.peer, [first.welcome.peer]))
        self.assertEqual(self.answer(caller, second, "n5"), b"n5")
        second.bye()
        self.assertEqual(first.next_of("interest").interest.state, pb.STATE_OWNER)

    def test_replaced_owner_without_queue_is_out(self):
        first, second = self.connect(), self.connect()
        first.claim("n6", allow_replace=True, no_queue=True)
        second.claim("n6", replace=True)
        told = first.next_of("interest").interest
        self.assertEqual((told.state, told.why), (pb.STATE_ENDED, pb.WHY_REPLACED))
        self.assertEqual(list(self.name("n6").queue), [])

    def test_replaced_owner_answers_the_calls_that_it_has(self):
        first, second, caller = self.connect(), self.connect(), self.connect()
        first.claim("n7", allow_replace=True)
        call = caller.call("n7", b"")
        token = first.next_delivery().deliver.token
        second.claim("n7", replace=True)
        first.reply(token, b"still me")
        self.assertEqual(call.result(), b"still me")

    def test_name_comes_free_when_its_owner_unsubscribes(self):
        owner, other = self.connect(), self.connect()
        sid = owner.claim("n8").sid
        owner.unsubscribe(sid)
        self.assertEqual(other.claim("n8", no_queue=True).state, pb.STATE_OWNER)

    def test_claiming_twice_on_one_connection_exists(self):
        bus = self.connect()
        bus.claim("n9")
        self.refused(pb.CODE_EXISTS, bus.claim, "n9")

    def test_changes_of_a_name_are_published(self):
        watcher, owner, second = self.connect(), self.connect(), self.connect()
        watcher.subscribe("$SYS.name.na")
        owner.claim("na")
        second.claim("na")
        owner.close()
        second.next_of("interest")
        second.bye()
        owners = []
        while not owners or owners[-1] != 0:
            data = watcher.next_delivery().deliver
            self.assertEqual(data.subject, "$SYS.name.na")
            self.assertEqual((data.sender.peer, data.sender.HasField("local")), (0, False))
            name = api.NameEvent.FromString(data.payload).name
            self.assertEqual(name.name, "na")
            if not owners or owners[-1] != name.owner:
                owners.append(name.owner)
        self.assertEqual(owners, [owner.welcome.peer, second.welcome.peer, 0])

    def test_bad_names_are_refused(self):
        bus = self.connect()
        for name in ("", "a..b", "a.*", "a.>", "$x", "a b", "x" * 201, ".".join("x" * 29)):
            self.refused(pb.CODE_BAD_SUBJECT, bus.claim, name)
        bus.claim("x" * 200)
        bus.claim(".".join("y" * 28))

    def name(self, name):
        names = {n.name: n for n in self.connect().api("names").names}
        return names.get(name) or self.fail(f"no name {name}")


if __name__ == "__main__":
    main()
