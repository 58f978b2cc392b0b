"""What a served model is shown of a client's messages."""

from collections.abc import Callable, Sequence
from itertools import takewhile

from humanturn.conversation import Role, Turn
from humanturn.serve.protocol import Refused
from humanturn.serve.speaker import Speaker, opening
from humanturn.template import with_intent

View = Callable[[Speaker, Sequence[Turn]], Sequence[Turn]]


def plain(speaker: Speaker, turns: Sequence[Turn]) -> Sequence[Turn]:
    """The turns as they are; a user model may be asked for its first turn with none.

    Raises:
        Refused: there are none and the model is no user model.
    """
    if speaker.plays == "user":
        return opening(turns)
    if not turns:
        raise Refused(400, "messages is empty", code="invalid_value", param="messages")
    return turns


def flipped(speaker: Speaker, turns: Sequence[Turn]) -> Sequence[Turn]:
    """The turns of a client that calls the simulated user `assistant`, with user and assistant swapped.

    What stands before the conversation tells such a client's model whom to play and what that person wants; a user
    model learns it as its intent.
    """
    system = [turn.content for turn in takewhile(lambda turn: turn.role == "system", turns)]
    swapped = [Turn(_OTHER[turn.role], turn.content) for turn in turns[len(system) :]]
    return with_intent(swapped, "\n\n".join(system)) if system else opening(swapped)


ROLES: dict[str, View] = {"plain": plain, "flipped": flipped}

_OTHER: dict[Role, Role] = {"user": "assistant", "assistant": "user", "system": "system"}
