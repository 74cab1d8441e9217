"""Which files in a directory make up a data set in MNIST's format.

They are called as MNIST's and Fashion-MNIST's are, ``train-images-idx3-ubyte`` and ``t10k-...``, or
as those of a split of EMNIST, ``emnist-balanced-train-images-idx3-ubyte`` and ``...-test-...``;
uncompressed, or compressed as they are published.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

FILE_NAME = re.compile(
    r"(?:(?P<mnist>train|t10k)|emnist-(?P<split>.+)-(?P<emnist>train|test))-"
    r"(?P<kind>images-idx3|labels-idx1)-ubyte(?:\.gz)?"
)


class DataSetFiles(NamedTuple):
    """The four files of a data set."""

    train_images: Path
    train_labels: Path
    test_images: Path
    test_labels: Path


_Role = tuple[bool, str]  # whether to train with, and the kind
ROLES: tuple[_Role, ...] = (
    (True, "images-idx3"),
    (True, "labels-idx1"),
    (False, "images-idx3"),
    (False, "labels-idx1"),
)


def find_files(directory: Path, name: str | None) -> DataSetFiles:
    """Find the four files of the data set called `name`, or of the only data set there is."""
    if not directory.exists():
        raise FileNotFoundError(f"{directory}: expected a directory of IDX files, found nothing")
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory}: expected a directory of IDX files, found a file")
    data_sets = _data_sets(directory)
    if not data_sets:
        names = " and ".join(_file_name("", role) for role in ROLES)
        raise FileNotFoundError(
            f"{directory}: expected {names}, uncompressed or .gz, found none of them"
        )
    chosen = _choose(data_sets, directory, name)
    return DataSetFiles(*(_pick(data_sets[chosen], role, directory, chosen) for role in ROLES))


def _data_sets(directory: Path) -> dict[str, dict[_Role, list[Path]]]:
    """Give the files of each data set by their role; "" is called as MNIST is."""
    data_sets: dict[str, dict[_Role, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(directory.iterdir()):
        match = FILE_NAME.fullmatch(path.name)
        if match is not None and not path.is_dir():
            training = "train" in (match["mnist"], match["emnist"])
            data_sets[match["split"] or ""][training, match["kind"]].append(path)
    return data_sets


def _choose(
    data_sets: dict[str, dict[_Role, list[Path]]], directory: Path, name: str | None
) -> str:
    found = ", ".join(f'name="{known}"' for known in sorted(data_sets))
    if name is None:
        if len(data_sets) > 1:
            raise ValueError(
                f"{directory}: expected one data set, found {len(data_sets)}; choose one of {found}"
            )
        return next(iter(data_sets))
    split = name.removeprefix("emnist-")
    if split not in data_sets:
        raise ValueError(f'{directory}: expected a data set of name="{name}", found {found}')
    return split


def _pick(files: dict[_Role, list[Path]], role: _Role, directory: Path, split: str) -> Path:
    if not files.get(role):
        training, kind = role
        raise FileNotFoundError(
            f"{directory}: expected {_file_name(split, role)}, uncompressed or .gz, found no "
            f"{kind.partition('-')[0]} for the {'train' if training else 'test'} half"
        )
    return min(files[role])  # the uncompressed one, if there are both


def _file_name(split: str, role: _Role) -> str:
    training, kind = role
    if split:
        return f"emnist-{split}-{'train' if training else 'test'}-{kind}-ubyte"
    return f"{'train' if training else 't10k'}-{kind}-ubyte"
