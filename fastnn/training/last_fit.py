"""What the last `fit` of a network found out that nobody could tell before."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from fastnn.backends.base import Backend
from fastnn.nn.sequential import Sequential

_found: WeakKeyDictionary[Sequential, tuple[Backend, tuple[str, ...]]] = WeakKeyDictionary()


def remember(network: Sequential, findings: tuple[str, ...]) -> None:
    """Keep what `Runner.findings` tells of a training that is over, in the place of the last one's.

    Copies and pickles of the network know nothing of it.
    """
    _found[network] = network.backend, findings


def findings_of_last_fit(network: Sequential) -> tuple[str, ...]:
    """Give what was remembered; nothing where the network is on another backend now."""
    backend, findings = _found.get(network, (network.backend, ()))
    return findings if backend is network.backend else ()
