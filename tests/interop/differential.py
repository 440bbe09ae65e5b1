# SPDX-License-Identifier: MIT
"""What our scanner accepts, every protobuf runtime reads alike.

usage: differential.py SCAN_DUMP [SEED]

Makes thousands of frames: by Google's runtime (each of which the scanner must accept), by hand with
every fault that the wire format allows, and by mutation of both. SCAN_DUMP tells how our scanner and
protobuf-c read them; Google's runtime is asked here. A frame that the scanner accepts must be read by
all three with the same fields and values; what it refuses is of no interest.
"""

import collections
import random
import subprocess
import sys

from google.protobuf.descriptor import FieldDescriptor as FD
from google.protobuf.message import DecodeError

import ramal_pb2 as pb

MADE = 6000      # frames by Google's runtime
BUILT = 8000     # frames by hand
MUTATED = 26000  # frames changed

FRAME = pb.Frame.DESCRIPTOR
KINDS = [f for f in FRAME.fields if f.number >= 2]
NUMBERS = [0, 1, 2, 127, 128, 255, 300, 16383, 16384, 2**31 - 1, 2**31, 2**32 - 1]
WIDE = NUMBERS + [2**32, 2**35, 2**63 - 1, 2**63, 2**64 - 1]
TEXTS = ["", "a", "a.b", "foo.*.bar.>", "x" * 130, "grün", "世界", "😀", "$SYS.x", " "]
BYTES = [b"", b"a", b"\0", b"\xff\xfe", bytes(range(256))]
INTEGERS = (FD.TYPE_UINT64, FD.TYPE_UINT32, FD.TYPE_BOOL, FD.TYPE_ENUM)


# ---- made by Google's runtime -------------------------------------------------------------------------------

def fill(rng, message, density):
    for field in message.DESCRIPTOR.fields:
        if rng.random() > density:
            continue
        repeated = field.label == FD.LABEL_REPEATED
        if field.type == FD.TYPE_MESSAGE:
            for _ in range(rng.randrange(1, 4) if repeated else 1):
                inner = getattr(message, field.name).add() if repeated else getattr(message, field.name)
                inner.SetInParent()
                fill(rng, inner, density)
                if inner.DESCRIPTOR is pb.Header.DESCRIPTOR and not inner.name:
                    inner.name = "n"
            continue
        if field.type == FD.TYPE_STRING:
            value = rng.choice(TEXTS)
        elif field.type == FD.TYPE_BYTES:
            value = rng.choice(BYTES)
        elif field.type == FD.TYPE_BOOL:
            value = rng.random() < 0.5
        elif field.type == FD.TYPE_ENUM:
            value = rng.choice([0, 1, 2, 5, 99, 2**31 - 1])
        else:
            value = rng.choice(NUMBERS if field.type == FD.TYPE_UINT32 else WIDE)
        if repeated:
            getattr(message, field.name).extend([value] * rng.randrange(1, 4))
        else:
            setattr(message, field.name, value)


def make(rng):
    frame = pb.Frame()
    if rng.random() < 0.5:
        frame.id = rng.choice(WIDE)
    # data kinds as often as all the others together
    kind = rng.choice(KINDS[:4] if rng.random() < 0.5 else KINDS)
    body = getattr(frame, kind.name)
    body.SetInParent()
    fill(rng, body, rng.choice([0.1, 0.3, 0.7]))
    return frame.SerializeToString(deterministic=True)


# ---- built by hand --------------------------------------------------------------------------------------------

def varint(value, pad=0):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    if pad:
        out[-1] |= 0x80
        out += b"\x80" * (pad - 1) + b"\0"
    return bytes(out)


def tag(number, wire):
    return varint(number << 3 | wire)


def rarely(rng, often=0.03):
    return rng.random() < often


def build_field(rng, field, depth):
    """One field of the schema, mostly as it should be."""
    pad = rng.randrange(1, 4) if rarely(rng, 0.01) else 0
    if rarely(rng, 0.02):
        wire = rng.randrange(8)
    else:
        wire = 0 if field.type in INTEGERS else 2
    if wire == 0:
        top = {FD.TYPE_UINT32: NUMBERS, FD.TYPE_BOOL: [0, 1], FD.TYPE_ENUM: [0, 1, 4, 2**31 - 1]}.get(field.type, WIDE)
        return tag(field.number, 0) + varint(rng.choice(WIDE if rarely(rng) else top), pad)
    if wire == 2:
        if field.type == FD.TYPE_MESSAGE:
            data = build_message(rng, field.message_type, depth + 1)
        elif field.type == FD.TYPE_STRING and not rarely(rng):
            data = rng.choice(TEXTS).encode()
        else:
            data = rng.choice(BYTES)
        return tag(field.number, 2) + varint(len(data), pad) + data
    return tag(field.number, wire) + rng.randbytes({1: 8, 5: 4}.get(wire, 1))


def build_unknown(rng):
    number = rng.choice([16, 20, 100, 18999, 19000, 19999, 20000, 2**29 - 1, 2**29, 0])
    wire = rng.choice([0, 1, 2, 5])
    return tag(number, wire) + {0: b"\x05", 1: b"12345678", 2: b"\x03abc", 5: b"1234"}[wire]


