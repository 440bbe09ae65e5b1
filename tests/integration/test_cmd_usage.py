# SPDX-License-Identifier: MIT
"""The command line: help, version, wrong usage, addresses, tokens, and every exit status that comes of them."""

import os
import re
import signal
import socket
import subprocess

from cmdcase import CONFIG, DATA, DENIED, INTERRUPTED, LATER, OK, REFUSED, UNAVAILABLE, USAGE, CmdCase, main
from ramald import SECONDS, Directory, program, wait_for

VERBS = ("list", "names", "who", "status", "pub", "sub", "call", "reply", "wait", "ping", "bench", "help", "completion")


class Help(CmdCase):
    def test_help_lists_the_verbs(self):
        for words in (["help"], ["--help"], ["-h"]):
            done = self.cmd(*words)
            for verb in VERBS:
                self.assertIn(f"\n  {verb}", done.out)
            self.assertEqual(done.err, "")

    def test_help_of_a_verb_is_the_same_in_all_ways(self):
        for verb in VERBS:
            text = self.cmd("help", verb).out
            self.assertTrue(text.startswith(f"usage: ramal {verb}"), text)
            self.assertEqual(self.cmd(verb, "--help").out, text)
            self.assertEqual(self.cmd("-h", verb).out, text)

    def test_help_exit_lists_the_exit_codes(self):
        text = self.cmd("help", "exit").out
        codes = [int(line.split()[0]) for line in text.splitlines()[2:]]
        self.assertEqual(codes, [0, 1, 64, 65, 69, 71, 73, 75, 77, 78, 130])

    def test_help_needs_no_broker(self):
        self.cmd("help", "sub", env={"RAMAL_ADDRESS": "unix:/nonexistent/bus"})

    def test_version_names_command_and_library(self):
        self.assertRegex(self.cmd("--version").out, r"^ramal \d+\.\d+\.\d+ \(libramal \d+\.\d+\.\d+\)\n$")

    def test_help_of_nothing_is_wrong_usage(self):
        self.wrong(USAGE, "did you mean 'names'?", "help", "name")


class Page(CmdCase):
    """docs/command.md and the tables in the program say the same."""

    def sections(self):
        path = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "command.md")
        with open(path, encoding="utf-8") as file:
            parts = re.split(r"(?m)^## ", file.read())
        return {part.split("\n", 1)[0]: part for part in parts}

    def test_page_has_every_verb_with_all_its_options_and_no_others(self):
        sections = self.sections()
        for verb in VERBS[:-2]:
            with self.subTest(verb=verb):
                own, _, shared = self.cmd("help", verb).out.partition("\noptions of every verb:\n")
                listed = set(re.findall(r"(?m)^ +(?:-\w, |    )(--[\w-]+)", own))
                tables = "\n".join(line for line in sections[verb].splitlines() if line.startswith("| `"))
                named = set(re.findall(r"(?m)(?:^\||,) `(?:-\w`, `)?(--[\w-]+)", tables))
                self.assertEqual(named, listed)
                for option in re.findall(r"(?m)^ +(?:-\w, |    )(--[\w-]+)", shared):
                    self.assertIn(option, sections["Options of every verb"])

    def test_page_has_every_exit_status(self):
        told = re.findall(r"(?m)^\| ([\d, ]+) \|", self.sections()["Exit status"])
        codes = [int(code) for row in told for code in row.split(",")]
        self.assertEqual(codes, [int(line.split()[0]) for line in self.cmd("help", "exit").lines()[2:]])


