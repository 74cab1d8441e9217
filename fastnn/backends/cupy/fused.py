"""A training step of a few kernels, for networks of Affine layers.

Between them may be batch normalisation, an activation, and dropout; behind them is a loss. With L
layers, and the kernels of `fastnn.kernels.cuda`:

1. ``gather_product``: the batch from the data set, times W1.
2. ``hidden_product`` for each layer in the middle: bias, activation and dropout of the layer
   before, times W.
3. ``head``: the same, the last product, the loss, and back to the hidden gradient.
4. ``back`` for each layer in the middle, in reverse.
5. ``update_weights``: all weight gradients, with the update; and ``update_clipped`` where a norm of
   all gradients is needed first.

That is 2 L - 1 kernels; three for the book's network. Where the last layer is too wide for `head`,
or normalised, its product is one more ``hidden_product``, and `loss` and `back` follow: 2 L + 1. A
layer that is normalised takes one more each way, ``batch_norm`` behind its product and
``batch_norm_backward`` before its gradients.

Large products go to cuBLAS instead: see `fastnn.backends.cupy.large_passes`.

`fastnn.backends.cupy.passes` puts 1 to 4 together, with `fastnn.backends.cupy.normalised`, and
`fastnn.backends.cupy.update` the last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.cupy import cublas
from fastnn.backends.cupy.large_passes import LargePasses
from fastnn.backends.cupy.passes import Passes, draws_of
from fastnn.backends.cupy.products import Products
from fastnn.backends.cupy.update import Update
from fastnn.backends.known_parts import (
    CLIPPING,
    PENALTY,
    SAMPLE_WEIGHTS,
    WEIGHT_DECAY,
    KnownParts,
    Reason,
)
from fastnn.backends.plan import DATA_DTYPES, Numbers, StepPlan
from fastnn.backends.stages import stages_of
from fastnn.kernels.cuda.between import ACTIVATIONS
from fastnn.kernels.cuda.control import ControlBlock
from fastnn.kernels.cuda.losses import LOSSES
from fastnn.kernels.cuda.rules import BY_PRIMITIVE

KNOWN = KnownParts(
    "the fused step",
    activations=ACTIVATIONS,
    losses=LOSSES,
    rules=BY_PRIMITIVE,
    extras=(WEIGHT_DECAY, PENALTY, CLIPPING, SAMPLE_WEIGHTS),
    normalises=True,
    drops=True,
)

LARGE = KnownParts(
    "the fused step with products of cuBLAS",
    activations=("relu",),
    losses=("softmax_cross_entropy",),
    rules=BY_PRIMITIVE,
    extras=(WEIGHT_DECAY, PENALTY, CLIPPING),
)
"""What it knows where products are large: no more than `LargePasses` does."""


def reasons_against(plan: StepPlan, products: Products) -> tuple[Reason, ...]:
    """Say why the kernels cannot run a plan as a whole; nothing if they can."""
    return KNOWN.reasons(plan.chain) or (
        *KNOWN.reasons_of_data(plan),
        *_reasons_of_kernels(plan),
        *(_reasons_of_large_products(plan) if are_large(plan, products) else ()),
    )


def are_large(plan: StepPlan, products: Products) -> bool:
    """Whether the products of a step go to cuBLAS."""
    affine = [block for block in plan.chain.blocks if block.is_affine]
    weights = sum(plan.arrays[block.parameters[0]].size for block in affine)
    return products.by_cublas(plan.batch_size * weights, plan.dtype)


def _reasons_of_large_products(plan: StepPlan) -> Iterator[Reason]:
    yield from LARGE.reasons(plan.chain)
    problem = cublas.problem()
    if problem:
        yield Reason("", problem)


def _reasons_of_kernels(plan: StepPlan) -> Iterator[Reason]:
    x = plan.arrays["x_data"]
    arrays = {name: array for name, array in plan.arrays.items() if not name.endswith("_data")}
    dropouts = [block.operation for block in plan.chain.blocks if block.drops]
    draws = {name for dropout in dropouts if dropout is not None for name in dropout.state}
    if x.dtype.name not in (*DATA_DTYPES, plan.dtype):
        yield Reason("x", f"x has dtype {x.dtype.name}")
    if not Products.fits(plan.batch_size):
        yield Reason("", f"a batch of {plan.batch_size} does not fit into a grid")
    for name, array in arrays.items():
        if name not in draws and array.dtype.name != plan.dtype:
            yield Reason("", f"{name} is of {array.dtype.name}, and the network of {plan.dtype}")
        if not array.flags.c_contiguous:
            yield Reason("", f"{name} is not contiguous")


class FusedStep:
    """Launches the kernels of one step; see the module.

    A data set that is not contiguous is made so, once.

    Attributes
    ----------
    passes : Passes or LargePasses
        The kernels before the update, with what they write.
    update : Update
        The update.
    launches : list of Launch
        All kernels, in order.
    """

    doing = "a kernel, or a product of cuBLAS, of the training step"

    def __init__(self, backend: Backend, products: Products, plan: StepPlan) -> None:
        for name, array in plan.arrays.items():
            if name.endswith("_data") and not array.flags.c_contiguous:
                plan.arrays[name] = array.copy(order="C")
        stages = stages_of(plan.chain.blocks)
        self._control = ControlBlock(plan.dtype, draws_of(stages, plan))
        self.passes: Passes | LargePasses
        if are_large(plan, products):
            self.passes = LargePasses(backend, plan, stages, self._control.array)
        else:
            self.passes = Passes(backend, products, plan, stages, self._control.array)
        self.update = Update(backend, plan, stages, self.passes, self._control.array)
        self.launches = [*self.passes.launches, *self.update.launches]

    def obstacle(self, n: int) -> None:
        """See `StepLauncher.obstacle`: there is none."""

    def prepare(self, n: int) -> None:
        """See `StepLauncher.prepare`."""
        self.passes.prepare(n)

    def begin(self, rows: Array, losses: Array, hyperparameters: Mapping[str, Numbers]) -> None:
        """Start many steps: their rows, where their losses go, the numbers of the rule."""
        self._control.begin(rows, losses, self.update.numbers(hyperparameters))

    def launch(self, n: int) -> None:
        """Launch the kernels of the next step, of n samples."""
        for launch in self.launches:
            launch(N=n)
