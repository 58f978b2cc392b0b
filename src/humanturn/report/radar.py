"""A scorecard at a glance: nearness to people by row, as a radar chart in inline SVG."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

SIDES = {"human": "other people", "baseline": "role-playing baseline", "user": "user model"}
WIDTH, HEIGHT, RADIUS = 720, 430, 150
CENTRE = (WIDTH / 2, 205.0)


def radar(rows: Sequence[Mapping[str, Any]]) -> Markup | None:
    """One axis for each row with a nearness, from 0 in the middle to 1 (like other people) at the rim.

    None for fewer than three such rows.
    """
    axes = [row for row in rows if "user" in row["nearness"]]
    if len(axes) < 3:
        return None
    rings = [_polygon([level] * len(axes), "grid") for level in (0.25, 0.5, 0.75, 1.0)]
    spokes = [
        Markup('<line class="grid" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
            *CENTRE, *_at(1.0, n, len(axes))
        )
        for n in range(len(axes))
    ]
    sides = [side for side in SIDES if all(side in row["nearness"] for row in axes)]
    shapes = [_polygon([row["nearness"][side] for row in axes], f"side {side}") for side in sides]
    names = [_name(row["label"], n, len(axes)) for n, row in enumerate(axes)]
    legend = [_legend(side, n) for n, side in enumerate(sides)]
    said = "; ".join(f"{SIDES[s]}: " + ", ".join(f"{r['label']} {r['nearness'][s]:.2f}" for r in axes) for s in sides)
    return Markup('<svg class="chart radar" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, f"Nearness to people, 0 to 1. {said}", Markup("").join(rings + spokes + shapes + names + legend)
    )


def _at(value: float, number: int, of: int) -> tuple[float, float]:
    angle = 2 * math.pi * number / of - math.pi / 2
    return CENTRE[0] + RADIUS * value * math.cos(angle), CENTRE[1] + RADIUS * value * math.sin(angle)


def _polygon(values: Sequence[float], css: str) -> Markup:
    points = " ".join("{:.1f},{:.1f}".format(*_at(value, n, len(values))) for n, value in enumerate(values))
    return Markup('<polygon class="{}" points="{}"/>').format(css, points)


def _name(label: str, number: int, of: int) -> Markup:
    x, y = _at(1.09, number, of)
    side = x - CENTRE[0]
    anchor = "middle" if abs(side) < 12 else "start" if side > 0 else "end"
    return Markup('<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y + 4, anchor, label)


def _legend(side: str, number: int) -> Markup:
    x = 90 + 200 * number
    return Markup(
        '<line class="side {0}" x1="{1}" x2="{2}" y1="{4}" y2="{4}"/><text class="tick" x="{3}" y="{5}">{6}</text>'
    ).format(side, x, x + 34, x + 42, HEIGHT - 12, HEIGHT - 8, SIDES[side])
