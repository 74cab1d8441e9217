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


class _Task:
    """A job of one thread, which whoever gave it may take back as long as it has not begun."""

    def __init__(self, job: Callable[[], None], ended: queue.SimpleQueue[None]) -> None:
        self.error: BaseException | None = None
        self.over = False
        self._job: Callable[[], None] | None = job
        self._ended = ended
        self._claim = threading.Lock()

    def __call__(self) -> None:
        """Do the job, in the thread that it is for."""
        if not self._claim.acquire(blocking=False):
            return
        try:
            assert self._job is not None
            self._job()
        except BaseException as error:
            self.error = error
        self._job = None  # and the arrays that it holds
        self.over = True
        self._ended.put(None)

    def take_back(self) -> bool:
        """Make sure that the job does not begin any more; False if it has begun."""
        if self._claim.acquire(blocking=False):
            self.over = True
            return True
        return False


def run_together(job: Job, threads: int, abort: Callable[[], None], *, here: bool = True) -> None:
    """Call ``job(0) ... job(threads - 1)`` at the same time, and return when all have ended.

    Parameters
    ----------
    job : callable
        Meets its counterparts inside, so all have to run.
    threads : int
        How many.
    abort : callable
        Makes a job leave that waits for one that will not come. Called if any of them raises, or
        not all can be started.
    here : bool, optional
        Whether this thread does ``job(0)``; if not, it only waits, and handles signals meanwhile.

    Raises
    ------
    BaseException
        What a job, or a handler of signals, raised: when none of them runs any more.
    """
    if threads == 1 and here:
        job(0)
        return
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()
    tasks: list[_Task] = []

    def guarded(thread: int) -> None:
        try:
            job(thread)
        except BaseException:
            abort()
            raise

    errors: list[BaseException | None] = []
    try:
        for thread in range(1 if here else 0, threads):
            tasks.append(_Task(functools.partial(guarded, thread), ended))
            _take_worker().start(tasks[-1])
        if here:
            job(0)
    except BaseException as error:
        errors.append(error)
        incomplete = here or len(tasks) < threads
        # Those that run on would wait for those that do not begin.
        if any([task.take_back() for task in tasks]) or incomplete:
            abort()
    while True:
        try:
            while not all(task.over for task in tasks):
                ended.get()
            break
        except BaseException as error:  # a handler's: what runs has to end first all the same
            errors.append(error)
    for error in (*errors, *[task.error for task in tasks]):
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
