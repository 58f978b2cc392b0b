"""The context that ends a conversation, and how its tokens are counted."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from humanturn.conversation import Turn
from humanturn.errors import ModelError
from humanturn.models import weights

PAPER_CONTEXT = 2048
REMEMBERED = 1 << 16
"""Turns whose length is remembered: a conversation is counted at every turn, and only its last turn is new."""


def size(user: str, max_tokens: int | None) -> int:
    """The context in tokens: as given, or what a user model of ours was trained with, or the paper's 2,048."""
    card = user_card(user) if max_tokens is None else None
    return max_tokens or (card.max_tokens if card else PAPER_CONTEXT)


def user_card(user: str) -> weights.Card | None:
    """What humanturn knows of the model the SPEC `user` names; None when it did not train it."""
    folder = Path(user.removeprefix("hf:"))
    return weights.card(folder) if user.startswith("hf:") and folder.is_dir() else None


def counter(user: str, tokenizer: str | None, strategy: str) -> Callable[[Sequence[Turn]], int]:
    """Counts a conversation as the user model reads it, with the header and the end of the turn it writes next.

    Raises:
        ModelError: the tokens of the user model cannot be told, or it is not the kind that the strategy needs.
    """
    from humanturn import scaffold, template, tokens
    from humanturn.models import spec

    name = tokenizer or user
    if not name.startswith(("hf:", "embedded")):
        raise ModelError(f"{name} does not tell its tokens; add --tokenizer SPEC, a model with the same tokenizer")
    folder = spec.local_folder(name)
    loaded = tokens.FileTokenizer(folder)
    if name == user:
        _fits(user, template.opens(loaded), strategy)
    frame = scaffold.read_off(loaded)
    extra = scaffold.overhead(loaded, frame)
    opening = len(loaded(frame.opening)["input_ids"])
    count = tokens.counter(folder)

    @lru_cache(REMEMBERED)
    def length(text: str) -> int:
        return count([text])[0]

    def rendered(turns: Sequence[Turn]) -> int:
        before = opening if turns and turns[0].role == "system" else extra.preface
        return before + sum(length(t.content) + extra.per_turn[t.role] for t in turns) + extra.per_turn["user"]

    return rendered


def _fits(user: str, opens: str, strategy: str) -> None:
    if strategy == "trained" and opens != "user":
        raise ModelError(
            f"{user} answers users, it does not play one (its chat template opens {opens} turns);"
            " train a user model from it, or add --strategy roleplay"
        )
    if strategy != "trained" and opens == "user":
        raise ModelError(
            f"{user} is a trained user model (its chat template opens user turns), and {strategy} instructs a chat"
            " model; name one, or leave --strategy away"
        )
