#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Faults of group F: processes that die, stop, fork, or are not who they seem to be."""

import os
import signal
import socket
import struct
import subprocess
import time

import ramal
from faultlib import FaultCase, SECONDS, chunk, main, publish
from ramal import api, pb
from ramald import STRANGER, Directory, Ramald, StartError, as_uid, clean_environment, program, wait_for

# A client of another process: it does what it is told in Python and says so.
CLIENT = """
import sys
import ramal
from ramal import pb
bus = ramal.connect(sys.argv[1], app="child", timeout=20)
"""


class Killed(FaultCase):
    def client(self, script):
        """A Python process with `bus`, a connection that has said hello."""
        return self.child("/usr/bin/python3", "-c", CLIENT + script, self.address("unix"), start_new_session=True)

    def kill(self, process, peers):
        process.kill()
        process.wait(SECONDS)
        self.until(lambda: self.control.api("status").broker.peers == peers, "it to be forgotten", self.control)

    def fault_F97_client_killed_in_the_middle_of_a_frame_leaves_nothing(self):
        reader = self.connect()
        reader.subscribe("f.f97.>")
        peers = self.control.api("status").broker.peers
        for size in (1, 4, 30, 200000):
            process = self.client(
                "data = ramal.pack(pb.Frame(publish=pb.Data(subject='f.f97.cut', payload=bytes(300000))))\n"
                f"bus.publish('f.f97.whole', b'1')\nbus.send_bytes(data[:{size}])\nprint('sent', flush=True)\n"
                "bus.next_frame(timeout=1000)")
            self.assertEqual(self.says(process), "sent")
            self.assertEqual(reader.next_delivery().deliver.subject, "f.f97.whole")
            self.kill(process, peers)
        self.silent(reader)

    def fault_F97_client_killed_with_calls_open_ends_them_at_both_ends(self):
        server, caller = self.connect(), self.connect()
        server.serve("f.f97.served")
        peers = self.control.api("status").broker.peers
        process = self.client(
            "bus.serve('f.f97.serves', credit_messages=3)\nfor i in range(5): bus.call('f.f97.served')\nbus.ping()\n"
            "for i in range(3): bus.next_delivery()\nprint('ready', flush=True)\nbus.next_of('gap', timeout=1000)")
        self.until(lambda: self.control.api("who", api.WhoRequest(subject="f.f97.serves")).call, "it to serve")
        calls = [caller.call("f.f97.serves") for _ in range(5)]
        self.assertEqual(self.says(process), "ready")
        tokens = [server.next_delivery().deliver.token for _ in range(5)]
        self.kill(process, peers)
        # What it had may have run, what waited for it has not; who serves it is told that nobody waits.
        ran = [self.refused(pb.CODE_RESPONDER_GONE, call.result).may_have_run for call in calls]
        self.assertEqual(ran, [True] * 3 + [False] * 2)
        cancelled = [server.next_of("cancel").cancel for _ in range(5)]
        self.assertEqual(sorted(c.token for c in cancelled), sorted(tokens))
        self.assertEqual({c.why for c in cancelled}, {pb.WHY_GONE})
        self.silent(server, caller)

    def fault_F97_client_killed_in_the_middle_of_its_fan_out_is_delivered_alike(self):
        readers = [self.connect() for _ in range(20)]
        for reader in readers:
            reader.subscribe("mishap.large")
        for _ in range(3):
            process = self.mishap("killed")
            self.assertEqual(self.says(process), "ready")
            self.assertEqual(self.says(process), "under way")
            process.kill()
            process.wait(SECONDS)
            self.until(lambda: self.control.api("status").broker.peers == self.baseline["peers"] + 20, "it to go")
            numbers = [self.whole(reader) for reader in readers]
            self.assertGreater(numbers[0], 2)
            self.assertEqual(len(set(numbers)), 1, "some got more than others")

    def whole(self, reader):
        """All that has come, which must be whole and in order from 0 on, or told. Returns how many."""
        reader.api("status")  # its answer stands behind all that was published before; a PONG may overtake
        count = 0
        while reader.inbox:
            frame = reader.inbox.popleft()
            if frame.HasField("gap"):  # who does not read meanwhile may be behind by more than its window
                count += frame.gap.count
                continue
            payload = frame.deliver.payload
            self.assertEqual(len(payload), 300000)
            self.assertEqual(struct.unpack("=I", payload[:4])[0], count)
            self.assertEqual(payload[4:], bytes([count % 251]) * 299996)
            count += 1
        return count

    def fault_F99_thread_cancelled_in_the_middle_of_a_send_sends_no_part_of_a_frame(self):
        reader = self.connect()
        reader.subscribe("mishap.large")
        for _ in range(3):
            process = self.mishap("cancel")
            self.assertEqual(self.says(process), "under way")
            self.tell(process)
            self.assertEqual(self.says(process), "cancelled")
            self.tell(process)
            self.assertEqual(process.wait(SECONDS), 0)
            self.until(lambda: self.control.api("status").broker.peers == self.baseline["peers"] + 1, "it to go")
            self.assertGreater(self.whole(reader), 2)

    def fault_F104_stopped_client_is_a_slow_reader(self):
        process = self.client(
            "sid = bus.subscribe('f.f104', window_messages=200).sid\nprint('ready', flush=True)\ngot = missing = 0\n"
            "while got + missing < 5000:\n"
            "    frame = bus.next_of('deliver', 'gap', timeout=1000)\n"
            "    if frame.HasField('gap'): missing += frame.gap.count\n"
            "    else: got += 1\n"
            "print(got, missing, flush=True)\nsys.stdin.read()")
        self.assertEqual(self.says(process), "ready")
        sender, fast, before = self.connect(), self.connect(), self.counters()
        fast.subscribe("f.f104")
        process.send_signal(signal.SIGSTOP)
        self.until_state("T", process.pid)
        for i in range(5000):
            sender.publish("f.f104", bytes(1000))
            if i % 250 == 249:
                for _ in range(250):
                    fast.next_delivery()
        self.sleeps("a client that is stopped")
        self.witness.passed(5)
        self.counted(before, dropped=1)
        process.send_signal(signal.SIGCONT)
        got, missing = (int(word) for word in self.says(process).split())
        self.assertEqual(got + missing, 5000)
        self.assertGreater(missing, 0)

    def fault_F105_child_that_inherits_a_connection_cannot_use_it(self):
        reader = self.connect()
        reader.subscribe("mishap.fork")
        process = self.mishap("fork")
        child = self.says(process).split()
        self.assertEqual(child, ["child"] + ["-10"] * 6)  # ECHILD
        self.assertEqual(self.says(process), "descriptors 0")
        self.assertEqual(self.says(process), "sync 0")
        self.assertEqual(self.says(process), "unsent 0")
        self.assertEqual(self.payloads(reader, 20), [b"%d" % i for i in range(20)])
        self.assertEqual(process.wait(SECONDS), 0)
        self.silent(reader)

    def fault_F109_same_pid_is_not_the_same_rights(self):
        """One process that connects, changes its uid and connects again: its pid is the same, its rights are not."""
        with Directory() as place:
            with Ramald("--listen", f"unix:{place}/bus", "--allow-uid", STRANGER, "--socket-mode", "0666") as broker:
                ours, theirs = socket.socketpair()
                script = ("import os,socket,sys\nout=socket.socket(fileno=0)\nfor uid in (0, int(sys.argv[2])):\n"
                          " os.setresuid(-1, uid, -1)\n s=socket.socket(socket.AF_UNIX)\n s.connect(sys.argv[1])\n"
                          " socket.send_fds(out,[b'x'],[s.fileno()])\n os.setresuid(-1, 0, -1)\nout.recv(1)")
                with ours, theirs:
                    process = self.child("/usr/bin/python3", "-I", "-c", script, broker.path, STRANGER)
                    process.kill()
                    process = subprocess.Popen(["/usr/bin/python3", "-I", "-c", script, broker.path, str(STRANGER)],
                                               stdin=theirs)
                    self.addCleanup(process.wait)
                    buses = []
                    for _ in range(2):
                        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
                        buses.append(ramal.Connection(socket.socket(fileno=fds[0]), timeout=SECONDS))
                        self.addCleanup(buses[-1].close)
                        buses[-1].hello()
                    peers = {p.id: p for p in buses[0].api("list").peers}
                    shown = [peers[bus.welcome.peer] for bus in buses]
                    self.assertEqual([p.pid for p in shown], [process.pid] * 2)
                    self.assertEqual([p.uid for p in shown], [0, STRANGER])
                    buses[0].claim("f.f109")
                    self.refused(pb.CODE_EXISTS, buses[1].claim, "f.f109", no_queue=True, replace=True)
                    self.refused(pb.CODE_DENIED, buses[1].call(f"$PEER.{buses[0].welcome.peer}.x").result)

    def fault_F113_callback_that_jumps_out_or_crashes_disturbs_nobody_else(self):
        sender = self.connect()
        for what, code in (("longjmp", 0), ("abort", -signal.SIGABRT)):
            process = self.mishap(what)
            self.assertEqual(self.says(process), "ready")
            self.assertEqual(sender.publish("mishap.jump", b"x", receipt=True), 1)
            if what == "longjmp":
                self.assertEqual(self.says(process), "jumped")
                self.assertEqual(sender.publish("mishap.jump", b"x", receipt=True), 1)
                self.tell(process)
            self.assertEqual(process.wait(SECONDS), code)
            self.until(lambda: sender.publish("mishap.jump", receipt=True) == 0, "it to be gone", sender)


