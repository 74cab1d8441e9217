"""``python -m fastnn``, and the command ``fastnn``, where its packages are installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec

EXTRA = {"typer": "typer", "matplotlib": "matplotlib", "PIL": "Pillow"}
"""What the commands import, some of it only when a training has ended, and its distribution."""


def main() -> None:
    """Run the command line, or say with which extra it is installed."""
    missing = [name for module, name in EXTRA.items() if find_spec(module) is None]
    if missing:
        needed = ", ".join(missing)
        print(f"fastnn: this needs {needed}: pip install 'fastnn-backends[cli]'", file=sys.stderr)
        sys.exit(2)
    from fastnn.cli import main as command

    command()


if __name__ == "__main__":
    main()
