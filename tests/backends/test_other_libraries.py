"""Arrays and tables of other libraries: read as NumPy reads them, or an error that helps.

The libraries are no requirement of fastnn or of its tests: what is not installed is skipped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, TwoLayerNet
from fastnn.backends import Backend
from tests.helpers.problems import Batch

Make = Callable[[Any, Any], Any]
"""Of a library, by its import, and an array."""


class OnlyDLPack:
    """An array that offers itself by DLPack and in no other way."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def sharded(jax: Any, array: Any) -> Any:
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("batch",))
    whole = jax.sharding.PartitionSpec()
    return jax.device_put(array, jax.sharding.NamedSharding(mesh, whole))


def memory_map(array: Any) -> Any:
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, array.dtype, "w+", shape=array.shape)
    mapped[...] = array
    return mapped


def arrow(pyarrow: Any, array: Any) -> Any:
    if array.ndim == 1:
        return pyarrow.array(array)
    return pyarrow.table({str(i): column for i, column in enumerate(array.T)})


def arrow_in_pandas(pandas: Any, array: Any) -> Any:
    pytest.importorskip("pyarrow")
    if array.ndim == 1:
        return pandas.Series(array, dtype="int64[pyarrow]")
    return pandas.DataFrame(array).astype("float[pyarrow]")


READ: dict[str, tuple[str, Make]] = {
    "a JAX array": ("jax", lambda jax, a: jax.numpy.asarray(a)),
    "a committed JAX array": ("jax", lambda jax, a: jax.device_put(a, jax.devices()[0])),
    "a sharded JAX array": ("jax", sharded),
    "JAX rows": ("jax", lambda jax, a: list(jax.numpy.asarray(a))),
    "a tensor": ("torch", lambda torch, a: torch.from_numpy(a)),
    "rows of tensors": ("torch", lambda torch, a: list(torch.from_numpy(a))),
    "a strided tensor": ("torch", lambda torch, a: torch.from_numpy(np.asfortranarray(a))),
    "a DataFrame or Series": (
        "pandas", lambda pandas, a: pandas.DataFrame(a) if a.ndim == 2 else pandas.Series(a),
    ),
    "a Series of its own integers": (
        "pandas", lambda pandas, a: a if a.ndim == 2 else pandas.Series(a, dtype="Int64"),
    ),
    "a DataFrame of its own floats": (
        "pandas", lambda pandas, a: (
            pandas.DataFrame(a).astype("Float32") if a.ndim == 2 else pandas.Series(a, dtype="Int8")
        ),
    ),
    "a DataFrame of its own floats and NumPy's": (
        "pandas", lambda pandas, a: (
            pandas.DataFrame(a).astype({3: "Float32"}) if a.ndim == 2 else pandas.Series(a)
        ),
    ),
    "a DataFrame of Arrow's floats": (
        "pandas", lambda pandas, a: arrow_in_pandas(pandas, a),
    ),
    "a polars DataFrame or Series": (
        "polars", lambda polars, a: polars.DataFrame(a) if a.ndim == 2 else polars.Series(a),
    ),
    "an xarray": ("xarray", lambda xarray, a: xarray.DataArray(a)),
    "Arrow": ("pyarrow", arrow),
    "only DLPack": ("numpy", lambda numpy, a: OnlyDLPack(a)),
    "only DLPack, of a tensor": ("torch", lambda torch, a: OnlyDLPack(torch.from_numpy(a))),
    "a memory map": ("numpy", lambda numpy, a: memory_map(a)),
    "an array.array": (
        "array", lambda array, a: array.array(a.dtype.char, a) if a.ndim == 1 else a,
    ),
}  # fmt: skip


@pytest.fixture
def batch() -> Batch:
    return Batch(7, 12, 4)


def results(x: Any, t: Any) -> list[np.ndarray[Any, Any]]:
    """What a new network and a training of it make of a batch."""
    network = TwoLayerNet(12, 5, 4, 0.5, seed=1)
    found = [network.predict(x), network.loss(x, t), network.accuracy(x, t)]
    found += network.gradient(x, t).values()
    history = fastnn.fit(network, x, t, batch_size=3, seed=0, progress=False, validation=(x, t))
    found += [history.losses, history.validation_accuracies, *network.params.values()]
    return [fastnn.to_numpy(one) for one in found]


