"""fastnn by its public `fit`.

A turn is a call of `fit` for two epochs of the whole data set, with a callback that reads the
clock. The second epoch is the turn's time: between the two readings lies everything that `fit` does
for an epoch, drawing the order and showing the network to the callback included. What comes before
the first step is told apart: it is paid once a training, as are the others' preparations.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import fastnn
from contestants import Turn
from contestants.fastnn_network import FastnnNetwork
from cuda_clock import CudaClock
from workload import PROOF_STEPS, SEED, Array


class Fit(FastnnNetwork):
    """`fit` without validation and progress bar."""

    def prove(self) -> dict[str, Array]:
        self._fit(PROOF_STEPS * self.workload.batch, epochs=1, seed=SEED)
        return self.parameters()

    def take_turn(self, steps: int) -> Turn:
        """Train for two epochs, however many steps that is, and give the time of the second."""
        samples = len(self.workload.x)
        times = [time.perf_counter()]
        clocks: list[CudaClock] = []
        device_seconds = None

        def read_clock(network: object, history: object) -> None:
            nonlocal device_seconds
            self.network.backend.synchronize()
            times.append(time.perf_counter())
            if self.device == "cuda":
                device_seconds = clocks[0].seconds() if clocks else None
                clocks.append(CudaClock())

        self._fit(samples, epochs=2, callbacks=(read_clock,))
        seconds = times[2] - times[1]
        set_up = max(0.0, times[1] - times[0] - seconds)
        return Turn(samples / self.workload.batch, seconds, device_seconds, set_up)

    def _fit(
        self,
        samples: int,
        epochs: int,
        seed: int | None = None,
        callbacks: tuple[Callable[..., None], ...] = (),
    ) -> None:
        fastnn.fit(
            self.network,
            self.x[:samples],
            self.t[:samples],
            epochs=epochs,
            batch_size=self.workload.batch,
            optimizer=self.optimizer,
            seed=seed,
            callbacks=callbacks,
            progress=False,
        )


class FitNumpy(Fit):
    """On NumPy."""

    backend = "numpy"


class FitNumba(Fit):
    """On Numba's kernels."""

    backend = "numba"


class FitCupy(Fit):
    """On a GPU."""

    backend = "cupy"
