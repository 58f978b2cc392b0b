"""Correlations as a heat map (the paper's Figure 5)."""

from pathlib import Path

from humanturn import figures
from humanturn.analyze.corpus import COLUMNS
from humanturn.analyze.correlation import FEW, Correlations


def draw(found: Correlations, path: Path) -> Path:
    """Pearson's r of every statistic (rows) with every benchmark (columns), written in the cells; an SVG."""
    import numpy as np

    labels = {column.key: column.label for column in COLUMNS}
    rows = list(dict.fromkeys(cell.statistic for cell in found.cells))
    columns = list(dict.fromkeys(cell.benchmark for cell in found.cells))
    values = np.full((len(rows), len(columns)), np.nan)
    for cell in found.cells:
        values[rows.index(cell.statistic), columns.index(cell.benchmark)] = cell.pearson.value
    with figures.figure(path, 3.2 + 1.3 * len(columns), 1.2 + 0.38 * len(rows)) as axes:
        axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        for (row, column), r in np.ndenumerate(values):
            if r == r:
                axes.text(
                    column, row, f"{r:+.2f}", ha="center", va="center", color="white" if abs(r) > 0.6 else "black"
                )
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), [labels.get(row, row) for row in rows])
        warning = f"\nfewer than {FEW} models: next to nothing follows" if found.warning else ""
        axes.set_title(f"Pearson's r over {len(found.models)} models{warning}", size=10)
    return path