class Usage(CmdCase):
    def test_usage_wrong_command_lines(self):
        for said, words in (
            ("say what to do", []),
            ("no verb 'lst': did you mean 'list'?", ["lst"]),
            ("no verb 'x'", ["x"]),
            ("unknown option --cuont: did you mean --count?", ["sub", "x", "--cuont", "3"]),
            ("unknown option -z", ["list", "-z"]),
            ("--count wants a number from 1 on", ["sub", "x", "--count", "0"]),
            ("--count needs a value", ["sub", "x", "--count"]),
            ("--json takes no value", ["list", "--json=yes"]),
            ("--timeout wants a time with its unit", ["list", "--timeout", "5"]),
            ("--overflow is drop_old, drop_new, latest, evict or block", ["sub", "x", "--overflow", "wait"]),
            ("something is missing: ramal pub SUBJECT [DATA]", ["pub"]),
            ("one word too many: 'c'", ["pub", "a", "b", "c"]),
            ("something is missing: ramal sub PATTERN...", ["sub"]),
            ("one word too many", ["list", "x"]),
            ("something is missing", ["who"]),
            ("--user or --system", ["list", "--user", "--system"]),
            ("only one of them", ["list", "--user", "--address", "unix:/x"]),
            ("--header wants NAME=VALUE", ["pub", "a", "b", "--header", "x"]),
            ("DATA or --file", ["pub", "a", "b", "--file", "x"]),
            ("say what to answer", ["reply", "x"]),
            ("only one of them", ["reply", "x", "data", "--echo"]),
            ("--parallel needs --exec", ["reply", "x", "y", "--parallel", "2"]),
            ("--parallel is at most", ["reply", "x", "--exec", "true", "--parallel", "5000"]),
            ("--policy needs --group", ["sub", "x", "--policy", "primary"]),
            ("--policy needs --group", ["reply", "x", "y", "--policy", "primary"]),
            ("a name is a group of its own", ["reply", "x", "y", "--name", "--group", "g"]),
            ("--raw goes neither", ["sub", "x", "--raw", "--json"]),
            ("--json or --raw", ["call", "x", "--raw", "--json"]),
            ("--name or --message", ["wait", "x", "--name", "--message"]),
            ("--users goes neither", ["status", "--users", "--limits"]),
            ("--users goes neither", ["status", "1", "--users"]),
            ("bash, zsh or fish", ["completion", "tcsh"]),
        ):
            with self.subTest(words=words):
                self.wrong(USAGE, said, *words)

    def test_usage_error_escapes_what_it_quotes(self):
        done = self.wrong(USAGE, "\\x1b[31m", "\033[31m")
        self.assertNotIn("\033", done.err)

    def test_usage_options_stand_before_and_after_the_verb(self):
        elsewhere = {"RAMAL_ADDRESS": "unix:/nonexistent/bus"}
        self.cmd("--address", self.broker.address, "--json", "ping", env=elsewhere)
        self.cmd("ping", "--json", f"--address={self.broker.address}", "--timeout", "2s", env=elsewhere)

    def test_usage_data_may_begin_with_a_dash_after_two(self):
        self.wrong(USAGE, "write -- before words", "pub", "a", "-5")
        self.cmd("pub", "a", "--", "-5")


