# SPDX-License-Identifier: MIT
"""`ramal bench`: every scenario with few messages, what it prints, and what is left behind however it ends. Nothing
here looks at how fast anything was."""

import glob
import json
import os
import shutil
import signal
import subprocess
import xml.dom.minidom

from cmdcase import DATA, INTERRUPTED, LATER, OK, REFUSED, UNAVAILABLE, USAGE, CmdCase, main
from ramal import api
from ramald import SECONDS, Directory, Ramald, program, wait_for

# Enough to be measured while something else happens.
LONG = ("--duration", "1h", "--rounds", "1", "--no-relay")
FEW = ("--count", "50", "--rounds", "2")


class BenchCase(CmdCase):
    """TMPDIR is the test's own, so that what is left there can be seen."""

    def setUp(self):
        self.place = Directory(mode=0o700)
        self.addCleanup(self.place.__exit__)

    def environment(self, env=None):
        return super().environment({"TMPDIR": str(self.place), **(env or {})})

    def bench(self, *args, **more):
        done = self.cmd("bench", *args, "--json", "--ramald", program(), **more) if "--private" in args else \
            self.cmd("bench", *args, "--json", **more)
        self.assertEqual(len(done.lines()), 1, done.out)
        return done.json()[0]

    def group(self, pid):
        """The process and all its descendants that are alive."""
        alive, todo = [], [pid]
        while todo:
            one = todo.pop()
            try:
                with open(f"/proc/{one}/task/{one}/children", encoding="ascii") as file:
                    todo += [int(word) for word in file.read().split()]
                alive.append(one)
            except OSError:
                pass
        return alive

    @staticmethod
    def state(pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                return file.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            return "gone"

    def expect_nothing_left(self, pids):
        # Whoever is nobody's child any more is reaped by init, or by nobody where there is none.
        wait_for(lambda: all(self.state(pid) in ("gone", "Z", "X") for pid in pids), f"the end of {pids}")
        wait_for(lambda: not os.listdir(str(self.place)), "an empty TMPDIR")

    def start_private(self, *args, **more):
        """A run with a broker of its own whose messages flow."""
        running = self.start("bench", *args, *LONG, "--private", "--ramald", program(), **more)
        address = wait_for(lambda: glob.glob(f"{self.place}/ramal-bench-*/bus"), "the private broker")[0]
        self.wait_measuring(address)
        return running, address

    def ask(self, address, *words):
        done = subprocess.run([program("RAMAL"), *words, "--json", "--address", f"unix:{address}"],
                              capture_output=True, env=self.environment(), timeout=SECONDS, check=False)
        return json.loads(done.stdout) if done.returncode == OK else None

    def wait_measuring(self, address):
        """The command itself connects to what its processes use when the measuring begins; then messages go through."""
        def begun():
            apps = [peer["app"] for peer in self.ask(address, "list") or []]
            return "ramal bench" in apps and any(app.startswith("ramal bench ") for app in apps)

        wait_for(begun, "the measuring")
        before = self.ask(address, "status")["counters"]["deliveries"]
        wait_for(lambda: self.ask(address, "status")["counters"]["deliveries"] > before + 200, "messages")


class Scenarios(BenchCase):
    def expect_side(self, side, rounds, messages):
        self.assertEqual(side["rounds"], rounds)
        self.assertFalse(side["partial"])
        self.assertEqual(side["messages"], messages)
        self.assertEqual((side["lost"], side["gaps"], side["wrong"], side["refused"]), (0, 0, 0, 0))
        self.assertGreater(side["rate"], 0)

    def expect_latency(self, side):
        values = [side["latency_us"][name] for name in ("p50", "p90", "p99", "p999", "max")]
        self.assertEqual(values, sorted(values))
        self.assertGreater(values[0], 0)
        shares = [share for share, _ in side["distribution"]]
        self.assertEqual(shares, sorted(shares))
        self.assertEqual(shares[0], 0)

    def expect_row(self, run, messages, base="relay", **sizes):
        self.assertEqual(run["lost"], 0)
        self.assertEqual(len(run["rows"]), 1)
        row = run["rows"][0]
        for key, value in sizes.items():
            self.assertEqual(row.get(key), value, key)
        for side in ("ramal", base):
            self.expect_side(row[side], 2, 2 * messages)
            self.expect_latency(row[side])
        self.assertGreater(row["ratio"]["rate"], 0)
        self.assertGreater(row["ramal"]["memory_bytes"], 0)
        return row

    def test_bench_rtt(self):
        run = self.bench("rtt", *FEW)
        self.expect_row(run, 50, scenario="rtt", size=64, publishers=1, in_flight=1, subscribers=None, cpus="any")
        self.assertEqual((run["bench"], run["address"], run["count"]), ("rtt", self.broker.address, 50))

    def test_bench_rtt_of_several_pairs(self):
        self.expect_row(self.bench("rtt", *FEW, "--publishers", "3"), 150, publishers=3)

    def test_bench_pub(self):
        self.expect_row(self.bench("pub", *FEW), 50, size=64, subscribers=1, publishers=1, in_flight=None)

    def test_bench_pub_each_by_itself(self):
        run = self.bench("pub", *FEW, "--no-batch", "--no-spin")
        self.expect_row(run, 50)
        self.assertEqual((run["batch"], run["spin"]), (False, False))

    def test_bench_pub_of_several(self):
        """They would be refused if they did not hold themselves back: each has the whole publish credit."""
        run = self.bench("pub", "--publishers", "6", "--subscribers", "2", "--size", "64k", "--count", "200",
                         "--rounds", "2", "--window", "none")
        self.expect_row(run, 6 * 2 * 200, publishers=6, subscribers=2, size=65536)

    def test_bench_pub_within_a_window(self):
        for window in ("1", "7", "100000"):
            run = self.bench("pub", "--count", "2000", "--rounds", "2", "--window", window)
            self.expect_row(run, 2000)
            self.assertEqual(run["window"], int(window))

    def test_bench_pub_held_back_by_the_bus_alone(self):
        for words in (["pub", "--count", "100000"], ["pub", "--count", "500", "--size", "64k"]):
            run = self.bench(*words, "--rounds", "2", "--window", "none")
            self.expect_row(run, int(words[2]))
            self.assertEqual(run["window"], 0)

    def test_bench_pub_of_every_size(self):
        run = self.bench("pub", *FEW, "--size", "1,7,8,15,16,1k,64k,1m")
        self.assertEqual(run["list"], "size")
        self.assertEqual([row["size"] for row in run["rows"]], [1, 7, 8, 15, 16, 1024, 65536, 1048576])
        for row in run["rows"]:
            for side in ("ramal", "relay"):
                self.expect_side(row[side], 2, 100)
                # The time does not fit in less.
                self.assertEqual("latency_us" in row[side], row["size"] >= 16)

    def test_bench_fanout(self):
        self.expect_row(self.bench("fanout", *FEW, "--subscribers", "3"), 150, subscribers=3, size=256)

    def test_bench_calls(self):
        run = self.bench("calls", "--count", "500", "--rounds", "2", "--in-flight", "16")
        self.expect_row(run, 500, in_flight=16)

    def test_bench_calls_larger_than_what_sockets_hold(self):
        run = self.bench("calls", "--count", "20", "--rounds", "2", "--in-flight", "4", "--size", "1m")
        self.expect_row(run, 20, in_flight=4)

    def test_bench_connect(self):
        run = self.bench("connect", "--count", "10", "--rounds", "2", "--connections", "2")
        self.expect_row(run, 20, connections=2, size=None)

    def test_bench_interests(self):
        run = self.bench("interests", *FEW, "--interests", "500")
        row = self.expect_row(run, 50, base="alone", interests=500)
        self.assertEqual(row["ramal"]["held"], 500)
        self.assertNotIn("relay", row)

    def test_bench_idle(self):
        run = self.bench("idle", "--connections", "40", "--duration", "10ms", "--rounds", "2")
        side = run["rows"][0]["ramal"]
        self.assertEqual((side["rounds"], side["held"], run["lost"]), (2, 40, 0))
        self.assertIn("cpu_ns_per_s", side)
        self.assertIn("bytes_each", side)

    def test_bench_relay_needs_no_broker(self):
        run = self.bench("relay", *FEW, "--subscribers", "2", "--connections", "2",
                         env={"RAMAL_ADDRESS": "unix:/nonexistent/bus"})
        self.assertEqual([row["scenario"] for row in run["rows"]], ["rtt", "pub", "fanout", "calls", "connect"])
        for row, messages in zip(run["rows"], (50, 50, 100, 50, 100)):
            self.expect_side(row["relay"], 2, 2 * messages)
            self.assertNotIn("ramal", row)

    def test_bench_for_a_time(self):
        for words in (["rtt"], ["pub"], ["pub", "--size", "1m"], ["calls"], ["connect"]):
            with self.subTest(words=words):
                def messages():
                    run = self.bench(*words, "--duration", "20ms", "--rounds", "1")
                    self.assertEqual((run["duration_us"], run["lost"]), (20000, 0))
                    return run["rows"][0]["ramal"]["messages"]

                # Where others have the processors all that time, there are none.
                wait_for(messages, "a run with messages")

    def test_bench_over_tcp(self):
        run = self.bench("pub", *FEW, "--address", self.tcp, "--token-file", self.broker.token_file)
        self.expect_row(run, 50)
        self.assertTrue(run["tcp"])

    def test_bench_without_the_relay(self):
        row = self.bench("pub", *FEW, "--no-relay")["rows"][0]
        self.assertNotIn("relay", row)
        self.assertNotIn("ratio", row)

    def test_bench_pinned(self):
        cpu = str(min(os.sched_getaffinity(0)))
        self.expect_row(self.bench("rtt", *FEW, "--pin", cpu), 50, cpus=cpu)
        self.expect_row(self.bench("rtt", *FEW, "--pin", f"{cpu},{cpu},{cpu}"), 50, cpus=f"{cpu},{cpu},{cpu}")

    def test_bench_loss_is_told_and_counted(self):
        """A subscriber that stands still, and a broker that holds less for it than the bench's window: some publishes
        are refused, so their messages do not come."""
        with Ramald("--limit-connection-bytes", "256K") as small:
            def ask(verb):
                return self.cmd(verb, "--json", "--address", small.address).json()[0]

            running = self.start("bench", "pub", "--count", "400000", "--rounds", "1", "--size", "1k", "--json",
                                 "--no-relay", "--address", small.address)
            sink = wait_for(lambda: [peer["pid"] for peer in ask("list")
                                     if peer["app"] == "ramal bench pub" and peer["interests"] == 1],
                            "the subscriber")[0]
            os.kill(sink, signal.SIGSTOP)
            wait_for(lambda: ask("status")["counters"]["would_block"] > 0, "a refusal")
            os.kill(sink, signal.SIGCONT)
            done = running.end()
            self.assertEqual(done.status, REFUSED, done.err)
            run = done.json()[0]
            self.assertGreater(run["lost"], 0)
            self.assertEqual(run["rows"][0]["ramal"]["refused"], run["lost"])
            self.assertIn(f"{run['lost']} messages did not come, or not as they were sent", done.err)

    def test_bench_leaves_the_broker_as_it_was(self):
        self.bench("fanout", *FEW)
        with self.client() as bus:
            self.assertEqual(list(bus.api("names", api.NamesRequest()).names), [])
        wait_for(lambda: self.cmd("list", "--json").json()[0][0]["app"] == "ramal list", "the bench's peers to be gone")


class Private(BenchCase):
    def test_private_broker_is_removed(self):
        run = self.bench("pub", *FEW, "--private")
        self.assertEqual((run["address"], run["lost"]), ("private", 0))
        self.assertEqual(os.listdir(str(self.place)), [])

    def test_private_broker_over_tcp(self):
        run = self.bench("calls", *FEW, "--private", "--tcp", "--no-spin")
        self.assertEqual((run["tcp"], run["lost"]), (True, 0))
        self.assertEqual(os.listdir(str(self.place)), [])

    def test_private_rtt_is_told_on_one_cpu_and_on_any(self):
        rows = self.bench("rtt", *FEW, "--private")["rows"]
        self.assertEqual([row["cpus"] for row in rows], ["any", str(min(os.sched_getaffinity(0)))])

    def test_private_broker_is_found_beside_the_command(self):
        for place in (".", "../sbin"):
            with self.subTest(place=place), Directory() as directory:
                for name in ("bin", "sbin"):
                    os.mkdir(directory / name)
                command = shutil.copy(directory.program(program("RAMAL")), directory / "bin")
                os.symlink(program(), os.path.join(directory / "bin", place, "ramald"))
                done = subprocess.run([command, "bench", "pub", *FEW, "--private"], env=self.environment({"PATH": "/"}),
                                      capture_output=True, timeout=SECONDS, check=False)
                self.assertEqual(done.returncode, OK, done.stderr)

    def test_private_broker_that_does_not_start(self):
        self.wrong(UNAVAILABLE, "say where ramald is with --ramald", "bench", "pub", "--private", "--ramald",
                   "/no/such")
        self.wrong(UNAVAILABLE, "is it ramald?", "bench", "pub", "--private", "--ramald", "/bin/false")
        self.assertEqual(os.listdir(str(self.place)), [])


class Output(BenchCase):
    def test_output_table_has_both_sides(self):
        done = self.cmd("bench", "pub", *FEW)
        head, relay, bus = done.lines()
        for column in ("RATE/S", "P50", "P99.9", "MAX", "CPU", "MEMORY", "LOST", "x RATE"):
            self.assertIn(column, head)
        self.assertIn(" relay ", relay)
        self.assertIn(" ramal ", bus)
        self.assertEqual(done.err, "")

    def test_output_svg_is_well_formed(self):
        path = self.place / "plot.svg"
        for words, charts in ((["pub"], 1), (["pub", "--size", "16,1k"], 2), (["interests", "--interests", "10,20"], 3),
                              (["pub", "--size", "1"], 1)):
            with self.subTest(words=words):
                self.cmd("bench", *words, *FEW, "--svg", path)
                svg = xml.dom.minidom.parse(path).documentElement
                self.assertEqual(svg.tagName, "svg")
                self.assertEqual(len(svg.getElementsByTagName("g")), charts)
                texts = [t.firstChild.data for t in svg.getElementsByTagName("text") if t.firstChild]
                if words != ["pub", "--size", "1"]:
                    self.assertIn("ramal", texts)

    def test_output_svg_that_cannot_be_written_is_found_before_the_run(self):
        self.wrong(73, "/no/such/place", "bench", "pub", *LONG, "--svg", "/no/such/place/x.svg")
        done = self.cmd("bench", "pub", *FEW, "--svg", "/dev/full", status=73)
        self.assertEqual(done.err, "ramal: bench: cannot write /dev/full: No space left on device\n")

    def test_output_svg_is_not_touched_where_nothing_was_measured(self):
        path = self.place / "plot.svg"
        for before in (None, "mine"):
            with self.subTest(before=before):
                if before:
                    with open(path, "w", encoding="utf-8") as file:
                        file.write(before)
                self.cmd("bench", "pub", "--svg", path, env={"RAMAL_ADDRESS": "unix:/nonexistent/bus"},
                         status=UNAVAILABLE)
                self.assertEqual(os.path.exists(path), before is not None)
                if before:
                    with open(path, encoding="utf-8") as file:
                        self.assertEqual(file.read(), before)

    def test_output_compare_tells_what_was_done_another_way(self):
        path = self.place / "before.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.bench("pub", *FEW, "--no-batch", "--window", "9"), file)
        done = self.cmd("bench", "pub", *FEW, "--compare", path)
        self.assertIn("the earlier run was without batch, this one is with it", done.err)
        self.assertIn("the earlier run had a window of 9, this one of 16384", done.err)
        self.assertNotIn("spin", done.err)
        self.assertEqual(self.cmd("bench", "pub", *FEW, "--no-batch", "--window", "9", "--compare", path).err, "")

    def test_output_compare(self):
        path = self.place / "before.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.bench("pub", *FEW, "--size", "64,128"), file)
        done = self.cmd("bench", "pub", *FEW, "--size", "64,128", "--compare", path)
        self.assertIn("the earlier run, and this one:", done.out)
        self.assertEqual(len([line for line in done.lines() if line.startswith("pub size ")]), 2)
        done = self.cmd("bench", "pub", *FEW, "--size", "128,256", "--compare", path)
        self.assertIn("has 1 of these 2 rows", done.err)
        self.assertEqual(self.bench("pub", *FEW, "--compare", path)["lost"], 0)

    def test_output_compare_with_what_is_no_run(self):
        path = self.place / "x.json"
        for text, said in (("", "--compare"), ("[]", "not what 'ramal bench --json' prints"),
                           ('{"bench":"rtt","rows":[]}', "that was rtt, this is pub"), ("{]", "--compare")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            self.wrong(DATA, said, "bench", "pub", *LONG, "--compare", path)
        self.wrong(DATA, "/no/such", "bench", "pub", *LONG, "--compare", "/no/such")

    def test_output_earlier_run_may_hold_anything(self):
        path = self.place / "x.json"
        for row in ("1", "null", "{}", '{"scenario":"pub","cpus":"any","size":64,"subscribers":1,"publishers":1}',
                    '{"scenario":"pub","cpus":"any","size":64,"subscribers":1,"publishers":1,"ramal":{"rate":"x"}}'):
            with open(path, "w", encoding="utf-8") as file:
                file.write('{"bench":"pub","rows":[' + row + "]}")
            self.cmd("bench", "pub", *FEW, "--compare", path)


class Wrong(BenchCase):
    def test_wrong_command_lines(self):
        for said, words in (
            ("something is missing: ramal bench SCENARIO", []),
            ("no scenario 'fan'", ["fan"]),
            ("no scenario 'rrt': did you mean 'rtt'?", ["rrt"]),
            ("--size wants bytes, as 64 or 4k, from 1 on", ["pub", "--size", "0"]),
            ("--size wants bytes", ["pub", "--size", "1,,2"]),
            ("--subscribers wants a number from 1 on", ["fanout", "--subscribers", "x"]),
            ("--size is at most 67108864", ["relay", "--size", "65m"]),
            ("--subscribers is at most", ["fanout", "--subscribers", "1000"]),
            ("only one of them may be a list", ["fanout", "--subscribers", "1,2", "--size", "1,2"]),
            ("--size means nothing to idle", ["idle", "--size", "1"]),
            ("--in-flight means nothing to rtt", ["rtt", "--in-flight", "2"]),
            ("--count or --duration, not both", ["pub", "--count", "1", "--duration", "1s"]),
            ("--ramald needs --private", ["pub", "--ramald", "/x"]),
            ("--tcp needs --private", ["pub", "--tcp"]),
            ("not both", ["pub", "--private", "--address", "unix:/x"]),
            ("--pin wants one CPU, as 0, or three", ["pub", "--pin", "0,1"]),
            ("there is no CPU 1023", ["pub", "--pin", "1023"]),
            ("--size is at least 8 with several publishers", ["pub", "--publishers", "2", "--size", "4"]),
            ("--rounds is at most", ["pub", "--rounds", "1000"]),
            ("--window wants a number of messages from 1 on, or 'none'", ["pub", "--window", "0"]),
            ("--window means nothing to rtt", ["rtt", "--window", "9"]),
            ("relay takes no lists", ["relay", "--size", "1,2"]),
        ):
            with self.subTest(words=words):
                self.wrong(USAGE, said, "bench", *words)

    def test_wrong_payload_names_the_limit(self):
        self.wrong(DATA, "this broker takes at most 8388608 bytes (limits.payload_bytes)", "bench", "pub", "--size",
                   "8388609")

    def test_wrong_without_a_broker_says_what_to_do(self):
        done = self.cmd("bench", "rtt", env={"RAMAL_ADDRESS": "unix:/nonexistent/bus"}, status=UNAVAILABLE)
        self.assertEqual(done.out, "")
        self.assertIn("/nonexistent/bus", done.err)
        self.assertIn("'ramal bench rtt --private'", done.err.splitlines()[-1])

    def test_wrong_number_of_interests_names_the_limit(self):
        with Ramald("--limit-own-interests", "100") as small:
            done = self.cmd("bench", "interests", "--interests", "200", *FEW, status=LATER,
                            env={"RAMAL_ADDRESS": small.address})
            self.assertIn("limits.own_interests", done.err)
            self.assertIn("nothing was measured until then", done.err)

    def test_wrong_number_of_connections_is_held_as_far_as_it_goes(self):
        with Ramald("--limit-own-connections", "10") as small:
            done = self.cmd("bench", "idle", "--connections", "20", "--duration", "10ms", "--rounds", "1", "--json",
                            env={"RAMAL_ADDRESS": small.address})
            # The command itself is the tenth.
            self.assertEqual(done.json()[0]["rows"][0]["ramal"]["held"], 9)
            self.assertIn("9 of 20 connections", done.json()[0]["note"])
            self.assertIn("limits.own_connections", done.err)


class Endings(BenchCase):
    """Whatever happens in the middle: a line says so, what was measured is printed, and nothing stays."""

    def in_the_middle(self, attempt):
        """What `attempt` came to. That the measuring has begun cannot be seen from outside: where it had not, again."""
        for _ in range(20):
            done, pids = attempt()
            self.expect_nothing_left(pids)
            if "nothing was measured until then" not in done.err:
                return done
        raise AssertionError("nothing was ever measured")

    def expect_figures(self, done, said):
        self.assertIn(said, done.err)
        self.assertIn(" ramal ", done.out)
        self.assertIn("the figures are what was measured until then", done.err)

    def test_ending_by_ctrl_c_tells_what_was_measured(self):
        def attempt():
            running, _ = self.start_private("pub")
            pids = self.group(running.process.pid)
            self.assertGreaterEqual(len(pids), 5)  # we, the keeper, its broker, a publisher, a subscriber
            done = running.stop(signal.SIGINT)
            self.assertEqual(done.status, INTERRUPTED)
            return done, pids

        self.expect_figures(self.in_the_middle(attempt), "interrupted")

    def test_ending_by_ctrl_c_at_the_terminal_reaches_all_processes(self):
        def attempt():
            running, _ = self.start_private("pub", start_new_session=True)
            pids = self.group(running.process.pid)
            os.killpg(running.process.pid, signal.SIGINT)
            done = running.end()
            self.assertEqual(done.status, INTERRUPTED)
            return done, pids

        self.expect_figures(self.in_the_middle(attempt), "interrupted")

    def test_ending_by_sigterm(self):
        running, _ = self.start_private("rtt")
        pids = self.group(running.process.pid)
        self.assertEqual(running.stop(signal.SIGTERM).status, 128 + signal.SIGTERM)
        self.expect_nothing_left(pids)

    def test_ending_by_sigkill_leaves_nothing(self):
        for scenario in ("pub", "calls"):
            running, _ = self.start_private(scenario)
            pids = self.group(running.process.pid)
            running.stop(signal.SIGKILL)
            self.expect_nothing_left(pids)

    def test_ending_of_the_relay_leaves_nothing(self):
        running = self.start("bench", "relay", "--duration", "1h", "--rounds", "1")
        wait_for(lambda: len(self.group(running.process.pid)) >= 4, "relay, caller and service")
        pids = self.group(running.process.pid)
        running.stop(signal.SIGKILL)
        self.expect_nothing_left(pids)

    def broker_of(self, address):
        done = self.cmd("status", "--json", "--address", f"unix:{address}")
        return done.json()[0]["broker"]["pid"]

    def test_ending_of_the_broker_in_the_middle(self):
        for scenario, number in (("rtt", signal.SIGKILL), ("pub", signal.SIGKILL), ("fanout", signal.SIGKILL),
                                 ("calls", signal.SIGKILL), ("pub", signal.SIGTERM)):
            with self.subTest(scenario=scenario, number=number):
                def attempt():
                    running, address = self.start_private(scenario)
                    pids = self.group(running.process.pid)
                    os.kill(self.broker_of(address), number)
                    done = running.end()
                    self.assertEqual(done.status, UNAVAILABLE, done.err)
                    return done, pids

                done = self.in_the_middle(attempt)
                self.assertEqual(len(done.err.splitlines()), 2, done.err)
                self.expect_figures(done, "not finished")

    def test_ending_of_the_broker_while_it_is_connected_to_or_held(self):
        for words in (["connect"], ["idle", "--connections", "20"]):
            with self.subTest(words=words):
                running = self.start("bench", *words, *[w for w in LONG if words[0] == "connect" or w != "--no-relay"],
                                     "--private", "--ramald", program())
                address = wait_for(lambda: glob.glob(f"{self.place}/ramal-bench-*/bus"), "the private broker")[0]
                pids = wait_for(lambda: len(self.group(running.process.pid)) >= 4 and self.group(running.process.pid),
                                "its processes")
                if words[0] == "idle":
                    wait_for(lambda: len(self.cmd("list", "--json", "--address", f"unix:{address}").json()[0]) > 20,
                             "the connections")
                os.kill(self.broker_of(address), signal.SIGKILL)
                if words[0] == "idle":
                    # Nobody asks it anything for an hour.
                    running.send(signal.SIGINT)
                done = running.end()
                self.assertIn(done.status, (UNAVAILABLE, INTERRUPTED), done.err)
                self.expect_nothing_left(pids)

    def test_ending_of_the_keeper_of_the_private_broker(self):
        running, address = self.start_private("pub")
        pids = self.group(running.process.pid)
        with open(f"/proc/{self.broker_of(address)}/stat", encoding="ascii") as file:
            os.kill(int(file.read().rsplit(")", 1)[1].split()[1]), signal.SIGKILL)
        self.assertEqual(running.end().status, UNAVAILABLE)
        self.expect_nothing_left(pids)

    def test_ending_of_a_client_in_the_middle(self):
        def attempt():
            running, address = self.start_private("pub")
            pids = self.group(running.process.pid)
            os.kill(self.subscriber_of(address), signal.SIGKILL)
            done = running.end()
            self.assertEqual(done.status, REFUSED)
            return done, pids

        self.expect_figures(self.in_the_middle(attempt), "subscriber of pub was ended by signal 9")

    def subscriber_of(self, address):
        peers = self.cmd("list", "--json", "--address", f"unix:{address}").json()[0]
        return next(peer["pid"] for peer in peers if peer["app"] == "ramal bench pub" and peer["interests"] == 1)


class Completion(CmdCase):
    def test_completion_knows_the_scenarios(self):
        words = [line.split("\t")[0] for line in self.cmd("__complete", "bench", "").lines()]
        self.assertEqual(words, ["rtt", "pub", "fanout", "calls", "connect", "interests", "idle", "relay"])
        self.assertIn("--private", self.cmd("__complete", "bench", "pub", "--pri").out)


if __name__ == "__main__":
    main()
