"""How long `fit` takes of scikit-learn's MLPClassifier and of fastnn's, at scikit-learn's defaults.

    python bench/estimators.py
    python bench/estimators.py --data digits --threads 1 --dtype float64 --max-iter 20

Both train from one `random_state`, so they draw the same weights and batches: that they did the
same work is proven by their losses, which have to agree after as many epochs. Each data set is
fitted once by fastnn before the clock runs, so that kernels are compiled; then they take turns.
With `--max-iter` both end after so many epochs, which the table says. It is Markdown, for
docs/sklearn.md.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn
from machine import describe_machine

Data = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

LOSSES_AGREE = {"float64": 1e-6, "float32": 0.05}
"""By how much of it the last losses may differ. Rounding in float32 grows from epoch to epoch."""


def mnist() -> Data:
    """Give 60,000 images of 784 pixels from 0 to 1, four fifths of them zero; ten classes."""
    from fastnn.datasets import load_mnist

    (x, t), _ = load_mnist()
    return np.asarray(x).reshape(len(x), -1), np.asarray(t)


def digits() -> Data:
    """Give 1,797 images of 64 pixels, of scikit-learn; ten classes."""
    from sklearn.datasets import load_digits

    x, t = load_digits(return_X_y=True)
    return x / 16, t


def higgs_like() -> Data:
    """Give 100,000 dense rows of 28 numbers of unit variance and two classes that overlap."""
    rng = np.random.default_rng(28)
    x = rng.standard_normal((100_000, 28))
    hidden = np.tanh(x @ rng.standard_normal((28, 40)) / 4) @ rng.standard_normal(40)
    return x, (hidden + 2 * rng.standard_normal(len(x)) > 0).astype(int)


DATA: dict[str, Callable[[], Data]] = {"mnist": mnist, "digits": digits, "higgs-like": higgs_like}


def compare(data: str, threads: int, dtype: str, max_iter: int, rounds: int) -> dict[str, Any]:
    """Fit both by turns; give the shortest seconds of each, and what proves the same work.

    Raises
    ------
    RuntimeError
        If their losses differ.
    """
    from sklearn import neural_network

    from fastnn import sklearn as ours

    x, t = DATA[data]()
    x = x.astype(dtype)
    fastnn.set_num_threads(threads)  # of BLAS, too
    options: dict[str, Any] = {"random_state": 0, "max_iter": max_iter}
    ours.MLPClassifier(random_state=0, max_iter=1).fit(x, t)
    seconds: dict[str, list[float]] = {"fastnn": [], "scikit-learn": []}
    for _ in range(rounds):
        fitted = []
        for name, module in (("fastnn", ours), ("scikit-learn", neural_network)):
            estimator = module.MLPClassifier(**options)
            began = time.perf_counter()
            fitted.append(estimator.fit(x, t))
            seconds[name].append(time.perf_counter() - began)
    own, theirs = fitted
    epochs = min(own.n_iter_, theirs.n_iter_)
    losses = own.loss_curve_[epochs - 1], theirs.loss_curve_[epochs - 1]
    if abs(losses[0] - losses[1]) > LOSSES_AGREE[dtype] * abs(losses[1]):
        raise RuntimeError(f"{data}, {dtype}: after {epochs} epochs losses are {losses}")
    return {
        "data": data,
        "dtype": dtype,
        "threads": threads,
        "epochs": (own.n_iter_, theirs.n_iter_),
        "losses": losses,
        "seconds": {name: min(some) for name, some in seconds.items()},
    }


HEADER = (
    "| data | dtype | threads | epochs | loss | scikit-learn, s | fastnn, s | times as fast |\n"
    "|---|---|---|---|---|---|---|---|"
)


def row(measured: dict[str, Any]) -> str:
    """Give a row of the table; of an epoch each, where they did not take as many."""
    (own, theirs), seconds = measured["epochs"], measured["seconds"]
    epochs = str(own) if own == theirs else f"{own} and {theirs}"
    per_epoch = seconds["fastnn"] / own, seconds["scikit-learn"] / theirs
    return (
        f"| {measured['data']} | {measured['dtype']} | {measured['threads']} | {epochs} "
        f"| {measured['losses'][0]:.6g} | {seconds['scikit-learn']:.2f} | {seconds['fastnn']:.2f} "
        f"| {per_epoch[1] / per_epoch[0]:.1f} |"
    )


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", action="append", choices=list(DATA))
    parser.add_argument("--threads", action="append", type=int)
    parser.add_argument("--dtype", action="append", choices=list(LOSSES_AGREE))
    parser.add_argument("--max-iter", type=int, default=200, help="scikit-learn's default is 200")
    parser.add_argument("--rounds", type=int, default=1)
    chosen = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # ConvergenceWarning, where --max-iter is small
    machine = describe_machine()
    versions = machine["libraries"]
    print(f"{machine['date']}, {machine['processor']}, scikit-learn {versions['scikit-learn']}\n")
    print(HEADER, flush=True)
    for data in chosen.data or DATA:
        for dtype in chosen.dtype or LOSSES_AGREE:
            for threads in chosen.threads or (1, 2):
                found = compare(data, threads, dtype, chosen.max_iter, chosen.rounds)
                print(row(found), flush=True)


if __name__ == "__main__":
    main()
