"""Damage as files meet it: flipped bits, cuts, insertions, blocks that are lost or swapped."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

EXTREMES = [(1 << n) - 1 for n in (7, 8, 31, 32, 63, 64)] + [1 << n for n in (7, 31, 62, 63)]


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Damage `content` in one to three ways, which leave it other than it was or, rarely, as it is.

    The beginning, where a file says what it holds, is hit as often as all the rest.
    """
    damaged = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        _WAYS[rng.integers(len(_WAYS))](damaged, rng)
    return bytes(damaged)


def _place(size: int, rng: np.random.Generator) -> int:
    end = min(size, 64) if rng.random() < 0.5 else size
    return int(rng.integers(end + 1))


def _block(damaged: bytearray, rng: np.random.Generator) -> slice:
    start = _place(len(damaged), rng)
    return slice(start, start + int(rng.choice([1, 2, 4, 8, 16, 100, 512])))


def _flip(damaged: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 5))):
        if damaged:
            damaged[_place(len(damaged) - 1, rng)] ^= 1 << int(rng.integers(8))


def _cut(damaged: bytearray, rng: np.random.Generator) -> None:
    del damaged[_place(len(damaged), rng) :]


def _remove(damaged: bytearray, rng: np.random.Generator) -> None:
    del damaged[_block(damaged, rng)]


def _insert(damaged: bytearray, rng: np.random.Generator) -> None:
    start = _place(len(damaged), rng)
    damaged[start:start] = rng.bytes(int(rng.integers(1, 40)))


def _repeat(damaged: bytearray, rng: np.random.Generator) -> None:
    block = _block(damaged, rng)
    damaged[block.start : block.start] = damaged[block] * int(rng.integers(1, 50))


def _erase(damaged: bytearray, rng: np.random.Generator) -> None:
    block = _block(damaged, rng)
    damaged[block] = bytes([int(rng.choice([0, 0x20, 0x39, 0xFF]))]) * len(damaged[block])


def _swap(damaged: bytearray, rng: np.random.Generator) -> None:
    one, other = _block(damaged, rng), _block(damaged, rng)
    damaged[one], damaged[other] = damaged[other], damaged[one]


def _number(damaged: bytearray, rng: np.random.Generator) -> None:
    """A length, binary or in decimal digits, that claims as much as there could ever be."""
    number = EXTREMES[rng.integers(len(EXTREMES))]
    text = [number.to_bytes(8, "little"), number.to_bytes(8, "big"), str(number).encode()]
    start = _place(len(damaged), rng)
    some = text[rng.integers(3)]
    damaged[start : start + int(rng.choice([4, 8, len(some)]))] = some


_WAYS: list[Callable[[bytearray, np.random.Generator], None]] = [
    _flip, _flip, _cut, _remove, _insert, _repeat, _erase, _swap, _number,
]  # fmt: skip
