"""What is done to each session by itself; runs in worker processes, a chunk of the input at a time."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from humanturn.conversation import Conversation, Turn
from humanturn.formats.chunks import Chunk
from humanturn.formats.oasst import Paths
from humanturn.formats.read import read_chunk
from humanturn.prepare import duplicates, language, near
from humanturn.prepare.leaks import Guard
from humanturn.prepare.privacy import scrub
from humanturn.prepare.refusals import is_refusal
from humanturn.prepare.segment import Count, cut
from humanturn.prepare.turns import Loss, has_exchange, repair, tidy
from humanturn.records import Dropped
from humanturn.scaffold import Overhead


class Rules(msgspec.Struct, frozen=True):
    """The rules for one session, with what they need."""

    count: Count
    overhead: Overhead
    control_tokens: re.Pattern[str]
    control_mark: str
    """What every control token begins with, such as `<`; searched for first, because it is quick."""
    max_tokens: int
    language: str | None
    other_languages: float
    language_switch: bool
    oasst: Paths
    refusals: bool
    scrub: bool
    near_duplicates: bool
    guard: Guard | None


class Row(msgspec.Struct, kw_only=True):
    """What is known of one session after the rules; its segments lie in the spool."""

    id: str
    key: str
    """Of the session it belongs to: what splits go by."""
    new_id: str = ""
    """Its id in the output, when another session has the same."""
    source: str | None = None
    turns: int = 0
    user_turns: int = 0
    tokens: int = 0
    """As read (HTML as Markdown), contents only."""
    losses: list[Loss] = []
    """Turns that went one by one."""
    drop: Loss | None = None
    """What became of the rest."""
    kept: Loss | None = None
    """Turns and tokens that are left, in the shape of a loss that a later rule may make of them."""
    characters: int = 0
    exact: bytes = b""
    beginnings: list[bytes] = []
    """Of each of its beginnings that ends with an answer, the whole last."""
    sketch: bytes = b""
    user: str | None = None
    language: str = "un"
    rounds: int = 0
    scrubbed: dict[str, int] = {}
    """Placeholders put in, by kind."""
    late_losses: list[Loss] = []
    """Turns that no segment could hold."""
    segments: int = 0
    segment_turns: int = 0
    segment_user_turns: int = 0
    segment_tokens: int = 0
    starting_with_user: int = 0
    truncated_context: int = 0
    truncated_answers: int = 0
    offset: int = 0
    size: int = 0
    """Where its lines lie in the chunk's spool file."""


def work(chunk: Chunk, spool: Path, rules: Rules) -> list[Row]:
    """Apply the rules to every session of a chunk; write the segments of those that pass to `spool`."""
    rows, sessions = list[Row](), list[tuple[Row, list[Turn], Conversation]]()
    items = _continued(list(read_chunk(chunk, oasst_paths=rules.oasst)))
    ending = _ending(items)
    for item in items:
        if isinstance(item, Dropped):
            rows.append(Row(id=item.id, key=item.id, source=item.source, drop=Loss("unreadable", item.reason, 0, 0, 0)))
            continue
        pages = item.source == "sharegpt"  # others hold HTML because somebody asked for it
        turns = [tidy(turn, from_page=pages) for turn in item.messages]
        scrubbed = _scrub(turns) if rules.scrub else {}
        row = Row(id=item.id, key=item.session_id, source=item.source, turns=len(turns), scrubbed=scrubbed)
        rows.append(row)
        sessions.append((row, turns, item))
    counts = rules.count([turn.content for _, turns, _ in sessions for turn in turns])
    encode, at = msgspec.json.Encoder().encode, 0
    with spool.open("wb") as file:
        for row, turns, item in sessions:
            tokens = counts[at : at + len(turns)]
            at += len(turns)
            segments = _judge(row, turns, tokens, item, rules, ends=item.id in ending)
            lines = b"".join(encode(segment) + b"\n" for segment in segments)
            row.offset, row.size = file.tell(), len(lines)
            file.write(lines)
    return rows


def _continued(items: list[Conversation | Dropped]) -> list[Conversation | Dropped]:
    """Later pieces of sessions (ShareGPT V3) that begin with a human turn get the answer before it as their context.

    Pieces of a session stand together; one whose predecessor is in another chunk, or was not read to its end, stays.
    """
    found = items[:1]
    for before, item in itertools.pairwise(items):
        if isinstance(item, Conversation) and isinstance(before, Conversation) and _follows(item, before):
            meta = item.meta | {"context_turns": 1}
            item = msgspec.structs.replace(item, messages=(before.messages[-1], *item.messages), meta=meta)
        found.append(item)
    return found


