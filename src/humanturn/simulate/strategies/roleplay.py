"""An ordinary chat model, told to be a person: the baseline every trained user model has to beat."""

from humanturn.simulate.conversation_loop import take_turns
from humanturn.simulate.store import Job
from humanturn.simulate.table import Ended, Sitting
from humanturn.template import ROLEPLAY_PREFACE, as_roleplay


async def play(sitting: Sitting) -> Ended:
    """The user sees the conversation with roles flipped, behind the instruction to be a person."""
    job, told = sitting.job, preface(sitting.job)
    reason, _ = await take_turns(sitting, job.opening, lambda turns: as_roleplay(turns, told), job.rounds)
    return Ended(reason)


def preface(job: Job) -> str:
    """The instruction, with who the person is and what they want where the job says so."""
    who = [f"You are this person: {job.persona}"] if job.persona else []
    wants = [f"What you want: {job.intent}"] if job.intent else []
    return "\n".join([ROLEPLAY_PREFACE, *who, *wants])
