"""Do corpora with more of something make better assistants? Correlations over models (the paper's Figure 5)."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from humanturn.errors import FormatError, InputError
from humanturn.records import Measurement

FEW = 10
"""Under so many models a correlation says next to nothing; the table warns."""


class Cell(msgspec.Struct, frozen=True):
    """How one statistic of the corpora goes with one benchmark of the models trained on them."""

    statistic: str
    benchmark: str
    pearson: Measurement
    spearman: Measurement


class Correlations(msgspec.Struct, frozen=True):
    """`correlations.json`."""

    models: list[str]
    cells: list[Cell]
    warning: str | None


def correlate(statistics: Mapping[str, Mapping[str, float]], scores: Mapping[str, Mapping[str, float]]) -> Correlations:
    """Correlate every statistic with every benchmark over the corpora that have both.

    Args:
        statistics: per corpus, its figures by key.
        scores: per corpus, the scores by benchmark of the model trained on it.

    Raises:
        InputError: fewer than three corpora have scores.
    """
    models = [name for name in statistics if name in scores]
    if len(models) < 3:
        raise InputError(f"correlations need three corpora with scores or more; there are {len(models)}")
    keys = [key for key in statistics[models[0]] if all(key in statistics[m] for m in models)]
    benchmarks = [b for b in scores[models[0]] if all(b in scores[m] for m in models)]
    cells = []
    for key in keys:
        for benchmark in benchmarks:
            x, y = [statistics[m][key] for m in models], [scores[m][benchmark] for m in models]
            cells.append(Cell(key, benchmark, pearson(x, y), spearman(x, y)))
    warning = (
        f"Only {len(models)} models: intervals of correlations are this wide because so few say next to nothing."
        if len(models) < FEW
        else None
    )
    return Correlations(models, [cell for cell in cells if cell.pearson.value == cell.pearson.value], warning)


def read_scores(path: Path) -> dict[str, dict[str, float]]:
    """Scores by corpus and benchmark: `{"corpus": {"MT-Bench": 5.9, ...}, ...}`.

    Raises:
        InputError: there is no such file.
        FormatError: it holds something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, float]])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give a JSON file with the scores of each corpus's model") from None
    except msgspec.MsgspecError as error:
        raise FormatError(f'{path}: {error}; it must read {{"CORPUS": {{"BENCHMARK": score}}}}') from None


def pearson(x: Sequence[float], y: Sequence[float]) -> Measurement:
    """Pearson's r with Fisher's interval (from four pairs on); NaN when one side does not vary."""
    return _measured(_r(np.asarray(x, float), np.asarray(y, float)), len(x), 1.0)


def spearman(x: Sequence[float], y: Sequence[float]) -> Measurement:
    """Spearman's rho, ties sharing their mean rank; the interval after Fieller, Hartley & Pearson (1957)."""
    return _measured(_r(_ranks(x), _ranks(y)), len(x), 1.06)


def _r(x: "np.ndarray[tuple[int], np.dtype[np.float64]]", y: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    a, b = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return max(-1.0, min(1.0, float(a @ b) / scale)) if scale else math.nan


def _ranks(values: Sequence[float]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    given = np.asarray(values, float)
    return np.array([((given < v).sum() + (given <= v).sum() + 1) / 2 for v in given], float)


def _measured(r: float, n: int, variance: float) -> Measurement:
    if n < 4 or r != r or abs(r) == 1:
        return Measurement(value=r, n=n)
    z, spread = math.atanh(r), 1.96 * math.sqrt(variance / (n - 3))
    return Measurement(value=r, n=n, low=math.tanh(z - spread), high=math.tanh(z + spread))