def _follows(item: Conversation, before: Conversation) -> bool:
    begins = before.meta.get("piece", 0) + len(before.messages)
    return (
        bool(item.messages and before.messages)
        and (item.session_id, item.meta.get("piece")) == (before.session_id, begins)
        and (before.messages[-1].role, item.messages[0].role) == ("assistant", "user")
    )


def _ending(items: Sequence[Conversation | Dropped]) -> set[str]:
    """Ids of the items that hold their session's last turn, as far as one chunk can tell.

    Pieces of a session (ShareGPT V3) stand together in their files: the last of them ends it, unless the chunk ends
    there too and others may follow.
    """
    found = [item for item in items if isinstance(item, Conversation)]
    last = {item.session_id: item for item in found}
    unsure = found[-1].session_id if found and found[-1].parent_id else None
    return {
        item.id
        for item in last.values()
        if item.meta.get("ends")
        or (item.session_id != unsure and ("context_turns" not in item.meta or "piece" in item.meta))
    }


def _scrub(turns: list[Turn]) -> dict[str, int]:
    """Put placeholders into the turns; return how many of each kind."""
    total = dict[str, int]()
    for number, turn in enumerate(turns):
        text, found = scrub(turn.content)
        if found:
            turns[number] = Turn(turn.role, text)
            for kind, count in found.items():
                total[kind] = total.get(kind, 0) + count
    return total


def _judge(
    row: Row, turns: list[Turn], tokens: list[int], item: Conversation, rules: Rules, *, ends: bool
) -> list[Conversation]:
    """Fill in the row; return the session's segments, none when a rule drops it."""
    row.user_turns, row.tokens = sum(turn.role == "user" for turn in turns), sum(tokens)
    kept, counts, row.losses = repair(turns, tokens)
    tools = int(item.meta.get("tool_turns", 0))
    if tools:
        row.turns += tools
        row.losses.append(Loss("tool_turn", f"{tools} turns of tools", tools, 0, 0))
    user_turns = sum(turn.role == "user" for turn in kept)
    heard = [language.hear(turn.content) for turn in kept] if rules.language or rules.language_switch else []
    row.kept = Loss("", "", len(kept), user_turns, sum(counts))
    why = _drop(kept, heard, rules)
    if why:
        row.drop = Loss(*why, len(kept), user_turns, sum(counts))
        return []
    row.exact, row.beginnings = duplicates.exact(kept), duplicates.beginnings(kept)
    row.characters = sum(len(turn.content) for turn in kept)
    row.sketch = near.sketch(kept) if rules.near_duplicates else b""
    row.user, row.rounds, row.language = item.meta.get("user"), user_turns, language.main(heard)
    meta = {key: value for key, value in item.meta.items() if key not in ("tool_turns", "ends", "piece")}
    if kept[0].role != "assistant":
        meta.pop("context_turns", None)
    if ends and not any(loss.rule == "trailing_user" for loss in row.losses):
        meta["ends"] = True
    if heard:
        meta["language"] = row.language
    session = msgspec.structs.replace(item, messages=tuple(kept), meta=meta)
    made = cut(session, counts, count=rules.count, overhead=rules.overhead, max_tokens=rules.max_tokens)
    row.late_losses = made.losses
    row.segments, row.segment_tokens = len(made.segments), made.tokens
    row.segment_turns = len(kept) - sum(loss.turns for loss in made.losses)
    row.segment_user_turns = user_turns - sum(loss.user_turns for loss in made.losses)
    row.starting_with_user = sum(segment.messages[0].role == "user" for segment in made.segments)
    row.truncated_context, row.truncated_answers = made.truncated_context, made.truncated_answers
    return made.segments


def _drop(turns: Sequence[Turn], heard: Sequence[language.Heard], rules: Rules) -> tuple[str, str] | None:
    """Rule and reason for which a session goes as a whole."""
    if not has_exchange(turns):
        return "no_exchange", "no human turn is answered"
    for number, turn in enumerate(turns):
        found = rules.control_mark in turn.content and rules.control_tokens.search(turn.content)
        if found:
            return "control_token", f"turn {number} spells out the control token {found[0]}"
        if rules.refusals and turn.role == "assistant" and is_refusal(turn.content):
            return "refusal", f"turn {number} refuses, or speaks of being a model"
    if rules.guard:
        question = rules.guard.leak(turns)
        if question:
            return "leak", f"shares a long run of words with {question}"
    if rules.language:
        share = language.share_of(rules.language, heard)
        if share < 1 - rules.other_languages:
            return "language", f"{1 - share:.0%} of it is in other languages than {rules.language}"
    if rules.language_switch:
        codes = language.switch(turns, heard)
        if codes:
            return "language_switch", f"goes from {codes[0]} to {codes[1]} though nobody asks for a translation"
    return None
