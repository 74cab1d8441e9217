"""The process of one part of the first hour: writes what it finds, line by line, as JSON."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from first_hour import extent as extents


def main(module: str, extent: str, seconds: str, path: str) -> None:
    """Measure a part, and write each find to a file as soon as it is there."""
    measure = importlib.import_module(module).measure
    with Path(path).open("w", encoding="utf-8") as file:
        for name, value in measure(getattr(extents, extent), float(seconds)):
            file.write(json.dumps([name, value]) + "\n")
            file.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
