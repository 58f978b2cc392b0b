"""The evaluate stage: models answer a benchmark, judges grade or compare the answers."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pydantic

from humanturn import jsonl, progress, run
from humanturn.errors import InputError
from humanturn.records import QuestionId, StageResult


class EvaluateSettings(run.Settings):
    """Settings of `humanturn evaluate`."""

    free: ClassVar[frozenset[str]] = frozenset({"concurrency", "retries", "budget", "prices"})

    models: dict[str, str] = pydantic.Field({}, description="SPEC of each model, by the name it has in the tables")
    benchmark: Literal["mini", "mt-bench", "vicuna-bench"] = "mini"
    questions: str | None = pydantic.Field(None, description="a FastChat question file, in place of the benchmark's")
    references: str | None = pydantic.Field(None, description="reference answers to math, reasoning, coding")
    judge: tuple[str, ...] = pydantic.Field((), description="SPECs of the judges; several are compared")
    mode: Literal["single", "pairwise"] = pydantic.Field("single", description="grade answers, or compare them")
    baseline: str | None = pydantic.Field(None, description="compare each model with this one only, not all pairs")
    rule: Literal["both", "lenient"] = pydantic.Field("both", description="does a win and a tie make a win?")
    judge_prompts: str | None = pydantic.Field(None, description="a FastChat judge_prompts.jsonl, in place of ours")
    temperature: float | None = pydantic.Field(None, ge=0, description="of answers; default: as the category needs")
    max_tokens: int = pydantic.Field(1024, ge=1, description="of an answer")
    judge_temperature: float = pydantic.Field(0.0, ge=0)
    judge_max_tokens: int = pydantic.Field(1024, ge=1)
    repeats: int = pydantic.Field(1, ge=1, description="times each judgment is asked; 2 and more show self-consistency")
    budget: str | None = pydantic.Field(None, description="cap on what is spent: 5usd or 2Mtok")
    prices: dict[str, tuple[float, float]] = pydantic.Field(
        {}, description="USD for a million prompt and completion tokens, by SPEC"
    )
    concurrency: int = pydantic.Field(32, ge=1, description="requests in flight")
    retries: int = pydantic.Field(6, ge=0, description="after a passing endpoint failure")
    seed: int = 0


def evaluate(settings: EvaluateSettings, out: Path, *, resume: bool = False) -> StageResult:
    """Let models answer a benchmark and judges say how well (paper, section 4.2.1), resuming where it stopped.

    Writes `store.sqlite` as it goes, and at the end `questions.jsonl`, `answers/NAME.jsonl`,
    `judgments/JUDGE_single.jsonl` or `_pair.jsonl` (FastChat's formats), `scores.json`, `ledger.json` and plots (SVG).

    Raises:
        InputError: settings, models or files cannot be used.
        EndpointError: an endpoint serves nothing, or some requests got no reply; what is finished is kept.
        BudgetReachedError: the cap was reached; what is finished is kept.
    """
    from humanturn.evaluate import benchmarks

    _check(settings)
    inputs = benchmarks.files(settings.benchmark, settings.questions, settings.references)
    if settings.judge_prompts:
        inputs["judge_prompts"] = Path(settings.judge_prompts)
    specs = {f"model {name}": spec for name, spec in settings.models.items()}
    specs |= {f"judge {number}": spec for number, spec in enumerate(settings.judge, 1)}
    for name, spec in specs.items():
        kind, _, path = spec.partition(":")
        if kind in ("hf", "scripted") and Path(path).exists():
            inputs[name] = Path(path)
    return run.stage(
        "evaluate",
        out,
        settings,
        inputs=inputs,
        outputs=("scores.json", "ledger.json", "questions.jsonl", "answers", "judgments"),
        work=lambda: _evaluate(settings, inputs, out),
        resume=resume,
    )


def import_files(paths: Sequence[Path], *, rule: Literal["both", "lenient"] = "both", seed: int = 0) -> dict[str, Any]:
    """Tables of FastChat answer and judgment files, nothing judged again.

    Categories come from a question file among `paths`, else from the ids of MT-Bench or Vicuna-Bench. Of a file given
    twice over (`model_judgment` of several judges) every row counts, as in FastChat.

    Raises:
        InputError: no judgment is in the files.
    """
    from humanturn.evaluate import benchmarks, fastchat, pairwise, scores

    found = fastchat.read(paths)
    if not found.singles and not found.pairs:
        said = "; ".join(f"{reason} ({n})" for reason, n in found.malformed.items())
        raise InputError(f"{', '.join(map(str, paths))}: holds no judgment" + (f": {said}" if said else ""))
    ids = {row.question_id for row in found.singles} | {row.question_id for row in found.pairs}
    categories = found.categories or benchmarks.known_categories(ids)
    return {
        "single": scores.table(found.singles, categories, seed=seed) if found.singles else None,
        "pairwise": pairwise.table(found.pairs, categories, rule=rule, seed=seed) if found.pairs else None,
        "answers": found.answers,
        "malformed": found.malformed,
    }


def describe(result: Mapping[str, Any]) -> str:
    """The result of `evaluate` (its `result`) or of `import_files` as plain-text tables for a terminal."""
    from humanturn.evaluate import text_tables

    return text_tables.describe(result)


def _check(settings: EvaluateSettings) -> None:
    from humanturn.evaluate import lineup

    if not settings.models:
        raise InputError("nothing to evaluate; name a model: --model NAME=SPEC")
    if not settings.judge:
        raise InputError("evaluate needs a judge: --judge openai:MODEL or another SPEC")
    if len(set(settings.judge)) < len(settings.judge):
        raise InputError("a judge is named twice; to ask it more than once, set repeats")
    lineup.check_names(settings.models)
    if settings.mode == "pairwise" and len(settings.models) < 2:
        raise InputError("comparing needs two models or more; add --model NAME=SPEC, or use --mode single")
    if settings.baseline and settings.baseline not in settings.models:
        raise InputError(f"the baseline {settings.baseline!r} is none of the models: {', '.join(settings.models)}")


def _evaluate(settings: EvaluateSettings, inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
    from humanturn.evaluate import benchmarks, lineup
    from humanturn.evaluate.store import Store
    from humanturn.models import spec

    questions = benchmarks.read_questions(inputs["questions"])
    models = {name: spec.load(value) for name, value in settings.models.items()}
    judges = {name: spec.load(value) for name, value in lineup.judge_names(settings.judge).items()}
    store = Store(out / "store.sqlite")
    try:
        store.forget_refusals()
        asyncio.run(_ask_all(settings, inputs, questions, models, judges, store))
        return _write(settings, questions, tuple(judges), store, out)
    finally:
        store.close()


async def _ask_all(
    settings: EvaluateSettings,
    inputs: Mapping[str, Path],
    questions: Sequence[Any],
    models: Mapping[str, Any],
    judges: Mapping[str, Any],
    store: Any,
) -> None:
    """Every answer, model by model, then every judgment, judge by judge: one local model in memory at a time."""
    from humanturn.evaluate import answers, benchmarks, judge, lineup, prompts, written
    from humanturn.evaluate.errands import Office
    from humanturn.models.model import Sampling
    from humanturn.models.spending import Spending, parse_cap

    names = lineup.judge_names(settings.judge)
    spending = Spending(parse_cap(settings.budget), settings.prices, (*settings.models.values(), *settings.judge))
    for row in store.spent():
        spending.add(_spec(settings, row), row["prompt_tokens"], row["completion_tokens"])
    office = Office(settings.concurrency, settings.retries, spending)
    told = prompts.read(inputs["judge_prompts"]) if settings.judge_prompts else prompts.own()
    sampling = Sampling(temperature=settings.judge_temperature, max_tokens=settings.judge_max_tokens)
    brief = judge.Brief(told, benchmarks.read_references(inputs.get("references")), sampling, settings.seed)
    try:
        for name, model in models.items():
            with progress.bar(f"answers of {name}", len(questions), "questions") as advance:
                await answers.answer_all(
                    answers.Contestant(name, settings.models[name], model),
                    questions,
                    store,
                    office,
                    max_tokens=settings.max_tokens,
                    temperature=settings.temperature,
                    seed=settings.seed,
                    done=advance,
                )
            await model.close()
        given, pairs = written.answers(store, models, questions), lineup.pairs(list(models), settings.baseline)
        for name, model in judges.items():
            if settings.mode == "single":
                cases = list(judge.single_cases(name, questions, given, settings.repeats))
            else:
                cases = list(judge.pair_cases(name, questions, given, pairs, settings.repeats))
            with progress.bar(f"judgments of {name}", len(cases), "judgments") as advance:
                await judge.judge_all(judge.Judge(name, names[name], model), cases, brief, store, office, advance)
            await model.close()
    finally:
        for model in (*models.values(), *judges.values()):
            await model.close()


def _write(
    settings: EvaluateSettings, questions: Sequence[Any], judges: Sequence[str], store: Any, out: Path
) -> dict[str, Any]:
    """The files of a finished evaluation, and its summary."""
    from humanturn.evaluate import lineup, pairwise, plots, scores, written
    from humanturn.models.spending import cost

    categories: dict[QuestionId, str] = {q.question_id: q.category for q in questions}
    jsonl.write(out / "questions.jsonl", questions)
    warnings = written.write_answers(store, settings.models, questions, out / "answers")
    result: dict[str, Any] = {"benchmark": settings.questions or settings.benchmark, "mode": settings.mode}
    rows: Sequence[Any]
    if settings.mode == "single":
        rows = written.single_rows(store, judges, questions)
        result["single"] = scores.table(rows, categories, seed=settings.seed)
    else:
        rows = written.pair_rows(store, judges, questions, lineup.pairs(list(settings.models), settings.baseline))
        result["pairwise"] = pairwise.table(rows, categories, rule=settings.rule, seed=settings.seed)
    if not rows:
        raise InputError(f"{out}: nothing could be judged: {store.refusal() or 'no complete answers'}")
    kind = "single" if settings.mode == "single" else "pair"
    for name in judges:
        jsonl.write(out / "judgments" / f"{name}_{kind}.jsonl", [row for row in rows if row.judge[0] == name])
    ledger = [
        row | {"usd": cost(_spec(settings, row), row["prompt_tokens"], row["completion_tokens"], settings.prices)}
        for row in store.spent()
    ]
    result |= {"answers": warnings, "refused_judgments": sum(row.error is not None for row in rows)}
    jsonl.write_json(out / "ledger.json", ledger)
    jsonl.write_json(out / "scores.json", result)
    plots.draw(result, out)
    return result | {"spent": ledger}


def _spec(settings: EvaluateSettings, spent: Mapping[str, Any]) -> str:
    """SPEC of the model in a row of the ledger."""
    from humanturn.evaluate import lineup

    names = settings.models if spent["role"] == "answer" else lineup.judge_names(settings.judge)
    return names[spent["model"]]
