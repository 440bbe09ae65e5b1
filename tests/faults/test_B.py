#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Faults of group B: protobuf."""

import os
import random
import select
import struct

from faultlib import (END, FIXED32, FIXED64, KIND, LEN, SECONDS, START, VARINT, chunk, frame, kind, main, number,
                      over_both, publish, subscribe, tag, varint)
from ramal import pb

SID = tag(1, VARINT)       # of SUBSCRIBE
FLAGS = tag(3, VARINT)     # of Data
TIME = tag(4, VARINT)
SUBJECT = chunk(11, b"f.x")
FROM_BROKER = ("deliver", "challenge", "welcome", "subscribed", "interest", "snapshot_end", "gap", "accepted", "status",
               "pong", "goaway")
BAD_UTF8 = (b"\xff", b"\x80", b"a\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xed\xbf\xbf",
            b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"a\xe2\x82", b"\xc3")


def control(body):
    """A SUBSCRIBE with these bytes as its body."""
    return kind("subscribe", body, 70)


def longer(value, size):
    """A varint of exactly so many bytes, longer than it needs to be."""
    out = varint(value)
    return out[:-1] + bytes([out[-1] | 128]) + b"\x80" * (size - len(out) - 1) + b"\x00"


@over_both(globals())
class Protobuf:
    def everywhere(self, bad):
        """Closes for these bytes in the place of a whole field: in Frame, in a control message, in a hop header, in
        hop_ext, from the cut on, in a header, in `ext`."""
        self.closes(frame(bad + chunk(KIND["ping"], b"")), what="Frame, before the kind: " + bad.hex())
        self.closes(frame(number(1, 70) + bad), what="Frame: " + bad.hex())
        self.closes(control(number(1, 1) + chunk(2, b"f.e") + bad), what="control: " + bad.hex())
        self.closes(kind("publish", bad + SUBJECT), what="hop header: " + bad.hex())
        self.closes(kind("publish", chunk(10, bad) + SUBJECT), what="hop_ext: " + bad.hex())
        self.closes(kind("publish", SUBJECT + bad), what="tail: " + bad.hex())
        self.closes(kind("publish", SUBJECT + chunk(13, chunk(1, b"n") + bad)), what="header: " + bad.hex())
        self.closes(kind("publish", SUBJECT + chunk(14, bad)), what="ext: " + bad.hex())

    def values(self, bad):
        """Closes for these bytes in the place of a varint's value."""
        self.closes(frame(tag(1, VARINT) + bad + chunk(KIND["ping"], b"")), what="Frame.id: " + bad.hex())
        self.closes(control(SID + bad + chunk(2, b"f.v")), what="control: " + bad.hex())
        self.closes(kind("publish", FLAGS + bad + SUBJECT), what="flags: " + bad.hex())
        self.closes(kind("call", TIME + bad + SUBJECT, 70), what="time_left_us: " + bad.hex())
        self.closes(kind("publish", chunk(10, tag(2, VARINT) + bad) + SUBJECT), what="hop_ext: " + bad.hex())

    def lengths(self, bad, rest=b"f.x"):
        """Closes for these bytes in the place of a length."""
        self.closes(frame(number(1, 70) + tag(KIND["subscribe"], LEN) + bad + rest), what="kind: " + bad.hex())
        self.closes(control(number(1, 1) + tag(2, LEN) + bad + rest), what="control: " + bad.hex())
        self.closes(kind("publish", tag(11, LEN) + bad + rest), what="subject: " + bad.hex())
        self.closes(kind("publish", SUBJECT + tag(15, LEN) + bad + rest), what="payload: " + bad.hex())
        self.closes(kind("publish", SUBJECT + chunk(13, tag(1, LEN) + bad + rest)), what="header: " + bad.hex())

    def fault_B14_unterminated_and_too_long_varints_close(self):
        for bad in (b"\x80" * 10 + b"\x01", b"\xff" * 11, b"\xff" * 30):
            self.values(bad)
            self.lengths(bad)
            self.everywhere(bad)
        for bad in (b"\x80", b"\xff\xff", b"\xff" * 9):  # and then the end
            self.closes(frame(tag(1, VARINT) + bad))
            self.closes(frame(bad))
            self.closes(control(SID + bad))
            self.closes(kind("publish", SUBJECT + bad))
            self.closes(kind("publish", FLAGS + bad))
            self.closes(kind("publish", SUBJECT + chunk(13, bad)))

    def fault_B15_bits_above_64_and_varints_that_are_not_shortest_close(self):
        for bad in (b"\xff" * 9 + b"\x02", b"\x80" * 9 + b"\x7e", longer(1, 2), longer(0, 2), longer(1, 10),
                    longer(300, 5)):
            self.values(bad)
        for size in (2, 3, 5, 10):
            self.lengths(longer(3, size))
        for size in (2, 5, 10):
            self.everywhere(longer(1 << 3 | LEN, size) + b"\x00")
            self.everywhere(longer(11 << 3 | LEN, size) + b"\x01a")

    def fault_B15_numbers_above_their_type_close(self):
        for value in (1 << 32, 1 << 63, (1 << 64) - 1):
            self.closes(kind("publish", number(3, value) + SUBJECT))
            self.closes(control(number(1, 1) + chunk(2, b"f.n") + number(5, value)), what=f"enum {value}")
        for value in (2, 255, 1 << 40):
            self.closes(control(number(1, 1) + chunk(2, b"f.n") + number(3, value)), what=f"bool {value}")

    def fault_B16_field_numbers_that_may_not_be_close(self):
        for wrong in (0, 1 << 29, (1 << 61) - 1, 19000, 19500, 19999):
            for wire, value in ((VARINT, b"\x01"), (LEN, b"\x00")):
                self.everywhere(varint(wrong << 3 | wire) + value)

    def fault_B16_the_largest_field_number_is_an_unknown_one(self):
        bus = self.connect()
        ident = bus.new_id()
        bus.send_bytes(subscribe(ident, 1, b"f.large", number((1 << 29) - 1, 5)))
        self.assertEqual(bus.answer(ident).subscribed.sid, 1)
        self.answers(bus, frame(number(1, bus.new_id()) + chunk((1 << 29) - 1, b"")), pb.CODE_UNSUPPORTED)

    def fault_B17_groups_and_reserved_wire_types_close(self):
        for wire in (START, END, 6, 7):
            for field in (1, 2, 9, 100):
                self.everywhere(tag(field, wire))
                self.everywhere(tag(field, wire) + b"\x00" + tag(field, END))

    def fault_B18_wrong_wire_types_of_known_fields_close(self):
        self.closes(frame(tag(1, FIXED64) + bytes(8) + chunk(KIND["ping"], b"")))
        self.closes(frame(chunk(1, b"\x05") + chunk(KIND["ping"], b"")))
        for name in ("ping", "publish", "subscribe"):
            self.closes(frame(number(1, 70) + number(KIND[name], 1)))
            self.closes(frame(number(1, 70) + tag(KIND[name], FIXED32) + bytes(4)))
        self.closes(control(chunk(1, b"\x01") + chunk(2, b"f.w")))
        self.closes(control(number(1, 1) + number(2, 5)))
        self.closes(control(number(1, 1) + chunk(2, b"f.w") + tag(3, FIXED32) + b"\x01\0\0\0"))
        self.closes(kind("publish", tag(3, FIXED32) + bytes(4) + SUBJECT))
        self.closes(kind("publish", number(10, 1) + SUBJECT))
        for field in (11, 12, 13, 14, 15):
            before = b"" if field == 11 else SUBJECT
            self.closes(kind("publish", before + number(field, 1)))
            self.closes(kind("publish", before + tag(field, FIXED64) + bytes(8)))

    def fault_B19_a_few_unknown_fields_are_skipped_and_not_passed_on(self):
        bus = self.connect()
        unknown = b"".join(number(100 + i, i) for i in range(14))
        unknown += tag(200, FIXED32) + b"abcd" + tag(201, FIXED64) + bytes(8)
        ident = bus.new_id()
        bus.send_bytes(subscribe(ident, 1, b"f.u", unknown))
        self.assertEqual(bus.answer(ident).subscribed.sid, 1)
        secret = chunk(100, b"not for you")
        bus.send_bytes(kind("publish", chunk(10, secret) + chunk(11, b"f.u") + chunk(15, b"seen")))
        data = bus.next_delivery()
        self.assertEqual(data.deliver.payload, b"seen")
        self.assertNotIn(b"not for you", data.SerializeToString())
        self.silent(bus)

    def fault_B19_many_unknown_fields_close(self):
        for unknown in (b"".join(number(100 + i, 1) for i in range(17)), chunk(100, bytes(1100)),
                        b"".join(chunk(100 + i, bytes(200)) for i in range(8)),
                        b"".join(number(1000 + i, 1) for i in range(10000))):
            self.closes(subscribe(70, 1, b"f.u", unknown), what=f"control, {len(unknown)} bytes")
            self.closes(kind("publish", chunk(10, unknown) + SUBJECT), what=f"hop_ext, {len(unknown)} bytes")

    def fault_B19_unknown_fields_from_the_cut_on_close(self):
        for bad in (number(16, 1), chunk(16, b"x"), number(5000, 1)):
            self.closes(kind("publish", SUBJECT + bad))
        self.closes(kind("publish", SUBJECT + chunk(13, chunk(1, b"n") + number(3, 1))))
        self.closes(kind("publish", SUBJECT + chunk(14, number(1, 1))))

    def fault_B20_singular_fields_twice_close(self):
        self.closes(frame(number(1, 70) + number(1, 71) + chunk(KIND["ping"], b"")))
        self.closes(control(number(1, 1) + number(1, 1) + chunk(2, b"f.t")))
        self.closes(control(number(1, 1) + chunk(2, b"f.t") + chunk(2, b"f.t")))
        self.closes(kind("publish", number(3, 0) + number(3, 0) + SUBJECT))
        for field, value in ((11, b"f.x"), (12, b"t"), (14, b""), (15, b"p")):
            before = b"" if field == 11 else SUBJECT
            self.closes(kind("publish", before + chunk(field, value) * 2))
        self.closes(kind("publish", SUBJECT + chunk(13, chunk(1, b"n") * 2)))

    def fault_B20_fields_out_of_order_close(self):
        self.closes(frame(chunk(KIND["ping"], b"") + number(1, 70)))
        self.closes(control(chunk(2, b"f.o") + number(1, 1)))
        self.closes(kind("publish", SUBJECT + number(3, 0)))
        self.closes(kind("publish", chunk(12, b"t") + SUBJECT))
        self.closes(kind("publish", SUBJECT + chunk(15, b"p") + chunk(12, b"t")))
        self.closes(kind("publish", SUBJECT + chunk(13, chunk(2, b"v") + chunk(1, b"n"))))

    def fault_B21_sub_messages_twice_close(self):
        self.closes(kind("publish", chunk(10, b"") * 2 + SUBJECT))
        self.closes(kind("call", chunk(10, number(2, 1)) * 2 + SUBJECT, 70))
        self.closes(kind("publish", SUBJECT + chunk(14, b"") * 2))
        self.closes(control(number(1, 1) + chunk(2, b"f.t") + chunk(17, b"") * 2))
        self.closes(frame(number(1, 70) + chunk(KIND["ping"], b"") * 2))

    def fault_B22_deep_nesting_needs_no_stack(self):
        nested = b""
        for _ in range(9000):
            nested = chunk(1, nested)
        self.closes(subscribe(70, 1, b"f.deep", chunk(100, nested)), what="9 000 levels of messages")
        self.closes(subscribe(70, 1, b"f.deep", tag(100, START) * 20000), what="20 000 groups")
        self.closes(kind("publish", tag(2, START) * 300000 + SUBJECT), what="300 000 groups in a hop header")
        bus = self.connect()
        bus.subscribe("f.deep")
        bus.send_bytes(publish(b"f.deep", tail=chunk(15, nested)))
        self.assertEqual(bus.next_delivery().deliver.payload, nested)

    def fault_B23_lengths_beyond_the_end_close(self):
        for length in (4, 5, 127, 128, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63, (1 << 64) - 1,
                       (1 << 64) - 4):
            self.lengths(varint(length))
        # Each inside the one above it, but for the last.
        self.closes(kind("publish", SUBJECT + chunk(13, tag(1, LEN) + varint(2) + b"n") + chunk(15, b"xxxx")))

    def fault_B24_bad_text_in_subjects_and_names_is_refused(self):
        bus = self.connect()
        for bad in (*BAD_UTF8, b"a\0b", b"a.\xff.b"):
            bus.publishes += 1
            self.answers(bus, publish(bad), pb.CODE_BAD_SUBJECT, publish=bus.publishes)
            self.answers(bus, kind("call", chunk(11, bad), bus.new_id()), pb.CODE_BAD_SUBJECT)
            self.answers(bus, subscribe(bus.new_id(), 5, bad), pb.CODE_BAD_SUBJECT)
            self.answers(bus, subscribe(bus.new_id(), 5, bad, number(3, 1) + number(6, 1)), pb.CODE_BAD_SUBJECT)
            self.answers(bus, subscribe(bus.new_id(), 5, b"f.g", chunk(4, bad)), pb.CODE_BAD_SUBJECT)

    def fault_B24_bad_text_elsewhere_closes(self):
        for bad in (*BAD_UTF8, b"a\0b"):
            self.closes(publish(tail=chunk(12, bad)), what="type " + bad.hex())
            self.closes(publish(tail=chunk(13, chunk(1, bad))), what="header " + bad.hex())
            self.closes(kind("reply", number(2, 1) + number(8, 1) + chunk(9, bad)), what="text " + bad.hex())
            self.closes(kind("hello", number(1, 1) + number(2, 1) + chunk(3, bad), 1), bus=self.raw(),
                        what="app " + bad.hex())

    def fault_B25_subjects_against_the_grammar_are_refused(self):
        bus = self.connect()
        bad = [b"", b".", b"a.", b".a", b"a..b", b"a b", b" a", b"a\tb", b"a\r\nb", b"a\x7fb", b"a\x01", b"x" * 256,
               b".".join([b"x"] * 33), b"*", b"a.*", b">", b"a.>", b"*.b"]
        for subject in bad:
            bus.publishes += 1
            self.answers(bus, publish(subject), pb.CODE_BAD_SUBJECT, publish=bus.publishes)
            self.answers(bus, kind("call", chunk(11, subject), bus.new_id()), pb.CODE_BAD_SUBJECT)
        for pattern in bad[:13] + [b"a.>.b", b">.a", b".".join([b"*"] * 33)]:
            self.answers(bus, subscribe(bus.new_id(), 5, pattern), pb.CODE_BAD_SUBJECT)
        self.assertEqual(bus.publish("x" * 255, receipt=True), 0)
        self.assertEqual(bus.publish(".".join("x" * 32), receipt=True), 0)
        self.assertEqual(bus.publish("größe.日本", receipt=True), 0)

    def fault_B26_fields_that_only_the_broker_writes_close(self):
        for sender in (b"", number(1, 1), chunk(2, number(1, 0)), chunk(3, b"root")):
            field = chunk(6, sender)
            self.closes(kind("publish", field + SUBJECT))
            self.closes(kind("call", field + SUBJECT, 70))
            self.closes(kind("reply", number(2, 1) + field + chunk(15, b"x")))
            self.closes(kind("reply", number(2, 1) + field + number(8, 5)), what="an application error")
        for field in (number(1, 3), number(2, 3), number(5, 3), number(7, 3)):
            self.closes(kind("publish", field + SUBJECT))
            self.closes(kind("call", field + SUBJECT, 70))
        for field in (number(1, 3), number(5, 3), number(7, 3)):
            self.closes(kind("reply", b"".join(sorted((number(2, 1), field)))))

    def fault_B27_unknown_enum_values_and_flags_are_refused(self):
        bus = self.connect()
        for field in (5, 10, 14):
            for value in (99, 0x7fffffff):
                data = subscribe(bus.new_id(), 5, b"f.enum", number(field, value))
                status = self.answers(bus, data, pb.CODE_UNSUPPORTED)
                self.assertIn({5: "policy", 10: "start", 14: "overflow"}[field], status.text)
        for bit in (1 << 10, 1 << 31):
            bus.publishes += 1
            self.answers(bus, publish(hop=number(3, bit)), pb.CODE_UNSUPPORTED, publish=bus.publishes)
            self.answers(bus, kind("call", number(3, bit) + SUBJECT, bus.new_id()), pb.CODE_UNSUPPORTED)
        bus.subscribe("f.enum", sid=5)

    def fault_B27_two_members_of_the_oneof_close(self):
        self.closes(frame(number(1, 70) + chunk(KIND["ping"], b"") + chunk(KIND["bye"], b"")))
        self.closes(frame(chunk(KIND["publish"], SUBJECT) + chunk(KIND["credit"], number(1, 1))))

    def fault_B28_kinds_of_different_directions_in_one_frame_close(self):
        wish = number(1, 1) + chunk(2, b"f")
        self.closes(frame(number(1, 70) + chunk(KIND["subscribe"], wish) + chunk(KIND["status"], b"")))
        self.closes(frame(number(1, 70) + chunk(KIND["publish"], SUBJECT) + chunk(KIND["call"], SUBJECT)))
        self.closes(frame(number(1, 70) + chunk(KIND["ping"], b"") + chunk(2000, b"")))

    def fault_B29_kinds_that_only_the_broker_sends_close(self):
        for name in FROM_BROKER:
            self.closes(kind(name), what=name)
            self.closes(kind(name, b"", 70), what=name + " with an id")
            self.closes(kind(name, b"", 1), bus=self.raw(), what=name + " before HELLO")

    def fault_B30_packed_fields_close_without_memory(self):
        before = self.private_memory()
        million = b"\x01" * 1000000
        self.closes(kind("subscribe", chunk(1, million), 70), what="a million values in a control frame")
        self.closes(kind("publish", chunk(3, million) + SUBJECT), what="a million flags")
        self.closes(kind("publish", number(3, 0) + chunk(10, chunk(2, million)) + SUBJECT), what="in hop_ext")
        self.closes(kind("credit", chunk(1, b"\x01\x02\x03")))
        if not self.sanitized():
            self.assertLess(self.private_memory() - before, 8 << 20)

    def fault_B31_headers_are_bounded_in_number_and_bytes(self):
        bus = self.connect()
        bus.subscribe("f.h")
        most = [(f"h{i:02}", b"v" * 125) for i in range(64)]
        self.assertEqual(sum(len(n) + len(v) for n, v in most), 8192)
        self.assertEqual(bus.publish("f.h", headers=most, receipt=True), 1)
        self.assertEqual([(h.name, h.value) for h in bus.next_delivery().deliver.headers], most)
        for headers in ([("h", b"")] * 65, most + [("x", b"")], most[:63] + [("h63", b"v" * 126)], [("n", b"v" * 8192)]):
            status = self.refused(pb.CODE_TOO_LARGE, bus.publish, "f.h", headers=headers, receipt=True)
            self.assertTrue(status.text and status.value, status)
        bus.publishes += 1
        self.answers(bus, publish(b"f.h", tail=chunk(13, chunk(1, b"n")) * 1000000), pb.CODE_TOO_LARGE,
                     publish=bus.publishes)
        self.refused(pb.CODE_TOO_LARGE, bus.publish, "f.h", type="t" * 33000, receipt=True)
        self.silent(bus)

    def fault_B32_payloads_pass_bit_by_bit(self):
        bus, sender = self.connect(), self.connect()
        bus.subscribe("f.p")
        chance = random.Random(32)
        payloads = [bytes([b]) for b in range(256)]
        payloads += [bytes(range(256)) * 20, publish(), subscribe(1), b"\xff" * 5000, bytes(5000)]
        payloads += [chance.randbytes(chance.randrange(70000)) for _ in range(30)] + [os.urandom(1 << 20)]
        payloads += [struct.pack(">I", n) for n in (0, 1, 0xffffffff)]
        for payload in payloads:
            sender.publish("f.p", payload)
            self.assertEqual(bus.next_delivery().deliver.payload, payload)
        # The whole end-to-end part, as it was written: an empty field that is there stays there.
        for tail in (b"", chunk(15, b""), chunk(12, b""), chunk(14, b""),
                     chunk(12, b"t") + chunk(13, chunk(1, b"h")) + chunk(15, b"")):
            sender.send_bytes(publish(b"f.p", tail=tail))
            self.assertTrue(self.raw_frame(bus).endswith(chunk(11, b"f.p") + tail), tail)

    def raw_frame(self, bus):
        """The bytes of the next frame."""
        self.assertFalse(bus.inbox)
        data, size = b"", 4
        while len(data) < size:
            self.assertTrue(select.select([bus.sock], [], [], SECONDS)[0], "nothing came")
            data += bus.sock.recv(size - len(data))
            if len(data) == 4:
                size += struct.unpack(">I", data)[0]
        return data


if __name__ == "__main__":
    main()
