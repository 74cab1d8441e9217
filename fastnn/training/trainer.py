"""The book's `Trainer`: a loop of gradient and update, with the losses and accuracies it saw.

It draws its batches as the book does, with `numpy.random.choice`, and evaluates the loss of each
batch once more after the update: with one seed of ``numpy.random.seed``, and one network, its lists
are those of the book's code. `fastnn.fit` takes each sample once in an epoch, leaves the second
evaluation out, compiles the step as a whole, and is several times as fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.checks import check_count
from fastnn.nn.optimizer import Optimizer
from fastnn.nn.optimizer_names import optimizer_class
from fastnn.nn.sequential import Sequential
from fastnn.training.data import data_set
from fastnn.wording import shown

BOOKS_RATE = MappingProxyType({"lr": 0.01})


class Trainer:
    """Trains a network as the book's chapter 6 does.

    Parameters
    ----------
    network : Sequential, or any object with `params`, `gradient`, `loss` and `accuracy`
        Trained in place.
    x_train, t_train, x_test, t_test : array_like
        The data sets; those of a `Sequential` are checked and brought to its device when training
        begins.
    epochs : int, optional
        How many times as many samples as there are to draw.
    mini_batch_size : int, optional
        Samples of a step, drawn with replacement.
    optimizer : str, optional
        "SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam" or "AdamW", in whatever case.
    optimizer_param : mapping, optional
        The optimizer's arguments.
    evaluate_sample_num_per_epoch : int, optional
        How many samples of each data set accuracies are taken of: the first ones, or all.
    verbose : bool, optional
        Whether to print the loss of each step, and the accuracies.

    Attributes
    ----------
    train_loss_list : list of float
        The loss of each step's batch, after its update.
    train_acc_list, test_acc_list : list of float
        Accuracies after the first step of each epoch.
    optimizer : Optimizer

    Raises
    ------
    TypeError, ValueError
        If a count is no integer or under 1, there is no optimizer of that name, or it has no such
        argument; or if the network gives numbers, of which there is no accuracy. `train` raises
        what `fit` raises for data that do not fit the network.
    """

    def __init__(
        self,
        network: Any,
        x_train: Any,
        t_train: Any,
        x_test: Any,
        t_test: Any,
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: str = "SGD",
        optimizer_param: Mapping[str, float] = BOOKS_RATE,
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
    ) -> None:
        measure = network._measure() if isinstance(network, Sequential) else "accuracy"
        if measure != "accuracy":
            raise TypeError(
                f"Trainer reports accuracies, and {network!r} has none: train it by fastnn.fit, "
                f"which reports {measure or 'the loss of validation data'}"
            )
        self.network = network
        self.verbose = verbose
        self.x_train, self.t_train = x_train, t_train
        self.x_test, self.t_test = x_test, t_test
        self.epochs = check_count(epochs, "epochs", least=0)
        self.batch_size = check_count(mini_batch_size, "mini_batch_size")
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        if evaluate_sample_num_per_epoch is not None:
            check_count(evaluate_sample_num_per_epoch, "evaluate_sample_num_per_epoch")
        self.optimizer = _optimizer(optimizer, optimizer_param)
        self.train_size = len(x_train)
        self.iter_per_epoch = max(self.train_size / self.batch_size, 1)
        self.max_iter = int(self.epochs * self.iter_per_epoch)
        self.current_iter = 0
        self.current_epoch = 0
        self.train_loss_list: list[float] = []
        self.train_acc_list: list[float] = []
        self.test_acc_list: list[float] = []
        self._data: list[Any] | None = None

    def train_step(self) -> None:
        """Draw a batch and update the parameters; evaluate where an epoch begins."""
        x_train, t_train, _, _ = self._on_device()
        rows = np.random.choice(self.train_size, self.batch_size)  # noqa: NPY002 - as the book
        x_batch, t_batch = self._take(x_train, rows), self._take(t_train, rows)
        self.optimizer.update(self.network.params, self.network.gradient(x_batch, t_batch))
        loss = float(self.network.loss(x_batch, t_batch))
        self.train_loss_list.append(loss)
        if self.verbose:
            print(f"train loss:{loss}")
        if self.current_iter % self.iter_per_epoch == 0:
            self._evaluate()
        self.current_iter += 1

    def train(self) -> None:
        """Take all steps, and print the accuracy of the test data at the end."""
        for _ in range(self.max_iter):
            self.train_step()
        if self.verbose:
            _, _, x_test, t_test = self._on_device()
            print("=============== Final Test Accuracy ===============")
            print(f"test acc:{self.network.accuracy(x_test, t_test)}")

    def _evaluate(self) -> None:
        self.current_epoch += 1
        first = slice(self.evaluate_sample_num_per_epoch)
        x_train, t_train, x_test, t_test = (some[first, ...] for some in self._on_device())
        train_acc = self.network.accuracy(x_train, t_train)
        test_acc = self.network.accuracy(x_test, t_test)
        self.train_acc_list.append(train_acc)
        self.test_acc_list.append(test_acc)
        if self.verbose:
            print(f"=== epoch:{self.current_epoch}, train acc:{train_acc}, test acc:{test_acc} ===")

    def _on_device(self) -> list[Any]:
        """Give the data sets; of a network of fastnn's checked, and where it computes."""
        if self._data is None:
            given = [self.x_train, self.t_train, self.x_test, self.t_test]
            if isinstance(self.network, Sequential):
                with self.network.backend.current():
                    given = [
                        *data_set(self.network, *given[:2]),
                        *data_set(self.network, *given[2:], which="test "),
                    ]
            self._data = given
        return self._data

    def _take(self, samples: Any, rows: np.ndarray[Any, Any]) -> Array:
        """Give a batch, from where the data set is."""
        if not isinstance(self.network, Sequential):
            return samples[rows]
        backend = self.network.backend
        if not backend.owns(samples):  # there is no room for all on the device
            return samples[rows]
        with backend.current():
            return backend.take_rows(samples, backend.asarray(rows, "int64"))


def _optimizer(name: object, arguments: Mapping[str, float]) -> Optimizer:
    if not isinstance(name, str):
        raise TypeError(
            f"optimizer must be a name, such as 'Momentum', with optimizer_param, got {shown(name)}"
        )
    return optimizer_class(name)(**arguments)
