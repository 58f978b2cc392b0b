"""Radar charts in inline SVG: a scorecard's nearness to people, grades by category (the paper's Table 4)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from markupsafe import Markup

SIDES = {"human": "other people", "baseline": "role-playing baseline", "user": "user model"}
MOST_MODELS = 6
"""Models on one chart; with more, lines cannot be told apart."""
BEST_GRADE = 10.0
WIDTH, RADIUS = 720, 150
CENTRE = (WIDTH / 2, 205.0)
LEGEND_TOP, LEGEND_ROW, LEGEND_COLUMNS = 418, 22, 3


class Line(msgspec.Struct, frozen=True):
    """A closed line of a chart."""

    css: str
    name: str
    values: list[float]
    """One for each axis, from 0 in the middle to 1 at the rim."""


def scorecard(rows: Sequence[Mapping[str, Any]]) -> Markup | None:
    """One axis for each row with a nearness of every side, from 0 in the middle to 1 (like other people) at the rim.

    None for fewer than three such rows.
    """
    sides = [side for side in SIDES if any(side in row["nearness"] for row in rows)]
    axes = [row for row in rows if all(side in row["nearness"] for side in sides)]  # a line has a point on each axis
    lines = [Line(side, SIDES[side], [row["nearness"][side] for row in axes]) for side in sides]
    return _chart("Nearness to people, 0 to 1", [row["label"] for row in axes], lines, rings=(0.25, 0.5, 0.75, 1.0))


def grades(table: Mapping[str, Any]) -> Markup | None:
    """Mean grade by category, a closed line for each of the best `MOST_MODELS` models.

    None for fewer than three categories.
    """
    names = [c for c in table["categories"] if all(c in row["categories"] for row in table["models"].values())]
    lines = [
        Line(f"model-{n}", model, [row["categories"][name]["value"] / BEST_GRADE for name in names])
        for n, (model, row) in enumerate(list(table["models"].items())[:MOST_MODELS])
    ]
    rings = (0.2, 0.4, 0.6, 0.8, 1.0)
    return _chart("Mean grade by category", names, lines, rings=rings, scale=BEST_GRADE)


def _chart(
    title: str, axes: Sequence[str], lines: Sequence[Line], *, rings: Sequence[float], scale: float = 1.0
) -> Markup | None:
    if len(axes) < 3 or not lines:
        return None
    count = len(axes)
    parts = [_polygon([level] * count, "grid") for level in rings]
    parts += [
        Markup('<line class="grid" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
            *CENTRE, *_at(1, n, count)
        )
        for n in range(count)
    ]
    parts += [_polygon(line.values, f"side {line.css}") for line in lines]
    if scale != 1:
        parts += [_ring(level, f"{level * scale:g}", count) for level in rings]
    parts += [_name(label, n, count) for n, label in enumerate(axes)]
    parts += [_legend(line, n) for n, line in enumerate(lines)]
    said = "; ".join(
        f"{line.name}: " + ", ".join(f"{a} {v * scale:.2f}" for a, v in zip(axes, line.values, strict=True))
        for line in lines
    )
    height = LEGEND_TOP + LEGEND_ROW * (1 + (len(lines) - 1) // LEGEND_COLUMNS)
    return Markup('<svg class="chart radar" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, f"{title}. {said}", Markup("").join(parts)
    )


def _at(value: float, number: float, of: int) -> tuple[float, float]:
    angle = 2 * math.pi * number / of - math.pi / 2
    return CENTRE[0] + RADIUS * value * math.cos(angle), CENTRE[1] + RADIUS * value * math.sin(angle)


def _polygon(values: Sequence[float], css: str) -> Markup:
    points = " ".join("{:.1f},{:.1f}".format(*_at(value, n, len(values))) for n, value in enumerate(values))
    return Markup('<polygon class="{}" points="{}"/>').format(css, points)


def _ring(level: float, text: str, of: int) -> Markup:
    """The figure of a ring, between the first axis and the second."""
    x, y = _at(level * math.cos(math.pi / of), 0.5, of)
    return Markup('<text class="tick ring" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(x, y + 4, text)


def _name(label: str, number: int, of: int) -> Markup:
    side = _at(1, number, of)[0] - CENTRE[0]
    upright = abs(side) < 12
    x, y = _at(1.16 if upright else 1.09, number, of)  # the top and the bottom one stand clear of their neighbours
    anchor = "middle" if upright else "start" if side > 0 else "end"
    return Markup('<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y + 4, anchor, label)


def _legend(line: Line, number: int) -> Markup:
    x, y = 90 + 200 * (number % LEGEND_COLUMNS), LEGEND_TOP + LEGEND_ROW * (number // LEGEND_COLUMNS)
    shown = line.name if len(line.name) <= 22 else line.name[:21] + "…"
    return Markup(
        '<line class="side {0}" x1="{1}" x2="{2}" y1="{4}" y2="{4}"/><text class="tick" x="{3}" y="{5}">{6}</text>'
    ).format(line.css, x, x + 34, x + 42, y, y + 4, shown)
