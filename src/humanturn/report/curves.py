"""Training curves as inline SVG: readable without colour, in light and dark, and to a screen reader."""

import math
from collections.abc import Sequence

import msgspec
from markupsafe import Markup

from humanturn.report.load import Point

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 116, 16, 44
MOST_POINTS = 400


class Axis(msgspec.Struct, frozen=True):
    """A linear scale from data to pixels."""

    low: float
    high: float
    start: float
    stop: float

    def at(self, value: float) -> float:
        """Pixel of `value`."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    def ticks(self, wanted: int = 5) -> list[float]:
        """Round values between `low` and `high`, about `wanted` of them."""
        return ticks(self.low, self.high, wanted)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten in [low, high]."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda s: abs(s - raw))
    return [round(n * step, 10) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def loss(points: Sequence[Point], name: str) -> Markup:
    """Loss per trained token over optimizer steps; heldout measurements, when there are any, as marked points."""
    shown = _thinned(points)
    heldout = [(p.step, p.heldout_nll) for p in points if p.heldout_nll is not None]
    values = [value for _, value in shown] + [value for _, value in heldout]
    low, high = min(values), max(values)
    margin = max((high - low) * 0.08, 0.05)
    x = Axis(min(p.step for p in points), max(p.step for p in points) + 1e-9, LEFT, WIDTH - RIGHT)
    y = Axis(low - margin, high + margin, HEIGHT - BOTTOM, TOP)
    parts = [_frame(x, y), _line(shown, x, y, "line")]
    parts.append(_dot(shown[-1], x, y, "dot"))
    parts.append(_label(x.at(shown[-1][0]), y.at(shown[-1][1]), f"training {shown[-1][1]:.2f}", "tag"))
    if heldout:
        parts.append(_line(heldout, x, y, "line heldout"))
        parts += [_dot(point, x, y, "dot heldout") for point in heldout]
        apart = 14 if abs(y.at(heldout[-1][1]) - y.at(shown[-1][1])) < 14 else 0
        parts.append(
            _label(x.at(heldout[-1][0]), y.at(heldout[-1][1]) + apart, f"heldout {heldout[-1][1]:.2f}", "tag heldout")
        )
    said = (
        f"{name}: training loss from {shown[0][1]:.2f} to {shown[-1][1]:.2f} nats per token in {points[-1].step} steps"
    )
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, said, Markup("").join(parts)
    )


def _thinned(points: Sequence[Point]) -> list[tuple[float, float]]:
    """At most `MOST_POINTS` (step, loss): means over runs of neighbours."""
    size = math.ceil(len(points) / MOST_POINTS)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(g[-1].step, math.fsum(p.loss for p in g) / len(g)) for g in groups]


def _frame(x: Axis, y: Axis) -> Markup:
    """Axes, grid and their labels."""
    right, bottom, middle = WIDTH - RIGHT, HEIGHT - BOTTOM, (LEFT + WIDTH - RIGHT) / 2
    grid = Markup(
        '<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>'
        '<text class="tick" x="{3}" y="{4:.1f}" text-anchor="end">{5:.{6}f}</text>'
    )
    step = Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{:,.0f}</text>')
    values = y.ticks()
    decimals = max(len(f"{value:g}".partition(".")[2]) for value in values) if values else 0
    parts = [grid.format(LEFT, right, y.at(v), LEFT - 8, y.at(v) + 4, v, decimals) for v in values]
    parts += [step.format(x.at(v), bottom + 18, v) for v in x.ticks(6) if v == int(v)]
    parts.append(
        Markup(
            '<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
            '<text class="name" x="{3:.1f}" y="{4}" text-anchor="middle">optimizer step</text>'
            '<text class="name" text-anchor="middle" '
            'transform="translate(14 {5:.1f}) rotate(-90)">nats per token</text>'
        ).format(LEFT, right, bottom, middle, HEIGHT - 6, (TOP + bottom) / 2)
    )
    return Markup("").join(parts)


def _line(points: Sequence[tuple[float, float]], x: Axis, y: Axis, css: str) -> Markup:
    path = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in points)
    return Markup('<polyline class="{}" points="{}"/>').format(css, path)


def _dot(point: tuple[float, float], x: Axis, y: Axis, css: str) -> Markup:
    return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(css, x.at(point[0]), y.at(point[1]))


def _label(x: float, y: float, text: str, css: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(css, x + 8, y + 4, text)
