"""A scorecard on one page: the table, the radar, and a flat file for experiment trackers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup

from humanturn import figures, jsonl

SIDES = {"human": "other people", "user": "user model", "baseline": "role-play"}
LINES: dict[str, dict[str, Any]] = {
    "human": {"color": "black", "linestyle": ":"},
    "user": {"color": "#b03a2e", "linewidth": 2},
    "baseline": {"color": "#555555", "linestyle": "--"},
}


def write(result: Mapping[str, Any], out: Path) -> None:
    """Write `radar.svg`, `scorecard.html` and `metrics.json` into `out`; `result` is what `scorecard.json` holds."""
    card = msgspec.to_builtins(result)
    drawn = radar(card["rows"], out / "radar.svg")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"cell": cell, "nearer": nearer}
    page = environment.get_template("scorecard.html.j2").render(
        card=card,
        sides={side: name for side, name in SIDES.items() if any(side in row["sides"] for row in card["rows"])},
        radar=Markup(_inline(drawn)) if drawn else None,
        behind=[row["label"] for row in card["rows"] if row["nearer"] == "baseline"],
    )
    with jsonl.replacing(out / "scorecard.html") as file:
        file.write(page.encode("utf-8", "replace"))
    jsonl.write_json(out / "metrics.json", flat(card["rows"]))


def flat(rows: list[dict[str, Any]]) -> dict[str, float]:
    """`{"user/length": 0.7, "user/length/nearness": 0.6, ...}`, which experiment trackers take as it is."""
    found = {f"{side}/{row['key']}": value["value"] for row in rows for side, value in row["sides"].items()}
    return found | {f"{side}/{row['key']}/nearness": near for row in rows for side, near in row["nearness"].items()}


def cell(row: Mapping[str, Any], side: str) -> str:
    """A side's figure with its interval, as text."""
    if side not in row["sides"]:
        return "–"
    value = row["sides"][side]
    scale, digits, mark = (100, 1, " %") if row["kind"] == "share" else (1, row["digits"], "")
    text = f"{value['value'] * scale:.{digits}f}{mark}"
    if value.get("low") is None:
        return text
    return f"{text} [{value['low'] * scale:.{digits}f}, {value['high'] * scale:.{digits}f}]"


def nearer(row: Mapping[str, Any]) -> str:
    """Who is nearer to people, and whether that may be chance."""
    if not row["nearer"]:
        return "–"
    return SIDES[row["nearer"]] + ("" if row["clear"] else " (may be chance)")


def radar(rows: list[dict[str, Any]], path: Path) -> Path | None:
    """Nearness to people by row, 1 at the rim; a side has no point where it was not measured. None under three rows."""
    import numpy as np

    axes = [row for row in rows if "user" in row["nearness"]]
    if len(axes) < 3:
        return None
    angles = [2 * np.pi * number / len(axes) for number in range(len(axes))]
    with figures.figure(path, 8.5, 6.5, projection="polar") as chart:
        chart.set_theta_offset(np.pi / 2)
        chart.set_theta_direction(-1)
        for side, name in SIDES.items():
            values = [row["nearness"].get(side, np.nan) for row in axes]
            if not np.isnan(values).all():
                chart.plot([*angles, angles[0]], [*values, values[0]], label=name, marker=".", **LINES[side])
        chart.set_xticks(angles, [row["label"] for row in axes])
        for angle, label in zip(angles, chart.get_xticklabels(), strict=True):  # away from the rim on either side
            side = np.sin(angle)
            label.set_horizontalalignment("center" if abs(side) < 0.1 else "left" if side > 0 else "right")
        chart.set_ylim(0, 1)
        chart.set_yticks([0.25, 0.5, 0.75, 1.0], ["", "½", "", "1"])
        chart.legend(loc="lower left", bbox_to_anchor=(-0.25, -0.12), frameon=False)
    return path


def _inline(svg: Path) -> str:
    text = svg.read_text(encoding="utf-8")
    return text[text.index("<svg") :]
