"""Turns made whole: text tidied, roles made to alternate, and every turn that goes accounted for.

The rules, in this order:
1. `empty_turn`: a turn without text is removed.
2. `system_turn`: system turns are removed; the user model's own preface stands in their place.
3. `same_role`: turns of one role in a row become one, a blank line between them. Their text is kept.
4. `trailing_user`: a human turn that nobody answered is removed from the end.
5. `no_exchange`: a session without a human turn that is answered is dropped.
"""

import re
from collections.abc import Sequence

import msgspec

from humanturn.conversation import Turn
from humanturn.prepare.html import is_html, to_markdown

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Loss(msgspec.Struct, frozen=True):
    """What a rule took away."""

    rule: str
    reason: str
    turns: int
    user_turns: int
    tokens: int


def tidy(turn: Turn, *, from_page: bool = True) -> Turn:
    """The turn with `\\n` line ends, without control characters and surrounding white space; HTML answers as Markdown.

    Human turns are not touched otherwise. `from_page`: answers may be the HTML of a chat page.
    """
    text = turn.content
    if from_page and turn.role == "assistant" and is_html(text):
        text = to_markdown(text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isprintable() and _CONTROL.search(text):
        text = _CONTROL.sub("", text)
    text = text.strip()
    return turn if text is turn.content else Turn(turn.role, text)


def repair(turns: Sequence[Turn], tokens: Sequence[int]) -> tuple[list[Turn], list[int], list[Loss]]:
    """Alternating turns that end with an answer, their token counts, and what was lost on the way.

    Args:
        turns: tidied turns of one session.
        tokens: of each turn's content. The count of joined turns is the sum of theirs and 1 for the blank line.
    """
    said, counts, losses = list[list[Turn]](), list[int](), list[Loss]()
    for turn, count in zip(turns, tokens, strict=True):
        if not turn.content:
            losses.append(_loss("empty_turn", f"an empty {turn.role} turn", turn, count))
        elif turn.role == "system":
            losses.append(_loss("system_turn", "a system turn", turn, count))
        elif said and said[-1][0].role == turn.role:
            losses.append(_loss("same_role", f"a {turn.role} turn was joined to the one before it", turn, -1))
            said[-1].append(turn)
            counts[-1] += count + 1
        else:
            said.append([turn])
            counts.append(count)
    kept = [run[0] if len(run) == 1 else Turn(run[0].role, "\n\n".join(turn.content for turn in run)) for run in said]
    if kept and kept[-1].role == "user":
        losses.append(_loss("trailing_user", "a human turn at the end that nobody answered", kept.pop(), counts.pop()))
    return kept, counts, losses


def has_exchange(turns: Sequence[Turn]) -> bool:
    """True when some human turn is answered."""
    return any(turn.role == "user" for turn in turns[:-1])


def _loss(rule: str, reason: str, turn: Turn, tokens: int) -> Loss:
    return Loss(rule, reason, 1, int(turn.role == "user"), tokens)
