"""The figures as tables: of one row on the terminal, of all rows in ``docs/benchmarks.md``."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from statistics import median
from typing import Any

from contestants import CUDA_PEERS, PEERS
from figure import draw_comparison

BEGIN, END = "<!-- {}: written by {} -->", "<!-- end of {} -->"

Row = dict[str, Any]


def key_of(row: Row) -> tuple[Any, ...]:
    """What makes a row that row; also the order of rows."""
    parts = parts_of(row)
    of_network = tuple(row["layers"]), tuple(parts), row["batch"], row["threads"]
    return row["device"], bool(parts), row["data"], row["dtype"], *of_network


def parts_of(row: Row) -> list[str]:
    """What a row has instead of ReLU and SGD; rows from before 2026-11-26 have nothing else."""
    parts: list[str] = row.get("parts", [])
    return parts


def fastest_peer(row: Row) -> tuple[str, float]:
    """Name and median microseconds of the fastest contestant that is not fastnn."""
    peers = {name: _middle(row, name) for name in row["contestants"] if name in PEERS | CUDA_PEERS}
    name = min(peers, key=lambda each: peers[each])
    return name, peers[name]


def ratios(row: Row, name: str, to: str | None = None) -> list[float]:
    """How many times as fast `name` was as `to`, or as the fastest peer, in each round."""
    own = row["contestants"][name]["microseconds"]
    if to is not None:
        others = row["contestants"][to]["microseconds"]
    else:
        peers = [
            contestant["microseconds"]
            for peer, contestant in row["contestants"].items()
            if peer in PEERS | CUDA_PEERS
        ]
        others = [min(turns) for turns in zip(*peers, strict=True)]
    return [other / mine for other, mine in zip(others, own, strict=True)]


def print_row(row: Row) -> None:
    """Print a row: every contestant's step, its rate, and how it stands to the fastest peer."""
    print(f"\n{_title(row)}")
    print(f"  {'':18}{'median us':>10}{'min':>9}{'max':>9}{'GFLOP/s':>9}")
    for name, contestant in row["contestants"].items():
        turns = contestant["microseconds"]
        line = f"  {name:18}{median(turns):10.0f}{min(turns):9.0f}{max(turns):9.0f}"
        line += f"{_rate(row, name):9.1f}"
        if "device_microseconds" in contestant:
            line += f"   CUDA events: {median(contestant['device_microseconds']):.0f} us"
        if "set_up_seconds" in contestant:
            line += f"   once a fit: {median(contestant['set_up_seconds']):.3f} s"
        print(line)
    for name, reason in row["absent"].items():
        print(f"  {name:18}{reason}")
    large = row["contestants"].get("products", {}).get("large_product_gflops")
    if large is not None:
        print(f"  a large matrix product runs at {large:.0f} GFLOP/s")
    if any(name in PEERS | CUDA_PEERS for name in row["contestants"]):
        peer, _ = fastest_peer(row)
        for name in _own(row):
            print(f"  {name} is {_spread(ratios(row, name))} times as fast as {peer} or better")
    print()


def write_docs(results: Path) -> None:
    """Write the tables and the figure from every ``compare-*.json`` in `results` into the docs."""
    document = results.parent / "benchmarks.md"
    text = document.read_text("utf-8")
    for device in ("cpu", "cuda"):
        file = results / f"compare-{device}.json"
        if not file.exists():
            continue
        compared = json.loads(file.read_text("utf-8"))
        book = [row for row in compared["rows"] if not parts_of(row)]
        draw_comparison(book, results / f"compare-{device}.svg")
        short = [row for row in book if in_short(row)]
        if short:
            draw_comparison(short, results / f"short-{device}.svg")
        text = replaced(text, f"compare-{device}", _section(compared, device))
    document.write_text(text, "utf-8")


def in_short(row: Row) -> bool:
    """Whether the README's figure has a panel of it."""
    return (row["data"], row["dtype"], row["threads"]) == ("mnist", "float32", 2)


def replaced(text: str, part: str, new: str) -> str:
    """Put `new` between the marks of a part of the document."""
    script = "bench/scaling.py" if part == "scaling" else "bench/compare.py"
    begin, end = BEGIN.format(part, script), END.format(part)
    before, found, rest = text.partition(begin)
    if not found or end not in rest:
        raise ValueError(f"benchmarks.md has lost the marks {begin!r} and {end!r}")
    return f"{before}{begin}\n\n{new.strip()}\n\n{end}{rest.partition(end)[2]}"


