"""Any layers in order as a network: scores, loss, accuracy, gradient of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from os import PathLike
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, host_array
from fastnn.backends.base import Backend
from fastnn.backends.selection import load_backend
from fastnn.backends.sparse_rows import SparseRows, is_sparse
from fastnn.chunks import chunks
from fastnn.nn.entry import alone_at_entry, at_entry
from fastnn.nn.found_parameters import find, find_in_copy
from fastnn.nn.judging import hint_for, judge_of, measure_of
from fastnn.nn.layer import gradient_of, is_unmodified
from fastnn.nn.layers import Affine
from fastnn.nn.loss import Loss
from fastnn.nn.losses import LOSSES
from fastnn.nn.modes import call, forward_through
from fastnn.nn.network_gradient import network_numerical_gradient
from fastnn.nn.network_of_layers import NetworkOfLayers
from fastnn.nn.provided import provided
from fastnn.nn.sample_weight import check_sample_weight, check_takes_weights
from fastnn.nn.shape_hints import explain
from fastnn.nn.targets import Targets
from fastnn.nn.validation import (
    check_batch,
    check_not_empty,
    check_same_length,
    dense,
    real_array,
    samples_of,
)

CHUNK = 8192
"""Samples that are evaluated at a time where there may be many, which bounds the memory."""

DENSE_NUMBERS = 1 << 24
"""Of compressed samples, which may have a million features, not more than are so many numbers."""


def samples_at_once(data: Any) -> int:
    """Give how many samples to evaluate at once: of compressed ones as many as may be dense."""
    if isinstance(data, SparseRows) or is_sparse(data):
        return max(1, min(CHUNK, DENSE_NUMBERS // max(1, int(data.shape[1]))))
    return CHUNK


class Sequential(NetworkOfLayers):
    """Layers, one after the other, and a loss.

    Parameters
    ----------
    layers : iterable of layers, or mapping of names to layers
        Anything with `forward` and `backward`; see `fastnn.nn.layers`. Without names they are
        called ``Affine1, Relu1, Affine2, ...``. They must have been made on one backend. A
        `forward` that takes ``train_flg`` is given True by `gradient` and `fit`, False by `predict`
        and `accuracy`, as in the book.
    last_layer : layer, optional
        Its ``forward(x, t)`` gives the loss; `SoftmaxWithLoss` by default. fastnn's losses also say
        what targets are, see `fastnn.nn.losses`; one of your own is given them as they are. Its
        attribute `measure` says what `score` gives: "accuracy" of classes, "R2" of numbers, None
        where nothing is told but the loss. One without that attribute is taken for one of classes.

    Attributes
    ----------
    layers : OrderedDict
        The layers by name.
    lastLayer : layer
        The loss, also as `last_layer`.
    backend : Backend
        Where the network computes; see `to`.
    dtype : str
        "float32" or "float64": in what; see `astype`.

    Raises
    ------
    TypeError
        If a layer has no `forward` and `backward`.
    ValueError
        If a layer appears twice, or the layers are of several backends.

    Warns
    -----
    ParameterCopyWarning
        If a parameter that somebody else holds as well, as the book's dictionary does, has to be
        copied. A network has one dtype: float32 if all its parameters are, else float64.

    Notes
    -----
    Threads may share a network. `loss` and `gradient` wait for each other, `predict` and `accuracy`
    for nothing, unless a layer is not one of fastnn's. While `fit` trains the network, no other
    `fit` can, and no other thread may change it; what other threads see of it is told in the notes
    of `fit`. Networks that share layers are for one thread.
    """

    def to_onnx(self, path: str | PathLike[str]) -> None:
        """Write the network as an ONNX file; see `fastnn.to_onnx`."""
        provided("to_onnx")(self, path)

    @at_entry
    def summary(self, optimizer: Any = None, x: object = None) -> Any:
        """Give the network as a table: layers, what they give, parameters, what runs where.

        ``print`` it, or end a notebook's cell with it.

        Parameters
        ----------
        optimizer : Optimizer, optional
            As of `fit`, which may run differently for it; by default the default of `fit`.
        x : array_like (N, ...), optional
            A batch, as for `predict`. With it the shapes are those that layers give for it, on a
            copy of the network; without it they are not known behind layers of your own.

        Returns
        -------
        fastnn.training.summary.Summary
            With `title`, `rows`, `remarks`, and the number of all `parameters`.
        """
        return provided("summary")(self, optimizer, x)

    def _repr_html_(self) -> str:
        return str(self.summary()._repr_html_())

    @at_entry
    def find_parameters(self, x: object, t: object) -> None:
        """Find the parameters of layers whose class names none, from a batch as for `gradient`.

        The network is left as it is, but for these names; see `fastnn.nn.found_parameters`.
        """
        find_in_copy(self, x, t, Sequential.gradient)
        self.differentiated = True

    @at_entry
    def predict(self, x: object, train_flg: bool = False) -> Array:
        """Give the scores, which the loss takes: of classes those before softmax.

        Parameters
        ----------
        x : array_like (N, ...), or (D,) for one sample
            Of any library and real dtype; it is brought to the network's device and dtype. NaN
            and infinity are let through, but for gaps in a table of pandas, polars or Arrow. Rows
            of a matrix of scipy.sparse are made dense some thousand at a time.
        train_flg : bool, optional
            True computes as in training, where layers drop units or normalise by the batch, and
            keeps what `backward` of the layers needs. Otherwise fastnn's layers keep nothing.

        Returns
        -------
        array (N, C), or (C,)
            On the network's backend.

        Raises
        ------
        TypeError
            If `x` holds no real numbers.
        ValueError
            If it is empty or has the wrong number of features, or is a table with gaps.
        """
        array = samples_of(x, self.backend, "x")
        if isinstance(array, SparseRows):
            if not train_flg:
                return self._answers(array, lambda scores: scores)
            array = dense(array)
        single = array.ndim == 1
        batch = check_batch(array[None, :] if single else array, self.backend, self.dtype)
        try:
            scores = self._forward(batch, bool(train_flg), bool(train_flg))
        except ValueError as error:
            explain(error, self, x)
            raise
        return scores[0, ...] if single else scores

    @at_entry
    def predict_proba(self, x: object) -> Array:
        """Give the probabilities that the scores of `predict` mean, as the loss says.

        Large data sets are evaluated in chunks, and may be larger than the memory of the device.

        Parameters
        ----------
        x : array_like (N, ...), or (D,) for one sample
            See `predict`.

        Returns
        -------
        array (N, C), or (C,)
            On the network's backend, of its dtype. With `SoftmaxWithLoss` the probability of each
            class, and a row adds up to 1; with `SigmoidWithLoss` the probability that the label of
            each output is 1.

        Raises
        ------
        TypeError
            If `x` holds no real numbers, or the loss gives no probabilities, as `MeanSquaredError`;
            one of your own gives them by a method ``probabilities(scores)``.
        ValueError
            If `x` is empty or has the wrong number of features.
        """
        last = self.last_layer
        if not callable(getattr(last, "probabilities", None)):
            raise TypeError(
                f"the loss {type(last).__name__}, of your own, has no method probabilities(scores) "
                "that says what scores mean: fastnn.softmax(network.predict(x)) gives "
                "probabilities of classes"
            )
        return self._answers(x, last.probabilities)

    @at_entry
    def predict_classes(self, x: object) -> Array:
        """Give the answers as classes, those that `accuracy` counts; in chunks.

        Parameters
        ----------
        x : array_like (N, ...), or (D,) for one sample
            See `predict`.

        Returns
        -------
        array of int64, (N,), or () for one sample
            With `SoftmaxWithLoss` the index of the largest score; so it is with a loss of your own
            that does not say otherwise by a method ``classes(scores)``. With `SigmoidWithLoss` 1
            where the score is positive, which is a probability above 1/2, and else 0: (N,) or ()
            with one output, (N, C) or (C,) with several.

        Raises
        ------
        TypeError
            If `x` holds no real numbers, or the loss has no classes, as `MeanSquaredError`.
        ValueError
            If `x` is empty or has the wrong number of features.
        """
        last = self.last_layer
        if callable(getattr(last, "classes", None)):
            return self._answers(x, last.classes)
        judge = judge_of(last, self.backend)

        def classes(scores: Array) -> Array:
            if tuple(scores.shape[1:]) in ((), (1,)):
                raise TypeError(
                    f"one output tells no classes apart, and the loss {type(last).__name__}, of "
                    "your own, has no method classes(scores) that says what scores mean"
                )
            return judge.classes(scores)

        return self._answers(x, classes)

    def _answers(self, x: object, meaning: Callable[[Array], Array]) -> Array:
        """Give what the scores of many samples mean, or of one."""
        data = samples_of(x, self.backend, "x")
        check_not_empty(data)
        single = data.ndim == 1
        data = data[None, :] if single else data
        try:
            found = [
                meaning(self.predict(data[some, ...]))
                for some in chunks(data.shape[0], samples_at_once(data))
            ]
        except ValueError as error:
            explain(error, self, x)
            raise
        answers = found[0] if len(found) == 1 else self.backend.xp.concat(found, axis=0)
        return answers[0, ...] if single else answers

    @at_entry
    def _scores_of_checked(self, x: Array) -> Array:
        """Give the scores of a batch that has been checked already, and may be on the host."""
        return self._forward(self.backend.asarray(x, self.dtype), False, False)

    @alone_at_entry
    def loss(
        self, x: object, t: object, train_flg: bool = False, *, sample_weight: object = None
    ) -> float:
        """Give the mean loss of a batch.

        The layers keep what `backward` needs, so that a gradient can be taken by hand, as in the
        book: ``network.lastLayer.backward(1)``, then `backward` of each layer.

        Parameters
        ----------
        x : array_like (N, ...), or (D,) for one sample
            See `predict`.
        t : array_like (N,) or (N, C)
            Labels: indices of classes, or one-hot. For one sample an index, or (C,). For other
            losses what they take: `SigmoidWithLoss` numbers from 0 to 1, `MeanSquaredError` any.
        train_flg : bool, optional
            True for the loss that `gradient` differentiates and `fit` reports: layers drop units,
            or normalise by the batch.
        sample_weight : array_like (N,), optional
            How much each sample counts, not negative: the loss is ``sum(w * losses) / sum(w)``.

        Returns
        -------
        float
            fastnn's losses are taken in float64, of scores in the network's dtype: so two losses
            that differ little tell a gradient, see `numerical_gradient`.

        Raises
        ------
        TypeError
            If an array holds no real numbers.
        ValueError
            If shapes do not fit, the batch is empty, or a label is out of range, not integral or
            not one-hot; or a number is out of the range that the loss takes. Or if a weight is
            negative or not finite, or all are zero.
        """
        return float(self._loss(x, t, bool(train_flg), sample_weight, in_float64=True))

    @at_entry
    def accuracy(self, x: object, t: object) -> float:
        """Give the fraction of samples that are answered right.

        Of classes that is the largest score at the label; of `SigmoidWithLoss` every score on its
        label's side of 0. Large data sets are evaluated in chunks. As in `predict`, nothing is
        dropped, and fastnn's layers keep nothing.

        Parameters and errors are those of `loss`. Numbers are not right or wrong: a network with
        `MeanSquaredError` has no accuracy, which is a TypeError, but a `score`.
        """
        measure = measure_of(self.last_layer)
        if measure not in ("accuracy", None):
            raise TypeError(
                f"a network with {type(self.last_layer).__name__} gives numbers, of which none is "
                f"right or wrong: there is no accuracy; network.score(x, t) gives {measure}"
            )
        return self._evaluate(x, t)

    @at_entry
    def score(self, x: object, t: object) -> float:
        """Give how good the answers are, at most 1: what the `measure` of the loss says.

        That is accuracy, or R2, the coefficient of determination, which is 1 where every number is
        met, and 0 for a network that always gives the mean of `t`; see `MeanSquaredError`.
        Parameters and errors are those of `loss`; with a loss that has no measure, as
        `PoissonWithLoss`, it is a TypeError.
        """
        return self.accuracy(x, t) if self._measure() == "accuracy" else self._evaluate(x, t)

    def _measure(self) -> str | None:
        """Name what `score` gives: "accuracy" or "R2"; None if there is none."""
        own = self.replaced_method("accuracy") is not None
        return "accuracy" if own else measure_of(self.last_layer)

    @at_entry
    def _evaluate(self, x: object, t: object, *, scale: float = 1) -> float:
        """Give the measure of the network for inputs that are to be multiplied by `scale`."""
        data, targets = self._samples(x, t)
        judge, total, checked = judge_of(self.last_layer, self.backend), None, None
        try:
            for some, scores in self._scores_in_chunks(data, scale):
                if checked is None:
                    checked = self._judged(targets, tuple(scores.shape[1:])).array
                tally = judge.tally(scores, checked[some, ...])
                total = tally if total is None else total + tally
        except ValueError as error:
            explain(error, self, x, t)
            raise
        return judge.score(total, checked)

    def _judged(self, t: Array, outputs: tuple[int, ...], *, name: str = "t") -> Targets:
        """Check targets as what judges the answers takes them."""
        judge = judge_of(self.last_layer, self.backend)
        try:
            return judge.check_targets(
                t, int(t.shape[0]), outputs, self.backend, self.dtype, name=name
            )
        except ValueError as error:
            raise ValueError(f"{error}{hint_for(self.last_layer)}") from None

    @at_entry
    def _loss_in_chunks(self, x: object, t: object, *, scale: float = 1) -> float:
        """Give ``loss(x, t)`` of a data set of any size, as fastnn's losses are sums over samples.

        Of a loss of the user's own it is the mean of what its `forward` gives for each chunk.
        """
        data, targets = self._samples(x, t)
        known = any(is_unmodified(self.last_layer, cls) for cls in LOSSES)
        total: Array = 0.0
        for some, scores in self._scores_in_chunks(data, scale):
            outputs, last = tuple(scores.shape[1:]), self.last_layer
            checked = self.targets(targets[some, ...], outputs)
            if known:
                losses, _ = last.losses(self.backend.astype(scores, "float64"), checked.array)
                total = total + self.backend.xp.sum(losses)
            else:
                loss = call(last.forward, scores, checked, train_flg=False, for_backward=False)
                total = total + float(loss) * int(scores.shape[0])
        return self._with_penalty(float(total) / int(data.shape[0]))

    def _with_penalty(self, loss: float) -> float:
        """Add what the weights add to a loss, in float64."""
        weights = [self.backend.astype(W, "float64") for W in self.decayed().values()]
        if not weights:
            return loss
        mean = self.backend.asarray(np.asarray(loss, "float64"))
        decay = self.weight_decay_lambda
        return float(self.backend.penalised(mean, *weights, weight_decay=decay))

    def _scores_in_chunks(self, data: Array, scale: float) -> Iterator[tuple[slice, Array]]:
        """Give the scores of samples, times `scale`, for so many at a time."""
        for some in chunks(int(data.shape[0]), samples_at_once(data)):
            batch = self.backend.asarray(data[some, ...], self.dtype)
            batch = batch if scale == 1 else batch * scale
            yield some, self._forward(batch, False, False)

    @alone_at_entry
    def gradient(self, x: object, t: object, *, sample_weight: object = None) -> dict[str, Array]:
        """Give the gradient of the mean loss by every parameter, by backpropagation.

        It is that of ``loss(x, t, train_flg=True)``, with the same weights. Parameters and errors
        are those of `loss`.

        Returns
        -------
        dict of str to array
            Of the shape of each parameter, on the network's backend; not used again by fastnn.
        """
        self.backpropagate(x, t, sample_weight)
        owners = self.owners()
        if self._unnamed:
            find(self, x, t)
            self.differentiated = True
            owners = self.owners()
        gradients = {name: gradient_of(*owner) for name, owner in owners.items()}
        for name, W in self.decayed().items():
            gradients[name] = self.backend.decayed_gradient(
                gradients[name], W, weight_decay=self.weight_decay_lambda
            )
        return gradients

    def backpropagate(self, x: object, t: object, sample_weight: object = None) -> None:
        """Go forward and backward through the layers, which keep the gradients."""
        self._loss(x, t, True, sample_weight)
        dout = self.last_layer.backward(1)
        layers = list(self.layers.values())
        for layer in reversed(layers[1:]):
            dout = layer.backward(dout)
        if layers and is_unmodified(layers[0], Affine):
            layers[0].backward(dout, input_gradient=False)
        elif layers:
            layers[0].backward(dout)

    @at_entry
    def numerical_gradient(self, x: object, t: object) -> dict[str, Array]:
        """Give the gradient of the mean loss by central differences, to check `gradient`.

        It is evaluated in float64 on a copy of the network, whatever the network's dtype (on a CPU
        by NumPy, unless a layer is not one of fastnn's), for every parameter by the definition,
        ``(loss(p + h) - loss(p - h)) / (2 h)``, ``h = 1e-4``, of the loss in training.
        Parameters and errors are those of `loss`; a layer that draws at random in training, as
        dropout, is an error too, since it leaves nothing to compare.

        Returns
        -------
        dict of str to array of float64
            Of the shape of each parameter, on the network's backend.
        """
        return network_numerical_gradient(self, x, t)

    def batch_and_targets(self, x: object, t: object) -> tuple[Array, Array]:
        """Check a batch and bring it to the device; give its targets too, still to be checked."""
        data, targets = self._samples(x, t)
        return self.backend.asarray(dense(data), self.dtype), targets

    def _samples(self, x: object, t: object) -> tuple[Array, Array]:
        """Check that inputs and targets have a first axis of the same length."""
        data, targets = samples_of(x, self.backend, "x"), real_array(t, self.backend, "t")
        if data.ndim == 1:
            data = data[None, :]
            targets = targets if tuple(targets.shape) == (1,) else targets[None, ...]
        check_not_empty(data)
        check_same_length(data, targets)
        return data, targets

    def _forward(self, x: Array, train_flg: bool, for_backward: bool) -> Array:
        lock = self._network_lock.alone
        return forward_through(self.layers.values(), x, train_flg, for_backward, lock)

    def _loss(
        self,
        x: object,
        t: object,
        train_flg: bool,
        sample_weight: object = None,
        *,
        in_float64: bool = False,
    ) -> Array:
        batch, labels = self.batch_and_targets(x, t)
        weights = self._weights(sample_weight, int(batch.shape[0]))
        try:
            scores = self._forward(batch, train_flg, True)
        except ValueError as error:
            explain(error, self, x, t)
            raise
        last, targets = self.last_layer, self.targets(labels, tuple(scores.shape[1:]))
        if not (in_float64 and any(is_unmodified(last, cls) for cls in LOSSES)):
            loss = call(last.forward, scores, targets, *weights, train_flg=train_flg)
        else:
            loss = last.forward(self.backend.astype(scores, "float64"), targets, *weights)
            last.y = self.backend.astype(last.y, self.dtype)  # for backward
        decayed = list(self.decayed().values())
        if not decayed:
            return loss
        if in_float64:
            decayed = [self.backend.astype(W, "float64") for W in decayed]
        return self.backend.penalised(loss, *decayed, weight_decay=self.weight_decay_lambda)

    def _weights(self, sample_weight: object, samples: int) -> tuple[Array, ...]:
        """Give the weights of samples as the loss takes them behind the targets; () if none."""
        if sample_weight is None:
            return ()
        check_takes_weights(self.last_layer)
        return (check_sample_weight(sample_weight, samples, self.backend),)

    def targets(self, t: Array, outputs: tuple[int, ...], *, name: str = "t") -> Any:
        """Check `t` and bring it to the device, as the last layer takes it.

        `outputs` is the shape of the scores of a sample.
        """
        return self._targets(t, outputs, self.backend, name)

    def targets_on_host(self, t: Array, outputs: tuple[int, ...], *, name: str = "t") -> Any:
        """Check `t` as `targets` does, and give it on the host: an array of its own."""
        checked = self._targets(t, outputs, self._backend_of(t), name)
        return host_array(checked.array) if isinstance(checked, Targets) else host_array(t).copy()

    def _targets(self, t: Array, outputs: tuple[int, ...], home: Backend, name: str) -> Any:
        if not isinstance(self.last_layer, Loss):
            return home.asarray(t)
        samples = int(t.shape[0])
        return self.last_layer.check_targets(t, samples, outputs, home, self.dtype, name=name)

    def replaced_method(self, *methods: str) -> str | None:
        """Name the first of these methods that a subclass or the network has of its own."""
        for method in methods:
            own = getattr(type(self), method) is not getattr(Sequential, method)
            if own or method in vars(self):
                return method
        return None

    def _backend_of(self, array: Array) -> Backend:
        return self.backend if self.backend.owns(array) else load_backend("numpy")
