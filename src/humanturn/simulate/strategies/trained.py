"""A user model continues the conversation as it stands (paper, section 3.2)."""

from collections.abc import Sequence

from humanturn.conversation import Turn
from humanturn.template import USER_MODEL_PREFACE


def shown(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The turns themselves; before the first, the preface alone, since no endpoint takes an empty conversation."""
    return turns or (Turn("system", USER_MODEL_PREFACE),)
