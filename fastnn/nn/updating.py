"""A rule applied to a dictionary of parameters and one of gradients, all of them or none."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.plan import Rule
from fastnn.backends.selection import backend_of, load_backend
from fastnn.checks import check_number, dtype_name, is_masked, is_read_only
from fastnn.nn.validation import real_array
from fastnn.wording import a_kind, shown


def update_by_rule(
    rule: Rule,
    hyperparameters: Mapping[str, float],
    params: Mapping[str, Any],
    grads: Mapping[str, Any],
    state: dict[str, dict[str, Any]],
) -> None:
    """See `fastnn.Optimizer.update` for the arguments and the errors, `Optimizer.state`."""
    numbers: dict[str, tuple[Any, Any]] = {}
    arrays: list[tuple[Backend, Array, Array]] = []
    of_arrays: dict[str, list[Array]] = {}
    for mapping, what in ((params, "params"), (grads, "grads")):
        if not isinstance(mapping, Mapping):
            raise TypeError(f"{what} must be a dictionary of arrays, got {shown(mapping)}")
    for name, parameter in params.items():
        if name not in grads:
            raise KeyError(f"no gradient for parameter {name!r}; there are {list(grads)}")
        if hasattr(parameter, "shape") and not isinstance(parameter, np.generic):
            arrays.append(_to_change(name, parameter, grads[name]))
            of_arrays[name] = state_of(name, arrays[-1][1], arrays[-1][0], state)
        else:
            number = check_number(parameter, f"parameter {name!r}")
            numbers[name] = number, check_number(grads[name], f"gradient of {name!r}")
    changed, of_numbers = {}, {}
    for name, (number, gradient) in numbers.items():
        array = np.array(number, np.result_type(1.0 * number, 1.0 * gradient))
        remembered = [np.copy(each) for each in state_of(name, array, _numpy(), state)]
        gradient = np.array(gradient, array.dtype)
        getattr(_numpy(), rule.primitive)(array, gradient, *remembered, **hyperparameters)
        # numbers stay as they are: NumPy's, or Python's
        changed[name] = array[()] if isinstance(number, np.generic) else array.item()
        of_numbers[name] = remembered
    _assign(params, changed)
    for name, remembered in {**of_arrays, **of_numbers}.items():
        for each, array in zip(state.values(), remembered, strict=True):
            each[name] = array
    for (backend, parameter, gradient), remembered in zip(arrays, of_arrays.values(), strict=True):
        getattr(backend, rule.primitive)(parameter, gradient, *remembered, **hyperparameters)


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
        shape, expected = tuple(array.shape), tuple(parameter.shape)
        if shape != expected:
            raise ValueError(
                f"the optimizer has {each}[{name!r}] of shape {shape} from a training "
                f"before, and the parameter {name!r} has {expected}: take a new optimizer for "
                "another network"
            )
        found.append(backend.asarray(array, dtype_name(parameter)))
    return found


def _numpy() -> Backend:
    return load_backend("numpy")


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
