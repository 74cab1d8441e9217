"""What the parts of a network need to know of the whole; `Sequential` is one.

The parts (its parameters by name, the search for them, files, the numerical gradient) are given a
network, and `Sequential` is made of the parts. So they name here what they ask of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Protocol, Self

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.nn.lock import NetworkLock


class NamedLayers(Protocol):
    """Layers in order with a loss, by name; see `fastnn.nn.sequential.Sequential`."""

    last_layer: Any
    differentiated: bool
    weight_decay_lambda: float
    made_with: Mapping[str, frozenset[str]]
    _network_lock: NetworkLock

    @property
    def layers(self) -> OrderedDict[str, Any]:
        """The layers by name."""

    @property
    def backend(self) -> Backend:
        """Where the network computes."""

    @property
    def dtype(self) -> str:
        """In what: "float32" or "float64"."""

    @property
    def params(self) -> Mapping[str, Array]:
        """The parameters by name, live."""

    def owners(self) -> Mapping[str, tuple[Any, str]]:
        """Give for each parameter's name its layer and the attribute there."""

    def decayed(self) -> Mapping[str, Array]:
        """Give the weights, by name, whose squares are a part of the loss."""

    def unnamed(self) -> frozenset[int]:
        """Tell, by `id`, of which layers nobody has named the parameters yet."""

    def forget_owners(self) -> None:
        """Read the layers anew: the parameters of one have got their names."""

    def copy(self) -> Self:
        """Give a network of its own with the same parameters, backend and dtype."""

    def to(self, backend: str | Backend) -> Self:
        """Move the network to another backend, in place."""

    def astype(self, dtype: object) -> Self:
        """Change the dtype of the parameters, in place."""


class Network(NamedLayers, Protocol):
    """Such layers as a function: their loss for a batch, and its gradient."""

    def find_parameters(self, x: object, t: object) -> None:
        """Find the parameters of layers whose class names none."""

    def batch_and_targets(self, x: object, t: object) -> tuple[Array, Array]:
        """Check a batch and bring it to the device; give its targets too, still to be checked."""

    def targets(self, t: Array, outputs: tuple[int, ...]) -> Any:
        """Check `t` and bring it to the device, as the last layer takes it."""

    def backpropagate(self, x: object, t: object) -> None:
        """Go forward and backward through the layers, which keep the gradients."""

    def loss(self, x: object, t: object) -> float:
        """Give the mean loss of a batch."""

    def replaced_method(self, *methods: str) -> str | None:
        """Name the first of these methods that a subclass or the network has of its own."""
