"""A model with what has to be known before it is asked: whose turns it writes, and how much it can read."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from humanturn import template, tokens
from humanturn.conversation import Role, Turn
from humanturn.errors import InputError
from humanturn.models import spec as specs
from humanturn.models import weights
from humanturn.models.model import ChatModel, Sampling

# Tokenizers are not made for several threads, and a long prompt must not keep others from being heard.
_counting = ThreadPoolExecutor(max_workers=1, thread_name_prefix="humanturn-count")


class ContextFullError(InputError):
    """What a model would have to read, or read and write, does not fit its context."""


class Speaker(msgspec.Struct, frozen=True):
    """A model, and what its folder says of it; of an endpoint or a script nothing is known."""

    spec: str
    model: ChatModel
    plays: Role | None = None
    """Whose turns it writes."""
    tokenizer: Any = None
    context: int | None = None
    """Tokens it can read and write together."""
    ends: bool = False
    """True when an empty turn of its is the end of the conversation."""


def load(spec: str) -> Speaker:
    """The model that `spec` names.

    Raises:
        ModelError: the SPEC names no usable model.
    """
    model = specs.load(spec)
    if spec.partition(":")[0] not in ("embedded", "hf"):
        return Speaker(spec, model)
    folder = specs.local_folder(spec)
    tokenizer = tokens.load(folder)
    card = weights.card(folder)
    return Speaker(
        spec,
        model,
        plays=template.opens(tokenizer),
        tokenizer=tokenizer,
        context=weights.context(folder, tokenizer),
        ends=card is not None and card.learned_ending,
    )


def opening(turns: Sequence[Turn]) -> Sequence[Turn]:
    """What a user model is shown: the turns; before the first, its preface alone, as no template takes nothing."""
    return turns or (Turn("system", template.USER_MODEL_PREFACE),)


async def fitted(speaker: Speaker, turns: Sequence[Turn], *, wanted: int | None, usual: int) -> int:
    """How many tokens the next turn may have: what is `wanted`, or the `usual` as far as there is room.

    Raises:
        ContextFullError: the prompt leaves no room for it.
        FormatError: the chat template refuses these roles.
    """
    if speaker.tokenizer is None or speaker.context is None:
        return wanted or usual
    loop = asyncio.get_running_loop()
    prompt = len(await loop.run_in_executor(_counting, template.prompt_ids, speaker.tokenizer, turns))
    room = speaker.context - prompt
    if room < (wanted or 1):
        asked = f" and {wanted:,} are to be written" if wanted else ""
        raise ContextFullError(
            f"the context of {speaker.spec} is {speaker.context:,} tokens; the messages have {prompt:,}{asked};"
            " shorten the messages or ask for fewer tokens"
        )
    return wanted or min(usual, room)


async def wake(speaker: Speaker) -> None:
    """Load a local model into memory before anybody waits for it."""
    if speaker.tokenizer is not None:
        turns = opening(()) if speaker.plays == "user" else (Turn("user", "Hello"),)
        await speaker.model.reply(turns, sampling=Sampling(temperature=0, max_tokens=1), seed=0)
