# SPDX-License-Identifier: MIT
"""The examples, each as its first lines say it is used, against a broker of their own."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import ramal
from ramald import SECONDS, Directory, Ramald, clean_environment, wait_for

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
EXAMPLES = os.environ.get("RAMAL_EXAMPLES", "")

# A machine that is easy to tell from the one that the test runs on.
PROC = {
    "stat": "cpu 100 20 30 4000 50 6 7 8 0 0\ncpu0 1 1 1 1\ncpu1 1 1 1 1\ncpu2 1 1 1 1\n",
    "meminfo": "MemTotal: 8000 kB\nMemFree: 1000 kB\nMemAvailable: 4000 kB\nSwapTotal: 16 kB\nSwapFree: 8 kB\n",
    "loadavg": "1.25 2.50 3.75 4/567 89\n",
    "net/dev": "head|er\nlo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\neth0.7: 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36\n",
    "diskstats": "8 0 sda 10 1 20 3 30 4 40 5 6 70 80\n7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n",
}


def hostmon_messages():
    """The module that Google's compiler makes of hostmon.proto."""
    directory = tempfile.mkdtemp(prefix="ramal-test-")
    try:
        subprocess.run(["protoc", f"-I{ROOT}/examples/hostmon", f"--python_out={directory}", "hostmon.proto"], check=True)
        sys.path.insert(0, directory)
        import hostmon_pb2

        return hostmon_pb2
    finally:
        sys.path.remove(directory)
        shutil.rmtree(directory)


class Running:
    """An example that runs beside the test. Its lines arrive in a file; on leaving it gets SIGTERM."""

    def __init__(self, address, name, *args, stdin=subprocess.DEVNULL):
        self.file = tempfile.TemporaryFile()
        self.process = subprocess.Popen([os.path.join(EXAMPLES, name), *args], stdin=stdin, stdout=self.file,
                                        stderr=self.file, env=clean_environment(RAMAL_ADDRESS=address))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(SECONDS)
        self.file.close()

    def output(self):
        # Not with a seek: the program writes at the same offset.
        return os.pread(self.file.fileno(), 1 << 20, 0).decode()

    def wait_for(self, text):
        wait_for(lambda: text in self.output() or self.process.poll() is not None, f"{text!r} in {self.output()!r}")
        return self.output()


