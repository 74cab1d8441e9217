"""The comparison and the scaling, drawn."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt

OWN, PEER, FLOOR = "#c44e52", "#8c9bb0", "#444444"


def draw_comparison(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw a panel a row: bars of microseconds a step, the floor of bare products as a line."""
    columns = list(dict.fromkeys((row["layers"][1], row["threads"]) for row in rows))
    lines = list(dict.fromkeys((row["data"], row["dtype"]) for row in rows))
    size = (4.2 * len(columns), 3.2 * len(lines))
    figure, axes = plt.subplots(len(lines), len(columns), figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row in rows:
        line = lines.index((row["data"], row["dtype"]))
        axis = axes[line][columns.index((row["layers"][1], row["threads"]))]
        axis.set_axis_on()
        _panel(axis, row)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def _panel(axis: Any, row: dict[str, Any]) -> None:
    contestants = dict(row["contestants"])
    products = contestants.pop("products", None)
    names = list(contestants)[::-1]
    turns = [contestants[name]["microseconds"] for name in names]
    middles = [median(some) for some in turns]
    spread = [
        [middle - min(some) for middle, some in zip(middles, turns, strict=True)],
        [max(some) - middle for middle, some in zip(middles, turns, strict=True)],
    ]
    colors = [OWN if name.startswith("fastnn") else PEER for name in names]
    axis.barh(names, middles, xerr=spread, color=colors, error_kw={"lw": 0.8})
    if products is not None:
        axis.axvline(median(products["microseconds"]), color=FLOOR, lw=1, ls="--")
    sizes = "-".join(map(str, row["layers"]))
    axis.set_title(
        f"{sizes}, batch {row['batch']}, {row['threads']} thread(s)\n{row['data']}, {row['dtype']}",
        fontsize=9,
    )
    axis.set_xlabel("microseconds a step; dashed: bare matrix products", fontsize=8)
    axis.tick_params(labelsize=8)


def draw_scaling(measured: dict[str, Any], file: Path) -> None:
    """Draw the time of a step over hidden size and over batch, beside the ceiling."""
    axes_of = ("hidden", "batch")
    figure, axes = plt.subplots(1, len(axes_of), figsize=(11, 4.2))
    for axis, swept in zip(axes, axes_of, strict=True):
        points = measured[swept]
        sizes = [point["size"] for point in points]
        for name in sorted(points[0]["microseconds"]):
            middles = [median(point["microseconds"][name]) for point in points]
            style = {"color": FLOOR, "ls": "--"} if name == "bare products" else {"marker": "o"}
            axis.loglog(sizes, middles, label=name, ms=4, lw=1.2, **style)
        peak = [point["flops"] / measured["large_product_gflops"] / 1000 for point in points]
        axis.loglog(sizes, peak, color=FLOOR, ls=":", lw=1, label="at a large product's rate")
        axis.set_xlabel({"hidden": "hidden units", "batch": "samples of a batch"}[swept])
        axis.set_ylabel("microseconds a step")
        axis.set_title(points[0]["title"], fontsize=9)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
