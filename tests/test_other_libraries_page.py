"""The code of docs/other-libraries.md, as it stands there; names in docs/comparison.md."""

from __future__ import annotations

import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn

PAGE = Path(__file__).parents[1] / "docs" / "other-libraries.md"
X = np.random.default_rng(0).random((20, 784)).astype("float32")


def run_code_of(heading: str) -> dict[str, Any]:
    """Run the code under a heading, and give the names that it defines."""
    section = PAGE.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, f"{PAGE.name}: {heading}", "exec"), names)
    return names


def trained(network: Any) -> Any:
    """Move parameters and running averages away from where they began."""
    t = np.arange(20) % 10
    fastnn.fit(network, X, t, epochs=3, batch_size=10, seed=0, progress=False)
    return network


def there_and_back(network: Any, model: Any, evaluate: Any, to: Any, back: Any) -> None:
    trained(network)
    to(network, model)
    expected = network.predict(X)
    np.testing.assert_allclose(evaluate(X), expected, rtol=1e-4, atol=1e-5)
    other = network.copy().load_state_dict(
        {name: array * 0 for name, array in network.state_dict().items()}
    )
    back(model, other)
    for name, array in network.state_dict().items():
        np.testing.assert_allclose(other.state_dict()[name], array, rtol=1e-6)
    np.testing.assert_allclose(other.predict(X), expected, rtol=1e-5, atol=1e-5)


def test_pytorch() -> None:
    torch = pytest.importorskip("torch")
    with fastnn.use_backend("numpy"):
        names = run_code_of("PyTorch")
    model = names["model"]

    def evaluate(x: Any) -> Any:
        return model.eval()(torch.tensor(x)).detach().numpy()

    there_and_back(names["network"], model, evaluate, names["to_pytorch"], names["from_pytorch"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch under Keras
def test_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("torch")
    pytest.importorskip("keras")
    with fastnn.use_backend("numpy"):
        names = run_code_of("Keras")
    model = names["model"]

    def evaluate(x: Any) -> Any:
        return model.predict(x, verbose=0)

    there_and_back(names["network"], model, evaluate, names["to_keras"], names["from_keras"])


def test_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    names = run_code_of("ONNX")
    network, x = names["network"], names["x"]
    for found, expected in (
        (names["scores"], network.predict(x)),
        (names["probabilities"], network.predict_proba(x)),
        (names["again"].predict(x), network.predict(x)),
    ):
        np.testing.assert_allclose(found, fastnn.to_numpy(expected), rtol=1e-5, atol=1e-5)


def test_what_the_comparison_names_is_there() -> None:
    text = PAGE.with_name("comparison.md").read_text("utf-8")
    network = fastnn.TwoLayerNet(4, 3, 2)
    named = re.findall(r"`(fastnn|network)\.(\w+)", text)
    assert len(named) > 15
    for owner, name in named:
        if owner == "network":
            assert callable(getattr(network, name))
        else:
            assert hasattr(fastnn, name) or importlib.util.find_spec(f"fastnn.{name}"), name
    parameters = inspect.signature(fastnn.fit).parameters
    for name in re.findall(r"fastnn\.fit\(\.\.\., (\w+)=", text):
        assert name in parameters
