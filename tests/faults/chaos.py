#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Chaos with real processes, and a judge for what they wrote down.

A broker with 64 descriptors and a dozen clients (actor.c) that publish, subscribe, call and serve; each keeps a diary.
For a while processes are killed and started anew, stopped and continued, the broker among them, and strangers take all
the connections there are. Then everything is left alone until it is quiet, and the diaries are read (judge.py).

What is done is drawn from a seed, which is printed; when it happens is the machine's business, so that a seed shows the
same kind of run and not the same run.
"""

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time

import judge
import ramal
from ramald import Ramald, clean_environment, program, wait_for

PATIENCE = 60  # seconds for what must come true when all is left alone
CONF = """[limits]
stall_max = 300ms
connection_bytes = 1M
broker_bytes = 8M
reserve_bytes = 1M
publish_credit_bytes = 64K
hello_timeout = 1s
flush_timeout = 500ms
"""
# What the clients do. {n} is the number of the client.
PARTS = (
    "bytes=100 pub chaos.a 2500",
    "bytes=3000 pub chaos.b 4000",
    "bytes=30000 pub chaos.big 50000",
    "bytes=200 pub chaos.a 6000 + sub chaos.b.> window=50 credit=20 overflow=0",
    "call chaos.work 3000",
    "deadline=200 call chaos.work 5000 + pub chaos.c 10000",
    "sub chaos.> window=50 credit=10 overflow=0",
    "sub chaos.a.* window=50 credit=5 overflow=1",
    "sub chaos.a.> window=50 credit=5 overflow=2",
    "sub chaos.b.* window=100 credit=10 overflow=4",
    "sub chaos.> overflow=0 + sub chaos.c.> credit=1",
    "sub chaos.a.> group=pool policy=1 window=100 credit=5",
    "sub chaos.a.> group=pool policy=1 window=100 credit=5 + sub chaos.c.* group=other",
    "sub chaos.a.> group=pool policy=1 window=100 credit=1",
    "serve chaos.work group=workers credit=10",
    "serve chaos.work group=workers credit=2 + sub chaos.b.1",
)


class Client:
    """A process of actor.c and its diary."""

    def __init__(self, stage, number, part):
        self.number, self.part = number, part
        self.name = f"c{number}"
        self.path = os.path.join(stage.place, self.name)
        self.stopped = False
        words = [program("FAULT_ACTOR"), stage.address, f"name={self.name}", *part.split()]
        self.notes = judge.Diary(self.name, self.path, part)
        with open(self.path, "wb") as diary:
            self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=diary, env=clean_environment())

    def signal(self, number):
        self.process.send_signal(number)
        if number in (signal.SIGSTOP, signal.SIGCONT):
            self.stopped = number == signal.SIGSTOP

    def say(self, word):
        self.process.stdin.write(word)
        self.process.stdin.flush()

    def diary(self):
        return self.notes.update()


class Stage:
    def __init__(self, seed, place):
        self.chance = random.Random(seed)
        self.place, self.address = place, f"unix:{place}/bus"
        self.conf = os.path.join(place, "conf")
        with open(self.conf, "w", encoding="ascii") as file:
            file.write(CONF)
        os.chmod(self.conf, 0o600)
        self.clients, self.dead, self.crowd = [], [], []
        self.deeds = {}
        self.count = 0
        self.epochs = 0
        self.broker = self.start_broker()

    def start_broker(self):
        self.epochs += 1
        return Ramald("-c", self.conf, "--listen", self.address, before=["prlimit", "--nofile=64:64"])

    def enter(self, part):
        self.count += 1
        self.clients.append(Client(self, self.count, part))

    def done(self, what):
        self.deeds[what] = self.deeds.get(what, 0) + 1

    # ---- the deeds ----

    def kill_client(self):
        """One that stands still, more often than not: it has most to lose."""
        stopped = [client for client in self.clients if client.stopped]
        client = self.chance.choice(stopped if stopped and self.chance.random() < 0.6 else self.clients)
        client.process.kill()
        client.process.wait()
        client.process.stdin.close()
        self.clients.remove(client)
        self.dead.append(client)
        self.enter(client.part)

    def dismiss_client(self):
        """One that leaves as it should."""
        client = self.chance.choice([c for c in self.clients if not c.stopped] or self.clients[:1])
        if client.stopped:
            client.signal(signal.SIGCONT)
        client.process.stdin.close()
        client.process.wait(PATIENCE)
        self.clients.remove(client)
        self.dead.append(client)
        self.enter(client.part)

    def stop_client(self):
        self.chance.choice(self.clients).signal(signal.SIGSTOP)

    def continue_client(self):
        for client in self.clients:
            if client.stopped and self.chance.random() < 0.5:
                client.signal(signal.SIGCONT)

    def kill_broker(self):
        self.broker.kill()
        self.leave_crowd()
        self.broker = self.start_broker()

    def pause_broker(self):
        self.broker.process.send_signal(signal.SIGSTOP)
        over = time.monotonic() + self.chance.uniform(0.05, 0.4)
        wait_for(lambda: time.monotonic() > over, "a while")
        self.broker.process.send_signal(signal.SIGCONT)

    def crowd_in(self):
        """Takes all the connections that there are, without a word."""
        for _ in range(80):
            try:
                self.crowd.append(ramal.open_socket(self.address, 1))
            except OSError:
                return

    def leave_crowd(self):
        for sock in self.crowd:
            sock.close()
        self.crowd.clear()

    DEEDS = ((kill_client, 8), (dismiss_client, 2), (stop_client, 6), (continue_client, 4), (kill_broker, 1),
             (pause_broker, 1), (crowd_in, 1), (leave_crowd, 2))

    def run(self, seconds):
        """Deed after deed. At least two of the broker's own deaths, however short it is."""
        deeds = [deed for deed, weight in self.DEEDS for _ in range(weight)]
        began = time.monotonic()
        end = began + seconds
        must = [(began + seconds * part, Stage.kill_broker) for part in (0.33, 0.66)]
        while time.monotonic() < end:
            if must and time.monotonic() > must[0][0]:
                deed = must.pop(0)[1]
            else:
                deed = self.chance.choice(deeds)
            deed(self)
            self.done(deed.__name__)
            if not self.broker.alive():
                raise AssertionError(f"the broker has ended: {self.broker.log()}")
            over = time.monotonic() + self.chance.uniform(0.01, 0.15)
            wait_for(lambda: time.monotonic() > over, "the next deed")

    # ---- the end ----

    def calm(self):
        """Everybody may go on, and come back; then nobody begins anything new, and all that was begun ends."""
        self.leave_crowd()
        for client in self.clients:
            client.signal(signal.SIGCONT)
        with ramal.connect(self.address, timeout=PATIENCE) as bus:
            epoch = bus.welcome.epoch
            wait_for(lambda: all(c.diary().at_work(epoch) for c in self.clients), "all to come back", PATIENCE)
            over = time.monotonic() + 0.5
            wait_for(lambda: time.monotonic() > over, "some peaceful work")
            for client in self.clients:
                client.say(b"stop\n")
            wait_for(lambda: all(c.diary().quiet for c in self.clients), "all to be quiet", PATIENCE)
            wait_for(lambda: self.drained(bus), "the queues to be empty", PATIENCE)
            ledgers = {peer.id: bus.api("status", ramal.api.StatusRequest(peer=peer.id)).interests
                       for peer in bus.api("list").peers}
        return epoch, ledgers

    def drained(self, bus):
        broker = bus.api("status").broker
        if broker.queued_messages or broker.calls:
            return False
        for peer in bus.api("list").peers:
            for one in bus.api("status", ramal.api.StatusRequest(peer=peer.id)).interests:
                if one.queued or one.in_flight:
                    return False
        return True

    def close(self):
        """All leave; nothing of theirs may be left."""
        for client in self.clients:
            client.process.stdin.close()
        for client in self.clients:
            if client.process.wait(PATIENCE) != 0:
                raise AssertionError(f"{client.name} ended with {client.process.returncode}")
        with ramal.connect(self.address, timeout=PATIENCE) as bus:
            def alone():
                broker = bus.api("status").broker
                return (broker.peers, broker.interests, broker.calls, broker.queued_bytes) == (1, 0, 0, 0)
            try:
                wait_for(alone, "everything to be given back", PATIENCE)
            except AssertionError:
                raise AssertionError(f"what is left: {bus.api('status').broker}") from None
        self.broker.stop()

    def abandon(self):
        for client in self.clients:
            client.process.kill()
            client.process.wait()
        self.leave_crowd()
        self.broker.kill()


