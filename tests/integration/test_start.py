# SPDX-License-Identifier: MIT
"""ramald starts and stops: its default socket, its configuration, who is told when, and every exit status."""

import os
import re
import signal
import socket
import stat
import subprocess
import time
import unittest

import ramal
import ramald
from ramald import STRANGER, Directory, Ramald, StartError, as_uid, clean_environment, fail, wait_for


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


class User(unittest.TestCase):
    """The user's bus, as uid 64999."""

    def user(self, *args, env=None, **more):
        return Ramald(*args, listen=False, env=env, before=as_uid(STRANGER), **more)

    def test_start_without_arguments_takes_the_runtime_directory(self):
        with Directory(uid=STRANGER, mode=0o700) as runtime:
            with self.user(env={"XDG_RUNTIME_DIR": str(runtime)}) as broker:
                self.assertEqual(broker.addresses, [f"unix:{runtime}/ramal/bus"])
                self.assertEqual(mode(runtime / "ramal"), 0o750)
                self.assertEqual(mode(runtime / "ramal/bus"), 0o600)
                self.assertEqual(os.stat(runtime / "ramal/bus").st_uid, STRANGER)
                with ramal.connect(broker.address) as bus:
                    bus.ping()
                first = broker.log().splitlines()[0]
                self.assertIn("tcp=off", first)
                self.assertIn("--tcp", first)
            self.assertEqual(os.listdir(runtime / "ramal"), [])
            # And again, in the directory that is there now.
            with self.user(env={"XDG_RUNTIME_DIR": str(runtime)}):
                pass

    def test_start_without_runtime_directory_takes_tmp(self):
        path = f"/tmp/ramal-{STRANGER}"
        self.assertFalse(os.path.exists(path))
        try:
            with self.user() as broker:
                self.assertEqual(broker.addresses, [f"unix:{path}/bus"])
                self.assertEqual(mode(path), 0o700)
                self.assertEqual(mode(path + "/bus"), 0o600)
            os.rmdir(path)
            # A directory or a link that somebody put there first is not entered.
            os.mkdir(path, 0o755)
            status, log = fail(before=as_uid(STRANGER))
            self.assertEqual(status, 73, log)
            self.assertIn(f"the directory {path} belongs to uid 0", log)
            os.rmdir(path)
            os.symlink("/tmp", path)
            status, log = fail(before=as_uid(STRANGER))
            self.assertEqual(status, 73, log)
            self.assertIn("is a symbolic link and no directory", log)
            os.unlink(path)
        finally:
            if os.path.islink(path):
                os.unlink(path)
            elif os.path.isdir(path):
                os.rmdir(path)

    def test_start_in_a_missing_runtime_directory_says_what_to_do(self):
        status, log = fail(env={"XDG_RUNTIME_DIR": "/nonexistent"}, before=as_uid(STRANGER))
        self.assertEqual(status, 73)
        self.assertIn("cannot create the directory /nonexistent/ramal: /nonexistent does not exist", log)
        self.assertIn("--listen", log)

    def test_start_with_address_in_environment_takes_that(self):
        with Directory(uid=STRANGER) as place:
            with self.user(env={"RAMAL_ADDRESS": f"unix:{place}/here"}) as broker:
                self.assertEqual(broker.addresses, [f"unix:{place}/here"])
            # --user says more than the environment, --listen more than both.
            env = {"RAMAL_ADDRESS": f"unix:{place}/here", "XDG_RUNTIME_DIR": str(place)}
            with self.user("--user", env=env) as broker:
                self.assertEqual(broker.addresses, [f"unix:{place}/ramal/bus"])
            with self.user("--listen", f"unix:{place}/there", env=env) as broker:
                self.assertEqual(broker.addresses, [f"unix:{place}/there"])
            with self.user("--listen", f"unix:{place}/there", "--user", env=env) as broker:
                self.assertEqual(broker.addresses, [f"unix:{place}/there", f"unix:{place}/ramal/bus"])
        status, log = fail(env={"RAMAL_ADDRESS": "nonsense"}, before=as_uid(STRANGER))
        self.assertEqual(status, 64)
        self.assertIn("RAMAL_ADDRESS: address 'nonsense'", log)

    def test_start_on_the_system_bus_needs_its_directory(self):
        status, log = fail("--system", before=as_uid(STRANGER))
        self.assertEqual(status, 73)
        self.assertIn("/run/ramal", log)


