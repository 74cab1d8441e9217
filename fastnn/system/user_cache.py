"""Where a user's caches lie: what is found or made anew where it is lost."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache() -> Path:
    """Give the user's directory of caches, which may not be there yet.

    Raises
    ------
    RuntimeError
        For a user without a home.
    """
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
