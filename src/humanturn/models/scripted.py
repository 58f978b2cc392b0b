"""A model that replays conversations from a file; for tests and examples."""

from collections.abc import Sequence
from pathlib import Path

from humanturn import jsonl
from humanturn.conversation import Conversation, Turn
from humanturn.errors import EndpointError, ModelError
from humanturn.models.model import Sampling
from humanturn.records import Reply


class ScriptedModel:
    """Says what the file's conversations say next.

    The conversation is the one that begins with the turns so far; when none does, the seed picks one. The turn is the
    one at the same place in it; past its end, it begins again.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"scripted:{path}"
        self.script = list(jsonl.read(path, Conversation))
        if not self.script:
            raise ModelError(f"{path}: holds no conversation to replay")

    async def reply(self, messages: Sequence[Turn], *, sampling: Sampling, seed: int) -> Reply:
        """The next turn of the script: an answer when a user spoke last, else a user turn."""
        spoken = [turn for turn in messages if turn.role != "system"]
        role = "assistant" if spoken and spoken[-1].role == "user" else "user"
        matching = [
            c for c in self.script if list(c.messages[: len(spoken)]) == spoken and len(c.messages) > len(spoken)
        ]
        chosen = matching[0] if spoken and matching else self.script[seed % len(self.script)]
        lines = [turn.content for turn in chosen.messages if turn.role == role]
        if not lines:
            raise EndpointError(f"{self.name}: conversation {chosen.id} has no {role} turn to say")
        text = lines[sum(turn.role == role for turn in spoken) % len(lines)]
        return Reply(
            text=text,
            model=self.name,
            prompt_tokens=sum(len(turn.content.split()) for turn in messages),
            completion_tokens=len(text.split()),
            finish_reason="stop",
        )

    async def close(self) -> None:
        """Nothing to let go of."""
