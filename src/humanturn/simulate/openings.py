"""What jobs begin with: seeds, intents, personas, and how many rounds they have."""

from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from humanturn import jsonl, run
from humanturn.conversation import Conversation, Turn
from humanturn.errors import FormatError, InputError
from humanturn.simulate.store import Job

BUILTIN = "builtin"
"""Instead of a file of personas: ours."""


class Seed(msgspec.Struct, frozen=True):
    """What opens a conversation."""

    id: str
    turns: tuple[Turn, ...]
    intent: str | None = None
    category: str | None = None


def seeds(path: Path) -> list[Seed]:
    """Seeds of a file: opening lines (`.txt`, a line each, or JSONL of strings), else conversations of any format.

    Raises:
        InputError: the file is missing or holds nothing.
        FormatError: a record cannot be read.
    """
    said = lines(path, ())
    if said is not None:
        return [Seed(f"{path.stem}-{n}", (Turn("user", text),)) for n, text in enumerate(said, 1)]
    from humanturn.formats import read_conversations

    return [seed for seed in map(of_conversation, read_conversations(path)) if seed.turns]


def of_conversation(conversation: Conversation) -> Seed:
    """The first round of a conversation, or its first user turn when nobody answered (section 5.2)."""
    turns, meta = conversation.messages, conversation.meta
    first = next((n for n, turn in enumerate(turns) if turn.role == "user"), len(turns))
    answered = first + 1 < len(turns) and turns[first + 1].role == "assistant"
    category, intent = meta.get("category"), meta.get("intent")
    return Seed(
        conversation.id,
        turns[first : first + 1 + answered],
        str(intent) if intent else None,
        str(category) if category else None,
    )


def intents(path: Path) -> list[str]:
    """Intents of a file: a line each, JSONL of strings or of `{"intent": ...}`, or conversations with `meta.intent`.

    Raises:
        InputError: it holds none.
    """
    said = lines(path, ("intent",))
    found = said if said is not None else [seed.intent for seed in seeds(path) if seed.intent]
    if not found:
        raise InputError(f"{path}: holds no intent; give a line each, or conversations with meta.intent")
    return found


def personas(given: str) -> list[str]:
    """Personas of a file (a line each, or JSONL of strings or of `{"persona": ...}`), or ours for `builtin`.

    Raises:
        InputError: the file is missing, or holds something else.
    """
    if given == BUILTIN:
        return resources.files("humanturn.simulate").joinpath("data/personas.txt").read_text().splitlines()
    found = lines(Path(given), ("persona",))
    if not found:
        raise InputError(f'{given}: holds no personas; give a line each, or JSONL with "persona"')
    return found


def rounds(given: int | str | None) -> Sequence[int]:
    """The numbers of rounds to draw from: one, or those of a human corpus's sessions; none for no limit.

    Segments of one session count together, without the turns that are carried over between them.

    Raises:
        InputError: the file is missing or no session in it has a round.
    """
    if given is None or isinstance(given, int):
        return () if given is None else (given,)
    from humanturn.formats import read_conversations

    sessions: dict[str, int] = {}
    for part in read_conversations(Path(given)):
        own = sum(turn.role == "user" for turn in part.messages[part.context_turns :])
        sessions[part.session_id] = sessions.get(part.session_id, 0) + own
    found = sorted(n for n in sessions.values() if n)
    if not found:
        raise InputError(f"{given}: no session in it has a user turn to count rounds by")
    return found


def lines(path: Path, keys: Iterable[str]) -> list[str] | None:
    """Texts of a `.txt` file, or of JSONL of strings or of objects with one of `keys`; None for other files."""
    if path.suffix == ".txt":
        with jsonl.open_bytes(path) as file:
            found = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
        return _some(path, [text for text in found if text])
    if path.suffix != ".jsonl":
        return None
    texts: list[str] = []
    try:
        for row in jsonl.read(path, Any):
            text = next((row[k] for k in keys if k in row), None) if isinstance(row, dict) else row
            if not isinstance(text, str):
                return None
            texts.append(text)
    except FormatError:
        return None  # what the formats say of it is clearer
    return _some(path, texts)


def _some(path: Path, texts: list[str]) -> list[str]:
    if not texts:
        raise InputError(f"{path}: is empty")
    return texts


def job(
    number: int,
    seed: int,
    opening: Seed | None,
    *,
    intents: Sequence[str],
    personas: Sequence[str],
    rounds: Sequence[int],
) -> Job:
    """Job `number` of a run with `seed`; what it is given is drawn by its own seed, intents in turn."""
    own = run.derived_seed(seed, number)

    def drawn(name: str, choices: Sequence[Any]) -> Any:
        return choices[run.derived_seed(own, name) % len(choices)] if choices else None

    given = opening or Seed("", ())
    return Job(
        number,
        own,
        opening=given.turns,
        source=given.id or None,
        intent=intents[number % len(intents)] if intents else given.intent,
        persona=drawn("persona", personas),
        rounds=drawn("rounds", rounds),
        category=given.category,
    )
