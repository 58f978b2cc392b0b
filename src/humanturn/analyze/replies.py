"""What a model says where a person spoke: the turns that a scorecard compares."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from humanturn import jsonl, progress, run
from humanturn.analyze.errands import for_each
from humanturn.conversation import Conversation, Turn
from humanturn.models.model import ChatModel, Sampling
from humanturn.models.patience import ask as ask_patiently
from humanturn.template import USER_MODEL_PREFACE, as_roleplay

NOTHING_SAID = (Turn("system", USER_MODEL_PREFACE),)
"""What a user model reads before the first turn: chat templates and endpoints refuse an empty conversation."""


class Place(msgspec.Struct, frozen=True):
    """A point in a heldout conversation where a person spoke."""

    id: str
    """Of the conversation, and the turn's index: unique."""
    session_id: str
    before: tuple[Turn, ...]
    """What had been said."""
    said: str
    """What the person said."""

    @property
    def first(self) -> bool:
        """True where nothing had been said yet."""
        return not self.before


class Said(msgspec.Struct, frozen=True):
    """One turn of whoever was asked."""

    place: str
    session_id: str
    first: bool
    text: str


def places(conversations: Sequence[Conversation], *, per_session: int) -> list[Place]:
    """The first `per_session` human turns of each session that are not carried context."""
    taken: dict[str, int] = {}
    found = []
    for conversation in conversations:
        for number, turn in enumerate(conversation.messages):
            counted = taken.get(conversation.session_id, 0)
            if turn.role != "user" or number < conversation.context_turns or counted >= per_session:
                continue
            taken[conversation.session_id] = counted + 1
            found.append(
                Place(
                    f"{conversation.id}/{number}",
                    conversation.session_id,
                    tuple(conversation.messages[:number]),
                    turn.content,
                )
            )
    return found


def ask(
    model: ChatModel,
    where: Sequence[Place],
    path: Path,
    *,
    sampling: Sampling,
    seed: int,
    roleplay: bool,
    concurrency: int = 32,
    retries: int = 5,
) -> list[Said]:
    """What `model` says at each place; `path` keeps each answer as it comes, so that nothing is asked twice.

    Args:
        model: a user model, or with `roleplay` any chat model, which is told to play the user.
        where: the places; a model sees what had been said there, never what the person said.
        path: JSONL file of `Said`.
        sampling: how to draw.
        seed: of the whole; each place has its own seed derived from it.
        roleplay: flip the roles behind the instruction to play the user.
        concurrency: requests under way at once.
        retries: how often to wait and ask again when a model is busy.

    Raises:
        EndpointError: the model failed; what it had said is kept.
    """
    jsonl.repair(path)
    known = {said.place: said for said in jsonl.read(path, Said)} if path.exists() else {}
    left = [place for place in where if place.id not in known]

    async def answer(place: Place) -> None:
        shown = as_roleplay(place.before) if roleplay else place.before or NOTHING_SAID
        reply = await ask_patiently(model, shown, sampling, run.derived_seed(seed, place.id), retries=retries)
        known[place.id] = Said(place.id, place.session_id, place.first, reply.text)
        jsonl.append(path, known[place.id])
        advance(1)

    with progress.bar(f"ask {model.name}", len(left), "turns") as advance:
        for_each(left, answer, model=model, concurrency=concurrency)
    return [known[place.id] for place in where]


def human(where: Sequence[Place]) -> list[Said]:
    """What people said at these places."""
    return [Said(place.id, place.session_id, place.first, place.said) for place in where]
