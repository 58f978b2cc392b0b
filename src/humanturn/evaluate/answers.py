"""Answers of a model to the benchmark's questions, turn by turn."""

from collections.abc import Callable, Sequence

import msgspec

from humanturn import run
from humanturn.conversation import Turn
from humanturn.errors import EndpointError
from humanturn.evaluate.benchmarks import OTHER_TEMPERATURE, TEMPERATURES
from humanturn.evaluate.errands import Office, run_all
from humanturn.evaluate.store import Store
from humanturn.models.model import ChatModel, Sampling
from humanturn.records import Question, Reply


class Contestant(msgspec.Struct, frozen=True):
    """A model that is evaluated."""

    name: str
    spec: str
    model: ChatModel


def key(question: Question) -> str:
    """The question's id as the store holds it."""
    return msgspec.json.encode(question.question_id).decode()


async def answer_all(
    contestant: Contestant,
    questions: Sequence[Question],
    store: Store,
    office: Office,
    *,
    max_tokens: int,
    temperature: float | None,
    seed: int,
    done: Callable[[float], None],
) -> None:
    """Answer whatever is not answered yet, committing every turn before the next is asked for.

    A turn that the endpoint refuses for good (too long, say) is kept as an error and ends that answer.

    Raises:
        EndpointError, BudgetReachedError: as `run_all`.
    """

    async def answer(question: Question) -> EndpointError | None:
        turns = [turn.text for turn in store.answer(contestant.name, key(question))]
        for number in range(len(turns), len(question.turns)):
            sampling = Sampling(
                temperature=temperature if temperature is not None else default_temperature(question.category),
                max_tokens=max_tokens,
            )
            drawn = run.derived_seed(seed, "answer", contestant.name, key(question), number)
            try:
                reply = await office.ask(contestant.spec, contestant.model, messages(question, turns), sampling, drawn)
            except EndpointError as error:
                if error.passing:
                    raise
                nothing = Reply("", contestant.spec, 0, 0, "error")
                store.keep_answer(contestant.name, key(question), number + 1, nothing, str(error))
                return error
            store.keep_answer(contestant.name, key(question), number + 1, reply)
            turns.append(reply.text)
        return None

    open_questions = [q for q in questions if len(store.answer(contestant.name, key(q))) < len(q.turns)]
    done(len(questions) - len(open_questions))
    await run_all(open_questions, answer, office, done)


def messages(question: Question, answered: Sequence[str]) -> list[Turn]:
    """The conversation up to the next user turn."""
    turns = []
    for asked, said in zip(question.turns, answered, strict=False):
        turns += [Turn("user", asked), Turn("assistant", said)]
    return [*turns, Turn("user", question.turns[len(answered)])]


def default_temperature(category: str) -> float:
    """As MT-Bench prescribes for its categories; 0.7 for others."""
    return TEMPERATURES.get(category, OTHER_TEMPERATURE)
