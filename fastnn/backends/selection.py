"""Which backend is active: names, fallbacks, and a choice for each context."""

from __future__ import annotations

import copyreg
import importlib
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from fastnn.backends.arrays import loaded, loaded_backends
from fastnn.backends.backend_name import (
    MOST_DEVICES,
    BackendName,
    with_device,
    with_precision,
)
from fastnn.backends.base import Backend, BackendInfo
from fastnn.backends.names import what_was_meant
from fastnn.backends.precision import HIGHEST
from fastnn.errors import BackendFallbackWarning, BackendUnavailableError
from fastnn.system.standard_streams import warn
from fastnn.system.uninterrupted import uninterrupted
from fastnn.wording import a_kind, shown

REGISTRY = {
    "cupy": "fastnn.backends.cupy.backend:CupyBackend",
    "numba": "fastnn.backends.numba.backend:NumbaBackend",
    "numpy": "fastnn.backends.numpy:NumpyBackend",
}
"""Name of every backend, in the order in which "auto" tries them, and where its class is."""

CPU_BACKENDS = ("numba", "numpy")
"""What a backend that cannot run falls back to, the best first."""

_active: ContextVar[Backend] = ContextVar("fastnn_backend")
_reasons: dict[str, str] = {}
_default: Backend | None = None
_lock = threading.RLock()


def set_backend(
    backend: str | Backend,
    *,
    strict: bool = False,
    device: int | None = None,
    precision: str | None = None,
) -> Backend:
    """Select the backend that layers and networks made from now on use.

    The choice holds for the current context: the thread or asyncio task that calls, and the tasks
    that it starts. A new thread starts from the process-wide default: the environment variable
    ``FASTNN_BACKEND``, else "auto". What was made before keeps the backend it was made on.

    Parameters
    ----------
    backend : {"numpy", "numba", "cupy", "auto"} or Backend
        "auto" takes the first of cupy, numba and numpy that can run. "cupy:1" is CuPy on the CUDA
        device 1, "cupy" on the one that was current when it was first selected.
    strict : bool, optional
        Raise where the backend cannot run, instead of falling back to the best one on the CPU.
    device : int, optional
        Another way to write the number after the colon. A device that is named so becomes the
        current one of the calling thread, as with ``cupy.cuda.Device(1).use()``, so that the
        script's own operations on parameters and gradients happen there too.
    precision : {"highest", "high", "medium"}, optional
        How cuBLAS multiplies matrices of float32: in float32, the default, or with "high" from
        factors rounded to TF32 (8 bits of exponent as before, 10 instead of 23 behind the point),
        with "medium" to bfloat16 (7 behind the point), several times as fast on devices with
        tensor cores. Products that are small enough for kernels of fastnn's own, and everything in
        float64, are computed as ever. "cupy:high" and "cupy:1:high" are names that say the same.

    Returns
    -------
    Backend
        The backend now active.

    Raises
    ------
    ValueError
        If there is no backend of that name, or no such device; those that there are are listed. If
        it is a backend without such a precision.
    BackendUnavailableError
        With `strict`, if the backend cannot run here, or its device not at that precision; the
        message says why and what to do.

    Warns
    -----
    BackendFallbackWarning
        Without `strict`, if another backend or precision took its place, with the same words.
    """
    if device is not None:
        backend = with_device(backend, device)
    if precision is not None:
        backend = with_precision(backend, precision)
    chosen = resolve(backend, strict=strict)
    _active.set(chosen)
    if _names_a_device(backend):
        chosen.use()
    return chosen


def get_backend() -> Backend:
    """Return the backend that is active in this context.

    Raises
    ------
    ValueError
        If none was selected and ``FASTNN_BACKEND`` names none that exists.
    """
    chosen = _active.get(None)
    return _process_default() if chosen is None else chosen


@contextmanager
def use_backend(backend: str | Backend, *, strict: bool = False) -> Iterator[Backend]:
    """Select a backend for the body of a ``with`` statement.

    Parameters
    ----------
    backend, strict : str or Backend, bool
        As of `set_backend`.

    Yields
    ------
    Backend
        The one that is selected: where the one that was named cannot run, the best on the CPU.
    """
    chosen = resolve(backend, strict=strict)
    token = _active.set(chosen)
    try:
        with chosen.current() if _names_a_device(backend) else nullcontext():
            yield chosen
    finally:
        _active.reset(token)


def available_backends() -> dict[str, BackendInfo]:
    """Tell for every backend whether it can run here, and if not, why.

    Returns
    -------
    dict of str to BackendInfo
        Name to usable or not, reason, version, device, memory (bytes) and threads, in the order
        in which "auto" tries them.
    """
    described = {}
    for name in REGISTRY:
        try:
            described[name] = load_backend(name).info()
        except BackendUnavailableError as error:
            described[name] = BackendInfo(name, usable=False, reason=str(error))
    return described


