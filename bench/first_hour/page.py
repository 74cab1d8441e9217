"""What was found, as a page in Markdown."""

from __future__ import annotations

import json
from statistics import median
from typing import Any

from report import table


def page_of(report: dict[str, Any]) -> str:
    """Write the page: a table of the parts, then each part."""
    lines = ["# The first hour on a GPU\n"]
    if report["times"] != "measured":
        lines.append(f"**Times are {report['times']}.**\n")
    parts = report["parts"].values()
    rows = [[part["title"], part["state"], str(part.get("seconds", ""))] for part in parts]
    lines.append(table([["part", "state", "seconds"], ["---", "---", "---:"], *rows]))
    for part in parts:
        lines.append(f"\n## {part['title']}\n")
        if part["state"] != "done":
            lines.append(f"**{part['state']}**\n")
        if "message" in part:
            lines.append(f"```\n{part['message']}\n```\n")
        if part["found"]:
            lines.append(table([["", "found"], ["---", "---"], *_rows(part["found"])]))
    return "\n".join(lines) + "\n"


def _rows(found: dict[str, Any], before: str = "") -> list[list[str]]:
    """Write what was found, a row each; what lies deeper has the names on the way to it."""
    rows = []
    for name, value in found.items():
        path = f"{before}: {name}" if before else name
        if isinstance(value, dict) and value:
            rows += _rows(value, path)
        else:
            rows.append([_cell(path), _cell(_words(value))])
    return rows


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and value and all(isinstance(one, float) for one in value):
        return f"{median(value):.4g} ({min(value):.4g} to {max(value):.4g})"
    return value if isinstance(value, str) else json.dumps(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
