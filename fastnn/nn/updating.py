"""A rule applied to a dictionary of parameters and one of gradients, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.plan import Rule
from fastnn.backends.selection import backend_of, load_backend
from fastnn.checks import check_number, dtype_name, is_masked, is_read_only
from fastnn.nn.validation import real_array
from fastnn.wording import a_kind, shown


class _Update(NamedTuple):
    """A parameter that is to be updated.

    Attributes
    ----------
    backend : Backend
        Where it is.
    parameter, gradient : array
        The array to change; for a number one that stands in for it, ().
    remembered : list of array
        Its state.
    number : object
        The number that is to be assigned, as it was; None if it is an array.
    """

    backend: Backend
    parameter: Array
    gradient: Array
    remembered: list[Array]
    number: Any


def update_by_rule(
    rule: Rule,
    numbers: Mapping[str, float],
    params: Mapping[str, Any],
    grads: Mapping[str, Any],
    state: Mapping[str, dict[str, Any]],
    *,
    clips: bool,
    decays: Callable[[str], bool],
) -> None:
    """Update a dictionary; see `fastnn.Optimizer.update` for its arguments and the errors.

    Parameters
    ----------
    rule : Rule
        What to do.
    numbers : mapping of str to float
        What it reads, and ``clip_norm``, ``weight_decay`` and ``lr`` where these are needed.
    params, grads : mapping
        By name; see there.
    state : mapping of str to dict
        See `fastnn.Optimizer.state`.
    clips : bool
        Whether gradients are cut to a norm.
    decays : callable
        Whether the parameter of a name has weight decay.
    """
    for mapping, what in ((params, "params"), (grads, "grads")):
        if not isinstance(mapping, Mapping):
            raise TypeError(f"{what} must be a dictionary of arrays, got {shown(mapping)}")
    updates: dict[str, _Update] = {}
    for name, parameter in params.items():
        if name not in grads:
            raise KeyError(f"no gradient for parameter {name!r}; there are {list(grads)}")
        updates[name] = _checked(name, parameter, grads[name], state)
    if clips and updates:
        updates = _clipped(updates, numbers["clip_norm"])
    read = {name: numbers[name] for name in rule.hyperparameters}
    weight_decay = numbers.get("weight_decay", 0)
    decay = {"weight_decay": weight_decay}

    def apply(name: str, update: _Update) -> None:
        backend, parameter, gradient, remembered, _ = update
        if weight_decay and decays(name):
            if rule.decouples_decay:
                backend.decay_weights(parameter, lr=numbers["lr"], **decay)
            else:
                gradient = backend.decayed_gradient(gradient, parameter, **decay)
        getattr(backend, rule.primitive)(parameter, gradient, *remembered, **read)

    changed = {}
    for name, update in updates.items():
        if update.number is not None:
            apply(name, update)
            kept = isinstance(update.number, np.generic)  # a number of NumPy's stays one
            changed[name] = update.parameter[()] if kept else update.parameter.item()
    _assign(params, changed)
    for each, by_name in enumerate(state.values()):
        by_name.update((name, update.remembered[each]) for name, update in updates.items())
    for name, update in updates.items():
        if update.number is None:
            apply(name, update)


def _checked(
    name: str, parameter: Any, gradient: Any, state: Mapping[str, Mapping[str, Any]]
) -> _Update:
    if hasattr(parameter, "shape") and not isinstance(parameter, np.generic):
        backend, parameter, gradient = _to_change(name, parameter, gradient)
        return _Update(
            backend, parameter, gradient, state_of(name, parameter, backend, state), None
        )
    number = check_number(parameter, f"parameter {name!r}")
    gradient = check_number(gradient, f"gradient of {name!r}")
    array = np.array(number, np.result_type(1.0 * number, 1.0 * gradient))
    backend = load_backend("numpy")
    remembered = [backend.copy(each) for each in state_of(name, array, backend, state)]
    return _Update(backend, array, np.array(gradient, array.dtype), remembered, number)


def _clipped(updates: Mapping[str, _Update], clip_norm: float) -> dict[str, _Update]:
    """Scale the gradients, so that the norm of all of them is not above `clip_norm`.

    Raises
    ------
    ValueError
        If they are on several backends.
    """
    backends = {update.backend for update in updates.values() if update.number is None}
    if len(backends) > 1:
        names = ", ".join(sorted(backend.name for backend in backends))
        raise ValueError(
            f"clip_norm is of all gradients together, and they are on several backends: {names}; "
            "move the parameters to one"
        )
    backend = backends.pop() if backends else load_backend("numpy")
    gradients = [backend.asarray(update.gradient) for update in updates.values()]
    factor = backend.clip_factor(*gradients, clip_norm=clip_norm)
    of_numbers = None
    if any(update.number is not None for update in updates.values()):
        of_numbers = backend.to_numpy(factor)
    clipped = {}
    for name, update in updates.items():
        by = factor if update.number is None else of_numbers
        gradient = update.backend.scaled_gradient(update.gradient, by)
        clipped[name] = update._replace(gradient=gradient)
    return clipped


def state_of(
    name: str, parameter: Array, backend: Backend, state: Mapping[str, Mapping[str, Any]]
) -> list[Array]:
    """Give the state of a parameter where and in what dtype the parameter is, or zeros.

    Raises
    ------
    ValueError
        If there is state of another shape.
    """
    found = []
    for each, by_name in state.items():
        array = by_name.get(name)
        if array is None:
            found.append(backend.xp.zeros_like(parameter))
            continue
        shape, expected = tuple(getattr(array, "shape", ())), tuple(parameter.shape)
        if shape != expected:
            raise ValueError(
                f"the optimizer has {each}[{name!r}] of shape {shape} from a training "
                f"before, and the parameter {name!r} has {expected}: take a new optimizer for "
                "another network"
            )
        found.append(backend.asarray(array, dtype_name(parameter)))
    return found


def _to_change(name: str, parameter: Any, gradient: Any) -> tuple[Backend, Array, Array]:
    """Give the backend of an array that is to be changed in place, the array and its gradient."""
    if is_masked(parameter):
        raise TypeError(
            f"parameter {name!r} is a masked array: fill the gaps first, "
            f"params[{name!r}].filled(value)"
        )
    backend = backend_of(parameter)
    if not backend.owns(parameter):
        raise TypeError(
            f"parameter {name!r} is {a_kind(parameter)}: an optimizer changes arrays of NumPy or "
            f"CuPy in place; keep it as fastnn.to_numpy(params[{name!r}]).copy()"
        )
    if not dtype_name(parameter).startswith("float"):
        raise TypeError(
            f"parameter {name!r} has dtype {dtype_name(parameter)}, which holds no steps of "
            f"lr * gradient: keep it as params[{name!r}].astype('float64')"
        )
    if is_read_only(parameter):
        raise ValueError(f"parameter {name!r} is read-only, and is changed in place")
    shape = tuple(parameter.shape)
    alike = type(gradient) is type(parameter) and backend.owns(gradient)
    if alike and gradient.dtype == parameter.dtype and gradient.shape == shape:
        return backend, parameter, gradient  # the checks below would find nothing
    if not hasattr(gradient, "shape"):
        if shape != ():
            raise TypeError(f"gradient of {name!r} is no array, but {shown(gradient)}")
        gradient = check_number(gradient, f"gradient of {name!r}")
    array = real_array(gradient, backend, f"gradient of {name!r}")
    if tuple(array.shape) != shape:
        raise ValueError(
            f"gradient of {name!r} has shape {tuple(array.shape)}, the parameter {shape}"
        )
    is_float = dtype_name(array).startswith("float")
    return backend, parameter, backend.asarray(array, None if is_float else dtype_name(parameter))


def _assign(params: Mapping[str, Any], numbers: dict[str, Any]) -> None:
    """Assign all numbers, or none."""
    if numbers and not isinstance(params, MutableMapping):
        name = next(iter(numbers))
        raise TypeError(
            f"params is {a_kind(params)}, to which nothing can be assigned, and params[{name!r}] "
            "is a number, which is not changed in place: pass a dictionary, or arrays"
        )
    before: dict[str, Any] = {}
    try:
        for name, number in numbers.items():
            before[name] = params[name]
            params[name] = number  # type: ignore[index]
    except BaseException:
        for name, number in before.items():
            params[name] = number  # type: ignore[index]
        raise
