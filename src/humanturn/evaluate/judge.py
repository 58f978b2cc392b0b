"""Judges: grade one answer, or compare two in both orders."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from humanturn import run
from humanturn.conversation import Turn
from humanturn.errors import EndpointError
from humanturn.evaluate import prompts, verdicts
from humanturn.evaluate.answers import key
from humanturn.evaluate.benchmarks import reference_for
from humanturn.evaluate.errands import Office, run_all
from humanturn.evaluate.store import ATTEMPTS, Asked, Store
from humanturn.models.model import ChatModel, Sampling
from humanturn.records import Question, QuestionId, Reply


class Judge(msgspec.Struct, frozen=True):
    """A model that judges."""

    name: str
    spec: str
    model: ChatModel


class Brief(msgspec.Struct, frozen=True):
    """How judges are asked."""

    prompts: dict[str, prompts.Prompt]
    references: dict[QuestionId, tuple[str, ...]]
    sampling: Sampling
    seed: int


class Case(msgspec.Struct, frozen=True):
    """One request to a judge."""

    asked: Asked
    question: Question
    answers: tuple[tuple[str, ...], ...]
    """Turns of the one answer to grade, or of the two to compare in the order shown."""


Answers = Mapping[str, Mapping[QuestionId, tuple[str, ...]]]
"""Complete answers by model and question."""


def single_cases(judge: str, questions: Sequence[Question], answers: Answers, repeats: int) -> Iterator[Case]:
    """Every turn of every answer."""
    for repeat, question in itertools.product(range(repeats), questions):
        for name, given in answers.items():
            if question.question_id in given:
                said = given[question.question_id]
                for turn in range(1, len(question.turns) + 1):
                    yield Case(Asked(judge, key(question), turn, name, "", repeat), question, (said[:turn],))


def pair_cases(
    judge: str,
    questions: Sequence[Question],
    answers: Answers,
    pairs: Sequence[tuple[str, str]],
    repeats: int,
) -> Iterator[Case]:
    """Every turn of every pair of answers, in both orders."""
    for repeat, question, pair in itertools.product(range(repeats), questions, pairs):
        if not all(question.question_id in answers[name] for name in pair):
            continue
        for turn, (first, second) in itertools.product(range(1, len(question.turns) + 1), (pair, pair[::-1])):
            shown = tuple(answers[name][question.question_id][:turn] for name in (first, second))
            yield Case(Asked(judge, key(question), turn, first, second, repeat), question, shown)


async def judge_all(
    judge: Judge, cases: Sequence[Case], brief: Brief, store: Store, office: Office, done: Callable[[float], None]
) -> None:
    """Have every case judged that is not yet; a reply that cannot be read is asked for once more, then kept as such.

    Raises:
        EndpointError, BudgetReachedError: as `run_all`.
    """
    open_cases = [case for case in cases if not _settled(store, case.asked)]
    done(len(cases) - len(open_cases))

    async def decide(case: Case) -> EndpointError | None:
        return await _decide(judge, case, brief, store, office)

    await run_all(open_cases, decide, office, done)


def _settled(store: Store, asked: Asked) -> bool:
    replies = store.judgment(asked)
    return bool(replies) and (replies[-1].verdict is not None or len(replies) == ATTEMPTS)


async def _decide(judge: Judge, case: Case, brief: Brief, store: Store, office: Office) -> EndpointError | None:
    asked, turn = case.asked, case.asked.turn
    reference = reference_for(case.question, brief.references, turn)
    prompt, told = prompts.messages(brief.prompts, case.question.turns[:turn], case.answers, reference)
    mode = "pairwise" if asked.second else "single"
    before = store.judgment(asked)
    for attempt in range(len(before), ATTEMPTS):
        request = list(told)
        if before:  # at temperature 0 the same request would get the same reply
            request += [Turn("assistant", before[-1].text), Turn("user", verdicts.AGAIN[mode])]
        seed = run.derived_seed(brief.seed, "judge", *msgspec.structs.astuple(asked), attempt)
        try:
            reply = await office.ask(judge.spec, judge.model, request, brief.sampling, seed)
        except EndpointError as error:
            if error.passing:
                raise
            nothing = Reply("", judge.spec, 0, 0, "error")
            store.keep_judgment(asked, attempt, (prompt, told[-1].content), None, nothing, str(error))
            return error
        verdict = verdicts.winner(reply.text) if asked.second else verdicts.grade(reply.text)
        said = None if verdict is None else str(verdict)
        store.keep_judgment(asked, attempt, (prompt, told[-1].content), said, reply)
        if verdict is not None:
            return None
        before = store.judgment(asked)
    return None