def resolve(backend: str | Backend, *, strict: bool = False) -> Backend:
    """Find the backend for a name, falling back to the CPU; see `set_backend`."""
    if isinstance(backend, Backend):
        return backend
    if not isinstance(backend, str):
        named = getattr(backend, "__name__", "" if isinstance(backend, int) else str(backend))
        raise TypeError(
            f"a backend is a name such as 'numba', or a Backend; got {a_kind(backend)}, "
            f"{shown(backend)}{what_was_meant(named)}"
        )
    if backend == "auto":
        return _first_usable(REGISTRY)
    try:
        return load_backend(backend)
    except BackendUnavailableError as error:
        if strict:
            raise
        plain = str(BackendName.read(backend)._replace(precision=HIGHEST))
        fallback = _first_usable(name for name in (plain, *CPU_BACKENDS) if name != backend)
        warn(
            f"{error} Falling back to {_described(fallback)}.",
            BackendFallbackWarning,
        )
        return fallback


def _described(fallback: Backend) -> str:
    if len(fallback.precisions) == 1:
        return f"the {fallback.name} backend"
    return f"precision={fallback.precision!r} of the {fallback.name} backend"


def load_backend(name: str) -> Backend:
    """Return the one instance of a backend, or raise `BackendUnavailableError` with the reason.

    A number after a colon chooses the device, "cupy:1", and another word the precision.
    """
    kind, index, precision = BackendName.read(name)
    if kind not in REGISTRY:
        raise ValueError(_unknown(f"{kind}:{index}" if index else kind))
    if index and not (index.isascii() and index.isdecimal() and int(index[:12]) < MOST_DEVICES):
        raise ValueError(
            f"there is no backend {shown(name)}: the device is a number, as in 'cupy:1'"
        )
    with uninterrupted(), _lock:
        if kind in _reasons:
            raise BackendUnavailableError(_reasons[kind])
        if name not in loaded:
            from fastnn.system.forking import hold_while_forking

            hold_while_forking(_lock)  # Numba and CuPy are imported now
            module, _, class_name = REGISTRY[kind].partition(":")
            backend_class: type[Backend] = getattr(importlib.import_module(module), class_name)
            reason = backend_class.unavailable_reason()
            if reason is not None:
                _reasons[kind] = f"The {kind} backend cannot run here: {reason}"
                raise BackendUnavailableError(_reasons[kind])
            if precision not in backend_class.precisions:
                raise ValueError(
                    f"precision={precision!r} is of the cupy backend: {kind} computes as with "
                    "'highest'"
                )
            loaded[name] = _made(backend_class, name)
            copyreg.pickle(backend_class, _by_name)
        return loaded[name]  # type: ignore[no-any-return]


def name_of(backend: Backend) -> str:
    """Give the name that finds a backend, with its device."""
    names = [name for name, known in loaded.items() if known is backend]
    return names[0] if names else backend.name


def selected_or_named(name: str) -> Backend:
    """Give the backend that is selected in this context; if none is, that of a name.

    Where that cannot run another one takes its place, with a warning; see `resolve`.
    """
    return _active.get(None) or resolve(name)


def _by_name(backend: Backend) -> tuple[Any, ...]:
    """Pickle a backend as its name: where that is read it may have to be another one."""
    return resolve, (name_of(backend),)


def _made(backend_class: type[Backend], name: str) -> Backend:
    """Make a backend, or give the one of the same device and precision that is there already."""
    _, index, precision = BackendName.read(name)
    options: dict[str, Any] = {} if precision == HIGHEST else {"precision": precision}
    if index:
        problem = backend_class.device_problem(int(index))
        if problem is not None:
            raise ValueError(f"there is no backend {name!r}: {problem}")
        options["device"] = int(index)
    made = backend_class(**options)
    alike = (
        known
        for known in loaded.values()
        if type(known) is backend_class
        and (known.device, known.precision) == (made.device, made.precision)
    )
    return next(alike, made)


def _names_a_device(backend: str | Backend) -> bool:
    return not isinstance(backend, str) or bool(BackendName.read(backend).device)


def backend_of(array: object) -> Backend:
    """Return the backend where an array lives; on the host, the active one before the others."""
    active = get_backend()
    if active.owns(array):
        return active
    for backend in loaded_backends():
        if backend.owns(array):
            return backend  # type: ignore[no-any-return]
    return active if active.on_host else load_backend("numpy")


def _process_default() -> Backend:
    global _default
    if _default is None:
        with _lock:
            if _default is None:
                name = os.environ.get("FASTNN_BACKEND") or "auto"
                try:
                    _default = resolve(name)
                except ValueError as error:
                    raise ValueError(f"environment variable FASTNN_BACKEND: {error}") from None
    return _default


def _first_usable(names: Iterable[str]) -> Backend:
    for name in names:
        try:
            return load_backend(name)
        except BackendUnavailableError:
            continue
    raise BackendUnavailableError("no backend can run here")  # pragma: no cover - NumPy always can


def _unknown(name: str) -> str:
    names = ", ".join(repr(known) for known in (*REGISTRY, "auto"))
    return f"there is no backend {shown(name)}: choose one of {names}{what_was_meant(name)}"