def build_message(rng, descriptor, depth):
    fields = [f for f in descriptor.fields if rng.random() < 0.4] if depth < 6 else []
    if rarely(rng, 0.03):
        rng.shuffle(fields)
    if fields and rarely(rng, 0.03):
        fields.insert(rng.randrange(len(fields)), rng.choice(fields))
    parts = []
    for field in fields:
        times = rng.randrange(1, 3) if field.label == FD.LABEL_REPEATED else 1
        parts += [build_field(rng, field, depth) for _ in range(times)]
    if rarely(rng, 0.06):
        parts.append(build_unknown(rng))
    return b"".join(parts)


def build(rng):
    kind = rng.choice(KINDS[:4] if rng.random() < 0.6 else KINDS)
    body = build_message(rng, kind.message_type, 0)
    frame = b""
    if rng.random() < 0.5:
        frame = tag(1, 0) + varint(rng.choice(WIDE), 1 if rarely(rng, 0.01) else 0)
    frame += tag(kind.number if not rarely(rng) else rng.choice([6, 15, 37, 77, 2**29 - 1]), 2) + varint(len(body)) + body
    if rarely(rng, 0.02):
        frame += rng.choice([b"\0", tag(1, 0) + b"\x07", tag(32, 2) + b"\0", frame])
    return frame or b"\x08"


# ---- mutated ----------------------------------------------------------------------------------------------------

def mutate(rng, frames):
    data = bytearray(rng.choice(frames))
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(data))
        what = rng.randrange(7)
        if what == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            data[at] = rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF])
        elif what == 2:
            data.insert(at, rng.randrange(256))
        elif what == 3 and len(data) > 1:
            del data[at]
        elif what == 4:
            data[at:at] = data[at:at + rng.randrange(1, 12)]
        elif what == 5 and at > 0:
            del data[at:]
        elif what == 6:
            other = rng.choice(frames)
            cut = rng.randrange(len(other))
            data[at:] = other[cut:]
        if not data:
            data = bytearray(b"\x12")
    return bytes(data)


# ---- as Google's runtime reads them -----------------------------------------------------------------------------

def show(message):
    out = []
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.label == FD.LABEL_REPEATED:
            values, zero = value, True
        elif field.type == FD.TYPE_MESSAGE:
            values, zero = [value] if message.HasField(field.name) else [], True
        else:
            values, zero = [value], False
        for each in values:
            if field.type == FD.TYPE_MESSAGE:
                inner = show(each)
                # whether these are there means nothing, only what is in them
                if inner or field.name not in ("hop_ext", "ext"):
                    out.append(f"{field.name}{{{' ' if inner else ''}{inner} }}")
            elif each or zero:
                if field.type == FD.TYPE_STRING:
                    each = each.encode().hex()
                elif field.type == FD.TYPE_BYTES:
                    each = each.hex()
                else:
                    each = int(each)
                out.append(f"{field.name}={each}")
    return " ".join(out)


def read(frame):
    try:
        return show(pb.Frame.FromString(frame))
    except DecodeError:
        return None


# ---- all together -------------------------------------------------------------------------------------------------

def dump(program, frames):
    data = b"".join(len(f).to_bytes(4, "big") + f for f in frames)
    done = subprocess.run([program], input=data, stdout=subprocess.PIPE, check=True)
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 2 * len(frames), "scan_dump has not answered for every frame"
    return list(zip(lines[::2], lines[1::2]))


def fields_of(line):
    """'S - id=1 ping{ }' -> ('-', 'id=1 ping{ }'); refused -> ('!', why)."""
    _, mark, *rest = line.split(" ", 2)
    return mark, rest[0].strip() if rest else ""


def compare(frame, ours, theirs, counts):
    """Returns what is wrong, or None."""
    mark, scanned = fields_of(ours)
    if mark == "!":
        counts["refused"] += 1
        return None
    if mark == "odd":
        # a subject that the grammar will refuse: runtimes may refuse it here, or cut it off at a NUL
        counts["odd"] += 1
        return None
    google = read(frame)
    counts["accepted"] += 1
    counts[scanned.partition("{")[0].rpartition(" ")[2]] += 1
    if google is None:
        return "Google's runtime refuses it"
    if google != scanned:
        return f"Google's runtime reads\n    {google}"
    if fields_of(theirs) != ("-", scanned):
        return f"protobuf-c reads\n    {theirs}"
    return None


def main():
    program, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rng = random.Random(seed)
    made = [make(rng) for _ in range(MADE)]
    made = [f for f in made if f]
    built = [build(rng) for _ in range(BUILT)]
    frames = made + built
    frames += [mutate(rng, frames[:len(made) + len(built)]) for _ in range(MUTATED)]

    counts, faults = collections.Counter(), []
    for number, (frame, (ours, theirs)) in enumerate(zip(frames, dump(program, frames))):
        wrong = compare(frame, ours, theirs, counts)
        if number < len(made) and ours.startswith("S !"):
            wrong = "a runtime made it, and it is refused"
        if wrong:
            faults.append(f"frame {frame.hex()}\n  {ours}\n  {wrong}")

    for fault in faults[:10]:
        print(fault)
    print(f"differential: seed {seed}, {len(frames)} frames, {counts['accepted']} accepted, {counts['odd']} with odd "
          f"subjects, {counts['refused']} refused, {len(faults)} wrong")
    # A run in which nothing is accepted, or nothing refused, or a kind never comes, shows nothing.
    unseen = [k.name for k in KINDS if counts[k.name] < 20]
    if unseen:
        print(f"differential: too few frames of {', '.join(unseen)}")
    if counts["accepted"] < 10000 or counts["refused"] < 10000:
        print("differential: too few frames of one sort")
        return 1
    return 1 if faults or unseen else 0


sys.exit(main())