def assert_same(found: list[Any], expected: list[Any]) -> None:
    for one, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, right)


@pytest.mark.filterwarnings("ignore:Affine:fastnn.ParameterCopyWarning")  # on a GPU
@pytest.mark.filterwarnings("ignore::fastnn.errors.ParameterCopyWarning")
@pytest.mark.parametrize("case", READ)
def test_arrays_that_numpy_reads(backend: Backend, batch: Batch, case: str) -> None:
    name, make = READ[case]
    library = pytest.importorskip(name)
    x, t = make(library, batch.x), make(library, batch.t)
    assert_same(results(x, t), results(batch.x, batch.t))
    np.testing.assert_array_equal(fastnn.to_numpy(x), batch.x)
    layer = Affine(make(library, batch.x), make(library, np.zeros(12, "float32")))
    np.testing.assert_array_equal(fastnn.to_numpy(layer.W), batch.x)


@pytest.mark.filterwarnings("ignore::fastnn.errors.ParameterCopyWarning")
@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "int4", "uint4"])
def test_small_numbers(backend: Backend, batch: Batch, dtype: str) -> None:
    small = pytest.importorskip("ml_dtypes")
    x = (7 * batch.x).astype(getattr(small, dtype))
    t = batch.t.astype(x.dtype)
    assert_same(results(x, t), results(x.astype("float32"), batch.t))
    layer = Affine(x, np.zeros(12, "float32"))
    assert fastnn.to_numpy(layer.W).dtype == "float32"


def test_bfloat16_of_jax(backend: Backend, batch: Batch) -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(batch.x, dtype=jax.numpy.bfloat16)
    assert_same(results(x, batch.t), results(np.asarray(x).astype("float32"), batch.t))


def frame(pandas: Any, x: Any, **columns: Any) -> Any:
    return pandas.DataFrame(x, columns=list("abcdefghijkl")).assign(**columns)


def with_gap(pandas: Any, x: Any) -> Any:
    table = frame(pandas, x).astype("Float32")
    table.iloc[2, 3] = pandas.NA
    return table


def arrow_table(pyarrow: Any, x: Any) -> Any:
    return pyarrow.table({f"c{number}": column for number, column in enumerate(x.T)})


def loader(torch: Any, x: Any) -> Any:
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.arange(len(x)))
    return torch.utils.data.DataLoader(data, batch_size=3)


