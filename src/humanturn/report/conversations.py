"""Simulated conversations: how they ended, and a packed copy for the page's browser."""

import base64
import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from humanturn import jsonl
from humanturn.conversation import Conversation

MOST = 5000
"""Conversations a page holds; of more, every n-th is taken."""
LONGEST_TURN = 100_000
"""Characters of a turn that a page holds."""


class Summary(msgspec.Struct):
    """All conversations counted, and some of them packed."""

    total: int
    shown: int
    rounds: int
    stops: dict[str, int]
    strategies: dict[str, int]
    guards: dict[str, tuple[int, int]]
    """Per guard: events, and conversations with one."""
    packed: str
    """Base64 of gzipped JSON: a list of [id, strategy, stop reason, events, [[role, text, characters], ...]]."""
    turns_cut: int


def summarize(path: Path) -> Summary | None:
    """Count every conversation in `path` and pack at most `MOST`; None when there is no such file or nothing in it."""
    if not path.exists():
        return None
    total = sum(1 for _ in jsonl.read(path, msgspec.Raw))
    if not total:
        return None
    keep = set(range(total)) if total <= MOST else {n * total // MOST for n in range(MOST)}
    stops, strategies, events, affected = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    packed, rounds, cut = [], 0, 0
    for number, conversation in enumerate(jsonl.read(path, Conversation)):
        meta = conversation.meta
        seen = {guard: n for guard, n in dict(meta.get("events") or {}).items() if n}
        stops[str(meta.get("stop_reason") or "unknown")] += 1
        strategies[str(meta.get("strategy") or "unknown")] += 1
        events.update(seen)
        affected.update(seen.keys())
        rounds += conversation.rounds()
        if number in keep:
            packed.append(_packed(conversation, seen))
            cut += sum(len(turn.content) > LONGEST_TURN for turn in conversation.messages)
    return Summary(
        total=total,
        shown=len(packed),
        rounds=rounds,
        stops=dict(stops.most_common()),
        strategies=dict(strategies.most_common()),
        guards={guard: (n, affected[guard]) for guard, n in events.most_common()},
        packed=base64.b64encode(gzip.compress(msgspec.json.encode(packed), 6, mtime=0)).decode(),
        turns_cut=cut,
    )


def _packed(conversation: Conversation, events: dict[str, int]) -> list[Any]:
    meta = conversation.meta
    turns = [[t.role, t.content[:LONGEST_TURN], len(t.content)] for t in conversation.messages]
    stop, strategy = str(meta.get("stop_reason") or "unknown"), str(meta.get("strategy") or "unknown")
    return [conversation.id, strategy, stop, events, turns]
