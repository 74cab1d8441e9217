"""Training: mini-batches from the whole data set, through a step plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike

import numpy as np

from fastnn.checks import check_count, check_flag, check_path, check_seed, dtype_name
from fastnn.nn.file_kinds import CHECKPOINT
from fastnn.nn.optimizer import Optimizer
from fastnn.nn.optimizers import SGD
from fastnn.nn.sequential import Sequential
from fastnn.training.arguments import (
    check_batches,
    check_optimizer,
    check_parameters,
    check_scale,
    check_what_fit_calls,
)
from fastnn.training.batch_feed import BatchFeed
from fastnn.training.batches import Batches
from fastnn.training.callbacks import Callback, CallbackFunction, check_callbacks
from fastnn.training.compile_notice import CompileNotice, described
from fastnn.training.data import data_set, weights_of
from fastnn.training.draws import begin_draws
from fastnn.training.held_out import (
    check_validation,
    held_out_data,
    measured_by,
    split_off,
    split_point,
)
from fastnn.training.history import History, LossQueue
from fastnn.training.progress import ProgressBar
from fastnn.training.resuming import resume as go_on_from
from fastnn.training.session import Session, train
from fastnn.training.standstill import warn_of_magnitude
from fastnn.training.state import Training
from fastnn.training.streamed import StreamedSession

DEFAULT_BATCH_SIZE = 100


def fit(
    network: Sequential,
    x: object,
    t: object = None,
    *,
    epochs: int = 1,
    batch_size: int | None = None,
    scale: float = 1.0,
    optimizer: Optimizer | None = None,
    seed: int | np.random.Generator | None = None,
    validation: tuple[object, object] | None = None,
    validation_split: float = 0.0,
    sample_weight: object = None,
    callbacks: Sequence[Callback | CallbackFunction] = (),
    resume: str | PathLike[str] | None = None,
    progress: bool | None = None,
) -> History:
    """Train a network by mini-batches.

    Each epoch takes the samples once, in an order drawn on the host by
    ``numpy.random.default_rng(seed)``, so that one seed gives the same batches on every backend.
    The last batch of an epoch is shorter where the data set is not a multiple of `batch_size`.

    Parameters
    ----------
    network : Sequential
        Trained in place: when an epoch is over its parameters are new arrays, and those that were
        handed out before keep their values, as do those that layers were made from.
    x : array_like (K, ...), or Batches
        The data set, finite. Brought to the network's device once; uint8 and bool stay a byte
        there. What is there already, in a dtype that is trained from, is used as it is, so that a
        change while training may be seen or not (docs/reproducibility.md tells when).
        A matrix of scipy.sparse is not made dense: where training is compiled for the CPU the step
        takes its rows as they are, and elsewhere one batch is made dense after the other. Or what
        `fastnn.batches` makes of batches that come one after the other: these have targets, sizes,
        an order and perhaps weights of their own, so that `t`, `batch_size`, `sample_weight` and
        `validation_split` are not given.
    t : array_like (K,) or (K, C)
        Labels: indices of classes, or one-hot; for other losses what they take. They are copied: no
        later change is seen.
    epochs : int, optional
        How often to go through the data set; 0 trains nothing.
    batch_size : int, optional
        Samples of a step, from 1 to K; by default 100, or all K if they are fewer.
    scale : float, optional
        What inputs are multiplied by as they are used, greater than 0: 1/255 for bytes, which need
        not be copied to become floats then. It holds for `validation`, too. The network learns from
        ``scale * x``: that is what `predict` and `accuracy` want afterwards.
    optimizer : Optimizer, optional
        By default ``SGD(lr=0.1)``. One of your own that has but an ``update(params, grads)`` is
        called for each step, from Python: nothing is compiled as a whole then, nor captured in a
        CUDA graph. A step of the book's network takes 200 us instead of 100 on Numba, and as long
        as ever on NumPy (784-50-10, batch 100, one core of a Xeon with AVX-512).
    seed : int or numpy.random.Generator, optional
        Seed of the batches, and of the masks of `Dropout`; by default another one each time. A
        generator goes on from where it is: a fit of 2 epochs, and one of 3 with the same generator
        and optimizer, are one of 5.
    validation : tuple (x, t), optional
        If given, the loss of this data is evaluated after each epoch, and the accuracies of the
        training and of this data; with `MeanSquaredError` it is R2. Other losses say by their
        `measure` which it is, and with `PoissonWithLoss` it is the loss alone. So it is with one
        of your own that has no `measure`, if there is one output or a target has a fraction; else
        it is taken for one of classes. Of batches that come one after the other there is no
        accuracy of the training.
    validation_split : float, optional
        In place of `validation` the fraction, from 0 to below 1, of the samples that are held out:
        the last ones, as they were given, so shuffle data that are in an order. Their weights
        count nowhere.
    sample_weight : array_like (K,), optional
        How much each sample counts: finite, not negative, not all zero. The loss of a step is
        ``sum(w * losses) / sum(w)`` over its batch, and its gradient is of that; a batch whose
        weights are all zero has loss 0 and gradient 0. So only ratios within a batch count, and
        weights of one change no bit. Batch normalisation, accuracies and R2 count each sample once.
    callbacks : sequence of callable, optional
        Each is called after each epoch as ``callback(network, history)``; training ends if what
        one returns is true, such as True or NumPy's True. Or objects of `Callback`, which are
        called as their methods say: `Checkpoint`, `EarlyStopping`, `CSVLogger`, `TensorBoard`, or
        one of your own.
    resume : path, optional
        Go on from what `Checkpoint` saved there, to the bit as if the training had not been
        stopped. All else must be as it was when that training began, but `epochs`, which counts
        those that were trained already; a network of the same layers, whose parameters are set; and
        a new optimizer. The seed is not read: the generator goes on as it was saved. The history is
        of all of the training. A training that a callback had ended stays ended.
    progress : bool, optional
        Whether to show a progress bar on standard error, or a line in a notebook; by default where
        standard error is a terminal, and in a notebook.

    Returns
    -------
    History
        Also after Ctrl-C, which ends the training between two steps, within about a tenth of a
        second, or when the kernels are compiled.

    Raises
    ------
    TypeError
        If an array holds no real numbers, or an argument is of another kind, such as a callback
        that `fit` could not call; or for weights with a loss of your own.
    ValueError
        If shapes do not fit, an input is NaN or infinite (the message tells where), a label is
        out of range, not integral or not one-hot, or what another loss refuses, `batch_size` is
        not in 1 ... K, or `scale` is not finite and greater than 0; or if `resume` is of another
        network, optimizer, data set or batches. The network is unchanged then.
        Also, as a TypeError or ValueError, if a callback has made of a parameter what cannot be
        trained: of another shape, complex, read-only, elsewhere, or sharing memory with another
        parameter. The network is as before the callbacks then.
    OSError, CorruptFileError
        If `resume` cannot be read, or is not a whole checkpoint; the network is unchanged then.
    RuntimeError
        If another `fit` trains the network already, in another thread or because this is called
        from a callback; or another thread writes to `x` while it is read.
    KeyboardInterrupt
        After a second Ctrl-C, at once: it cuts an evaluation or a callback short, but not a step.
        The network is that of the steps in its attribute ``history``.

    Warns
    -----
    TrainingWarning
        If inputs are of a magnitude far from 1; if the loss has not moved for an epoch and nearly
        all units of a layer are dead; or if the loss and parameters are no finite numbers any more.

    Notes
    -----
    Callbacks may use the network as ever. Other threads may use it, too, but change nothing: to
    set parameters, dtype or backend is refused to them. `loss` and `gradient` wait for the steps
    that are under way, about a tenth of a second, and `predict` does not wait. What they see are
    parameters on the way: with NumPy the latest, of which `predict` may find some a step ahead of
    others; where training is compiled for the CPU, those of the last epoch that has ended. A `copy`
    and a `save` hold whole steps; pickle a copy.
    """
    epochs = check_count(epochs, "epochs", least=0)
    if batch_size is not None:
        batch_size = check_count(batch_size, "batch_size")
    if resume is not None:
        resume = check_path(resume, "resume", such_as=CHECKPOINT.such_as)
    if progress is not None:
        progress = check_flag(progress, "progress")
    optimizer = SGD(lr=0.1) if optimizer is None else optimizer
    called = check_callbacks(callbacks)
    check_optimizer(optimizer)
    check_what_fit_calls(network, optimizer)
    scale = check_scale(scale, network)
    fraction = check_validation(validation, validation_split)
    if isinstance(x, Batches):
        not_given = {"t": t, "batch_size": batch_size, "sample_weight": sample_weight}
        x.check_options(epochs, {**not_given, "validation_split": fraction or None})
    order = check_seed(seed)
    with network._network_lock.training(), network.backend.current():
        compiled_before = network.backend.seconds_compiling()
        held_out = weights = None
        if isinstance(x, Batches):
            feed = BatchFeed(network, x)
            data, labels = feed.first
            samples, batch_size = 0, int(data.shape[0])
        else:
            data, labels = data_set(network, x, t)
            if sample_weight is not None:
                weights = weights_of(network, data, sample_weight)
            samples = split_point(int(data.shape[0]), fraction)
            (data, labels), held_out = split_off(data, labels, samples)
            if weights is not None and held_out is not None:
                weights = weights_of(network, data, weights[:samples])
            if batch_size is None:
                batch_size = min(DEFAULT_BATCH_SIZE, samples)
            if batch_size > samples:
                raise ValueError(f"batch_size is {batch_size}, but there are {samples} samples")
            check_batches(network, samples, batch_size)
        network.find_parameters(data[:batch_size, ...], labels[:batch_size, ...])
        check_parameters(network)
        if validation is not None:
            held_out = held_out_data(network, validation)
        measure = None
        if held_out is not None:
            measure = measured_by(
                network, labels, held_out, evaluates_training=not isinstance(x, Batches)
            )
        history = History()
        training = Training(
            network, optimizer, history, epochs, batch_size, samples, scale,
            tuple(data.shape[1:]), dtype_name(data), held_out is not None, weights is not None,
            order, called, measure,
        )  # fmt: skip
        if epochs == 0 and resume is None:
            return history
        for callback in called:
            callback._check(training)
        warn_of_magnitude(data, network.backend, scale)
        goes_on = isinstance(seed, np.random.Generator | np.random.BitGenerator)
        if resume is None:
            begin_draws(network, order, goes_on=goes_on)
        else:
            go_on_from(resume, training, called)
        if isinstance(x, Batches):
            session: Session = StreamedSession(network, feed, optimizer, scale)
            steps = None if feed.steps is None else feed.steps * epochs
        else:
            session = Session(network, data, labels, optimizer, batch_size, scale, weights)
            steps = math.ceil(samples / batch_size) * epochs
        notice = CompileNotice(network.backend, described(network, optimizer), compiled_before)
        with ProgressBar(history, notice, steps, epochs, progress) as bar:
            queue = LossQueue(network.backend, history, bar, compiled_before)
            try:
                train(session, training, queue, held_out, called)
            except KeyboardInterrupt as error:
                history.interrupted = True
                error.history = history  # type: ignore[attr-defined]
                raise
        return history
