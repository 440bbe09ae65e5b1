# SPDX-License-Identifier: MIT
"""How many system calls the broker makes for a message, by strace.

strace slows the broker down, which changes how much it finds to do at once; so these are for understanding, not for
comparing to the second digit. Set-up and warm-up are counted with the messages that they were made for.
"""

import json
import os
import signal
import subprocess

import peers

SCENARIOS = {"rtt": "a round trip", "pub_64": "a message of 64 B, 1 → 1", "fanout_8": "a delivery of 256 B, 1 → 8"}
WARM_UP = 2000   # calls before the measuring
SHOWN = 4        # the kinds of calls that are named


def count(name, scenario, command):
    """{system call: how often per message}, or None. `command`: makes the client's of the broker."""
    with peers.Broker(name) as broker:
        out = os.path.join(broker.directory, "strace")
        tracer = subprocess.Popen(["strace", "-f", "-c", "-q", "-o", out, "-p", str(broker.pid)],
                                  stderr=subprocess.DEVNULL)
        try:
            done = subprocess.run(command(name, scenario, broker), stdout=subprocess.PIPE, text=True, timeout=200,
                                  env=broker.env, check=False)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(30)
        try:
            result = json.loads(done.stdout.strip().splitlines()[-1])
        except (IndexError, ValueError):
            return None
        messages = result["n"] + WARM_UP if scenario == "rtt" else result.get("received", 0)
        return {call: calls / messages for call, calls in read(out).items()} if result.get("ok") and messages else None


def read(path):
    """{system call: how often} of what strace -c has written."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = line.split()
            # % time, seconds, usecs/call, calls, [errors,] name
            if len(words) in (5, 6) and words[0][0].isdigit() and words[-1] != "total":
                found[words[-1]] = int(words[3])
    return found


def cell(found):
    if found is None:
        return "-"
    most = sorted(found.items(), key=lambda item: -item[1])[:SHOWN]
    named = [f"{text(often)} {call}" for call, often in most if often >= 0.05 * sum(found.values())]
    return f"{text(sum(found.values()))}: " + ", ".join(named)


def text(often):
    return f"{often:.0f}" if often >= 10 else f"{often:.1f}" if often >= 1 else f"{often:.2g}"


def table(names, command):
    yield "| peer | " + " | ".join(SCENARIOS.values()) + " |"
    yield "|---|" + "---|" * len(SCENARIOS)
    for name in names:
        yield f"| {name} | " + " | ".join(cell(count(name, scenario, command)) for scenario in SCENARIOS) + " |"