class Examples(unittest.TestCase):
    def setUp(self):
        self.broker = self.enterContext_(Ramald("--listen", "tcp:127.0.0.1:0", "--listen", self.unix_address()))
        self.address = next(a for a in self.broker.addresses if a.startswith("unix:"))

    def enterContext_(self, manager):
        """Python 3.11 has enterContext()."""
        result = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return result

    def unix_address(self):
        self.directory = self.enterContext_(Directory())
        return "unix:" + self.directory / "bus"

    def run_example(self, name, *args, status=0, address=None):
        done = subprocess.run([os.path.join(EXAMPLES, name), *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False,
                              env=clean_environment(RAMAL_ADDRESS=address or self.address))
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def start(self, name, *args, **kwargs):
        return self.enterContext_(Running(self.address, name, *args, **kwargs))

    # ---- the small ones ----

    def test_publish_reaches_subscribe(self):
        self.assertEqual(self.run_example("publish", "greetings.world", "nobody hears this"), "0 got it\n")
        subscriber = self.start("subscribe", "greetings.>")
        wait_for(lambda: self.run_example("publish", "greetings.world", "good morning") == "1 got it\n", "a subscriber")
        self.assertEqual(subscriber.wait_for("\n"), "greetings.world: good morning\n")

    def test_publish_that_is_refused_says_why(self):
        for subject in ("a.*", "a..b", "$SYS.x"):
            self.assertRegex(self.run_example("publish", subject, "x", status=1), r"^publish: .+\n$")

    def test_subscribe_to_no_pattern_is_refused(self):
        self.assertRegex(self.run_example("subscribe", "a..b", status=65), r"^subscribe: a\.\.b: .+\n$")

    def test_request_is_answered_by_serve(self):
        self.assertIn("nobody serves", self.run_example("request", "text.upper", "x", status=1))
        service = self.start("serve", "text.upper")
        self.assertEqual(service.wait_for("\n"), "serving text.upper\n")
        self.assertEqual(self.run_example("request", "text.upper", "good morning"), "GOOD MORNING\n")
        self.assertEqual(self.run_example("request", "text.upper", ""), "\n")
        self.assertIn("5000 bytes are too many", self.run_example("request", "text.upper", "x" * 5000, status=1))
        self.assertRegex(self.run_example("serve", "text.upper", status=69), r"^serve: .+\n$")

    def test_pipeline_passes_everything_on_in_order(self):
        self.start("pipeline", "lines.raw", "lines.loud")
        with ramal.connect(self.address, timeout=SECONDS) as source, \
                ramal.connect(self.address, timeout=SECONDS) as sink:
            sink.subscribe("lines.loud", overflow=ramal.pb.OVERFLOW_BLOCK, credit_messages=1)
            wait_for(lambda: source.publish("lines.raw", b"hello", receipt=True), "the pipeline")
            for n in range(500):
                source.publish("lines.raw", b"line %d" % n, ttl=600)
            for n in range(-1, 500):
                got = sink.next_delivery().deliver
                sink.credit(got.seq, sid=got.sid)
                self.assertEqual(got.payload, b"LINE %d" % n if n >= 0 else b"HELLO")
            self.assertGreater(got.time_left_us, 0)
        self.assertRegex(self.run_example("pipeline", "a..b", "c", status=65), r"^pipeline: a\.\.b: .+\n$")

    def test_foreign_loop_hears_the_others_and_not_itself(self):
        with Running(self.address, "foreign_loop", "chat.lobby", stdin=subprocess.PIPE) as one, \
                Running(self.address, "foreign_loop", "chat.lobby", stdin=subprocess.PIPE) as two:
            wait_for(lambda: self.run_example("publish", "chat.lobby", "welcome") == "2 got it\n", "both in the lobby")
            two.wait_for("welcome\n")
            one.process.stdin.write(b"hello\n")
            one.process.stdin.flush()
            self.assertTrue(two.wait_for("hello\n").endswith("hello\n"))
            one.process.stdin.write(b"bye\n")
            one.process.stdin.close()
            self.assertEqual(one.process.wait(SECONDS), 0)
            self.assertTrue(two.wait_for("bye\n").endswith("bye\n"))
            self.assertNotIn("hello", one.output())

    def test_every_example_without_a_broker_says_what_it_tried(self):
        nowhere = "unix:" + self.directory / "nowhere"
        for name, args in (("publish", ["a", "b"]), ("subscribe", ["a"]), ("request", ["a", "b"]), ("serve", ["a"]),
                           ("pipeline", ["a", "b"]),
                           ("foreign_loop", ["a"]), ("hostmon", []), ("hosttop", [])):
            self.assertIn(nowhere, self.run_example(name, *args, status=69, address=nowhere))

    def test_every_example_explains_its_arguments(self):
        for name in ("publish", "subscribe", "request", "serve", "foreign_loop"):
            self.assertEqual(self.run_example(name, status=64), f"{name}: usage: {self.usage_of(name)}\n")
        for name in ("hostmon", "hosttop"):
            self.assertIn(f"usage: {name} ", self.run_example(name, "--help"))
            self.assertIn("--nonsense", self.run_example(name, "--nonsense", status=64))
            self.run_example(name, "one", "two", status=64)

    @staticmethod
    def usage_of(name):
        with open(f"{ROOT}/examples/{name}.c", encoding="ascii") as file:
            return re.search(r'"usage: ([^"]+)"', file.read())[1]

    # ---- hostmon ----

    def make_proc(self):
        proc = self.enterContext_(Directory())
        os.mkdir(proc / "net")
        for name, text in PROC.items():
            with open(proc / name, "w", encoding="ascii") as file:
                file.write(text)
        return proc

    @staticmethod
    def next(client):
        """The next message, as Data."""
        return client.next_delivery(timeout=SECONDS).deliver

    def collect(self, client, subjects):
        """The first message on each of these subjects."""
        found = {}
        end = time.monotonic() + SECONDS
        while len(found) < len(subjects):
            self.assertLess(time.monotonic(), end, f"only {sorted(found)} came")
            data = self.next(client)
            if data.subject in subjects:
                found.setdefault(data.subject, data)
        return found

    def connect(self):
        return self.enterContext_(ramal.connect(self.address))

    def test_hostmon_publishes_what_proc_says(self):
        pb = hostmon_messages()
        client = self.connect()
        client.subscribe("host.>")
        self.start("hostmon", "--proc", str(self.make_proc()), "--name", "web1.example.org")
        host = "host.web1_example_org."
        kinds = {"cpu": pb.Cpu, "mem": pb.Memory, "load": pb.Load, "net.lo": pb.Net, "net.eth0_7": pb.Net,
                 "disk.sda": pb.Disk}
        found = self.collect(client, {host + name for name in kinds})
        messages = {}
        for name, kind in kinds.items():
            data = found[host + name]
            self.assertEqual(data.type, kind.DESCRIPTOR.full_name)
            messages[name] = kind.FromString(data.payload)
            self.assertLess(abs(messages[name].time_us / 1e6 - time.time()), 60)
        self.assertEqual(messages["cpu"].cpus, 3)
        self.assertEqual(messages["cpu"].user_ms, 120 * 1000 // os.sysconf("SC_CLK_TCK"))
        self.assertEqual(messages["mem"].total_bytes, 8000 * 1024)
        self.assertEqual(messages["mem"].swap_free_bytes, 8 * 1024)
        self.assertEqual((messages["load"].one, messages["load"].running, messages["load"].threads), (1.25, 4, 567))
        self.assertEqual((messages["net.eth0_7"].interface, messages["net.eth0_7"].sent_bytes), ("eth0.7", 29))
        self.assertEqual((messages["disk.sda"].device, messages["disk.sda"].written_bytes), ("sda", 40 * 512))

    def test_hostmon_snapshot_has_it_all(self):
        pb = hostmon_messages()
        client = self.connect()
        client.subscribe("host.>")
        self.start("hostmon", "--proc", str(self.make_proc()), "--name", "box")
        self.collect(client, {"host.box.cpu"})  # it serves before it publishes
        reply = next(client.call("host.box.snapshot"))
        self.assertEqual(reply.type, "hostmon.v1.Snapshot")
        snapshot = pb.Snapshot.FromString(reply.payload)
        self.assertEqual(snapshot.host, "box")
        self.assertEqual([n.interface for n in snapshot.net], ["lo", "eth0.7"])
        self.assertEqual([d.device for d in snapshot.disk], ["sda"])
        self.assertEqual(snapshot.memory.available_bytes, 4000 * 1024)
        self.assertEqual(snapshot.load.fifteen, 3.75)

    def test_hostmon_publishes_five_times_a_second(self):
        pb = hostmon_messages()
        client = self.connect()
        client.subscribe("host.*.load")
        self.start("hostmon", "--proc", str(self.make_proc()))
        times = [pb.Load.FromString(self.next(client).payload).time_us for _ in range(11)]
        # On the whole: a busy machine delays one or the other.
        self.assertGreater(times[-1] - times[0], 1_500_000)
        self.assertLess(times[-1] - times[0], 10_000_000)

    def test_hostmon_shows_rates_and_goes_on_without_a_file(self):
        pb = hostmon_messages()
        proc = self.make_proc()
        client = self.connect()
        client.subscribe("host.*.net.lo")
        hostmon = self.start("hostmon", "--proc", str(proc))
        self.next(client)
        os.unlink(proc / "meminfo")
        with open(proc / "net/dev", "w", encoding="ascii") as file:
            file.write(PROC["net/dev"].replace("lo: 1 ", "lo: 1000001 "))
        wait_for(lambda: pb.Net.FromString(self.next(client).payload).received_bytes_per_s > 0, "a rate above 0")
        self.assertIn("meminfo: No such file or directory", hostmon.wait_for("meminfo"))
        self.assertEqual(hostmon.output().count("meminfo"), 1)

    def test_hostmon_reads_this_machine(self):
        self.start("hostmon")
        lines = self.run_example("hosttop", "--count", "5").splitlines()
        self.assertEqual(len(lines), 5)
        self.assertRegex(lines[0], r"^host\.\S+ +\S")

    def test_hostmon_goes_on_when_the_broker_comes_back(self):
        broker = Ramald("--listen", "unix:" + self.directory / "other")
        try:
            with Running(broker.address, "hostmon", "--name", "box") as hostmon:
                self.run_example("hosttop", "--count", "1", address=broker.address)
                broker.kill_only()
                with Ramald("--listen", broker.address) as again:
                    self.assertIn("host.box.", self.run_example("hosttop", "--count", "1", address=again.address))
                    with ramal.connect(again.address) as client:
                        self.assertEqual(next(client.call("host.box.snapshot")).type, "hostmon.v1.Snapshot")
                    hostmon.process.send_signal(signal.SIGTERM)
                    self.assertEqual(hostmon.process.wait(SECONDS), 0)
        finally:
            broker.kill()

    def test_hostmon_without_proc_says_so(self):
        text = self.run_example("hostmon", "--proc", "/nonexistent", status=71)
        self.assertIn("nothing to read in /nonexistent", text)

    def test_hostmon_of_a_name_that_is_taken_says_so(self):
        client = self.connect()
        client.subscribe("host.>")
        self.start("hostmon", "--name", "box")
        self.next(client)
        self.assertEqual(self.run_example("hostmon", "--name", "box", status=69),
                         "hostmon: host.box.snapshot is served already (another hostmon? --name gives this one another name)\n")

    def test_hostmon_and_hosttop_over_tcp(self):
        tcp = next(a for a in self.broker.addresses if a.startswith("tcp:"))
        access = ["--address", tcp, "--token-file", self.directory / "token"]
        self.start("hostmon", *access, "--name", "box")
        text = self.run_example("hosttop", *access, "--count", "2", "host.*.load")
        self.assertEqual(len(re.findall(r"^host\.box\.load .* threads run$", text, re.M)), 2)
        with open(self.directory / "wrong", "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write("0" * 64 + "\n")
        self.assertRegex(self.run_example("hosttop", "--address", tcp, "--token-file", self.directory / "wrong", status=77),
                         r"^hosttop: .+\n$")

    def test_hosttop_says_why_a_pattern_is_none(self):
        self.assertRegex(self.run_example("hosttop", "a..b", status=65), r"^hosttop: a\.\.b: .*empty token.*\n$")

    def test_hosttop_leaves_out_what_it_does_not_understand(self):
        client = self.connect()
        top = self.start("hosttop", "--count", "1", "host.>")
        good = hostmon_messages().Load(one=1).SerializeToString()

        def publish():
            client.publish("host.x.load", b"\xff\xff\xff", type="hostmon.v1.Load")
            client.publish("host.x.load", good, type="something.Else")
            client.publish("host.y.load", good, type="hostmon.v1.Load")
            return top.process.poll() is not None

        wait_for(publish, "hosttop to have seen one")
        self.assertEqual(top.process.returncode, 0)
        self.assertRegex(top.output(), r"^host\.y\.load .*\n$")


if __name__ == "__main__":
    unittest.main()
