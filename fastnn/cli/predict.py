"""``fastnn predict``: what a saved network says of images."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from fastnn import SoftmaxWithLoss, to_numpy
from fastnn.cli.options import BackendOption, ModelArgument, select_backend
from fastnn.cli.run_directory import load_network
from fastnn.cli.same_answer import answers_alike
from fastnn.datasets import read_digit, read_idx
from fastnn.datasets.idx import GZIP_MAGIC
from fastnn.system.regular_file import open_regular

IDX_START = b"\0\0"


def predict(
    model: ModelArgument,
    images: Annotated[Path, typer.Argument(metavar="IMAGES", show_default=False)],
    backend: BackendOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict the class of each image, with its probability.

    MODEL is a network that fastnn saved, IMAGES an IDX file of images, or a picture. A picture of
    one digit, of any format and size, is prepared as MNIST's images were: light on dark, the digit
    20 pixels high or wide, its centre of mass in the middle. Prints a line an image: its number in
    the file, the class, the probability.
    """
    select_backend(backend)
    network = load_network(model)
    if not isinstance(network.last_layer, SoftmaxWithLoss):
        loss = type(network.last_layer).__name__
        raise TypeError(f"{model} holds a network with {loss}, which says no class of an image")
    W = network.params.get("W1")
    if W is None:
        raise ValueError(f"{model} holds no Affine layer: nothing tells how large an image is")
    features = int(W.shape[0])
    x = _pixels(images, features)
    y = to_numpy(network.predict_proba(x))
    if not np.isfinite(y).all():
        raise ValueError(
            f"{model} gives no probabilities but {y[~np.isfinite(y)][0]}: the training that made "
            "it has diverged; train again, with a smaller learning rate"
        )
    if answers_alike(network, x):
        raise ValueError(
            f"{model} answers {int(y[0].argmax())} with probability {float(y[0].max()):.4f} to any "
            "picture, even to an empty one: its units are dead, or saturated, as after a training "
            "that has diverged; train again, with a smaller learning rate"
        )
    classes = y.argmax(axis=1).tolist()
    probabilities = y.max(axis=1).astype("float64").tolist()
    if as_json:
        rows = [
            {"image": number, "class": label, "probability": p}
            for number, (label, p) in enumerate(zip(classes, probabilities, strict=True))
        ]
        print(json.dumps(rows, indent=None if len(rows) > 1 else 2))
        return
    for number, (label, p) in enumerate(zip(classes, probabilities, strict=True)):
        print(f"{number} {label} {p:.4f}")


def _pixels(path: Path, features: int) -> np.ndarray[Any, Any]:
    """Read images as rows of `features` numbers from 0 to 1."""
    with open_regular(path) as file:
        start = file.read(2)
    if start in (IDX_START, GZIP_MAGIC):
        stored = read_idx(path)
        if stored.ndim < 2 or stored.dtype != np.uint8 or 0 in stored.shape:
            raise ValueError(
                f"{path}: expected images as uint8 (N, rows, columns), found {stored.dtype} in "
                f"the shape {stored.shape}"
            )
        rows = stored.reshape(len(stored), -1)
    else:
        side = math.isqrt(features)
        if side * side != features:
            raise ValueError(f"the network takes {features} numbers, which are no square picture")
        rows = read_digit(path, side).reshape(1, -1)
    if rows.shape[1] != features:
        raise ValueError(f"{path}: images of {rows.shape[1]} pixels, the network takes {features}")
    return rows.astype("float32") / np.float32(255)
