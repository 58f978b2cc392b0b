"""The text of a turn while it is being written."""

from collections.abc import Sequence


def cut(text: str, stops: Sequence[str]) -> str | None:
    """`text` before the first of the stop strings in it; None when it holds none."""
    found = [at for at in (text.find(stop) for stop in stops if stop) if at >= 0]
    return text[: min(found)] if found else None


def settled(text: str, stops: Sequence[str]) -> str:
    """The part of `text` that stays as it is whatever comes: no half character, no beginning of a stop string."""
    text = text.rstrip("\ufffd")
    held = max((n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
    return text[: len(text) - held]
