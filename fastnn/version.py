"""The version of fastnn; `pyproject.toml` has the same."""

VERSION = "0.1.0"
