# SPDX-License-Identifier: MIT
"""The results as tables in Markdown: what became of the messages, and what it cost."""

import statistics

MIB = 1 << 20


def thousands(number):
    return f"{number:,.0f}".replace(",", " ")


def spread(values, digits=1):
    """'1.3' when all are alike, else '1.3 (1.2-1.5)'."""
    low, mid, high = (f"{v:.{digits}f}" for v in (min(values), statistics.median(values), max(values)))
    return mid if low == high else f"{mid} ({low}-{high})"


def counts(values):
    low, mid, high = (thousands(v) for v in (min(values), statistics.median(values), max(values)))
    return mid if low == high else f"{mid} ({low}-{high})"


def publisher_cell(runs):
    one = runs[-1]
    text = spread([r["seconds"] for r in runs]) + " s"
    if any(r["blocked"] for r in runs):
        sent = counts([r["sent_then"] for r in runs])
        text = f"blocked after {thousands(one['seconds'])} s, {sent} sent" + (
            "; went on when the reader did" if all(r["released"] for r in runs) else "")
    elif one["publisher_closed"]:
        text = f"cut off after {spread([r['seconds'] for r in runs])} s, {counts([r['sent_then'] for r in runs])} sent"
    held = [r["held"] for r in runs]
    return text + (f", {spread(held)} s of it held" if max(held) >= 0.5 and not one["blocked"] else "")


def publisher_told_cell(runs):
    one, said = runs[-1], []
    if one["publisher_closed"]:
        said.append("connection lost: " + one["publisher_closed"])
    if one["acks"]:
        said.append(f"{thousands(one['acks'])} acknowledged")
    if one["receivers"]:
        said += [f"{counts([r['receivers'].get(n, 0) for r in runs])} × \"{n} receivers\""
                 for n in sorted(one["receivers"], reverse=True)]
    said += [f"{text} ({n} times)" if n > 1 else text for text, n in one["publisher_told"].items()]
    return "; ".join(said) or "nothing"


def reader_told_cell(runs):
    one = runs[-1]
    said = []
    if any(r["missing"] for r in runs):
        said.append(counts([r["missing"] for r in runs]) + " missing")
    if any(r["replaced"] for r in runs):
        said.append(counts([r["replaced"] for r in runs]) + " replaced")
    said += [text for text in one["reader_told"] if not text.startswith("GAP")]
    if one["ended"] and not one["half_closed"]:
        said.append(counts([r["after_end"] for r in runs]) + " came after its end")
    return "; ".join(said) or "nothing"


def connection_cell(runs):
    one = runs[-1]
    if one["half_closed"]:
        return f"lost before the first message: {one['half_closed']}"
    if one["closed"]:
        return "lost: " + one["closed"]
    if not one["last_sent"]:
        return "open"
    if one["still"]:
        return "kept"
    return "kept, subscription ended" if one["ended"] else "open, but nothing comes any more"


COST = ["broker", "witness lost", "worst delay", "peak memory", "CPU"]
HEADS = ["broker", "publisher took", "publisher was told", "reader got", "reader was told", "in silence",
         "reader's connection"]


def cells(name, variant, runs):
    row = [name, publisher_cell(runs), publisher_told_cell(runs)]
    if variant != "killed":
        row += [counts([r["got"] for r in runs]), reader_told_cell(runs), counts([r["silent"] for r in runs]),
                connection_cell(runs)]
    return row


def all_cells(name, variant, runs):
    return cells(name, variant, runs) + cost_cells(name, variant, runs)[1:]


def cost_cells(name, _, runs):
    lost = counts([r["witness_lost"] for r in runs])
    if any(r["witness_closed"] for r in runs):
        lost += " (connection lost)"
    return [name, lost, spread([r["witness_worst"] * 1000 for r in runs], 0) + " ms",
            spread([r["peak"] / MIB for r in runs], 0) + " MiB", spread([r["cpu"] for r in runs], 2) + " s"]


def table(results, variant, rows, heads, make):
    """Markdown: the median of the runs and, where they differ, the least and the greatest."""
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for name in rows:
        runs = [r for r in results if r["broker"] == name and r["variant"] == variant]
        if runs and any("error" not in r for r in runs):
            yield "| " + " | ".join(make(name, variant, [r for r in runs if "error" not in r])) + " |"
        elif runs:
            yield f"| {name} | {runs[0]['error']} |" + " |" * (len(heads) - 2)


def tables(results, variant, rows):
    """The lines of what there is to say of one variant; `rows` are the brokers, in order."""
    if variant == "killed":
        return [*table(results, variant, rows, HEADS[:3] + COST[1:], all_cells)]
    return [*table(results, variant, rows, HEADS, cells), "", *table(results, variant, rows, COST, cost_cells)]
