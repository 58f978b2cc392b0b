"""The stage's result as plain text, for a terminal."""

from collections.abc import Mapping
from typing import Any

import msgspec

from humanturn.analyze.corpus import COLUMNS, Column
from humanturn.records import Measurement
from humanturn.text_table import aligned

NAMES = {
    "untrained": "untrained backbone",
    "roleplay": "backbone prompted to play a user",
    "trained": "trained user model",
}


def describe(result: Mapping[str, Any]) -> str:
    """Corpora side by side, then the heldout likelihoods; sections without figures are left out."""
    sections = []
    if result.get("corpora"):
        sections.append(_corpora(result["corpora"]))
    if result.get("heldout_nll"):
        sections.append(_heldout(result))
    return "\n\n".join(sections)


def _corpora(corpora: Mapping[str, Any]) -> str:
    names = list(corpora)
    rows = [["", *names], ["Sessions", *(f"{corpora[name]['sessions']:,}" for name in names)]]
    for column in COLUMNS:
        if not any(column.key in corpora[name]["columns"] for name in names):
            continue
        cells = [_cell(corpora[name]["columns"].get(column.key), column) for name in names]
        rows.append([column.label, *cells])
    return "Corpora (mean, 95 % interval over sessions)\n" + aligned(rows)


def _heldout(result: Mapping[str, Any]) -> str:
    rows = [["", "nats/token", "trained against it"]]
    for name, value in result["heldout_nll"].items():
        difference = result.get("heldout_relative", {}).get(name)
        against = ""
        if difference is not None:
            d = msgspec.convert(difference, Measurement, from_attributes=True)
            against = f"{d.value:+.1%}" + (
                f" [{d.low:+.1%}, {d.high:+.1%}]" if d.low is not None and d.high is not None else ""
            )
        rows.append([NAMES.get(name, name), f"{value:.4f}", against])
    head = f"Negative log-likelihood of {result['heldout_sessions']} heldout human sessions (paired 95 % interval)\n"
    return head + aligned(rows)


def _cell(measured: Any, column: Column) -> str:
    if measured is None:
        return "-"
    m = msgspec.convert(measured, Measurement, from_attributes=True)
    scale = 100 if column.percent else 1
    mark = " %" if column.percent else ""
    text = f"{m.value * scale:,.{column.digits}f}{mark}"
    if m.low is None or m.high is None:
        return text
    return f"{text} [{m.low * scale:,.{column.digits}f}, {m.high * scale:,.{column.digits}f}]"
