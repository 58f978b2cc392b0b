"""Benchmark questions and reference answers, in the file format of FastChat's `llm_judge`."""

from collections.abc import Collection
from pathlib import Path

from humanturn import jsonl
from humanturn.errors import HumanturnError, InputError
from humanturn.records import Answer, Question, QuestionId

DATA = Path(__file__).parent / "data"

REFERENCE_CATEGORIES = frozenset({"math", "reasoning", "coding"})
"""Judged against a reference answer, because judges are poor at solving these themselves (Zheng et al. 2023)."""

TEMPERATURES = {
    **dict.fromkeys(("writing", "roleplay"), 0.7),
    **dict.fromkeys(("stem", "humanities"), 0.1),
    **dict.fromkeys(("extraction", "math", "coding", "reasoning"), 0.0),
}
"""Answer temperature by category, as MT-Bench prescribes."""
OTHER_TEMPERATURE = 0.7

# Category of each question id of the two published benchmarks, for judgment files that come without their questions.
MT_BENCH = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
VICUNA_BENCH = ("generic", "knowledge", "roleplay", "common-sense", "fermi", "counterfactual")


def files(benchmark: str, questions: str | None, references: str | None) -> dict[str, Path]:
    """The files a benchmark is read from: `questions`, and `references` when it has any.

    Files that are given take the place of the benchmark's own; its references go with its own questions only.

    Raises:
        InputError: the benchmark cannot be had without a file.
    """
    if questions:
        found = {"questions": Path(questions)}
    elif benchmark == "mini":
        found = {"questions": DATA / "mini.jsonl", "references": DATA / "mini_references.jsonl"}
    else:
        from humanturn.fetch import fetch

        try:
            found = {"questions": fetch(benchmark), "references": fetch(f"{benchmark}-references")}
        except HumanturnError as error:
            raise InputError(f"{error}; give its files with --questions and --references") from None
    return found | ({"references": Path(references)} if references else {})


def read_questions(path: Path) -> list[Question]:
    """Questions of a FastChat question file, in its order.

    Raises:
        FormatError: a line is no question; names file and line.
        InputError: there are none, one has no turn, or an id stands twice.
    """
    questions = list(jsonl.read(path, Question))
    seen: set[QuestionId] = set()
    for question in questions:
        if not question.turns:
            raise InputError(f"{path}: question {question.question_id} has no turn; give it one or remove it")
        if question.question_id in seen:
            raise InputError(f"{path}: question {question.question_id} stands there twice; keep one")
        seen.add(question.question_id)
    if not questions:
        raise InputError(f"{path}: holds no question")
    return questions


def read_references(path: Path | None) -> dict[QuestionId, tuple[str, ...]]:
    """Reference answers by question id."""
    if path is None:
        return {}
    return {answer.question_id: answer.choices[0].turns for answer in jsonl.read(path, Answer) if answer.choices}


def reference_for(
    question: Question, references: dict[QuestionId, tuple[str, ...]], turn: int
) -> tuple[str, ...] | None:
    """Reference answers up to `turn` (from 1) for the categories judged by them; None when there are none."""
    if question.category not in REFERENCE_CATEGORIES:
        return None
    given = references.get(question.question_id, ())
    return given[:turn] if len(given) >= turn else None


def known_categories(ids: Collection[QuestionId]) -> dict[QuestionId, str]:
    """Categories of MT-Bench (81 to 160) or Vicuna-Bench (1 to 80) ids; empty when the ids are not all of one."""
    numbers = [i for i in ids if isinstance(i, int)]
    if not numbers or len(numbers) < len(ids):
        return {}
    if min(numbers) >= 81 and max(numbers) <= 160:
        return {i: MT_BENCH[(i - 81) // 10] for i in sorted(numbers)}
    if min(numbers) >= 1 and max(numbers) <= 80:
        return {i: _vicuna_category(i) for i in sorted(numbers)}
    return {}


def _vicuna_category(number: int) -> str:
    if number <= 60:
        return VICUNA_BENCH[(number - 1) // 10]
    return "coding" if number <= 67 else "math" if number <= 70 else "writing"