class Addresses(CmdCase):
    def test_address_without_a_broker_lists_what_was_tried(self):
        with Directory() as directory:
            done = self.cmd("ping", "--address", f"unix:{directory}/bus", status=UNAVAILABLE)
            self.assertEqual(done.out, "")
            self.assertIn(f"{directory}/bus", done.err)
            self.assertIn("ramald", done.err)

    def test_address_default_names_every_path(self):
        with Directory(mode=0o700) as directory:
            env = self.environment({"XDG_RUNTIME_DIR": str(directory)})
            del env["RAMAL_ADDRESS"]
            script = 'mkdir -p /run/ramal && mount -t tmpfs none /run/ramal && exec "$0" ping'
            done = subprocess.run(["unshare", "-m", "sh", "-c", script, program("RAMAL")], env=env,
                                  capture_output=True, check=False)
            said = done.stderr.decode()
            self.assertEqual(done.returncode, UNAVAILABLE, said)
            self.assertIn(f"{directory}/ramal/bus", said)
            self.assertIn("/run/ramal/bus", said)

    def test_address_malformed_is_the_callers_fault(self):
        for address in ("nonsense", "unix:", "tcp:", "tcp:host", "http://x", "unix:" + "x" * 200):
            with self.subTest(address=address):
                self.wrong(USAGE, "", "ping", "--address", address)

    def test_address_malformed_in_the_environment_is_configuration(self):
        self.wrong(CONFIG, "nonsense", "ping", env={"RAMAL_ADDRESS": "nonsense"})

    def test_address_no_such_host(self):
        done = self.cmd("ping", "--address", "tcp:nosuchhost.invalid:7265", "--token-file", self.broker.token_file,
                        status=UNAVAILABLE)
        self.assertIn("nosuchhost.invalid", done.err)

    def test_address_where_nobody_listens(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            done = self.cmd("ping", "--address", f"tcp:127.0.0.1:{free.getsockname()[1]}", "--token-file",
                            self.broker.token_file, status=UNAVAILABLE)
        self.assertIn("127.0.0.1", done.err)

    def test_address_of_a_server_that_says_nothing_is_given_up_in_time(self):
        with Directory() as directory, socket.socket(socket.AF_UNIX) as silent:
            silent.bind(directory / "bus")
            silent.listen(1)
            self.cmd("ping", "--address", f"unix:{directory}/bus", "--timeout", "200ms", status=LATER)

    def test_address_of_another_kind_of_server(self):
        with Directory() as directory, socket.socket(socket.AF_UNIX) as other:
            other.bind(directory / "bus")
            other.listen(1)
            running = self.start("ping", "--address", f"unix:{directory}/bus")
            peer, _ = other.accept()
            with peer:
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                self.assertEqual(running.end().status, UNAVAILABLE)


class Tcp(CmdCase):
    def test_tcp_with_the_token(self):
        done = self.cmd("list", "--address", self.tcp, "--token-file", self.broker.token_file)
        self.assertIn("(token)", done.out)
        self.assertIn("tcp:127.0.0.1:", done.out)

    def test_tcp_token_files_that_are_no_good(self):
        with Directory() as directory:
            path = directory / "token"
            good = open(self.broker.token_file, encoding="ascii").read()
            for content, mode, status in (
                (good, 0o644, CONFIG),
                ("00", 0o600, CONFIG),
                ("", 0o600, CONFIG),
                ("0" * 64, 0o600, DENIED),
            ):
                with self.subTest(content=content[:4], mode=oct(mode)):
                    with open(path, "w", encoding="ascii") as file:
                        file.write(content)
                    os.chmod(path, mode)
                    self.wrong(status, "token", "list", "--address", self.tcp, "--token-file", path)
            os.unlink(path)
            self.wrong(CONFIG, path, "list", "--address", self.tcp, "--token-file", path)

    def test_tcp_without_a_token_says_how_to_name_it(self):
        with Directory(mode=0o700) as directory:
            self.wrong(CONFIG, "--token-file", "list", "--address", self.tcp, env={"XDG_RUNTIME_DIR": str(directory)})

    def test_tcp_all_verbs_work(self):
        tcp = ("--address", self.tcp, "--token-file", self.broker.token_file)
        sub = self.listen("over.tcp", "-n", "1", *tcp, subject="over.tcp")
        self.cmd("pub", "over.tcp", "hello", "--need-receiver", *tcp)
        self.assertEqual(sub.end().out, "hello\n")
        self.serve("svc.tcp", "--echo", *tcp)
        self.assertEqual(self.cmd("call", "svc.tcp", "hi", *tcp).out, "hi\n")
        for words in (["names"], ["who", "svc.tcp"], ["status"], ["wait", "svc.tcp"], ["ping"]):
            self.cmd(*words, *tcp)


class Endings(CmdCase):
    def test_ending_by_ctrl_c_is_130(self):
        for words in (["sub", "x.y", "-v"], ["reply", "x.z", "data", "-v"]):
            with self.subTest(words=words):
                running = self.start(*words)
                running.line("stderr")
                done = running.stop(signal.SIGINT)
                self.assertEqual((done.status, done.out, done.err), (INTERRUPTED, "", ""))

    def test_ending_by_another_signal(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            running = self.start("sub", "x.y", "-v")
            running.line("stderr")
            self.assertEqual(running.stop(number).status, 128 + number)

    def test_ending_of_a_pause_by_ctrl_c_tells_what_was_sent(self):
        running = self.start("pub", "nobody.there", "x", "--every", "1h", "--receipt")
        self.assertEqual(running.line(), "nobody.there 0")
        done = running.stop()
        self.assertEqual(done.status, INTERRUPTED)
        self.assertIn("nobody listens", done.err)

    def test_ending_of_a_silent_connect_by_ctrl_c(self):
        with Directory() as directory, socket.socket(socket.AF_UNIX) as silent:
            silent.bind(directory / "bus")
            silent.listen(1)
            running = self.start("ping", "--address", f"unix:{directory}/bus", "--timeout", "1h")
            peer, _ = silent.accept()
            with peer:
                self.assertEqual(running.stop().status, INTERRUPTED)

    def test_ending_of_the_reader_ends_us_quietly(self):
        running = self.listen("pipe.x", subject="pipe.x")
        running.process.stdout.close()
        running.process.stdout = None
        self.cmd("pub", "pipe.x", "one")
        done = running.end()
        self.assertEqual((done.status, done.err), (-signal.SIGPIPE, ""))

    def test_ending_with_a_full_disk_is_an_error(self):
        for words in (["list"], ["ping", "--every", "10ms"], ["pub", "nobody.there", "x", "--every", "10ms", "--receipt"]):
            with self.subTest(verb=words[0]), open("/dev/full", "w", encoding="ascii") as full:
                done = self.start(*words, stdout=full).end()
                self.assertEqual(done.status, REFUSED)
                self.assertIn(f"ramal: {words[0]}: cannot write the output: No space left on device\n", done.err)

    def shell(self, line):
        return subprocess.run(["sh", "-c", line, program("RAMAL")], env=self.environment(), capture_output=True,
                              timeout=SECONDS, check=False)

    def test_ending_with_closed_descriptors_is_an_error_where_they_are_needed(self):
        done = self.shell('"$0" list <&- >&-')
        self.assertEqual((done.returncode, done.stderr),
                         (REFUSED, b"ramal: list: cannot write the output: Bad file descriptor\n"))
        done = self.shell('"$0" pub some.where <&-')
        self.assertEqual((done.returncode, done.stderr),
                         (DATA, b"ramal: pub: stdin: cannot be read: Bad file descriptor\n"))
        done = self.shell('"$0" list <&- 2>&-')
        self.assertEqual(done.returncode, OK)
        self.assertIn(b"ramal list", done.stdout)

    def test_ending_by_ctrl_c_while_a_fifo_has_no_writer(self):
        with Directory() as directory:
            os.mkfifo(directory / "fifo")
            running = self.start("pub", "some.where", "--file", str(directory / "fifo"))
            pid = running.process.pid
            wait_for(lambda: str(pid) in self.cmd("list").out and " S " in self.stat_of(pid), "it to open the FIFO")
            running.send(signal.SIGINT)
            try:
                running.process.wait(1)
            except subprocess.TimeoutExpired:  # it was on its way to the FIFO
                running.send(signal.SIGINT)
            done = running.end()
            self.assertEqual((done.status, done.err), (INTERRUPTED, ""))

    @staticmethod
    def stat_of(pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read()

    def test_ending_line_is_one_write(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with ours, theirs:
            done = subprocess.run([program("RAMAL"), "pub", "nobody.there", "x"], stderr=theirs, check=False,
                                  env=self.environment(), timeout=SECONDS)
            self.assertEqual(done.returncode, OK)
            self.assertEqual(ours.recv(4096), b"ramal: pub: nobody.there: nobody listens\n")

    def test_ending_line_names_a_subject_that_its_reason_begins_with(self):
        self.wrong(UNAVAILABLE, "ramal: call: no: nobody serves this subject", "call", "no", "x")


if __name__ == "__main__":
    main()
