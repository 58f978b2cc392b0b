"""How many sessions, turns and tokens each rule let through."""

from collections.abc import Iterable, Mapping
from typing import Any

from humanturn.prepare.session import Row
from humanturn.prepare.turns import Loss

RULES = (
    "unreadable",
    "tool_turn",
    "empty_turn",
    "system_turn",
    "same_role",
    "trailing_user",
    "no_exchange",
    "control_token",
    "refusal",
    "leak",
    "language",
    "language_switch",
    "exact_duplicate",
    "prefix_duplicate",
    "near_duplicate",
    "too_long",
    "sample",
)
"""In the order in which they are applied."""


class Funnel:
    """Adds up what was read and what was lost."""

    def __init__(self) -> None:
        self.sessions = self.turns = self.user_turns = self.tokens = 0
        self.lost = {rule: [0, 0, 0, 0] for rule in RULES}
        """Sessions, turns, user turns and tokens by rule."""

    def take(self, row: Row) -> None:
        """Count a session as read."""
        self.sessions += 1
        self.turns += row.turns
        self.user_turns += row.user_turns
        self.tokens += row.tokens

    def lose(self, loss: Loss, sessions: int = 0) -> None:
        """Count what a rule took away."""
        for place, amount in enumerate((sessions, loss.turns, loss.user_turns, loss.tokens)):
            self.lost[loss.rule][place] += amount

    def steps(self) -> list[dict[str, Any]]:
        """One entry for what was read, and one for every rule."""
        left = [self.sessions, self.turns, self.user_turns, self.tokens]
        found = [_step("read", [0, 0, 0, 0], left)]
        for rule, lost in self.lost.items():
            left = [before - gone for before, gone in zip(left, lost, strict=True)]
            found.append(_step(rule, lost, left))
        return found


def _step(rule: str, lost: list[int], left: list[int]) -> dict[str, Any]:
    names = ("sessions", "turns", "user_turns", "tokens")
    return {"rule": rule} | {
        f"{name}_{what}": number
        for what, numbers in (("dropped", lost), ("left", left))
        for name, number in zip(names, numbers, strict=True)
    }


def segments(rows: Iterable[Row]) -> dict[str, int]:
    """Size of one side of the split."""
    total = dict.fromkeys(("sessions", "segments", "turns", "user_turns", "tokens"), 0)
    for row in rows:
        total["sessions"] += 1
        total["segments"] += row.segments
        total["turns"] += row.segment_turns
        total["user_turns"] += row.segment_user_turns
        total["tokens"] += row.segment_tokens
    return total


def table(funnel: Mapping[str, Any]) -> str:
    """The funnel as lines of text; rules that took nothing are left out."""
    lines = [_line("rule", "sessions", "left", "turns", "left", "tokens left")]
    for step in funnel["steps"]:
        lost, turns = step["sessions_dropped"], step["turns_dropped"]
        if step["rule"] == "read" or lost or turns:
            lines += [
                _line(step["rule"], -lost, step["sessions_left"], -turns, step["turns_left"], step["tokens_left"])
            ]
    for side in ("train", "heldout"):
        n = funnel["segments"][side]
        lines.append(
            f"{side}: {n['segments']:,} segments of {n['sessions']:,} sessions,"
            f" {n['user_turns']:,} human turns, {n['tokens']:,} tokens"
        )
    return "\n".join(lines)


def _line(name: str, *cells: int | str) -> str:
    shown = [cell if isinstance(cell, str) else f"{cell:,}" if cell else "" for cell in cells]
    return f"{name:<18}" + "".join(f"{cell:>13}" for cell in shown)
