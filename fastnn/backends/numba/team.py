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

from fastnn.system.standard_streams import warn

Job = Callable[[int], None]

_idle: list[_Worker] = []
_lock = threading.Lock()
_warned = False


class TooFewThreadsError(RuntimeError):
    """The system starts no more threads; `threads` can run at once, with this one."""

    def __init__(self, threads: int) -> None:
        super().__init__(f"only {threads} threads can run at once")
        self.threads = threads


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
    TooFewThreadsError
        If so many threads are not to be had. No job has begun then. The first time draws a warning.
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

    errors: list[BaseException] = []
    first = 1 if here else 0
    workers = _take_workers(threads - first)
    try:
        for thread in range(first, threads):
            tasks.append(_Task(functools.partial(guarded, thread), ended))
            workers.pop().start(tasks[-1])
        if here:
            job(0)
    except BaseException as error:
        errors.append(error)
        incomplete = here or len(tasks) < threads
        # Those that run on would wait for those that do not begin.
        if any([task.take_back() for task in tasks]) or incomplete:
            abort()
        _give_back(workers)
    while True:
        try:
            while not all(task.over for task in tasks):
                ended.get()
            break
        except BaseException as error:  # a handler's: what runs has to end first all the same
            errors.append(error)
    errors += [task.error for task in tasks if task.error is not None]
    if errors:
        raise errors[0]


def share_out(job: Job, shares: int) -> None:
    """Call ``job(0) ... job(shares - 1)``, which need not meet, at the same time if possible."""
    threads = shares

    def some(thread: int) -> None:
        for share in range(thread, shares, threads):
            job(share)

    while True:
        try:
            return run_together(some, threads, lambda: None)
        except TooFewThreadsError as error:
            threads = error.threads


def _take_workers(wanted: int) -> list[_Worker]:
    taken: list[_Worker] = []
    try:
        while len(taken) < wanted:
            taken.append(_take_worker())
    except BaseException as error:
        _give_back(taken)
        if not isinstance(error, RuntimeError):
            raise
        threads = len(taken) + 1
        _warn(threads, error)
        raise TooFewThreadsError(threads) from error
    return taken


def _give_back(workers: list[_Worker]) -> None:
    with _lock:
        _idle.extend(workers)


def _take_worker() -> _Worker:
    with _lock:
        if _idle:
            return _idle.pop()
    return _Worker()


def _warn(threads: int, error: RuntimeError) -> None:
    global _warned
    if not _warned:
        _warned = True
        warn(
            f"the system starts no more threads ({error}), so the kernels run on {threads}, which "
            "gives the same and may take longer; raise its limit (ulimit -u), or lower "
            "fastnn.set_num_threads",
            RuntimeWarning,
        )


def _forget_workers() -> None:
    global _lock
    _lock = threading.Lock()  # which another thread may have held at the fork
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