class System(unittest.TestCase):
    """Root's default, in a mount namespace of its own so that the machine's bus is left alone."""

    def test_start_as_root_takes_the_system_bus(self):
        with Directory() as place:
            script = ('mkfifo told && mount -t tmpfs -o mode=755 tmpfs /run || exit; "$@" 3>told & pid=$!; '
                      'cat told >ready; '  # until it listens, or is gone
                      'stat -c "%a %u %n" /run/ramal /run/ramal/bus; kill $pid; wait $pid')
            done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", ramald.program(), "--ready-fd", "3"],
                                  cwd=str(place), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=20,
                                  env=clean_environment(XDG_RUNTIME_DIR=str(place)), check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout.decode(), "750 0 /run/ramal\n600 0 /run/ramal/bus\n")
            with open(place / "ready", encoding="ascii") as file:
                self.assertEqual(file.read(), "unix:/run/ramal/bus\n")


class Listen(unittest.TestCase):
    def test_start_listens_on_any_number_of_addresses(self):
        name = f"@ramal-test-{os.getpid()}"
        with Directory() as place:
            with Ramald("--listen", f"unix:{place}/a", "--listen", f"{place}/b", "--listen", f"unix:{name}") as broker:
                self.assertEqual(broker.addresses, [f"unix:{place}/a", f"unix:{place}/b", f"unix:{name}"])
                for address in broker.addresses:
                    with ramal.connect(address) as bus:
                        bus.ping()
                        listening = bus.api("status").broker.listening
                        self.assertEqual(list(listening), broker.addresses)
            self.assertEqual(os.listdir(str(place)), [])

    def test_start_that_fails_at_the_last_address_leaves_nothing(self):
        with Directory() as place:
            status, log = fail("--listen", f"unix:{place}/a", "--listen", "tcp:127.0.0.1:0",
                               "--listen", f"unix:{place}/no/b")
            self.assertEqual(status, 73)
            self.assertEqual(len(log.splitlines()), 1, log)
            self.assertIn(f"the directory {place}/no does not exist", log)
            self.assertEqual(os.listdir(str(place)), [])

    def test_start_with_too_many_addresses_is_refused(self):
        with Directory() as place:
            words = [w for i in range(33) for w in ("--listen", f"unix:{place}/{i}")]
            status, log = fail(*words)
            self.assertEqual(status, 64)
            self.assertIn("too many values, at most 32", log)

    def test_start_facts_of_the_process_are_true(self):
        with Ramald() as broker:
            with ramal.connect(broker.address) as bus:
                facts = bus.api("status").broker
                self.assertEqual(facts.pid, broker.pid)
                self.assertGreater(facts.memory_bytes, 10000)
                self.assertLess(facts.memory_bytes, 1 << 40)
                self.assertGreater(facts.cpu_us, 0)
                self.assertGreater(facts.epoch, 0)
                epoch = facts.epoch
        with Ramald() as broker:
            with ramal.connect(broker.address) as bus:
                self.assertNotEqual(bus.welcome.epoch, epoch)


