"""``fastnn info``: versions, and what can run here."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from typing import Annotated

import typer

from fastnn import BackendInfo, __version__, available_backends, get_num_threads
from fastnn.backends.precision import HIGHEST
from fastnn.cli.options import select_backend
from fastnn.cli.output import folded


def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell which backends can run here and on what, why others cannot, versions and threads."""
    described = available_backends()
    selected = select_backend(None)
    active = selected.name
    if as_json:
        everything = {
            "fastnn": __version__,
            "python": platform.python_version(),
            "threads": get_num_threads(),
            "active": active,
            "precision": selected.precision,
            "backends": {name: asdict(backend) for name, backend in described.items()},
        }
        print(json.dumps(everything, indent=2))
        return
    threads = f"{get_num_threads()} threads on the CPU"
    print(f"fastnn {__version__}, Python {platform.python_version()}, {threads}")
    for name, backend in described.items():
        mark = "*" if name == active else " "
        told = _usable(backend) if backend.usable else backend.reason
        print(folded(f"{mark} {name:6} {told}", indent=9))
    precision = "" if selected.precision == HIGHEST else f", at precision {selected.precision!r}"
    print(f"* is the one that is used when nothing else is said{precision}")


def _usable(backend: BackendInfo) -> str:
    memory = f", {backend.memory / 2**30:.0f} GiB" if backend.memory else ""
    threads = f", {backend.threads} threads" if backend.threads else ""
    return f"{backend.version} on {backend.device}{memory}{threads}"
