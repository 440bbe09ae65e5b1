# SPDX-License-Identifier: MIT
"""call and reply."""

import base64
import os
import pty
import signal
import threading
import time

import ramal
from cmdcase import DATA, DENIED, INTERRUPTED, LATER, OK, REFUSED, UNAVAILABLE, CmdCase, main
from ramald import SECONDS, Directory, Ramald, wait_for


class Call(CmdCase):
    def service(self, subject, answer):
        """A Python service in a thread: answer(bus, delivery) is called for each request."""
        bus = self.client(app="service")
        bus.serve(subject)

        def run():
            while True:
                try:
                    data = bus.next_delivery(timeout=SECONDS).deliver
                    answer(bus, data)
                except (ConnectionError, OSError, ValueError, TimeoutError):
                    return

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return bus

    def test_call_prints_the_reply(self):
        self.service("c.echo", lambda bus, data: bus.reply(data.token, data.payload))
        self.assertEqual(self.cmd("call", "c.echo", "hello").out, "hello\n")
        self.assertEqual(self.cmd("call", "c.echo", "hello\n").out, "hello\n")
        self.assertEqual(self.cmd("call", "c.echo").out, "\n")
        self.assertEqual(self.cmd("call", "c.echo", "hello", "--raw").raw, b"hello")
        self.assertEqual(self.cmd("call", "c.echo", "-", "--raw", stdin=b"\0\xff").raw, b"\0\xff")
        with Directory() as directory:
            with open(directory / "file", "wb") as file:
                file.write(os.urandom(1 << 20))
            with open(directory / "file", "rb") as file:
                self.assertEqual(self.cmd("call", "c.echo", "--raw", "-f", directory / "file").raw, file.read())

    def test_call_does_not_touch_stdin_unasked(self):
        self.service("c.in", lambda bus, data: bus.reply(data.token, data.payload))
        self.assertEqual(self.cmd("call", "c.in", "--raw", stdin=b"not for it").raw, b"")

    def test_call_envelope(self):
        seen = []

        def answer(bus, data):
            seen.append(data)
            bus.reply(data.token, b"x", type="reply.Type", headers=[("h", b"\xff")])

        self.service("c.env", answer)
        reply = self.cmd("call", "c.env", "x", "--type", "T", "-H", "k=v", "--json").json()[0]
        self.assertEqual((seen[0].type, seen[0].headers[0].name, seen[0].headers[0].value), ("T", "k", b"v"))
        self.assertTrue(4_000_000 < seen[0].time_left_us <= 5_000_000)
        self.assertEqual((reply["more"], reply["seq"], reply["type"], reply["payload"]), (False, 1, "reply.Type", "x"))
        self.assertEqual(reply["headers"], [{"name": "h", "value_base64": base64.b64encode(b"\xff").decode()}])
        self.assertEqual(reply["sender"]["uid"], os.getuid())

    def test_call_prints_a_stream_as_it_comes(self):
        go = threading.Event()

        def answer(bus, data):
            bus.reply(data.token, b"one", more=True)
            go.wait(SECONDS)
            bus.reply(data.token, b"two", more=True)
            bus.reply(data.token, b"three")

        self.service("c.stream", answer)
        running = self.start("call", "c.stream")
        self.assertEqual(running.line(), "one")
        go.set()
        done = running.end()
        self.assertEqual((done.status, done.out), (OK, "two\nthree\n"))
        self.assertEqual([r["more"] for r in self.cmd("call", "c.stream", "-j").json()], [True, True, False])

    def test_call_long_stream(self):
        def answer(bus, data):
            for n in range(200):
                bus.reply(data.token, b"%d" % n, more=True)
            bus.reply(data.token, b"end")

        self.service("c.long", answer)
        self.assertEqual(self.cmd("call", "c.long").lines(), [str(n) for n in range(200)] + ["end"])

    def test_call_application_error(self):
        text = "no such \033[31mthing\nramal: ok"
        self.service("c.fail", lambda bus, data: bus.reply(data.token, code=42, text=text))
        done = self.wrong(REFUSED, "c.fail: error 42: no such \\x1b[31mthing\\nramal: ok", "call", "c.fail")
        self.assertNotIn("\033", done.err)
        done = self.cmd("call", "c.fail", "--json", status=REFUSED)
        self.assertEqual(done.json(), [{"error": {"code": 42, "text": text}}])

    def test_call_application_error_in_a_stream(self):
        def answer(bus, data):
            bus.reply(data.token, b"one", more=True)
            bus.reply(data.token, code=1, text="broke")

        self.service("c.half", answer)
        done = self.cmd("call", "c.half", status=REFUSED)
        self.assertEqual(done.out, "one\n")
        self.assertIn("error 1: broke", done.err)

    def test_call_to_nobody_ends_at_once(self):
        start = time.monotonic()
        self.wrong(UNAVAILABLE, "nobody serves this subject", "call", "no.body", "x", "--timeout", "1h")
        self.assertLess(time.monotonic() - start, SECONDS / 2)

    def test_call_whose_service_dies(self):
        self.service("c.die", lambda bus, data: bus.close())
        self.wrong(UNAVAILABLE, "it may have run", "call", "c.die", "x", "--timeout", "1h")

    def test_call_deadline(self):
        cancelled = threading.Event()

        def answer(bus, data):
            # By the broker's clock, by ours, or because the command has ended: whichever is first.
            if bus.next_of("cancel", timeout=SECONDS).cancel.token == data.token:
                cancelled.set()

        self.service("c.slow", answer)
        self.wrong(LATER, "deadline", "call", "c.slow", "x", "--timeout", "100ms")
        self.assertTrue(cancelled.wait(SECONDS))

    def test_call_by_ctrl_c_cancels(self):
        bus = self.client()
        bus.serve("c.wait")
        running = self.start("call", "c.wait", "x")
        token = bus.next_delivery(timeout=SECONDS).deliver.token
        self.assertEqual(running.stop().status, INTERRUPTED)
        self.assertEqual(bus.next_of("cancel", timeout=SECONDS).cancel.token, token)

    def test_call_bad_data(self):
        for subject in ("a.*", "a..b", ""):
            self.wrong(DATA, "not a subject", "call", subject)
        self.wrong(DATA, "larger than the broker takes", "call", "x", "-", stdin=bytes((8 << 20) + 1))

    def test_call_on_a_terminal_has_no_control_characters(self):
        self.service("c.tty", lambda bus, data: bus.reply(data.token, b"a\033[2Jb\n\tc"))
        for raw in ([], ["--raw"]):
            ours, theirs = pty.openpty()
            running = self.start("call", "c.tty", *raw, stdout=theirs)
            os.close(theirs)
            self.assertEqual(running.end().status, OK)
            with os.fdopen(ours, "rb", buffering=0) as terminal:
                self.assertEqual(terminal.read(1000).rstrip(), b"a\\x1b[2Jb\r\n\tc")


