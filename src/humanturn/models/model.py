"""What every model can do: take the next turn."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from humanturn.conversation import Turn
from humanturn.records import Reply


class Sampling(msgspec.Struct, frozen=True):
    """How to draw the tokens of a reply."""

    temperature: float = 0.7
    """0 takes the likeliest token every time."""
    top_p: float = 1.0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    presence: float = 0.0
    """Taken off the logit of every token that stands in the reply already (OpenAI's presence penalty)."""


class ChatModel(Protocol):
    """A user model, an assistant, a judge, or a script in a test.

    A user model writes the next *user* turn of `messages`; any other model the next assistant turn. Replies are
    stripped of surrounding white space. The same `messages`, `sampling` and `seed` give the same reply as far as the
    model allows.
    """

    name: str

    async def reply(self, messages: Sequence[Turn], *, sampling: Sampling, seed: int) -> Reply:
        """Write the next turn.

        Raises:
            EndpointError: the model cannot be reached or failed; `passing` says whether asking again may help.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and memory."""
        ...


class StreamingModel(ChatModel, Protocol):
    """A model that can say its turn piece by piece."""

    def stream(self, messages: Sequence[Turn], *, sampling: Sampling, seed: int) -> AsyncIterator[str | Reply]:
        """Pieces of text as they come, and last the whole `Reply`; the pieces joined and stripped are its text."""
        ...
