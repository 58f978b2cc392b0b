"""An ordinary chat model, told to be a person: the baseline every trained user model has to beat."""

from collections.abc import Sequence

from humanturn.conversation import Turn
from humanturn.template import as_roleplay


def shown(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The conversation with roles flipped, behind the instruction to play the user."""
    return as_roleplay(turns)
