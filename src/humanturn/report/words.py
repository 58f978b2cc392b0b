"""Figures and names as people read them."""

import math

STAGES = {
    "prepare": "Prepare",
    "user": "User model",
    "simulate": "Simulate",
    "assistant": "Assistant",
    "evaluate": "Evaluate",
    "analyze": "Analyze",
    "scorecard": "Scorecard",
}
"""The stages of a run in order, by directory."""


def stage(directory: str) -> str:
    """Name of the stage in a directory of a run."""
    return STAGES.get(directory) or f"{STAGES['evaluate']}: {directory}"


MODELS = {
    "untrained": "Untrained backbone",
    "roleplay": "Backbone prompted to play a user",
    "trained": "Trained user model",
}
PARTS = {"all": "All user turns", "first": "First turns", "follow_up": "Follow-ups"}

STOPS = {
    "context": "the context was full",
    "learned": "the user ended it",
    "rounds": "the wanted number of rounds was reached",
    "guards": "no acceptable user turn came",
    "unanswered": "no answer came",
    "written": "it was written in one piece",
}


def number(value: float) -> str:
    """`1234567` as `1,234,567`; fractions with three significant digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if math.isfinite(value) else "–"


def share(part: float, whole: float) -> str:
    """`part` of `whole` in per cent."""
    return f"{part / whole:.1%}".replace("%", " %") if whole else "–"


def figure(value: float, digits: int, *, percent: bool = False, signed: bool = False, unit: bool = True) -> str:
    """A measured value with so many decimals, with a real minus sign."""
    scaled = value * 100 if percent else value
    text = f"{scaled:+,.{digits}f}" if signed else f"{scaled:,.{digits}f}"
    return text.replace("-", "−") + (" %" if percent and unit else "")


def duration(seconds: float) -> str:
    """`3725` as `1 h 2 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
