"""The comparison of estimators proves that both did the same work. No time is asserted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import fastnn

pytest.importorskip("sklearn", minversion="1.7")

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(autouse=True)
def bench_on_the_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not BENCH.exists():
        pytest.skip("the comparison needs bench/")
    from fastnn import threads

    before = threads._chosen
    monkeypatch.syspath_prepend(str(BENCH))
    with fastnn.use_backend("numpy"):
        yield
    threads._chosen = before


@pytest.mark.filterwarnings("ignore")
def test_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    import estimators

    estimators.main(["--data", "digits", "--threads", "1", "--dtype", "float64", "--max-iter", "3"])
    last = capsys.readouterr().out.splitlines()[-1]
    cells = [cell.strip() for cell in last.strip("|").split("|")]
    assert cells[:4] == ["digits", "float64", "1", "3"]
    assert all(float(cell) > 0 for cell in cells[4:])


@pytest.mark.filterwarnings("ignore")
def test_other_work_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn import neural_network

    import estimators

    class Other(neural_network.MLPClassifier):  # type: ignore[misc,unused-ignore]
        def _init_coef(self, *arguments: int) -> object:
            W, b = super()._init_coef(*arguments)
            return 1.1 * W, b

    monkeypatch.setattr(neural_network, "MLPClassifier", Other)
    with pytest.raises(RuntimeError, match="after 2 epochs losses are"):
        estimators.compare("digits", 1, "float64", 2, 1)
