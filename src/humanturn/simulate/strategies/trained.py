"""A user model continues the conversation as it stands (paper, section 3.2)."""

from collections.abc import Sequence

from humanturn.conversation import Turn
from humanturn.simulate.conversation_loop import take_turns
from humanturn.simulate.table import Ended, Sitting
from humanturn.template import USER_MODEL_PREFACE, with_intent


async def play(sitting: Sitting) -> Ended:
    """Free, or after the opening turns it is given (section 5.2), or with an intent."""
    job = sitting.job
    reason, _ = await take_turns(sitting, job.opening, lambda turns: shown(turns, job.intent), job.rounds)
    return Ended(reason)


def shown(turns: Sequence[Turn], intent: str | None) -> Sequence[Turn]:
    """The turns themselves; before the first, the preface alone, since no endpoint takes an empty conversation."""
    if intent:
        return with_intent(turns, intent)
    return turns or (Turn("system", USER_MODEL_PREFACE),)
