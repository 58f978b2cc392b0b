"""Paired differences with their intervals, as a forest plot in inline SVG."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from humanturn.report import words
from humanturn.report.curves import Axis

DESCRIPTION = (
    "Relative differences in negative log-likelihood with 95 % intervals: "
    "how the trained model compares with each other model on all turns, first turns and follow-ups"
)
WIDTH, ROW, TOP, BOTTOM, LEFT, RIGHT = 720, 30, 8, 46, 300, 24


def differences(table: Mapping[str, Any]) -> Markup | None:
    """Relative difference of the trained model's NLL to each other model, by part; left of zero it needs less.

    None when no difference has an interval.
    """
    rows = [
        (f"against {words.MODELS.get(d['than'], d['than']).lower()}" if part == "all" else "", words.PARTS[part], m)
        for d in table["differences"]
        for part, m in d["parts"].items()
        if m.get("low") is not None
    ]
    if not rows:
        return None
    ends = [0.0, *(m["low"] for *_, m in rows), *(m["high"] for *_, m in rows)]
    margin = (max(ends) - min(ends)) * 0.06 or 0.01
    groups = sum(1 for group, *_ in rows if group)
    height = TOP + ROW * (len(rows) + groups) + BOTTOM
    x = Axis(min(ends) - margin, max(ends) + margin, LEFT, WIDTH - RIGHT)
    bottom = height - BOTTOM
    parts = [
        Markup('<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(x.at(t), TOP, bottom)
        + Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            x.at(t), bottom + 18, words.figure(t, 0 if x.high - x.low > 0.04 else 1, percent=True, signed=t != 0)
        )
        for t in x.ticks(6)
    ]
    parts.append(
        Markup('<line class="zero" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(x.at(0), TOP, bottom)
    )
    y = TOP
    for group, part, m in rows:
        if group:
            parts.append(Markup('<text class="group" x="0" y="{}">Trained {}</text>').format(y + 20, group))
            y += ROW
        parts.append(_row(part, m, y + ROW / 2, x))
        y += ROW
    parts.append(
        Markup('<text class="name" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            (LEFT + WIDTH - RIGHT) / 2, height - 6, "← needs less · relative difference in NLL · needs more →"
        )
    )
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, DESCRIPTION, Markup("").join(parts)
    )


def _row(name: str, m: Mapping[str, Any], y: float, x: Axis) -> Markup:
    return Markup(
        '<text class="row" x="16" y="{:.1f}">{}</text>'
        '<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
        '<line class="whisker" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>'
        '<rect class="dot" x="{:.1f}" y="{:.1f}" width="9" height="9"/>'
    ).format(
        *(y + 4, name, LEFT - 14, y + 4, words.figure(m["value"], 1, percent=True, signed=True)),
        *(x.at(m["low"]), x.at(m["high"]), y, y),
        *(x.at(m["value"]) - 4.5, y - 4.5),
    )