class Reply(CmdCase):
    def test_reply_with_data(self):
        self.serve("r.data", "pong", "--type", "T", "-H", "a=b")
        bus = self.client()
        reply = next(iter(bus.call("r.data")))
        self.assertEqual((reply.payload, reply.type, reply.headers), (b"pong", "T", [("a", b"b")]))
        self.assertEqual(self.cmd("call", "r.data").out, "pong\n")

    def test_reply_with_a_file_and_stdin(self):
        with Directory() as directory:
            with open(directory / "file", "wb") as file:
                file.write(b"from a file\0")
            self.serve("r.file", "--file", directory / "file")
            self.assertEqual(self.client().call("r.file").result(), b"from a file\0")

    def test_reply_echo(self):
        self.serve("r.echo.*", "--echo", subject="r.echo.x")
        self.assertEqual(self.cmd("call", "r.echo.x", "-", "--raw", stdin=b"\0\xff").raw, b"\0\xff")

    def test_reply_count_ends_after_its_answers(self):
        running = self.serve("r.count", "x", "--count", "3")
        for _ in range(3):
            self.assertEqual(self.cmd("call", "r.count").out, "x\n")
        done = running.end()
        self.assertEqual((done.status, done.out, done.err), (OK, "", ""))
        self.wrong(UNAVAILABLE, "nobody serves", "call", "r.count")

    def test_reply_count_takes_no_more_than_that(self):
        bus = self.client()
        running = self.serve("r.some", "first", "--count", "2", "--group", "g")
        self.serve("r.some", "second", "--group", "g")
        self.until_served("r.some", 2)
        calls = [bus.call("r.some") for _ in range(40)]
        answers = [call.result() for call in calls]
        self.assertEqual(answers.count(b"first"), 2)
        self.assertEqual(answers.count(b"second"), 38)
        self.assertEqual(running.end().status, OK)

    def test_reply_timeout(self):
        self.cmd("reply", "r.time", "x", "--timeout", "100ms")
        done = self.cmd("reply", "r.time", "x", "-n", "2", "--timeout", "100ms", status=LATER)
        self.assertIn("2 of 2 requests", done.err)
        self.cmd("reply", "r.time", "--exec", "true", "--timeout", "100ms")

    def test_reply_verbose_tells_what_it_does(self):
        running = self.start("reply", "r.verb", "x", "-v")
        self.assertEqual(running.line("stderr"), f"ramal: reply: serving r.verb on {self.broker.address}")
        self.cmd("call", "r.verb", "12345")
        self.assertRegex(running.line("stderr"), r"^ramal: reply: r.verb: 5 bytes from peer \d+$")

    def test_reply_under_a_name(self):
        owner = self.serve("my.name", "first", "--name", subject="my.name")
        self.assertEqual(self.cmd("call", "my.name.anything").out, "first\n")
        second = self.start("reply", "my.name", "second", "--name")
        self.assertEqual(second.line("stderr"), "ramal: reply: my.name: in line, 1 come first")
        owner.stop()
        self.assertEqual(second.line("stderr"), "ramal: reply: my.name: ours now")
        self.assertEqual(self.cmd("call", "my.name").out, "second\n")

    def test_reply_where_somebody_else_serves(self):
        self.serve("r.taken", "x")
        done = self.wrong(REFUSED, "r.taken", "reply", "r.taken", "y")
        self.assertNotIn("argument", done.err)

    def test_reply_bad_data(self):
        self.wrong(DATA, "not a pattern", "reply", "a..b", "x")
        self.wrong(DATA, "not a name", "reply", "a.*", "x", "--name")
        self.wrong(DENIED, "broker's own", "reply", "$SYS.api.x", "x")

    def test_reply_finds_the_broker_again(self):
        with Directory() as directory:
            address = f"unix:{directory}/bus"
            env = {"RAMAL_ADDRESS": address}
            first = Ramald("--listen", address)
            running = self.start("reply", "again", "x", "-v", env=env)
            running.line("stderr")
            first.kill()
            self.assertIn("the broker is gone", running.line("stderr"))
            with Ramald("--listen", address):
                self.assertIn("connected again", running.line("stderr"))
                self.cmd("wait", "again", env=env)
                self.assertEqual(self.cmd("call", "again", env=env).out, "x\n")
                self.assertEqual(running.stop().status, INTERRUPTED)