REFUSED: dict[str, tuple[str, Make, str]] = {
    "a sparse tensor": (
        "torch", lambda torch, x: torch.from_numpy(x).to_sparse(), r"x\.to_dense\(\)",
    ),
    "a tensor that requires a gradient": (
        "torch", lambda torch, x: torch.from_numpy(x).requires_grad_(),
        r"x is a torch\.Tensor of shape \(7, 12\): .*pass x\.detach\(\)",
    ),
    "rows of such a tensor": (
        "torch", lambda torch, x: list(torch.from_numpy(x).requires_grad_()),
        r"x\[0\] is a torch\.Tensor of shape \(12,\): .*x\[0\]\.detach\(\)",
    ),
    "a parameter": (
        "torch", lambda torch, x: torch.nn.Parameter(torch.from_numpy(x)), r"x\.detach\(\)",
    ),
    "a tensor without values": (
        "torch", lambda torch, x: torch.empty(7, 12, device="meta"), "'meta' and has no values",
    ),
    "a tensor of bfloat16": (
        "torch", lambda torch, x: torch.from_numpy(x).bfloat16(), r"bfloat16: pass x\.float\(\)",
    ),
    "a DataLoader": (
        "torch", loader, r"x is a torch\..*DataLoader: .*gradient.*optimizer\.update.*stack",
    ),
    "a data set": (
        "torch", lambda torch, x: loader(torch, x).dataset, r"TensorDataset.*zip\(\*x\)",
    ),
    "a tensor whose sign is to be changed": (
        "torch", lambda torch, x: torch.from_numpy(x)._neg_view(), r"pass x\.resolve_neg\(\)",
    ),
    "a deleted array": (
        "jax", lambda jax, x: deleted(jax.numpy.asarray(x)), "x is a jax.*deleted.*NumPy array",
    ),
    "a JAX array without values": (
        "jax.experimental.sparse", lambda sparse, x: sparse.BCOO.fromdense(x), r"x\.todense\(\)",
    ),
    "numbers of pandas' own with a gap": (
        "pandas", with_gap,
        r"gaps, the first at x\.iloc\[2, 3\], in column 'd': fill.*"
        r'x\.to_numpy\(dtype="float32", na_value=0\).*x\.dropna\(\)',
    ),
    "a column of text": (
        "pandas", lambda pandas, x: frame(pandas, x, name="red"),
        r"column 'name' has dtype (str|object): .*get_dummies\(x\).*select_dtypes",
    ),
    "a column of dates": (
        "pandas", lambda pandas, x: frame(pandas, x, day=pandas.Timestamp(2020, 1, 1)),
        r"column 'day' has dtype datetime64.*select_dtypes",
    ),
    "a column of text in polars": (
        "polars", lambda polars, x: polars.DataFrame(x).with_columns(name=polars.lit("red")),
        r"polars.*'name' has dtype String: .*x\.to_dummies\(\['name'\]\).*x\.drop\(\['name'\]\)",
    ),
    "columns of text in polars": (
        "polars", lambda polars, x: polars.DataFrame({"a": ["b"] * 7, "c": ["d"] * 7}),
        r"columns 'a' has dtype String, 'c' has dtype String: encode them.*\.drop\(\['a', 'c'\]\)",
    ),
    "a column of text in Arrow": (
        "pyarrow", lambda pyarrow, x: arrow_table(pyarrow, x).append_column("name", [["red"] * 7]),
        r"'name' has dtype string: .*get_dummies\(x\.to_pandas\(\)\).*x\.drop_columns\(\['na",
    ),
    "truth with a gap in polars": (
        "polars", lambda polars, x: polars.DataFrame({"a": [True, None] * 6}),
        r"x\[1, 0\] is None: fill the gap",
    ),
    "a frame that is to be computed": (
        "polars", lambda polars, x: polars.DataFrame(x).lazy(), r"LazyFrame: pass x\.collect\(\)",
    ),
    "several arrays": (
        "xarray", lambda xarray, x: xarray.Dataset({"pixels": xarray.DataArray(x)}),
        r"Dataset: .*x\[\.\.\.\], of 'pixels'",
    ),
    "DLPack of what NumPy has not": (
        "torch", lambda torch, x: OnlyDLPack(torch.from_numpy(x).bfloat16()),
        "OnlyDLPack.*gives no numbers to NumPy",
    ),
    "a list of arrays by DLPack": (
        "numpy", lambda numpy, x: list(map(OnlyDLPack, x)),
        r"x\[0\] is a .*OnlyDLPack: .*np\.from_dlpack\(one\) for one in x",
    ),
}  # fmt: skip

