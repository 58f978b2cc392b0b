"""Figures as SVG that read well in black and white, and are the same bytes for the same numbers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from humanturn.records import Measurement

NAMES = {"wins": "win", "ties": "tie", "losses": "loss"}


@contextmanager
def figure(path: Path, width: float, height: float, **axes: Any) -> Iterator[Any]:
    """Axes of a new figure that is written to `path` when the block ends."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # A fixed salt and no date: the same scores give the same bytes. Text stays text, for search and screen readers.
    with rc_context({"svg.hashsalt": "humanturn", "svg.fonttype": "none", "font.size": 10, "hatch.linewidth": 0.6}):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure.add_subplot(**axes)
        figure.savefig(path, format="svg", metadata={"Date": None})


def verdict_bars(pairs: Sequence[Mapping[str, Any]], rate: str, path: Path) -> Path:
    """Win, tie and loss of each pair of models, as in the paper's Figures 2 and 3.

    Args:
        pairs: with `a`, `b`, `wins`, `ties`, `losses`, and a Measurement between 0 and 1 named `rate`.
        rate: `win_rate` or `mean_score`; printed beside the bar.
        path: of the SVG.
    """
    pairs, name = pairs[::-1], rate.replace("_", " ")
    parts = (("wins", "#4a4a4a", "", "white"), ("ties", "#ffffff", "", "black"), ("losses", "#cfcfcf", "////", "black"))
    with figure(path, 7.5, 1.5 + 0.55 * len(pairs)) as axes:
        left = [0.0] * len(pairs)
        for key, colour, hatch, ink in parts:
            totals = [max(1, pair["wins"] + pair["ties"] + pair["losses"]) for pair in pairs]
            widths = [100 * pair[key] / total for pair, total in zip(pairs, totals, strict=True)]
            axes.barh(
                range(len(pairs)), widths, 0.6, left, color=colour, hatch=hatch, edgecolor="black", label=NAMES[key]
            )
            for y, (pair, width, start) in enumerate(zip(pairs, widths, left, strict=True)):
                wide = width >= 2 + 1.4 * len(str(pair[key]))
                if pair[key]:  # a count that has no room in its bar stands above it
                    axes.text(
                        *(start + width / 2, y if wide else y + 0.33, str(pair[key])),
                        **{"ha": "center", "va": "center" if wide else "bottom", "size": 9 if wide else 8},
                        color=ink if wide else "black",
                        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1} if wide and hatch else None,
                    )
            left = [a + b for a, b in zip(left, widths, strict=True)]
        for y, pair in enumerate(pairs):
            axes.text(101, y, _in_per_cent(pair[rate]), va="center", size=9)
        axes.text(101, len(pairs) - 0.5, f"{name} [95 %]", va="bottom", size=8)
        axes.set_yticks(range(len(pairs)), [f"{pair['a']}\nagainst {pair['b']}" for pair in pairs])
        axes.set_xlim(0, 120)
        axes.set_xticks(range(0, 101, 20))
        axes.set_ylim(-0.5, len(pairs) - 0.2)
        axes.set_xlabel(
            f"verdicts in per cent, counts in the bars; a tie is half a win in the {rate.replace('_', ' ')}"
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(
            loc="lower center",
            bbox_to_anchor=(0.45, 1.02),
            ncols=3,
            frameon=False,
        )
    return path


def _in_per_cent(found: Any) -> str:
    """A share, its interval below it."""
    own = measured(found)
    told = f"{100 * value(found):.1f} %"
    return (
        told
        if own is None or own.low is None or own.high is None
        else f"{told}\n[{100 * own.low:.1f}, {100 * own.high:.1f}]"
    )


def measured(found: Any) -> Measurement | None:
    """A Measurement, also one read back from JSON."""
    return None if found is None else msgspec.convert(found, Measurement, from_attributes=True)


def value(found: Any) -> float:
    """Its value; 0 when nothing was measured."""
    own = measured(found)
    return own.value if own and own.n else 0.0
