"""What `fit` runs as a whole, and what in the loop, before any data are there."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.backends.plan import Chain
from fastnn.nn.optimizer import Optimizer
from fastnn.nn.optimizers import SGD
from fastnn.nn.sample_weight import check_takes_weights
from fastnn.nn.sequential import Sequential
from fastnn.training.arguments import check_optimizer, check_what_fit_calls
from fastnn.training.html_table import html_table
from fastnn.training.last_fit import findings_of_last_fit
from fastnn.training.planner import make_chain


@dataclass(frozen=True, repr=False)
class Explanation:
    """How `fit` runs a network on its backend: ``print`` it, or end a notebook's cell with it.

    Attributes
    ----------
    backend : str
        The name of the network's backend.
    runs : {"compiled step", "fused", "captured loop", "loop"}
        One compiled function for many steps, on all threads; a few kernels a step in a CUDA graph;
        a primitive after the other, many steps in a CUDA graph; a primitive after the other, called
        from Python. All parts of a network run in the same way.
    parts : tuple of (str, str)
        The layers that are one part, the loss and the optimizer; and for each why the network does
        not run in a faster way, as far as it is for this part. Empty if it is not.
    remarks : tuple of str
        Sentences on the backend itself, on what is decided when the data are known, and on what the
        last `fit` of this network found to be otherwise: on a GPU, why nothing could be captured.
    """

    backend: str
    runs: str
    parts: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        width = max(len(part) for part, _ in self.parts) + 1
        lines = [f"{self.backend}: {self.runs}"]
        for part, reason in self.parts:
            because = f": because {reason}" if reason else ""
            lines.append(f"  {part:{width}} {self.runs}{because}")
        return "\n".join([*lines, *self.remarks])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = [(part, self.runs, reason) for part, reason in self.parts]
        columns = ("part", "runs", "because")
        return html_table(f"{self.backend}: {self.runs}", columns, rows, self.remarks)


def explain(
    network: Sequential, optimizer: Optimizer | None = None, *, sample_weight: bool = False
) -> Explanation:
    """Tell which part of a network `fit` runs where, and why not in a faster way.

    It is the decision that `fit` takes itself, so far as it is taken before data are known; of a
    network that was trained it also tells what the last `fit` could not do as it was decided.

    Parameters
    ----------
    network : Sequential
        On any backend.
    optimizer : Optimizer, optional
        As of `fit`; by default its default, ``SGD(lr=0.1)``.
    sample_weight : bool, optional
        Whether `fit` is to be given weights of samples.

    Returns
    -------
    Explanation
        A line for each part as a string.

    Raises
    ------
    TypeError
        If `fit` would refuse the network or the optimizer, or weights for a loss of your own.

    Examples
    --------
    >>> network = fastnn.MultiLayerNet(784, [50], 10, use_batchnorm=True)  # doctest: +SKIP
    >>> print(fastnn.explain(network))  # doctest: +SKIP
    """
    optimizer = SGD(lr=0.1) if optimizer is None else optimizer
    check_optimizer(optimizer)
    check_what_fit_calls(network, optimizer)
    if sample_weight:
        check_takes_weights(network.last_layer)
    chain = make_chain(network, optimizer, flat=True, weighted=bool(sample_weight))
    course = network.backend.explain(chain)
    reasons: dict[str, list[str]] = {}
    for part, sentence in course.reasons:
        reasons.setdefault(part, []).append(sentence)
    return Explanation(
        network.backend.name,
        course.name,
        tuple((part, "; ".join(reasons.get(part, []))) for part in _parts(chain)),
        (
            *reasons.get("", []),
            *course.data,
            *[f"in the last fit {found}" for found in findings_of_last_fit(network)],
        ),
    )


def _parts(chain: Chain) -> tuple[str, ...]:
    return *[block.label for block in chain.blocks], chain.loss_label, chain.update_label