class Configuration(unittest.TestCase):
    def write(self, place, text):
        path = place / "ramald.conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_config_file_is_obeyed(self):
        with Directory() as place:
            path = self.write(place, f"[listen]\naddress = unix:{place}/bus\nsocket_mode = 0660\n"
                                     "[limits]\ncalls = 3\npayload_bytes = 64K\n[log]\nlevel = debug\n")
            with Ramald("-c", path) as broker:
                self.assertEqual(mode(place / "bus"), 0o660)
                with ramal.connect(broker.address) as bus:
                    self.assertEqual(bus.welcome.limits.calls, 3)
                    self.assertEqual(bus.welcome.limits.payload_bytes, 65536)
                wait_for(lambda: "event=gone" in broker.log(), "debug log")

    def test_config_unknown_key_is_named_with_its_place(self):
        with Directory() as place:
            path = self.write(place, "[listen]\n# comment\nadress = unix:/x\n")
            for words in (["-c", path], ["-c" + path], ["--config=" + path, "--check-config"]):
                status, log = fail(*words)
                self.assertEqual(status, 78)
                self.assertEqual(log, f'ramald: {path}:3: unknown key "adress"; the nearest is address\n')

    def test_config_check_only_checks(self):
        with Directory() as place:
            path = self.write(place, f"[listen]\naddress = unix:{place}/bus\n")
            self.assertEqual(fail("-c", path, "--check-config"), (0, ""))
            self.assertEqual(os.listdir(str(place)), ["ramald.conf"])

    def test_config_check_reads_the_limits_of_one_user(self):
        with Directory() as place:
            path = self.write(place, "[limits uid root]\ncalls = 5\n[limits uid 0]\n")
            self.assertEqual(fail("-c", path, "--check-config"),
                             (78, f"ramald: {path}:3: the limits of uid 0 stand in another section above\n"))
            path = self.write(place, "[limits uid 4711]\ncalls = 5\nown_connections = 3\n")
            self.assertEqual(fail("-c", path, "--check-config"),
                             (78, f"ramald: {path}:3: own_connections is one for all users; it stands in [limits]\n"))
            path = self.write(place, "[limits uid 4711]\ncalls = 5\n")
            self.assertEqual(fail("-c", path, "--check-config", "--limit-uid", "4711:calls=6"), (0, ""))

    def test_config_of_other_users_is_not_for_the_own_one(self):
        status, log = fail("--listen", f"unix:@ramal-own-{os.getpid()}", "--limit-uid", "root:uid_bytes=1M")
        self.assertEqual(status, 78)
        self.assertTrue(log.startswith("ramald: limits uid 0.uid_bytes: this is the uid that ramald runs as"), log)

    def test_config_of_one_user_is_obeyed_and_told(self):
        with Ramald("--limit-uid", "root:calls=7", "--limit-uid", "0:payload_bytes=64K") as broker:
            with ramal.connect(broker.address) as bus:
                self.assertEqual(bus.welcome.limits.calls, 7)
                self.assertEqual(bus.welcome.limits.payload_bytes, 65536)
                bus.serve("slow")
                calls = [bus.call("slow") for _ in range(8)]
                with self.assertRaises(ramal.Refused) as caught:
                    calls[7].result()
                self.assertEqual(caught.exception.status.limit, "limits uid 0.calls")
                self.assertEqual(caught.exception.status.value, 7)
            wait_for(lambda: "event=limit" in broker.log(), "a line of log")
            self.assertIn('limit="limits uid 0.calls" value=7', broker.log())

    def test_config_that_cannot_be_read_is_refused(self):
        with Directory() as place:
            status, log = fail("-c", place / "none")
            self.assertEqual(status, 78)
            self.assertIn("No such file or directory", log)
            status, log = fail("-c", "/dev/zero")
            self.assertEqual(status, 78)
            self.assertIn("/dev/zero is no regular file", log)

    def test_config_knows_every_limit_that_the_broker_tells(self):
        with Ramald() as broker, ramal.connect(broker.address) as bus:
            limits = {l.key: (l.value, l.unit) for l in bus.api("limits").limits}
        self.assertGreater(len(limits), 15)
        with Directory() as place:
            text = "[limits]\n"
            for key, (value, unit) in limits.items():
                self.assertTrue(key.startswith("limits."))
                half = f"{value // 2000}us" if unit == "ns" else value // 2
                text += f"{key[len('limits.'):]} = {half}\n"
            path = self.write(place, text)
            with Ramald("--listen", f"unix:{place}/bus", "-c", path) as broker, ramal.connect(broker.address) as bus:
                halved = {l.key: (l.value, l.unit) for l in bus.api("limits").limits}
            self.assertEqual(halved, {key: (value // 2, unit) for key, (value, unit) in limits.items()})

    def test_config_page_knows_every_limit(self):
        """docs/configuration.md and --help say the same: keys, defaults, and which may be another for one user."""
        done = subprocess.run([ramald.program(), "--help"], stdout=subprocess.PIPE, check=True)
        told = {}
        for flag, default, mark in re.findall(r"^  --limit-(\S+) (?:SIZE|NUMBER|TIME) [^[\n]*?(?:\[(\w+)\])?( \*)?$",
                                              done.stdout.decode(), re.MULTILINE):
            told[flag.replace("-", "_")] = (default, bool(mark))
        page = os.path.join(os.path.dirname(__file__), "../../docs/configuration.md")
        with open(page, encoding="utf-8") as file:
            limits = file.read().split("## Limits\n")[1].split("\n## ")[0]
        rows = re.findall(r"^\| `(\w+)`( \*)? \| ([^|]+) \|", limits, re.MULTILINE)
        written = {key: ("" if " " in default else default, bool(mark)) for key, mark, default in rows}
        self.assertGreater(len(told), 28)
        self.assertEqual(written, told)

    def test_limit_above_the_descriptors_is_lowered(self):
        import resource

        limits = {resource.RLIMIT_NOFILE: (100, 200)}
        with Ramald("--limit-own-connections", "100000", limits=limits) as broker:
            self.assertIn("event=limit-lowered limit=own_connections value=136", broker.log())
        # The soft limit is raised to the hard one; half of a small one is kept.
        with Ramald(limits={resource.RLIMIT_NOFILE: (30, 100)}) as broker:
            with ramal.connect(broker.address) as bus:
                limit = {l.key: l.value for l in bus.api("limits").limits}
                self.assertEqual(limit["limits.own_connections"], 50)


class Words(unittest.TestCase):
    def test_help_goes_to_stdout(self):
        done = subprocess.run([ramald.program(), "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        self.assertIn(b"usage: ramald", done.stdout)
        self.assertEqual(done.stderr, b"")
        self.assertLessEqual(max(len(line) for line in done.stdout.splitlines()), 120)

    def test_version_names_program_and_protocol(self):
        status, text = fail("--version")
        self.assertEqual(status, 0)
        self.assertRegex(text, r"^ramald \d+\.\d+\.\d+\nprotocol 1\n")

    def test_help_into_a_full_disk_is_an_error(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([ramald.program(), "--help"], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 71)
        self.assertEqual(done.stderr, b"ramald: cannot write to stdout: No space left on device\n")

    def test_usage_errors_are_64(self):
        for words, text in ((["--lisen", "x"], "the nearest is --listen"), (["bus"], "unexpected argument"),
                            (["--listen", "http:x"], "address 'http:x'"), (["--listen", "tls:127.0.0.1:1"], "no TLS"),
                            (["--ready-fd", "99"], "--ready-fd: descriptor 99 is not open for writing"),
                            (["--user", "--system"], "--system: the bus is chosen already"),
                            (["--listen", "unix:@x", "--token-file", "/tmp/x"], "--token-file is for TCP"),
                            (["--listen", "unix:/" + "x" * 107], "has 108 bytes")):
            status, log = fail(*words)
            self.assertEqual(status, 64, log)
            self.assertIn(text, log)
            self.assertEqual(len(log.splitlines()), 1)


class Stop(unittest.TestCase):
    def start(self, *args):
        broker = Ramald(*args)
        self.addCleanup(broker.kill)
        return broker

    @staticmethod
    def busy(broker):
        """A client with a call in flight: an idle one would be let go at once."""
        bus = ramal.connect(broker.address)
        bus.serve("slow")
        bus.call("slow")
        bus.next_delivery()
        return bus

    def test_stop_with_nobody_there_is_quick(self):
        broker = self.start("--limit-stop-grace", "1h")
        broker.process.send_signal(signal.SIGTERM)
        self.assertEqual(broker.process.wait(10), 0)
        broker.stop()

    def test_stop_tells_clients_and_waits_for_them(self):
        broker = self.start("--limit-stop-grace", "1h")
        with self.busy(broker) as bus, ramal.connect(broker.address) as idle:
            broker.process.send_signal(signal.SIGTERM)
            self.assertEqual(idle.next_of("goaway").goaway.reason, ramal.pb.CODE_OK)
            self.assertIsNone(idle.next_frame())
            goaway = bus.next_of("goaway").goaway
            self.assertEqual(goaway.reason, ramal.pb.CODE_OK)
            self.assertEqual(goaway.grace_us, 3600000000)
            # No new connection, and the path is free.
            self.assertFalse(os.path.exists(broker.path))
            self.assertTrue(broker.alive())
        self.assertEqual(broker.process.wait(10), 0)
        broker.stop()

    def test_stop_second_signal_is_at_once(self):
        for first, second, expected in ((signal.SIGTERM, signal.SIGTERM, 0), (signal.SIGINT, signal.SIGINT, 130),
                                        (signal.SIGTERM, signal.SIGINT, 130)):
            broker = self.start("--limit-stop-grace", "1h")
            path = broker.path
            with self.busy(broker) as bus:
                broker.process.send_signal(first)
                bus.next_of("goaway")
                broker.process.send_signal(second)
                self.assertEqual(broker.process.wait(10), expected)
            self.assertEqual([n for n in os.listdir(os.path.dirname(path)) if n.startswith("bus")], [])
            broker.stop(expected)

    def test_stop_grace_has_an_end(self):
        broker = self.start("--limit-stop-grace", "50ms", "--limit-flush-timeout", "50ms")
        with self.busy(broker) as bus:
            broker.process.send_signal(signal.SIGTERM)
            bus.next_of("goaway")
            self.assertEqual(broker.process.wait(10), 0)
            self.assertIsNone(bus.next_frame())
        broker.stop()

    def test_stop_by_ctrl_c_is_130(self):
        broker = self.start()
        broker.process.send_signal(signal.SIGINT)
        self.assertEqual(broker.process.wait(10), 130)
        broker.stop(130)

    def test_pause_of_the_process_expires_nobody_who_was_in_time(self):
        broker = self.start("--limit-hello-timeout", "300ms")
        for _ in range(3):
            bus = ramal.Connection(ramal.open_socket(broker.address))
            wait_for(lambda: "State:\tS" in self.status(broker), "the broker to sleep")
            broker.process.send_signal(signal.SIGSTOP)
            wait_for(lambda: "State:\tT" in self.status(broker), "the broker to stop")
            bus.send_frame(ramal.pb.Frame(id=bus.new_id(), hello=ramal.pb.Hello(version_min=1, version_max=1)))
            over = time.monotonic() + 0.35
            wait_for(lambda: time.monotonic() > over, "the time for HELLO to be over")
            broker.process.send_signal(signal.SIGCONT)
            self.assertEqual(bus.next_frame().WhichOneof("kind"), "welcome")
            bus.close()
        broker.stop()

    def test_pause_longer_than_the_time_limits_begins_them_anew(self):
        """Who could not be heard is given time again; who does not use that is sent away."""
        broker = self.start("--limit-hello-timeout", "1s", "--limit-frame-timeout", "1s")
        silent = ramal.Connection(ramal.open_socket(broker.address))
        half = ramal.connect(broker.address)
        ident = half.new_id()
        frame = ramal.pack(ramal.pb.Frame(id=ident, ping=ramal.pb.Ping()))
        with ramal.connect(broker.address) as witness:
            half.send_bytes(frame[:5])
            witness.ping()
            witness.ping()  # what was sent before it has been read
            wait_for(lambda: "State:\tS" in self.status(broker), "the broker to sleep")
            broker.process.send_signal(signal.SIGSTOP)
            wait_for(lambda: "State:\tT" in self.status(broker), "the broker to stop")
            over = time.monotonic() + 2.5
            wait_for(lambda: time.monotonic() > over, "all time limits to be over")
            broker.process.send_signal(signal.SIGCONT)
            witness.ping()
            half.send_bytes(frame[5:])
            self.assertEqual(half.next_of("pong").id, ident)
            self.assertNotIn("event=goaway", broker.log())
            goaway = silent.next_of("goaway").goaway
            self.assertEqual(goaway.reason, ramal.pb.CODE_TIMEOUT)
        half.close()
        silent.close()
        broker.stop()

    def test_pause_of_the_process_loses_no_answer_that_came_in_time(self):
        """However much stands before it: more bytes, and more frames, than are looked at in one turn."""
        broker = self.start("--limit-turn-frames", "64")
        with ramal.connect(broker.address) as service, ramal.connect(broker.address) as caller:
            service.serve("slow")
            call = caller.call("slow", deadline=0.3)
            token = service.next_delivery().deliver.token
            publish = ramal.pack(ramal.pb.Frame(publish=ramal.pb.Data(subject="unheard", payload=bytes(50))))
            reply = ramal.pack(ramal.pb.Frame(reply=ramal.pb.Data(token=token, payload=b"in time")))
            broker.process.send_signal(signal.SIGSTOP)
            wait_for(lambda: "State:\tT" in self.status(broker), "the broker to stop")
            service.send_bytes(1800 * publish + reply)  # about 120 KB, 29 turns
            over = time.monotonic() + 1.6
            wait_for(lambda: time.monotonic() > over, "the deadline to be long over")
            broker.process.send_signal(signal.SIGCONT)
            self.assertEqual(call.result(), b"in time")
        broker.stop()

    @staticmethod
    def status(broker):
        with open(f"/proc/{broker.pid}/status", encoding="ascii") as file:
            return file.read()

    def test_hangup_signal_changes_nothing(self):
        with Ramald() as broker:
            broker.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "SIGHUP" in broker.log(), "a line of log")
            with ramal.connect(broker.address) as bus:
                bus.ping()


class Ready(unittest.TestCase):
    def test_service_manager_is_told(self):
        with Directory() as place:
            manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            manager.bind(place / "notify")
            manager.settimeout(10)
            with manager:
                with Ramald(env={"NOTIFY_SOCKET": place / "notify"}) as broker:
                    text = manager.recv(4096).decode()
                    self.assertEqual(text.splitlines(), ["READY=1", f"STATUS=listening on {broker.address}"])
                self.assertIn("STOPPING=1", manager.recv(4096).decode().splitlines())

    def test_service_manager_that_is_gone_is_no_error(self):
        with Ramald(env={"NOTIFY_SOCKET": "/nonexistent/notify"}) as broker:
            self.assertIn("event=notify-failed", broker.log())

    def test_descriptor_that_is_not_open_is_refused_even_if_the_log_will_have_its_number(self):
        with Directory() as place:
            status, log = fail("--listen", f"unix:{place}/bus", "--ready-fd", "3")
            self.assertEqual(status, 64, log)
            self.assertIn("--ready-fd: descriptor 3 is not open for writing", log)

    def test_start_without_standard_descriptors(self):
        with Directory() as place:
            script = 'exec "$@" 3>&1 <&- >&- 2>&-'
            process = subprocess.Popen(["sh", "-c", script, "sh", ramald.program(), "--listen", f"unix:{place}/bus",
                                        "--ready-fd", "3"], stdout=subprocess.PIPE, env=clean_environment())
            try:
                self.assertEqual(process.stdout.read().decode(), f"unix:{place}/bus\n")
                with ramal.connect(f"unix:{place}/bus") as bus:
                    bus.ping()
                for fd in range(3):
                    self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/{fd}"), "/dev/null")
            finally:
                process.stdout.close()
                process.terminate()
                self.assertEqual(process.wait(20), 0)

    def test_start_that_fails_says_nothing_on_the_descriptor(self):
        with self.assertRaises(StartError) as caught:
            Ramald("--listen", "unix:/nonexistent/bus")
        self.assertEqual(caught.exception.status, 73)


class Log(unittest.TestCase):
    LINE = re.compile(r'^time=\S+ level=[a-z]+ event=[a-z-]+( [a-z_]+=("([^"\\\n]|\\.)*"|[^ "=]*))*$')

    def test_log_is_one_line_an_event_whatever_clients_say(self):
        with Ramald("--log-level", "debug") as broker:
            for app in ('x" event="forged', "line\nevent=forged", "\x1b[31mred", "ünï", "a=b", "\u202eturned",
                        "x" * 255):
                with ramal.connect(broker.address, app=app) as bus:
                    bus.ping()
            wait_for(lambda: broker.log().count("event=gone") == 7, "all to be gone")
            for line in broker.log().splitlines():
                self.assertRegex(line, self.LINE)
                self.assertLess(len(line), 1024)
            self.assertNotIn("\x1b", broker.log())

    def test_log_that_nobody_reads_holds_up_nobody(self):
        reading, writing = os.pipe()
        with Directory() as place:
            process = subprocess.Popen([ramald.program(), "--listen", f"unix:{place}/bus", "--log-level", "debug"],
                                       stdin=subprocess.DEVNULL, stderr=writing, env=clean_environment())
            os.close(writing)
            try:
                wait_for(lambda: os.path.exists(place / "bus"), "the socket")
                # Two lines for each: far more than a pipe holds.
                for _ in range(600):
                    wait_for(lambda: self.hello(f"unix:{place}/bus"), "an answer")
            finally:
                process.terminate()
                with open(reading, "rb") as file:
                    text = file.read()
                self.assertEqual(process.wait(20), 0)
            self.assertIn(b"event=log-lost lines=", text)

    @staticmethod
    def hello(address):
        try:
            with ramal.connect(address):
                return True
        except ConnectionRefusedError:  # bound, and not yet listening
            return False


if __name__ == "__main__":
    unittest.main()
