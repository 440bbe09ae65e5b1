# SPDX-License-Identifier: MIT
"""Markdown of the measurements: medians, and how far the repetitions lie apart."""

import statistics

RATE = [("msg/s", "msgs_per_s", "%.0f"), ("MB/s", "MB_per_s", "%.1f"),
        ("broker µs/msg", "broker_cpu_us_per_msg", "%.3f"), ("source µs/msg", "src_cpu_us_per_msg", "%.3f"), ("sink µs/msg", "sink_cpu_us_per_msg", "%.3f"),
        ("broker CPU share", "broker_cpu_share", "%.2f")]
CONNECTIONS = [("conns/s", "conns_per_s", "%.0f"), ("broker µs/conn", "broker_cpu_us_per_conn", "%.1f"),
               ("KiB/conn", "rss_kib_per_conn", "%.2f"), ("conns", "conns", "%d")]
# (column, key, format) per scenario; the first is the one whose spread is shown.
COLUMNS = {
    "rtt": [("p50 µs", "p50_us", "%.1f"), ("p99 µs", "p99_us", "%.1f"), ("p99.9 µs", "p999_us", "%.1f"),
            ("mean µs", "mean_us", "%.1f"), ("n", "n", "%d"), ("broker µs/rt", "broker_cpu_us_per_msg", "%.2f"),
            ("req µs/rt", "src_cpu_us_per_msg", "%.2f"), ("resp µs/rt", "sink_cpu_us_per_msg", "%.2f")],
    "rtt_1cpu": [],
    "rtt_pipelined": [("req/s", "msgs_per_s", "%.0f"), ("broker µs/rt", "broker_cpu_us_per_msg", "%.3f"),
                      ("req µs/rt", "src_cpu_us_per_msg", "%.3f"), ("resp µs/rt", "sink_cpu_us_per_msg", "%.3f"),
                      ("broker CPU share", "broker_cpu_share", "%.2f")],
    "pub_64": RATE, "pub_1k": RATE, "pub_64k": RATE, "pub_1m": RATE,
    "fanout_8": [("deliveries/s", "msgs_per_s", "%.0f")] + RATE[1:2] + [
        ("broker µs/delivery", "broker_cpu_us_per_msg", "%.3f"), ("source µs/delivery", "src_cpu_us_per_msg", "%.3f"),
        ("sinks µs/delivery", "sink_cpu_us_per_msg", "%.3f"), ("broker CPU share", "broker_cpu_share", "%.2f")],
    "connect": CONNECTIONS,
    "idle_conns": CONNECTIONS,
    "many_subs": [("hot ratio", "hot_ratio", "%.3f"), ("msg/s, 1 sub", "msgs_per_s_1sub", "%.0f"),
                  ("msg/s, all", "msgs_per_s", "%.0f"), ("broker µs/msg, 1 sub", "broker_cpu_us_per_msg_1sub", "%.3f"),
                  ("broker µs/msg, all", "broker_cpu_us_per_msg", "%.3f"), ("RSS B/sub", "rss_bytes_per_sub", "%.0f"),
                  ("subs/s", "subs_per_s", "%.0f"), ("broker µs/sub", "broker_cpu_us_per_sub", "%.2f")],
}
COLUMNS["rtt_1cpu"] = COLUMNS["rtt"]
SCENARIOS = list(COLUMNS)

# The short table: (line, scenario, key, factor, unit, is more better?)
LINES = [
    ("round trip 64 B, one CPU, p50", "rtt_1cpu", "p50_us", 1, "µs", False),
    ("the same, p99", "rtt_1cpu", "p99_us", 1, "µs", False),
    ("round trip 64 B, two CPUs, p50", "rtt", "p50_us", 1, "µs", False),
    ("the same, p99", "rtt", "p99_us", 1, "µs", False),
    ("requests, 64 in flight", "rtt_pipelined", "msgs_per_s", 1e-3, "k/s", True),
    ("64 B, 1 → 1", "pub_64", "msgs_per_s", 1e-3, "k msg/s", True),
    ("broker CPU of it", "pub_64", "broker_cpu_us_per_msg", 1e3, "ns/msg", False),
    ("1 KiB, 1 → 1", "pub_1k", "MB_per_s", 1, "MB/s", True),
    ("64 KiB, 1 → 1", "pub_64k", "MB_per_s", 1, "MB/s", True),
    ("1 MiB, 1 → 1", "pub_1m", "MB_per_s", 1, "MB/s", True),
    ("256 B, 1 → 8", "fanout_8", "msgs_per_s", 1e-3, "k deliveries/s", True),
    ("broker CPU of it", "fanout_8", "broker_cpu_us_per_msg", 1e3, "ns/delivery", False),
    ("connect and hello", "connect", "conns_per_s", 1e-3, "k/s", True),
    ("memory of an idle connection with one interest", "idle_conns", "rss_kib_per_conn", 1, "KiB", False),
    ("memory of an interest", "many_subs", "rss_bytes_per_sub", 1, "bytes", False),
    ("rate with 100 000 other interests", "many_subs", "hot_ratio", 1, "× that with none", True),
]