class Identity(FaultCase):
    args = ("--allow-uid", str(STRANGER), "--socket-mode", "0666")

    def fault_F110_rights_are_those_of_the_process_that_connected(self):
        """A socket that was handed to us keeps the uid of who connected it, in everything that we do with it."""
        reader, passed = self.connect(), self.stranger()
        reader.subscribe("f.f110")
        passed.publish("f.f110", b"x")
        sender = reader.next_delivery().deliver.sender
        self.assertEqual((sender.local.uid, sender.peer), (STRANGER, passed.welcome.peer))
        self.assertEqual({p.id: p.uid for p in self.control.api("list").peers}[passed.welcome.peer], STRANGER)
        reader.claim("f.f110.mine")
        self.refused(pb.CODE_EXISTS, passed.claim, "f.f110.mine", no_queue=True)

    def fault_F110_rights_do_not_change_with_the_process_afterwards(self):
        """One that connects as root and becomes another user afterwards."""
        script = ("import os,sys\nimport ramal\nbus=ramal.connect(sys.argv[1])\nos.setresuid(*[int(sys.argv[2])]*3)\n"
                  "bus.claim('f.f110.early')\nprint(bus.welcome.peer, flush=True)\nsys.stdin.read()")
        process = self.child("/usr/bin/python3", "-c", script, self.address("unix"), STRANGER)
        peer = int(self.says(process))
        self.assertEqual({p.id: p.uid for p in self.control.api("list").peers}[peer], 0)
        own = self.connect()
        self.assertEqual(own.claim("f.f110.early").state, pb.STATE_QUEUED)  # of the same user: it may stand in line
        self.refused(pb.CODE_EXISTS, self.stranger().claim, "f.f110.early.x", no_queue=True)