class Exec(CmdCase):
    def test_exec_payload_is_stdin_and_stdout_the_reply(self):
        self.serve("e.sort", "--exec", "sort")
        self.assertEqual(self.cmd("call", "e.sort", "-", "--raw", stdin=b"b\na\n").raw, b"a\nb\n")
        self.assertEqual(self.cmd("call", "e.sort", "--raw").raw, b"")

    def test_exec_large_payloads_both_ways(self):
        self.serve("e.cat", "--exec", "cat")
        data = os.urandom(4 << 20)
        self.assertEqual(self.cmd("call", "e.cat", "-", "--raw", stdin=data).raw, data)

    def test_exec_that_ignores_its_stdin(self):
        self.serve("e.deaf", "--exec", "exec <&-; echo ok")
        self.assertEqual(self.cmd("call", "e.deaf", "-", stdin=bytes(1 << 20)).out, "ok\n")

    def test_exec_envelope_is_in_the_environment(self):
        self.serve("e.env.*", "--exec", "env | grep ^RAMAL_ | sort; env | grep -c ^SECRET=", subject="e.env.x",
                   env={"RAMAL_SUBJECT": "old", "RAMAL_OTHER": "old", "SECRET": "kept"})
        done = self.cmd("call", "e.env.x", "12345", "--type", "T", "-H", "trace-id=a b", "-H", "Trace-Id=second",
                        "-H", "subject=x")
        env = dict(line.split("=", 1) for line in done.lines()[:-1])
        left = int(env.pop("RAMAL_TIME_LEFT_MS"))
        self.assertTrue(4000 < left < 5000)
        self.assertTrue(int(env.pop("RAMAL_PEER")) > 0 and int(env.pop("RAMAL_PID")) > 0)
        self.assertEqual(env, {
            "RAMAL_ADDRESS": self.broker.address, "RAMAL_SUBJECT": "e.env.x", "RAMAL_TYPE": "T", "RAMAL_SIZE": "5",
            "RAMAL_UID": str(os.getuid()), "RAMAL_GID": str(os.getgid()), "RAMAL_HEADER_TRACE_ID": "a b",
            "RAMAL_HEADER_SUBJECT": "x"})
        self.assertEqual(done.lines()[-1], "1")

    def test_exec_without_a_uid_sets_none(self):
        self.serve("e.tcp", "--exec", 'echo "${RAMAL_UID-none} ${RAMAL_PID-none} $RAMAL_IDENTITY"')
        done = self.cmd("call", "e.tcp", "--address", self.tcp, "--token-file", self.broker.token_file)
        self.assertEqual(done.out, "none none token\n")

    def test_exec_never_puts_payload_into_a_command(self):
        with Directory() as directory:
            mark = directory / "mark"
            self.serve("e.inject.>", "--exec", "cat; echo $RAMAL_SUBJECT $RAMAL_TYPE $RAMAL_HEADER_X",
                       subject="e.inject.x")
            evil = f"$(touch {mark});`touch {mark}`;touch {mark}"
            done = self.cmd("call", "e.inject.$(touch${IFS}" + mark.replace(".", "") + ")", evil, "--type", evil,
                            "-H", f"x={evil}")
            self.assertIn("touch", done.out)
            self.assertEqual(os.listdir(str(directory)), [])

    def test_exec_exit_status_is_an_application_error(self):
        self.serve("e.fail", "--exec", 'read what; echo "bad: $what" >&2; echo more >&2; echo out; exit 3')
        done = self.wrong(REFUSED, "e.fail: error 3: bad: \\x1b[2J", "call", "e.fail", "\033[2J")
        self.assertNotIn("more", done.err)
        self.serve("e.quiet", "--exec", "exit 5")
        self.wrong(REFUSED, "error 5: the command failed", "call", "e.quiet")
        self.serve("e.kill", "--exec", "kill -9 $$")
        self.wrong(REFUSED, "error 137: the command was ended by signal 9", "call", "e.kill")
        self.serve("e.none", "--exec", "/nonexistent/program")
        self.wrong(REFUSED, "error 127: ", "call", "e.none")

    def test_exec_stderr_is_talk(self):
        running = self.serve("e.talk", "--exec", "printf 'a\\033[2J\\n' >&2; echo ok")
        self.assertEqual(self.cmd("call", "e.talk").out, "ok\n")
        self.assertEqual(running.line("stderr"), "a\\x1b[2J")

    def test_exec_too_much_output_is_an_error(self):
        self.serve("e.flood", "--exec", "exec cat /dev/zero")
        self.wrong(REFUSED, "more than a reply can hold", "call", "e.flood")

    def pids(self, directory, count):
        """The process ids that commands have written down."""
        def read():
            found = [name for name in os.listdir(str(directory)) if name.isdigit()]
            return found if len(found) >= count else None
        return [int(name) for name in wait_for(read, f"{count} commands")]

    @staticmethod
    def gone(pids):
        def ended():
            return not any(os.path.exists(f"/proc/{pid}") for pid in pids)
        wait_for(ended, "the commands to end")

    # The shell, a child of it, and another one that does not listen to SIGTERM.
    TREE = 'touch "$DIR/$$"; sleep 1000 & touch "$DIR/$!"; (trap "" TERM; exec sleep 1000) & touch "$DIR/$!"; wait'

    def test_exec_is_ended_when_the_caller_gives_up(self):
        for way in ("deadline", "ctrl-c", "kill"):
            with self.subTest(way=way), Directory() as directory:
                self.serve(f"e.slow.{way}", "--exec", self.TREE, env={"DIR": str(directory)})
                if way == "deadline":
                    self.cmd("call", f"e.slow.{way}", "--timeout", "300ms", status=LATER)
                    pids = self.pids(directory, 3)
                else:
                    caller = self.start("call", f"e.slow.{way}", "--timeout", "1h")
                    pids = self.pids(directory, 3)
                    caller.stop(signal.SIGINT if way == "ctrl-c" else signal.SIGKILL)
                self.gone(pids)

    def test_exec_is_ended_with_the_server(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with Directory() as directory:
                server = self.serve(f"e.end.{number}", "--exec", self.TREE, env={"DIR": str(directory)})
                caller = self.start("call", f"e.end.{number}", "--timeout", "1h")
                pids = self.pids(directory, 3)
                self.assertEqual(server.stop(number).status, 128 + number)
                self.assertEqual(caller.end().status, UNAVAILABLE)
                self.gone(pids)

    def test_exec_runs_several_at_once_and_no_more(self):
        with Directory() as directory:
            self.serve("e.many", "--parallel", "3", "--exec",
                       'touch "$DIR/$$"; while [ ! -e "$DIR/go" ]; do sleep 0.02; done; ls "$DIR" | grep -c "^[0-9]"',
                       env={"DIR": str(directory)})
            bus = self.client()
            calls = [bus.call("e.many", deadline=60) for _ in range(10)]
            self.assertEqual(len(self.pids(directory, 3)), 3)
            self.assertEqual(self.cmd("who", "e.many", "--json").json()[0]["call"][0]["pending"], 10)
            self.assertEqual(len(self.pids(directory, 3)), 3)
            open(directory / "go", "w", encoding="ascii").close()
            for call in calls:
                self.assertTrue(3 <= int(call.result()) <= 10)

    def test_exec_waiting_requests_that_are_given_up_are_never_run(self):
        with Directory() as directory:
            self.serve("e.queue", "--parallel", "1", "--exec",
                       'cat > "$DIR/$(cat)" 2>/dev/null; read x; touch "$DIR/ran-$x"; '
                       'while [ ! -e "$DIR/go" ]; do sleep 0.02; done', env={"DIR": str(directory)})
            bus = self.client()
            first = bus.call("e.queue", b"a", deadline=60)
            second = bus.call("e.queue", b"b", deadline=60)
            third = bus.call("e.queue", b"c", deadline=60)
            bus.ping()
            second.cancel()
            bus.ping()
            open(directory / "go", "w", encoding="ascii").close()
            first.result()
            third.result()
            self.assertNotIn("ran-b", os.listdir(str(directory)))

    def test_exec_leaves_nothing_open(self):
        server = self.serve("e.fds", "--exec", "cat", "--parallel", "4")
        bus = self.client()
        fds = f"/proc/{server.process.pid}/fd"
        bus.call("e.fds", b"", deadline=60).result()  # by then it waits, and has what it needs for that
        before = len(os.listdir(fds))
        for call in [bus.call("e.fds", b"%d" % n, deadline=60) for n in range(50)]:
            call.result()
        wait_for(lambda: len(os.listdir(fds)) <= before, "descriptors to be closed")
        with open(f"/proc/{server.process.pid}/task/{server.process.pid}/children", encoding="ascii") as file:
            self.assertEqual(file.read(), "")

    def test_exec_command_sees_no_descriptors_of_ours(self):
        self.serve("e.fd", "--exec", "ls /proc/self/fd | tr '\\n' ' '")
        self.assertEqual(self.cmd("call", "e.fd").out, "0 1 2 3 \n")

    def test_exec_count_waits_for_the_last_answer(self):
        running = self.serve("e.last", "--exec", "sleep 0.2; echo done", "--count", "2")
        bus = self.client()
        calls = [bus.call("e.last", deadline=60) for _ in range(2)]
        self.assertEqual([call.result() for call in calls], [b"done\n"] * 2)
        self.assertEqual(running.end().status, OK)


if __name__ == "__main__":
    main()
