"""``fastnn backends``: what can run here."""

from __future__ import annotations

from typing import Annotated

import typer

from fastnn import BackendInfo, available_backends, get_backend


def backends(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell which backends can run here, on what, and why others cannot."""
    import json
    from dataclasses import asdict

    described = available_backends()
    if as_json:
        print(json.dumps({name: asdict(info) for name, info in described.items()}, indent=2))
        return
    active = get_backend().name
    for name, info in described.items():
        mark = "*" if name == active else " "
        print(f"{mark} {name:6} {_usable(info) if info.usable else info.reason}")
    print("* is the one that is used when nothing else is said")


def _usable(info: BackendInfo) -> str:
    memory = f", {info.memory / 2**30:.0f} GiB" if info.memory else ""
    threads = f", {info.threads} threads" if info.threads else ""
    return f"{info.version} on {info.device}{memory}{threads}"