GAPS: dict[str, tuple[str, Make, str]] = {
    "pandas": (
        "pandas", lambda pandas, x: frame(pandas, x),
        r"pandas.*of shape \(7, 12\) with gaps \(NaN\) in the columns 'd', 'f', the first in row 2,"
        r" x\.iloc\[2, 5\]: fill them, x\.fillna\(x\.mean\(\)\), or leave .*np\.isnan\(x\)\.any",
    ),
    "polars": (
        "polars", lambda polars, x: polars.DataFrame(x, schema=list("abcdefghijkl")),
        r"polars.*in the columns 'd', 'f', the first in row 2, x\[2, 5\]: .*x\.fill_nan\(None\)",
    ),
    "nulls of polars": (
        "polars",
        lambda polars, x: polars.DataFrame(x, schema=list("abcdefghijkl"), nan_to_null=True),
        r"polars.*in the columns 'd', 'f', the first in row 2, x\[2, 5\]: .*x\.fill_nan\(None\)",
    ),
    "Arrow": (
        "pyarrow", arrow_table, r"Table.*'c3', 'c5', .*row 2, x\[5\]\[2\]: .*x\.to_pandas\(\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GAPS)
def test_gaps_in_a_table_are_named(backend: Backend, batch: Batch, case: str) -> None:
    name, make, words = GAPS[case]
    library = pytest.importorskip(name)
    holed = batch.x.copy()
    holed[2, 5] = holed[4, 3] = np.nan
    given, whole = make(library, holed), make(library, batch.x)
    network = TwoLayerNet(12, 5, 4, seed=1)
    expected = fastnn.to_numpy(network.predict(whole))
    calls: list[Callable[[], object]] = [
        lambda: network.predict(given),
        lambda: network.predict_proba(given),
        lambda: network.predict_classes(given),
        lambda: network.loss(given, batch.t),
        lambda: network.gradient(given, batch.t),
        lambda: network.accuracy(given, batch.t),
        lambda: fastnn.fit(network, given, batch.t, batch_size=3, progress=False),
        lambda: fastnn.fit(network, fastnn.batches([(given, batch.t)]), progress=False),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(ValueError, match=f"validation x is a.*{words}"):
        fastnn.fit(network, whole, batch.t, validation=(given, batch.t), progress=False)
    np.testing.assert_array_equal(fastnn.to_numpy(network.predict(whole)), expected)
    kept = ~np.isnan(given).any(axis=1)  # as the message says
    assert kept.tolist() == [True, True, False, True, False, True, True]


REMEDIES: dict[str, tuple[str, Make]] = {
    "pandas": ("pandas", lambda pandas, x: x.fillna(x.mean())),
    "polars": ("polars", lambda polars, x: x.fill_nan(None).fill_null(strategy="mean")),
    "nulls of polars": ("polars", lambda polars, x: x.fill_nan(None).fill_null(strategy="mean")),
    "Arrow": ("pandas", lambda pandas, x: x.to_pandas().fillna(0)),
}


@pytest.mark.parametrize("case", GAPS)
def test_what_is_said_of_gaps_helps(batch: Batch, case: str) -> None:
    name, make, _ = GAPS[case]
    holed = batch.x.copy()
    holed[2, 5] = np.nan
    given = make(pytest.importorskip(name), holed)
    remedied = REMEDIES[case][1](pytest.importorskip(REMEDIES[case][0]), given)
    assert np.isfinite(TwoLayerNet(12, 5, 4, seed=1).predict(remedied)).all()


def test_what_is_said_of_text_helps(backend: Backend, batch: Batch) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    table = frame(pandas, batch.x).iloc[:, :10].assign(city=list("abababa"))
    framed = polars.DataFrame({name: table[name].to_list() for name in table})
    arrow_one = pyarrow.Table.from_pandas(table)
    coded = [pandas.get_dummies(table), framed.to_dummies(["city"])]
    coded.append(pandas.get_dummies(arrow_one.to_pandas()))
    for given in coded:
        numbers = fastnn.to_numpy(given)
        assert numbers.dtype.kind == "f"
        np.testing.assert_array_equal(numbers[:, 10:], [[1, 0], [0, 1]] * 3 + [[1, 0]])
        assert_same(results(given, batch.t), results(numbers, batch.t))
    for given in (table.select_dtypes("number"), framed.drop(["city"])):
        assert fastnn.to_numpy(given).shape == (7, 10)
    assert arrow_one.drop_columns(["city"]).shape == (7, 10)


@pytest.mark.parametrize("infinite", [np.inf, 1e39])
def test_the_column_of_what_is_infinite_is_named(
    backend: Backend, batch: Batch, infinite: float
) -> None:
    table = frame(pytest.importorskip("pandas"), batch.x.astype("float64"))
    table.iloc[2, 5] = infinite
    words = rf"x\[2, 5\], in column 'f', is {infinite}".replace("+", "\\+")
    with pytest.raises(ValueError, match=words):
        fastnn.fit(TwoLayerNet(12, 5, 4), table, batch.t, batch_size=3, progress=False)


LABELS_REFUSED: dict[str, tuple[str, Make, str]] = {
    "text in pandas": (
        "pandas", lambda pandas, t: pandas.Series(list("abcd")).iloc[t],
        r"t is a pandas\..*Series of shape \(7,\).*names, t = np\.unique\(t, return_inverse=True\)",
    ),
    "categories": (
        "pandas", lambda pandas, t: pandas.Series(list("abcd")).iloc[t].astype("category"),
        r"np\.unique\(t, return_inverse=True\)",
    ),
    "text in polars": (
        "polars", lambda polars, t: polars.Series(np.array(list("abcd"))[t]),
        r"LabelEncoder does; or take fastnn\.sklearn\.MLPClassifier",
    ),
    "text in a list": (
        "numpy", lambda numpy, t: np.array(list("abcd"))[t].tolist(),
        r"t\[0\] is '.': .*LabelEncoder",
    ),
    "digits as categories": (
        "pandas", lambda pandas, t: pandas.Series(list("0123")).iloc[t].astype("category"),
        r'np\.asarray\(t, dtype="int64"\)',
    ),
    "a gap among integers": (
        "pandas", lambda pandas, t: pandas.Series([*t[:6], None], dtype="Int64"),
        r"t\[6\] is nan.*a gap",
    ),
    "a column of a tensor": (
        "torch", lambda torch, t: torch.from_numpy(t)[:, None], r"\(7, 1\).*pass t\.ravel\(\)",
    ),
    "a column": (
        "pandas", lambda pandas, t: pandas.DataFrame({"label": t}), r"\(7, 1\).*np\.ravel\(t\)",
    ),
    "a sparse one-hot": (
        "scipy.sparse", lambda sparse, t: sparse.csr_matrix(np.eye(4)[t]), r"t\.toarray\(\)",
    ),
    "a DataLoader": (
        "torch", lambda torch, t: loader(torch, t), r"t is a torch\..*DataLoader",
    ),
}  # fmt: skip


def deleted(array: Any) -> Any:
    array.delete()
    return array


@pytest.mark.parametrize("case", REFUSED)
def test_inputs_that_are_refused(backend: Backend, batch: Batch, case: str) -> None:
    name, make, words = REFUSED[case]
    given = make(pytest.importorskip(name), batch.x)
    network = TwoLayerNet(12, 5, 4, seed=1)
    calls: list[Callable[[], object]] = [
        lambda: network.predict(given),
        lambda: network.loss(given, batch.t),
        lambda: fastnn.fit(network, given, batch.t, batch_size=3, progress=False),
        lambda: fastnn.check_gradients(network, given, batch.t, backends=["numpy"]),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=words):
            call()


@pytest.mark.parametrize("case", LABELS_REFUSED)
def test_labels_that_are_refused(backend: Backend, batch: Batch, case: str) -> None:
    name, make, words = LABELS_REFUSED[case]
    given = make(pytest.importorskip(name), batch.t)
    network = TwoLayerNet(12, 5, 4, seed=1)
    for call in (network.loss, network.gradient, network.accuracy):
        with pytest.raises((TypeError, ValueError), match=words):
            call(batch.x, given)
    with pytest.raises((TypeError, ValueError), match=words):
        fastnn.fit(network, batch.x, given, batch_size=3, progress=False)


def test_other_arguments_are_named(backend: Backend, batch: Batch) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(batch.x)
    network = TwoLayerNet(12, 5, 4, seed=1)
    calls: dict[str, Callable[[], object]] = {
        "W": lambda: Affine(matrix, np.zeros(12)),
        "b": lambda: Affine(batch.x, matrix),
        "W1": lambda: network.params.__setitem__("W1", matrix),
        "x": lambda: fastnn.softmax(matrix),
        "y": lambda: fastnn.cross_entropy_error(matrix, batch.t),
        "t": lambda: fastnn.one_hot(matrix),
        "array": lambda: fastnn.to_numpy(matrix),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=rf"^{name} is .*csr_matrix.*: pass {name}\.toarray"):
            call()
    with pytest.raises(TypeError, match=r"validation t is .*: pass t\.toarray"):
        fastnn.fit(
            network, batch.x, batch.t, validation=(batch.x, matrix), batch_size=3, progress=False
        )


def test_nothing_runs_inside_transformations_of_jax(backend: Backend, batch: Batch) -> None:
    jax = pytest.importorskip("jax")
    network = TwoLayerNet(12, 5, 4, seed=1)
    calls: list[Callable[[], object]] = [
        lambda: jax.jit(network.predict)(batch.x),
        lambda: jax.vmap(network.predict)(batch.x),
        lambda: jax.grad(lambda x: network.loss(x, batch.t))(batch.x),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"x is a jax.*Tracer.*outside"):
            call()


@pytest.mark.parametrize("error", [MemoryError, FileNotFoundError])
def test_errors_of_the_system_stay_what_they_are(batch: Batch, error: type[Exception]) -> None:
    class OnDisk:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
            raise error("no more")

    with pytest.raises(error, match="no more") as caught:
        TwoLayerNet(12, 5, 4).predict(OnDisk())
    assert "x is a" in caught.value.__notes__[0]