def good(rows, scenario, peer):
    return [r for r in rows if r["scenario"] == scenario and r["peer"] == peer and r.get("ok")]


def values(rows, scenario, peer, key):
    return [r[key] for r in good(rows, scenario, peer) if key in r]


def spread(found):
    """(max - min) / median, in percent; None where that says nothing."""
    middle = statistics.median(found)
    return 100 * (max(found) - min(found)) / middle if middle and len(found) > 1 else None


def failure(row):
    return row.get("error", "failed: sent {sent} received {received} errors {errors}".format(
        **{key: row.get(key) for key in ("sent", "received", "errors")}))


def details(rows, peers, scenarios):
    """One table a scenario."""
    for scenario in scenarios:
        columns = COLUMNS[scenario]
        yield f"\n### {scenario}\n"
        yield "| peer | " + " | ".join(c[0] for c in columns) + " | spread | runs |"
        yield "|---|" + "---:|" * (len(columns) + 2)
        for peer in peers:
            runs = [r for r in rows if r["scenario"] == scenario and r["peer"] == peer]
            fine = good(rows, scenario, peer)
            if runs and not fine:
                yield f"| {peer} | {failure(runs[-1])} |"
            if not fine:
                continue
            cells = []
            for _, key, form in columns:
                found = values(rows, scenario, peer, key)
                cells.append(form % statistics.median(found) if found else "-")
            apart = spread(values(rows, scenario, peer, columns[0][1]))
            cells.append("-" if apart is None else f"{apart:.0f}%")
            yield f"| {peer} | " + " | ".join(cells) + f" | {len(fine)}/{len(runs)} |"


def short(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def ratio(rows, scenario, key, peer, floor):
    """The median of what `peer` is to `floor` in the same repetition; None where one of them has nothing."""
    under = {r["rep"]: r[key] for r in good(rows, scenario, floor) if r.get(key)}
    found = [r[key] / under[r["rep"]] for r in good(rows, scenario, peer) if key in r and r["rep"] in under]
    return statistics.median(found) if found else None


def summary(rows, peers):
    """One table: a line a question, a column a peer. The best broker is bold; raw and its like are none. The spread of
    each cell is in brackets. The last column: ramal beside raw, within each repetition."""
    ours = next((p for p in peers if p in ("ramal", "ramal-tcp")), None)
    floor = next((p for p in peers if p in ("raw", "raw-tcp")), None)
    yield "| | unit | " + " | ".join(peers) + (f" | {ours} : {floor} |" if ours and floor else " |")
    yield "|---|---|" + "---:|" * (len(peers) + bool(ours and floor))
    for line, scenario, key, factor, unit, more in LINES:
        found = {peer: values(rows, scenario, peer, key) for peer in peers}
        middle = {peer: statistics.median(v) * factor for peer, v in found.items() if v}
        brokers = {peer: v for peer, v in middle.items() if not peer.startswith("raw")}
        if not brokers:
            continue
        best = (max if more else min)(brokers.values())
        cells = []
        for peer in peers:
            if peer not in middle:
                cells.append("-")
                continue
            text = short(middle[peer])
            apart = spread(found[peer])
            cells.append((f"**{text}**" if brokers.get(peer) == best else text) + (
                "" if apart is None else f" ({apart:.0f} %)"))
        if ours and floor:
            # A relay keeps nothing for a connection.
            beside = None if key.startswith("rss") else ratio(rows, scenario, key, ours, floor)
            cells.append("-" if beside is None else f"{beside:.2f}")
        yield f"| {line} | {unit} | " + " | ".join(cells) + " |"
