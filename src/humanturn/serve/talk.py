"""A conversation at the terminal, and what a person may do to it."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from humanturn import jsonl
from humanturn.conversation import Conversation, Role, Turn
from humanturn.models.model import Sampling
from humanturn.serve.speaker import Speaker


class Talk(msgspec.Struct):
    """A conversation at the terminal."""

    speakers: dict[Role, Speaker]
    """Who speaks; a role that nobody has is the person's at the keyboard."""
    sampling: Sampling
    seed: int
    rounds: int
    """How many rounds two models talk before you are asked."""
    turns: list[Turn] = []
    drawn: Counter[int] = msgspec.field(default_factory=Counter)
    """How often each turn was drawn, by its place."""
    waiting: bool = False
    """True when a person decides how it goes on, though a model's turn is due."""
    saved: set[Path] = msgspec.field(default_factory=set)


def undo(talk: Talk) -> None:
    """Take back the last round: up to and with the last turn of yours, or of the user when models talk."""
    yours: Role = "user" if len(talk.speakers) == 2 or "assistant" in talk.speakers else "assistant"
    last = next((place for place in reversed(range(len(talk.turns))) if talk.turns[place].role == yours), None)
    if last is None:
        print("there is nothing to take back")
        return
    del talk.turns[last:]
    talk.waiting = len(talk.speakers) == 2
    print(f"taken back; {len(talk.turns)} turns are left")


def retry(talk: Talk) -> None:
    """Let the model whose turn was last say it anew."""
    if talk.turns and talk.turns[-1].role in talk.speakers:
        talk.turns.pop()
    talk.waiting = False


def save(talk: Talk, name: str) -> None:
    """Write the conversation to a file, which is replaced only when this chat wrote it."""
    path = Path(name).expanduser()
    if not name or (path.exists() and path not in talk.saved):
        print(f"{name}: is there already; name another file" if name else "/save FILE")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        jsonl.write(path, [record(talk)])
    except OSError as error:
        print(f"{path}: cannot write ({error.strerror})")
        return
    talk.saved.add(path)
    print(f"{len(talk.turns)} turns saved to {path}")


def record(talk: Talk) -> Conversation:
    """The conversation as our files hold it."""
    models: dict[str, Any] = {role: speaker.spec for role, speaker in talk.speakers.items()}
    return Conversation(
        id=f"chat-{talk.seed}", messages=tuple(talk.turns), source="chat", meta={**models, "seed": talk.seed}
    )