def machine_lines(machine: dict[str, Any]) -> str:
    """Describe the machine in a paragraph."""
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    return (
        f"Measured {machine['date']} on: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB{gpu}; {machine['system']}, Python {machine['python']}, "
        f"{libraries}; NumPy's BLAS is {machine['blas']}."
    )


def _section(compared: dict[str, Any], device: str) -> str:
    rows = compared["rows"]
    dates = sorted({row["date"] for row in rows} | {compared["machine"]["date"]})
    measured = " to ".join(dict.fromkeys([dates[0], dates[-1]]))
    parts = [
        machine_lines({**compared["machine"], "date": measured}),
        f"![](benchmarks/compare-{device}.svg)",
    ]
    for title in dict.fromkeys(map(_group, rows)):
        some = [row for row in rows if _group(row) == title]
        parts += [f"### {title}", _times_table(some), _ratio_table(some)]
    if compared["scripts"]:
        parts += ["### Whole processes", _scripts_table(compared["scripts"])]
    return "\n\n".join(parts)


def _group(row: Row) -> str:
    if parts_of(row):
        return f"Other activations, layers and optimizers, {row['dtype']}"
    return f"{row['data']}, {row['dtype']}"


def _times_table(rows: list[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row["contestants"]))
    lines = [["microseconds a step", *names], ["---", *["---:"] * len(names)]]
    for row in rows:
        times = [
            f"{_middle(row, name):.0f}" if name in row["contestants"] else "–" for name in names
        ]
        lines.append([_sizes(row), *times])
    return table(lines)


def _ratio_table(rows: list[Row]) -> str:
    head = [
        "times as fast", "contestant", "than the fastest peer", "its name", "than the book",
        "GFLOP/s", "bare products", "large product", "once a `fit`",
    ]  # fmt: skip
    lines = [head, ["---", "---", "---:", "---", "---:", "---:", "---:", "---:", "---:"]]
    for row in rows:
        contestants = row["contestants"]
        products = contestants.get("products")
        for name in _own(row):
            set_up = contestants[name].get("set_up_seconds")
            lines.append(
                [
                    _sizes(row),
                    name,
                    _spread(ratios(row, name)),
                    fastest_peer(row)[0],
                    _spread(ratios(row, name, "book")) if "book" in contestants else "–",
                    f"{_rate(row, name):.0f}",
                    f"{_rate(row, 'products'):.0f}" if products else "–",
                    f"{products['large_product_gflops']:.0f}" if products else "–",
                    f"{1000 * median(set_up):.0f} ms" if set_up else "–",
                ]
            )
    return table(lines)


def _scripts_table(scripts: dict[str, Any]) -> str:
    lines = [["threads", "process", "contestant", "median seconds", "times as fast as the first"]]
    lines.append(["---:", "---", "---", "---:", "---:"])
    for threads, races in scripts.items():
        for race, seconds in races.items():
            first = next(iter(seconds.values()))
            for name, taken in seconds.items():
                times = [base / own for base, own in zip(first, taken, strict=True)]
                lines.append([threads, race, name, f"{median(taken):.2f}", _spread(times)])
    return table(lines)


def table(lines: list[list[str]]) -> str:
    """Write a Markdown table; its second line says how the columns are aligned."""
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _own(row: Row) -> list[str]:
    return [name for name in row["contestants"] if name.startswith("fastnn")]


def _middle(row: Row, name: str) -> float:
    return float(median(row["contestants"][name]["microseconds"]))


def _rate(row: Row, name: str) -> float:
    """GFLOP/s, counting the matrix products of a step, whatever was skipped."""
    return float(row["flops"] / _middle(row, name) / 1000)


def _spread(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def _sizes(row: Row) -> str:
    network = ", ".join([abbreviated(row["layers"]), *parts_of(row)])
    data = f", {row['data']}" if parts_of(row) else ""
    threads = f"{row['threads']} thread{'s'[: row['threads'] > 1]}"
    return f"{network}{data}, batch {row['batch']}, {threads}"


def abbreviated(layers: list[int]) -> str:
    """Write the sizes of layers, equal ones in one: ``784-[100]x5-10``."""
    runs = [(size, len(list(some))) for size, some in itertools.groupby(layers)]
    return "-".join(str(size) if times == 1 else f"[{size}]x{times}" for size, times in runs)


def _title(row: Row) -> str:
    data = "" if parts_of(row) else f", {row['data']}"
    return f"{_sizes(row)}{data}, {row['dtype']}, {row['device']}"
