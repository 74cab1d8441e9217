"""Which files in a directory make up a data set in MNIST's format."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

FILE_NAME = re.compile(
    r"(?:(?P<name>.+)[-_])?(?P<half>train|t10k|test)-"
    r"(?P<kind>images|labels)(?P<joint>[-.])idx(?P<dimensions>[13])-ubyte(?P<compressed>\.gz)?"
)
DIMENSIONS = {"images": "3", "labels": "1"}


class DataSetFiles(NamedTuple):
    """The four files of a data set."""

    train_images: Path
    train_labels: Path
    test_images: Path
    test_labels: Path


class _Candidate(NamedTuple):
    compressed: bool
    dotted: bool
    stem: str
    path: Path


_Role = tuple[str, str]  # which half and which kind: ("train", "images")
ROLES: tuple[_Role, ...] = (
    ("train", "images"),
    ("train", "labels"),
    ("test", "images"),
    ("test", "labels"),
)


def find_files(directory: Path, name: str | None) -> DataSetFiles:
    """Find the four files of the data set called `name`, or of the only data set there is."""
    if not directory.exists():
        raise FileNotFoundError(f"{directory}: expected a directory of IDX files, found nothing")
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory}: expected a directory of IDX files, found a file")
    data_sets = _data_sets(directory)
    if not data_sets:
        raise FileNotFoundError(
            f"{directory}: expected {_expected_names('')}, plain or .gz, found none of them"
        )
    chosen = _choose(data_sets, directory, name)
    return DataSetFiles(*(_pick(data_sets[chosen], role, directory, chosen) for role in ROLES))


def _data_sets(directory: Path) -> dict[str, dict[_Role, list[_Candidate]]]:
    data_sets: dict[str, dict[_Role, list[_Candidate]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(directory.iterdir()):
        match = FILE_NAME.fullmatch(path.name)
        # Some archives unpack each file into a directory of the file's name.
        if match is None or path.is_dir() or match["dimensions"] != DIMENSIONS[match["kind"]]:
            continue
        prefix = match["name"] or ""
        role = ("train" if match["half"] == "train" else "test", match["kind"])
        candidate = _Candidate(
            compressed=match["compressed"] is not None,
            dotted=match["joint"] == ".",
            stem=f"{prefix}-{match['half']}".removeprefix("-"),
            path=path,
        )
        data_sets[_short(prefix)][role].append(candidate)
    return data_sets


def _choose(
    data_sets: dict[str, dict[_Role, list[_Candidate]]], directory: Path, name: str | None
) -> str:
    found = ", ".join(f'name="{known}"' for known in sorted(data_sets))
    if name is None:
        if len(data_sets) > 1:
            raise ValueError(
                f"{directory}: expected one data set, found {len(data_sets)}; choose one of {found}"
            )
        return next(iter(data_sets))
    if _short(name) not in data_sets:
        raise ValueError(f'{directory}: expected a data set of name="{name}", found {found}')
    return _short(name)


def _pick(files: dict[_Role, list[_Candidate]], role: _Role, directory: Path, chosen: str) -> Path:
    candidates = files.get(role, [])
    if not candidates:
        half, kind = role
        raise FileNotFoundError(
            f"{directory}: expected {_expected_names(chosen)}, plain or .gz, "
            f"found no {kind} for the {half} half"
        )
    # Two files that differ more than in compression may hold different data: picking the images
    # of one and the labels of the other would go unnoticed.
    if len({candidate.stem for candidate in candidates}) > 1:
        listed = ", ".join(candidate.path.name for candidate in candidates)
        raise ValueError(f"{directory}: expected one file for {' '.join(role)}, found {listed}")
    return min(candidates).path


def _short(prefix: str) -> str:
    return prefix.removeprefix("emnist-")


def _expected_names(name: str) -> str:
    halves = ("train", "t10k (or test)")
    start = f"[emnist-]{name}-" if name else ""
    return " and ".join(
        f"{start}{half}-{kind}-idx{DIMENSIONS[kind]}-ubyte"
        for half in halves
        for kind in DIMENSIONS
    )
