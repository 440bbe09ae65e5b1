# SPDX-License-Identifier: MIT
"""Bytes: of the program, of an idle broker, of a connection and of an interest.

Memory is what the kernel has given to the process, so malloc's own part is in it.
"""

import os
import resource
import statistics
import subprocess
import tempfile

import loads
import ramal

CONNECTIONS = 1000
INTERESTS = 100000
AT_ONCE = 250
IDLE_RUNS = 7
PATTERN = "many.s{}"
PRIVATE = ("Private_Clean", "Private_Dirty")  # of files, too, when no other process has mapped them just now
OWN = ("Anonymous",)                          # what it has made or written to itself


def stripped(ramald):
    with tempfile.TemporaryDirectory(prefix="ramal-gates-") as directory:
        out = os.path.join(directory, "ramald")
        subprocess.run(["strip", "-o", out, ramald], check=True)
        return os.path.getsize(out)


def memory(pid, kinds):
    """Bytes of these kinds."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file if line.rstrip().endswith(" kB"))
    return sum(int(fields[kind].split()[0]) for kind in kinds) << 10


def idle(kinds):
    """Of a broker to which nobody has spoken yet: the median of a few, which differ by pages."""
    found = []
    for _ in range(IDLE_RUNS):
        with loads.broker() as ramald:
            found.append(memory(ramald.pid, kinds))
    return statistics.median(found)


def connection():
    """Of one that has said hello and nothing else."""
    wanted, (soft, hard) = CONNECTIONS + 200, resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise SystemExit(f"check: {CONNECTIONS} connections need {wanted} descriptors, but `ulimit -Hn` is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with loads.broker() as ramald, ramal.connect(ramald.address) as first:
        before = memory(ramald.pid, OWN)
        held = [ramal.connect(ramald.address) for _ in range(CONNECTIONS)]
        first.ping()
        after = memory(ramald.pid, OWN)
        for bus in held:
            bus.close()
    return (after - before) / CONNECTIONS


def interest():
    """Of many with patterns of their own, on one connection."""
    with loads.broker() as ramald, ramal.connect(ramald.address, timeout=loads.SECONDS) as bus:
        bus.subscribe("warm.up", sid=INTERESTS + 1)
        before = memory(ramald.pid, OWN)
        for first in range(0, INTERESTS, AT_ONCE):
            bus.send_bytes(b"".join(ramal.pack(ramal.pb.Frame(id=bus.new_id(), subscribe=ramal.pb.Subscribe(
                sid=1 + number, pattern=PATTERN.format(number)))) for number in range(first, first + AT_ONCE)))
            bus.answer(bus.last_id)
            bus.inbox.clear()
        bus.ping()
        after = memory(ramald.pid, OWN)
    return (after - before) / INTERESTS