class Strays(FaultCase):
    """A broker in a user namespace, for which only its own uid is one that it knows."""

    args = ("--socket-mode", "0666", "--allow-uid", "0")
    options = {"before": ["unshare", "--user", "--map-root-user"]}

    def fault_F112_uid_that_cannot_be_mapped_is_nobody_in_particular(self):
        bus = self.foreign(STRANGER)
        status = self.refused(pb.CODE_DENIED, bus.hello)
        self.assertTrue(status.text)
        self.assertEqual(self.ended(bus), [])
        self.logged("event=denied", "uid=65534")
        for _ in range(20):
            bus = self.foreign(65534)
            self.refused(pb.CODE_DENIED, bus.hello)
        self.connect().ping()


class Broker(FaultCase):
    """The broker itself is what dies, or stops. The witnesses watch one of their own."""

    def broker_at(self, place, *args, **options):
        broker = Ramald("--listen", f"unix:{place}/bus", *args, **options)
        self.addCleanup(broker.kill)
        return broker

    def fault_F98_broker_killed_is_told_to_all_and_its_successor_found(self):
        with Directory() as place:
            first = self.broker_at(place)
            address = first.address
            actor = program("FAULT_ACTOR")
            logs = [place / name for name in ("pub", "sub", "serve", "call")]
            words = (("pub", "f98.a", "2000"), ("sub", "f98.>"), ("serve", "f98.never"), ("call", "f98.never", "2000"))
            actors = []
            for w, log in zip(words, logs):
                with open(log, "wb") as file:
                    one = subprocess.Popen([actor, address, *w], stdin=subprocess.PIPE, stdout=file)
                    actors.append(self.adopt(one))

            def said(log, *words):
                with open(log, encoding="ascii") as file:
                    text = file.read()  # the last line may not be whole yet
                lines = [line.split()[1:] for line in text[:text.rfind("\n") + 1].splitlines()]
                return [line for line in lines if line[0] in words]

            wait_for(lambda: len(said(logs[1], "D")) > 20 and len(said(logs[3], "C")) > 20, "them to talk")
            # The server answers some calls late: there are always some open.
            os.kill(actors[2].pid, signal.SIGSTOP)
            wait_for(lambda: len(said(logs[3], "C")) > len(said(logs[3], "O")) + 5, "calls to be open")
            pending = {line[1] for line in said(logs[3], "C")} - {line[1] for line in said(logs[3], "O")}
            first.kill_only()
            self.assertTrue(os.path.exists(place / "bus"))
            wait_for(lambda: pending <= {line[1] for line in said(logs[3], "O")}, "open calls to end")
            ends = {line[1]: line[2] for line in said(logs[3], "O")}
            self.assertEqual({ends[n] for n in pending} - {"0"}, {"-104"})  # ECONNRESET
            os.kill(actors[2].pid, signal.SIGCONT)
            # How long each one waits before it comes again is not the same for all: they do not come in a herd.
            wait_for(lambda: all(len(said(log, "w")) > 2 for log in logs), "attempts to come back")
            self.assertGreater(len({said(log, "w")[2][1] for log in logs}), 1)
            second = self.broker_at(place)
            wait_for(lambda: all(len(said(log, "+")) == 2 for log in logs), "all to be back")
            counts = [len(said(logs[1], "D")), sum(line[2] == "0" for line in said(logs[3], "O"))]
            wait_for(lambda: len(said(logs[1], "D")) > counts[0] + 20, "messages again")
            wait_for(lambda: sum(line[2] == "0" for line in said(logs[3], "O")) > counts[1] + 20, "answers again")
            for log in logs:
                epochs = [line[1] for line in said(log, "+")]
                self.assertEqual((len(epochs), len(set(epochs))), (2, 2), "another run of the broker, and said so")
            for one in actors:
                one.stdin.close()
                self.assertEqual(one.wait(SECONDS), 0)
            second.stop()

    def fault_F100_broken_pipe_is_an_error_and_no_signal(self):
        with Directory() as place:
            broker = self.broker_at(place)
            process = self.mishap("sigpipe", broker.address)
            self.assertEqual(self.says(process), "ready")
            broker.kill_only()
            self.tell(process)
            self.assertEqual(self.says(process), "told same none")
            self.assertEqual(process.wait(SECONDS), 0)

    def fault_F101_term_lets_everybody_finish_and_a_second_one_does_not(self):
        for second in (False, True):
            with Directory() as place:
                broker = self.broker_at(place, "--limit-stop-grace", "1h")
                server, caller, idle = (ramal.connect(broker.address, timeout=SECONDS) for _ in range(3))
                server.serve("f.f101")
                call = caller.call("f.f101")
                token = server.next_delivery().deliver.token
                broker.process.send_signal(signal.SIGTERM)
                for bus in (server, caller, idle):
                    self.assertEqual(bus.next_of("goaway").goaway.reason, pb.CODE_OK)
                with self.assertRaises(OSError):
                    ramal.connect(broker.address)
                self.assertIsNone(idle.next_frame())
                if second:
                    broker.process.send_signal(signal.SIGTERM)
                    self.assertIn(call_end(call), ("RESPONDER_GONE", "closed"))
                else:
                    server.reply(token, b"still")
                    self.assertEqual(call.result(), b"still")
                    for bus in (server, caller):
                        bus.close()
                self.assertEqual(broker.process.wait(SECONDS), 0)
                self.assertEqual([n for n in os.listdir(str(place)) if n.startswith("bus")], [])
                for bus in (server, caller, idle):
                    bus.close()

    def fault_F102_hangup_with_a_bad_configuration_changes_nothing(self):
        with Directory() as place:
            with open(place / "conf", "w", encoding="ascii") as file:
                file.write("[limits]\ncalls = 7\n")
            os.chmod(place / "conf", 0o600)
            broker = self.broker_at(place, "-c", place / "conf")
            bus = ramal.connect(broker.address, timeout=SECONDS)
            for bad in ("[limits]\ncalls = many\n", "nonsense", "", None):
                if bad is None:
                    os.unlink(place / "conf")
                else:
                    with open(place / "conf", "w", encoding="ascii") as file:
                        file.write(bad)
                lines = broker.log().count("SIGHUP")
                broker.process.send_signal(signal.SIGHUP)
                wait_for(lambda: broker.log().count("SIGHUP") > lines, "a word about the signal")
                self.assertEqual({r.key: r.value for r in bus.api("limits").limits}["limits.calls"], 7)
            bus.close()
            broker.stop()

    def fault_F103_broker_that_was_stopped_times_out_nobody_who_was_in_time(self):
        with Directory() as place:
            limits = [f"--limit-{what}-timeout=300ms" for what in ("hello", "frame", "flush")]
            broker = self.broker_at(place, *limits)
            server, caller = (ramal.connect(broker.address, timeout=SECONDS) for _ in range(2))
            server.serve("f.f103")
            calls = [caller.call("f.f103", b"%d" % i, deadline=0.3) for i in range(50)]
            jobs = [server.next_delivery().deliver for _ in calls]
            late = [ramal.Connection(ramal.open_socket(broker.address), timeout=SECONDS) for _ in range(20)]
            half = [ramal.connect(broker.address, timeout=SECONDS) for _ in range(20)]
            data = publish(b"f.f103.x", tail=chunk(15, bytes(1000)))
            for bus in half:
                bus.send_bytes(data[:500])
            caller.ping()
            os.kill(broker.pid, signal.SIGSTOP)
            self.until_state("T", broker.pid)
            for job in jobs:
                server.reply(job.token, job.payload)
            for bus in late:
                bus.send_frame(pb.Frame(id=bus.new_id(), hello=pb.Hello(version_min=1, version_max=1)))
            for bus in half:
                bus.send_bytes(data[500:])
            self.until_over(time.monotonic() + 0.35)
            os.kill(broker.pid, signal.SIGCONT)
            self.assertEqual([call.result() for call in calls], [b"%d" % i for i in range(50)])
            for bus in late:
                self.assertTrue(bus.next_frame().HasField("welcome"))
            for bus in half:
                bus.ping()
            self.assertNotIn("event=goaway", broker.log())
            for bus in (server, caller, *late, *half):
                bus.close()
            broker.stop()

    def fault_F106_stale_socket_is_replaced_and_a_live_one_is_not(self):
        with Directory() as place:
            first = self.broker_at(place)
            first.kill_only()
            self.assertTrue(os.path.exists(place / "bus"))
            second = self.broker_at(place)
            bus = ramal.connect(second.address, timeout=SECONDS)
            with self.assertRaises(StartError) as caught:
                Ramald("--listen", second.address)
            self.assertEqual(caught.exception.status, 71)
            self.assertIn(f"another ramald (pid {second.pid})", caught.exception.log)
            bus.ping()
            bus.close()
            second.stop()
            # A socket of somebody who has no lock, and listens.
            with socket.socket(socket.AF_UNIX) as squatter:
                squatter.bind(place / "bus")
                squatter.listen(1)
                with self.assertRaises(StartError) as caught:
                    self.broker_at(place)
                self.assertIn("another program listens", caught.exception.log)
            self.assertTrue(os.path.exists(place / "bus"))
            os.unlink(place / "bus")

    def fault_F107_brokers_started_together_make_one(self):
        with Directory() as place:
            for _ in range(5):
                with socket.socket(socket.AF_UNIX) as stale:
                    stale.bind(place / "bus")
                words = [program("RAMALD"), "--listen", f"unix:{place}/bus"]
                running = [subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                            env=clean_environment()) for _ in range(5)]
                try:
                    wait_for(lambda: sum(p.poll() is None for p in running) == 1, "all but one to give up")
                    self.assertEqual(sorted(p.poll() for p in running if p.poll() is not None), [71] * 4)
                    with ramal.connect(f"unix:{place}/bus", timeout=SECONDS) as bus:
                        bus.ping()
                        winner = next(p for p in running if p.poll() is None)
                        self.assertEqual(bus.api("status").broker.pid, winner.pid)
                finally:
                    for process in running:
                        if process.poll() is None:
                            process.terminate()
                        process.wait(SECONDS)
                self.assertEqual(os.listdir(str(place)), [])

    def fault_F108_socket_that_is_unlinked_is_noticed_and_disturbs_nobody(self):
        with Directory() as place:
            broker = self.broker_at(place)
            bus, other = (ramal.connect(broker.address, timeout=SECONDS) for _ in range(2))
            os.unlink(place / "bus")
            bus.subscribe("f.f108")
            self.assertEqual(other.publish("f.f108", b"on", receipt=True), 1)
            self.assertEqual(bus.next_delivery().deliver.payload, b"on")
            wait_for(lambda: "event=socket-gone" in broker.log(), "a word about the socket")
            self.assertEqual(broker.log().count("event=socket-gone"), 1)
            # Nobody else's is touched at the end.
            with socket.socket(socket.AF_UNIX) as foreign:
                foreign.bind(place / "bus")
                broker.stop()
                self.assertTrue(os.path.exists(place / "bus"))
            bus.close()
            other.close()

    def fault_F111_client_believes_the_owner_of_the_directory_and_no_squatter(self):
        ping = [program("RAMAL"), "ping", "--count", "1"]

        def exits(path):
            done = subprocess.run(ping, capture_output=True, env=clean_environment(RAMAL_ADDRESS=f"unix:{path}"),
                                  timeout=SECONDS, check=False)
            return done.returncode, done.stderr.decode()

        # A listener that a service manager made: its credentials are the manager's, and the path's directory is too.
        with Directory() as place:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(place / "bus")
                os.chmod(place / "bus", 0o666)
                listener.listen(10)
                with Ramald(listen=False, inherit=[listener.fileno()]):
                    self.assertEqual(exits(place / "bus")[0], 0)
        # Somebody else's broker in a directory of its own is meant; in one of ours it is not.
        with Directory(uid=STRANGER) as place:
            with Ramald("--listen", f"unix:{place}/bus", before=as_uid(STRANGER)):
                self.assertEqual(exits(place / "bus")[0], 0)
        with Directory(mode=0o1777) as place:
            script = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen(1)\n"
                      "print(flush=True)\nsys.stdin.read()")
            squatter = self.child(*as_uid(STRANGER), "/usr/bin/python3", "-I", "-c", script, place / "bus")
            squatter.stdout.readline()
            status, said = exits(place / "bus")
            self.assertNotEqual(status, 0)
            self.assertIn(str(STRANGER), said)


def call_end(call):
    try:
        call.result()
        return "a reply"
    except ramal.Refused as refused:
        return ramal.code_name(refused.code)
    except ConnectionError:
        return "closed"


if __name__ == "__main__":
    main()
