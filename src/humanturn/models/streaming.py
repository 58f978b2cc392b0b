"""A turn piece by piece, from any model."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast

from humanturn.conversation import Turn
from humanturn.models.model import ChatModel, Sampling, StreamingModel
from humanturn.records import Reply


async def stream(
    model: ChatModel, messages: Sequence[Turn], *, sampling: Sampling, seed: int
) -> AsyncGenerator[str | Reply, None]:
    """Pieces of text as they come, and last the whole `Reply`; the pieces joined are exactly its text.

    A model that cannot stream says its turn in one piece. White space is held back until something follows it, because
    a reply has none at its ends.

    Raises:
        EndpointError: as `model.reply` does.
    """
    if not hasattr(model, "stream"):
        reply = await model.reply(messages, sampling=sampling, seed=seed)
        if reply.text:
            yield reply.text
        yield reply
        return
    begun, held = False, ""
    # aclosing: whoever stops listening stops the writing as well
    async with aclosing(cast(StreamingModel, model).stream(messages, sampling=sampling, seed=seed)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            if isinstance(piece, Reply):
                yield piece
                continue
            text = held + (piece if begun else piece.lstrip())
            said = text.rstrip()
            held = text[len(said) :] if begun or said else ""
            begun = begun or bool(said)
            if said:
                yield said
