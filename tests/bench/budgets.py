# SPDX-License-Identifier: MIT
"""The budgets: what each one is about, and what was measured beside it."""

import collections

# value: of the results of `ramal bench`, and of the gates. relay: what the relay did. budget: the greatest value that
# is right, or the least where `least` is set.
Line = collections.namedtuple("Line", "what relay value unit budget least")


def relay(row, *keys):
    return row.get("relay") and pick(row["relay"], *keys)


def pick(row, *keys):
    for key in keys:
        row = row.get(key) if row else None
    return row


RUNS = {
    "rtt-one-cpu": ["rtt", "--pin", "0"],
    "rtt": ["rtt", "--pin", "any"],
    "pub": ["pub"],
    "pub-single": ["pub", "--no-batch"],
    "fanout": ["fanout"],
    "calls": ["calls"],
    "pub-1m": ["pub", "--size", "1m"],
    "interests": ["interests"],
    "connect": ["connect"],
    "idle": ["idle", "--connections", "9000"],
}


def lines(row, gates):
    """All budgets. row: {name of RUNS: its row}; gates: {name: recorded Gate}."""
    rtt, any_cpu, pub, single = row["rtt-one-cpu"], row["rtt"], row["pub"], row["pub-single"]
    fan, big, many = row["fanout"], row["pub-1m"], row["interests"]
    return [
        Line("round trip 64 B, one CPU", micro(relay(rtt, "latency_us", "p50")), pick(rtt, "ratio", "p50"),
             "× the relay's p50", 1.15, False),
        Line("round trip 64 B, unpinned", micro(relay(any_cpu, "latency_us", "p50")), pick(any_cpu, "ratio", "p50"),
             "× the relay's p50", 1.25, False),
        Line("the same, p99", micro(relay(any_cpu, "latency_us", "p99")), pick(any_cpu, "ramal", "latency_us", "p99"),
             "µs", 50, False),
        Line("64 B, 1 → 1, batched", rate(relay(pub, "rate")), mega(pick(pub, "ramal", "rate")), "M msg/s", 8, True),
        Line("broker CPU of it", nano(relay(pub, "cpu_ns")), pick(pub, "ramal", "cpu_ns"), "ns a message", 80, False),
        Line("user instructions of it (callgrind)", None, gates["publish"].value, "a message", 600, False),
        Line("64 B, one send a message", rate(relay(single, "rate")), pick(single, "ratio", "rate"),
             "× the relay's rate", 0.8, True),
        Line("256 B, 1 → 8", rate(relay(fan, "rate")), mega(pick(fan, "ramal", "rate")), "M deliveries/s", 6, True),
        Line("broker CPU of it", nano(relay(fan, "cpu_ns")), pick(fan, "ramal", "cpu_ns"), "ns a delivery", 130, False),
        Line("calls, 64 in flight", rate(relay(row["calls"], "rate")), mega(pick(row["calls"], "ramal", "rate")),
             "M calls/s", 0.4, True),
        Line("1 MiB by value", volume(relay(big, "bytes_per_s")), pick(big, "ratio", "rate"),
             "× the relay's rate", 0.85, True),
        Line("64 B beside 100 000 other interests", None, pick(many, "ratio", "rate"),
             "× the rate without them", 0.95, True),
        Line("memory of an interest", None, gates["interest"].value, "bytes", 200, False),
        Line("connect and hello", rate(relay(row["connect"], "rate")), pick(row["connect"], "ratio", "rate"),
             "× the relay's rate", 0.6, True),
        Line("memory of an idle connection", None, gates["connection"].value, "bytes", 1024, False),
        Line("idle connections held", None, pick(row["idle"], "ramal", "held"), "", 9000, True),
        Line("`ramald`, stripped", None, scale(gates["ramald-stripped"].value, 1e-3), "kB", 1000, False),
        Line("its own memory, idle, without the program", None, scale(gates["ramald-idle-own"].value, 1e-3), "kB", 2000,
             False),
    ]


def scale(value, factor):
    return None if value is None else value * factor


def mega(value):
    return scale(value, 1e-6)


def micro(value):
    return None if value is None else f"{value:.1f} µs"


def nano(value):
    return None if value is None else f"{value:.0f} ns"


def rate(value):
    return None if value is None else f"{value / 1e6:.2f} M/s" if value >= 1e6 else f"{value / 1e3:.0f} k/s"


def volume(value):
    return None if value is None else f"{value / 1e9:.2f} GB/s"


def text(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def verdict(line):
    if line.value is None:
        return "not measured"
    return "met" if (line.value >= line.budget if line.least else line.value <= line.budget) else "missed"


def table(found):
    yield "| what | bare relay | ramal | | budget | |"
    yield "|---|---:|---:|---|---:|---|"
    for line in found:
        value = "-" if line.value is None else text(line.value)
        yield (f"| {line.what} | {line.relay or '-'} | {value} | {line.unit} | {'≥' if line.least else '≤'} "
               f"{line.budget:g} | {verdict(line)} |")
