"""Simulated conversations: how they ended, and a packed copy for the page's browser, with some of people beside."""

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
MOST_HUMAN = 300
"""Human conversations a page holds, to be read beside the simulated ones."""
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
    """Base64 of gzipped JSON: a list of [id, strategy, stop reason, events, [[role, text, characters], ...], human];
    the human ones stand last, without strategy and stop reason."""
    turns_cut: int
    humans: int
    humans_shown: int
    humans_file: str


def summarize(run_dir: Path) -> Summary | None:
    """Count every simulated conversation and pack at most `MOST`, with heldout human ones; None when there are none."""
    path = run_dir / "simulate" / "conversations.jsonl"
    total = _count(path)
    if not total:
        return None
    keep = _spread(total, MOST)
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
    people = next((f for f in _human_files(run_dir) if _count(f)), None)
    humans = _count(people) if people else 0
    kept = _spread(humans, MOST_HUMAN)
    for number, conversation in enumerate(jsonl.read(people, Conversation) if people else ()):
        if number in kept:
            packed.append(_packed(conversation, {}, human=True))
    return Summary(
        total=total,
        shown=len(keep),
        rounds=rounds,
        stops=dict(stops.most_common()),
        strategies=dict(strategies.most_common()),
        guards={guard: (n, affected[guard]) for guard, n in events.most_common()},
        packed=base64.b64encode(gzip.compress(msgspec.json.encode(packed), 6, mtime=0)).decode(),
        turns_cut=cut,
        humans=humans,
        humans_shown=len(kept),
        humans_file=str(people.relative_to(run_dir)) if people else "",
    )


def _human_files(run_dir: Path) -> list[Path]:
    """Where people's conversations are: those that no model was trained on, rather."""
    return [run_dir / "prepare" / "heldout.jsonl", run_dir / "prepare" / "train.jsonl"]


def _count(path: Path) -> int:
    return sum(1 for _ in jsonl.read(path, msgspec.Raw)) if path.exists() else 0


def _spread(total: int, most: int) -> set[int]:
    """Numbers below `total`, evenly spaced, at most so many."""
    return set(range(total)) if total <= most else {n * total // most for n in range(most)}


def _packed(conversation: Conversation, events: dict[str, int], *, human: bool = False) -> list[Any]:
    meta = conversation.meta
    turns = [[t.role, t.content[:LONGEST_TURN], len(t.content)] for t in conversation.messages]
    stop, strategy = str(meta.get("stop_reason") or "unknown"), str(meta.get("strategy") or "unknown")
    return [conversation.id, *(("", "") if human else (strategy, stop)), events, turns, int(human)]
