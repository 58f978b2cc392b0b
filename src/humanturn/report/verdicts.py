"""Wins, ties and losses as bars in inline SVG (the paper's Figures 2 and 3)."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from humanturn.report import words

WIDTH, LEFT, RIGHT, ROW, TOP, BAR, LEGEND = 720, 8, 200, 62, 4, 18, 26
PARTS = {"wins": "won", "ties": "tied", "losses": "lost"}


def bars(pairs: Sequence[Mapping[str, Any]], rate: str) -> Markup:
    """A bar for each pair of models, its lengths in per cent of verdicts; counts below it, the rate beside it.

    Args:
        pairs: with `a`, `b`, `wins`, `ties`, `losses`, and a measurement between 0 and 1 named `rate`.
        rate: `win_rate` or `mean_score`.
    """
    rows = [_row(pair, pair[rate], TOP + ROW * n) for n, pair in enumerate(pairs)]
    height = TOP + ROW * len(pairs) + LEGEND
    legend = [
        Markup(
            '<rect class="{}" x="{}" y="{}" width="14" height="14"/><text class="tick" x="{}" y="{}">{}</text>'
        ).format(css, LEFT + 110 * n, height - 18, LEFT + 110 * n + 20, height - 6, said)
        for n, (css, said) in enumerate(PARTS.items())
    ]
    told = "; ".join(f"{p['a']} against {p['b']}: {p['wins']} won, {p['ties']} tied, {p['losses']} lost" for p in pairs)
    return Markup('<svg class="chart verdicts" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, f"Wins, ties and losses. {told}", Markup("").join(rows + legend)
    )


def _row(pair: Mapping[str, Any], rate: Mapping[str, Any], y: int) -> Markup:
    total = sum(pair[part] for part in PARTS)
    whole, x = WIDTH - LEFT - RIGHT, float(LEFT)
    parts = [Markup('<text class="row" x="{}" y="{}">{} against {}</text>').format(LEFT, y + 14, pair["a"], pair["b"])]
    for part in PARTS if total else ():
        width = whole * pair[part] / total
        parts.append(
            Markup('<rect class="{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
                part, x, y + 20, width, BAR
            )
        )
        x += width
    for part, anchor, at in zip(PARTS, ("start", "middle", "end"), (0, whole / 2, whole), strict=True):
        parts.append(
            Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="{}">{} {}</text>').format(
                LEFT + at, y + 20 + BAR + 13, anchor, pair[part], PARTS[part]
            )
        )
    if total:
        parts.append(
            Markup('<text class="row" x="{}" y="{}">{}</text>').format(WIDTH - RIGHT + 14, y + 34, _said(rate))
        )
    return Markup("").join(parts)


def _said(rate: Mapping[str, Any]) -> str:
    if rate.get("low") is None:
        return words.figure(rate["value"], 1, percent=True)
    low, high = (words.figure(rate[end], 1, percent=True, unit=False) for end in ("low", "high"))
    return f"{words.figure(rate['value'], 1, percent=True)} [{low}, {high}]"