def play(seed, seconds, place):
    """One run. Returns what is wrong with it."""
    stage = Stage(seed, place)
    try:
        for part in PARTS:
            stage.enter(part)
        stage.run(seconds)
        epoch, ledgers = stage.calm()
        diaries = [client.diary() for client in stage.clients + stage.dead]
        alive = {client.name for client in stage.clients}
        stage.close()
    except BaseException:
        stage.abandon()
        raise
    verdict = judge.judge(diaries, alive, epoch, ledgers)
    print(f"seed {seed}: {sum(stage.deeds.values())} deeds "
          f"({', '.join(f'{n} {name}' for name, n in sorted(stage.deeds.items()))}), {stage.epochs} brokers, "
          f"{stage.count} clients; {verdict.summary()}")
    return verdict.wrong


def main():
    parser = argparse.ArgumentParser(description="Chaos with real processes: kills, stops, full descriptors, restarts.",
                                     epilog="RAMALD and FAULT_ACTOR are the programs; ctest sets them.")
    parser.add_argument("--seed", type=int, help="of the first run (default: a fresh one)")
    parser.add_argument("--seconds", type=float, default=12, help="of each run (default: 12)")
    parser.add_argument("--minutes", type=float, default=0, help="go on for so long, with a new seed for each run")
    parser.add_argument("--keep", action="store_true", help="keep the diaries of a run that went wrong")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(1024, hard)), hard))
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    end = time.monotonic() + options.minutes * 60
    while True:
        print(f"seed {seed}", flush=True)
        place = tempfile.mkdtemp(prefix="ramal-chaos-")
        wrong = ["it did not end"]
        try:
            wrong = play(seed, options.seconds, place)
        finally:
            if wrong and options.keep:
                print(f"the diaries are in {place}")
            else:
                for name in os.listdir(place):
                    os.unlink(os.path.join(place, name))
                os.rmdir(place)
        for line in wrong[:50]:
            print("WRONG", line)
        if wrong:
            print(f"{len(wrong)} wrong; again with --seed {seed}")
            return 1
        seed = (seed + 1) % (1 << 32)
        if time.monotonic() >= end:
            return 0


if __name__ == "__main__":
    sys.exit(main())
