#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Holds docs/protocol.md against proto/ramal.proto and a running broker: its tables, its hex dump, what comes later.

With --write, and RAMALD set, it writes the hex dump of the page anew."""

import os
import re
import select
import sys
import textwrap

from google.protobuf import text_format

import ramal
from buscase import SECONDS, BusCase, main, start, stop
from ramal import pb

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
PAGE = os.path.join(ROOT, "docs", "protocol.md")
PROTO = os.path.join(ROOT, "proto", "ramal.proto")
BEGIN, END = "<!-- example: begin -->\n", "<!-- example: end -->\n"

# What the client says in the worked example.
TALK = (
    'id: 1 hello { version_min: 1 version_max: 1 app: "example" library: "by hand" }',
    'id: 2 subscribe { sid: 1 pattern: "greet.*" credit_messages: 10 }',
    'id: 3 publish { flags: 2 subject: "greet.world" type: "text" payload: "hello" }',
    "credit { sid: 1 seq: 1 }",
    "id: 4 bye { }",
)


def page():
    with open(PAGE, encoding="utf-8") as file:
        return file.read()


def section(title):
    """The text below a heading that ends so."""
    match = re.search(rf"^## \d+\. {re.escape(title)}\n(.*?)(?=^## |\Z)", page(), re.M | re.S)
    assert match, f"docs/protocol.md has no section '{title}'"
    return match.group(1)


def rows(text, columns):
    """The rows of all tables with so many columns, without heads."""
    found, head = [], True
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            head = True
        elif set(line) <= set("|-: "):
            head = False
        elif not head and len(cells) == columns:
            found.append(cells)
    return found


def frame_of(text):
    return text_format.Parse(text, pb.Frame())


def text_of(frame):
    return text_format.MessageToString(frame, as_one_line=True).strip()


def anonymous(frame, like):
    """The frame with everything in it that differs from run to run as it is in `like`."""
    if frame.HasField("welcome"):
        for field in ("peer", "epoch", "server"):
            setattr(frame.welcome, field, getattr(like.welcome, field))
    if frame.HasField("deliver"):
        frame.deliver.sender.CopyFrom(like.deliver.sender)
    return frame


def read_frames(sock, count):
    """The bytes of the next `count` frames, each with its prefix."""
    data, frames = b"", []
    while len(frames) < count:
        size = 4 + int.from_bytes(data[:4], "big") if len(data) >= 4 else 4
        if len(data) >= size > 4:
            frames.append(data[:size])
            data = data[size:]
            continue
        if not select.select([sock], [], [], SECONDS)[0]:
            raise AssertionError("the broker says nothing more")
        piece = sock.recv(65536)
        if not piece:
            raise AssertionError("the broker closed the connection")
        data += piece
    assert not data, "more frames than the page shows"
    return frames


class Page(BusCase):
    def test_kinds_are_those_of_the_proto_file(self):
        table = [(int(number), name) for number, name, *_ in rows(section("Frame"), 6)]
        fields = [(f.number, f.name.upper()) for f in pb.Frame.DESCRIPTOR.fields if f.name != "id"]
        self.assertEqual(table, fields)
        for number, name, message, *_ in rows(section("Frame"), 6):
            self.assertEqual(pb.Frame.DESCRIPTOR.fields_by_number[int(number)].message_type.name, message, name)

    def test_fields_of_data_are_those_of_the_proto_file(self):
        table = [tuple(cells[0].split()) + (cells[1].split(",")[0],) for cells in rows(section("Data"), 7)]
        names = {f.name: f for f in pb.Data.DESCRIPTOR.fields}
        self.assertEqual([(n, name) for n, name, _ in table],
                         [(str(f.number), f.name) for f in pb.Data.DESCRIPTOR.fields])
        for _, name, kind in table:
            field = names[name]
            scalars = {4: "uint64", 13: "uint32", 9: "string", 12: "bytes"}
            self.assertEqual(kind, field.message_type.name if field.message_type else scalars[field.type], name)
        flags = re.search(r"\*\*Flags\*\* are a sum: (.*?)\.", section("Data")).group(1)
        self.assertEqual([tuple(f.split()) for f in flags.split(", ")],
                         [(v.name[len("DATA_FLAG_"):], str(v.number)) for v in pb.DataFlag.DESCRIPTOR.values
                          if v.number])

    def test_status_codes_are_those_of_the_proto_file(self):
        table = [(int(number), name) for number, name, _ in rows(section("Status codes"), 3)]
        self.assertEqual(table, [(v.number, v.name[len("CODE_"):]) for v in pb.Code.DESCRIPTOR.values])

    def test_policies_and_overflow_rules_are_those_of_the_proto_file(self):
        text = section("Interests") + section("Deliveries, credit, gaps")
        for enum, prefix in ((pb.Policy, "POLICY_"), (pb.Overflow, "OVERFLOW_")):
            for value in enum.DESCRIPTOR.values:
                self.assertIn(f"{value.name[len(prefix):]} ({value.number})", text)
        for value in pb.Why.DESCRIPTOR.values:
            if value.name not in ("WHY_NONE", "WHY_OUTAGE"):
                self.assertIn(value.name[len("WHY_"):], section("Deliveries, credit, gaps"))

    def test_default_limits_are_those_of_the_page(self):
        limits = self.connect().welcome.limits
        text = section("Limits")
        expected = {
            "8 MiB |": [(limits.payload_bytes, 8 << 20)],
            "payload + 64 KiB": [(limits.frame_bytes - limits.payload_bytes, 64 << 10)],
            "64, together 8 KiB": [(limits.headers, 64), (limits.headers_bytes, 8192)],
            "255 bytes, 32 tokens": [(limits.subject_bytes, 255), (limits.subject_tokens, 32)],
            "8 MiB, 65 536 messages": [(limits.interest_window_bytes, 8 << 20),
                                       (limits.interest_window_messages, 65536)],
            "| calls in flight, per connection | 4 096 |": [(limits.calls, 4096)],
        }
        for words, pairs in expected.items():
            self.assertIn(words, text)
            for value, number in pairs:
                self.assertEqual(value, number, words)

    def test_worked_example_is_what_goes_over_the_wire(self):
        text = page().split(BEGIN)[1].split(END)[0]
        steps = [(way, " ".join(words.split()), dump) for way, words, dump in re.findall(
            r"^([<>]) (.*\n(?:    .*\n)*)((?:  [0-9a-f][0-9a-f ]*\n)+)", text, re.M)]
        self.assertEqual([t for way, t, _ in steps if way == ">"], list(TALK))
        frames = [(way, frame_of(t), bytes.fromhex(hexdump.replace("\n", " "))) for way, t, hexdump in steps]
        for _, frame, data in frames:
            self.assertEqual(ramal.pack(frame).hex(" "), data.hex(" "))
        sock = self.raw().sock
        for at, (way, frame, data) in enumerate(frames):
            if way == ">":
                sock.sendall(data)
                expected = []
                for other, answer, _ in frames[at + 1:]:
                    if other == ">":
                        break
                    expected.append(answer)
                for answer, raw in zip(expected, read_frames(sock, len(expected))):
                    seen = pb.Frame.FromString(raw[4:])
                    self.assertEqual(ramal.pack(seen).hex(" "), raw.hex(" "), "not as Google's runtime would write it")
                    self.assertEqual(text_of(anonymous(seen, answer)), text_of(answer))
        self.assertEqual(sock.recv(1) if select.select([sock], [], [], SECONDS)[0] else b"silence", b"")

    def later(self):
        return rows(section("Later"), 3)

    def test_what_comes_later_is_unsupported_and_named(self):
        table = self.later()
        self.assertGreater(len(table), 20)
        for feature, field, example in table:
            frame = frame_of(example.strip("`"))
            kind = frame.WhichOneof("kind")
            with self.subTest(field):
                bus = self.raw() if kind == "hello" else self.connect()
                self.assertNotIn(feature, bus.welcome.features if bus.welcome else [])
                if kind != "publish" or frame.publish.flags & pb.DATA_FLAG_RECEIPT:
                    frame.id = bus.new_id()
                bus.send_frame(frame)
                answer = bus.next_of("status")
                self.assertEqual(answer.id, frame.id)
                self.assertEqual(ramal.code_name(answer.status.code), "UNSUPPORTED", answer.status.text)
                self.assertIn(field.strip("`"), answer.status.text)
                if kind == "publish":
                    self.assertEqual(answer.status.publish, 1)
                if kind == "hello":
                    self.assertEqual(self.ended(bus), [])
                else:
                    self.silent(bus)

    def test_everything_marked_later_in_the_proto_file_is_in_the_table(self):
        with open(PROTO, encoding="utf-8") as file:
            marked = re.findall(r"^  (?:[\w.]+ )?(\w+) = \d+;.*//.*\blater\b", file.read(), re.M)
        self.assertGreater(len(marked), 15)
        text = section("Later")
        for name in marked:
            word = re.sub(r"^(DATA_FLAG|POLICY|START|OVERFLOW|STATE|WHY)_", "", name)
            self.assertIn(word.lower(), text.lower(), name)

    def test_features_are_those_of_the_page(self):
        features = list(self.connect().welcome.features)
        listed = re.search(r"WELCOME\.features of this version: (.*?)\. ", section("Later").replace("\n", " "))
        self.assertIsNotNone(listed)
        self.assertEqual(features, listed.group(1).replace("`", "").split(", "))


def write():
    """Has the talk with a broker and puts it into the page."""
    broker = start()
    try:
        sock = ramal.open_socket(broker.addresses[0])
        answers = {0: 1, 1: 1, 2: 2, 3: 0, 4: 1}
        text = "```\n"
        likes = {
            "welcome": pb.Frame(welcome=pb.Welcome(peer=7, epoch=1234567890, server="ramald 0.1.0")),
            "deliver": pb.Frame(deliver=pb.Data(
                sender=pb.Sender(peer=7, local=pb.Local(uid=1000, gid=1000, pid=4242)))),
        }
        for at, said in enumerate(TALK):
            frames = [(">", frame_of(said))]
            sock.sendall(ramal.pack(frames[0][1]))
            for raw in read_frames(sock, answers[at]):
                frame = pb.Frame.FromString(raw[4:])
                frames.append(("<", anonymous(frame, likes.get(frame.WhichOneof("kind"), frame))))
            for way, frame in frames:
                data = ramal.pack(frame)
                dump = "".join("  " + data[i:i + 32].hex(" ") + "\n" for i in range(0, len(data), 32))
                words = textwrap.fill(said if way == ">" else text_of(frame), 110, break_long_words=False,
                                      break_on_hyphens=False)
                text += f"{way} " + words.replace("\n", "\n    ") + "\n" + dump
        sock.close()
        text += "```\n"
    finally:
        stop(broker)
    old = page()
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(old.split(BEGIN)[0] + BEGIN + text + END + old.split(END)[1])


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    else:
        main()
