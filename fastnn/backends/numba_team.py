"""The threads that share a training step: started once, lent to one training at a time.

They run compiled code that holds no lock of the interpreter. Between two calls they sleep. A
process that was forked off has none of its parent's, and starts its own.
"""

from __future__ import annotations

import functools
import os
import queue
import threading
from collections.abc import Callable

Job = Callable[[int], None]

_idle: list[_Worker] = []
_lock = threading.Lock()


class _Worker:
    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="fastnn-kernel", daemon=True).start()

    def start(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            job()
            del job  # and the arrays that it holds
            with _lock:
                _idle.append(self)


def run_together(job: Job, threads: int, abort: Callable[[], None]) -> None:
    """Call ``job(0)`` here and ``job(1) ... job(threads - 1)`` at the same time elsewhere.

    Parameters
    ----------
    job : callable
        Meets its counterparts inside, so all have to run.
    threads : int
        How many.
    abort : callable
        Makes a job leave that waits for one that will not come. Called if any of them raises, or
        this thread is interrupted before it gets to its own.

    Raises
    ------
    BaseException
        What a job raised; `KeyboardInterrupt`, when all of them have ended.
    """
    if threads == 1:
        job(0)
        return
    done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def guarded(thread: int) -> None:
        try:
            job(thread)
        except BaseException as error:
            abort()
            done.put(error)
        else:
            done.put(None)

    started = 0
    errors: list[BaseException | None] = []
    try:
        for thread in range(1, threads):
            _take_worker().start(functools.partial(guarded, thread))
            started += 1
        job(0)
    except BaseException:
        abort()
        raise
    finally:
        while len(errors) < started:
            errors.append(done.get())
    for error in errors:
        if error is not None:
            raise error


def _take_worker() -> _Worker:
    with _lock:
        if _idle:
            return _idle.pop()
    return _Worker()


def _forget_workers() -> None:
    global _lock
    _lock = threading.Lock()  # which another thread may have held at the fork
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
