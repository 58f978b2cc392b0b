"""The simulate stage: a user and an assistant in, conversations out."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from humanturn import formats, jsonl, progress, run
from humanturn.errors import BudgetReachedError, InputError
from humanturn.records import StageResult
from humanturn.simulate.guards import Guards


class SimulateSettings(run.Settings):
    """Settings of `humanturn simulate`."""

    free: ClassVar[frozenset[str]] = frozenset({"concurrency", "retries", "timeout", "budget", "prices", "format"})

    user: str = pydantic.Field("", description="SPEC of the user model (or of the chat model that plays the user)")
    assistant: str = pydantic.Field("embedded", description="SPEC of whoever answers")
    judge: str | None = pydantic.Field(None, description="SPEC of who judges, where a strategy asks; default: the user")
    strategy: Literal["trained", "roleplay", "self-chat", "ultrachat", "self-instruct", "evol-instruct"] = "trained"
    count: int = pydantic.Field(100, ge=1, description="conversations (jobs of strategies that discard some)")
    seeds: str | None = pydantic.Field(
        None, description="conversations whose first round opens ours, in turn; or opening lines; or seed tasks"
    )
    intents: str | None = pydantic.Field(None, description="file of what the human wants, in turn; or meta.intent")
    personas: str | None = pydantic.Field(None, description="file of people for roleplay to be, or builtin")
    sdf: bool = pydantic.Field(False, description="self-chat: the judge keeps the best of four answers")
    max_tokens: int | None = pydantic.Field(
        None, ge=64, description="context that ends the conversation; default: what the user model was trained with"
    )
    rounds: Annotated[int, pydantic.Field(ge=1)] | str | None = pydantic.Field(
        None, description="end after so many user turns; or a file, from whose sessions each number is drawn"
    )
    ending: Literal["learned", "context"] | None = pydantic.Field(
        None, description="learned: an empty user turn ends it; default: as the user model was trained"
    )
    tokenizer: str | None = pydantic.Field(None, description="SPEC whose tokens count, when the user is remote")
    user_temperature: float = pydantic.Field(1.0, ge=0)
    user_top_p: float = pydantic.Field(0.95, gt=0, le=1)
    user_max_tokens: int = pydantic.Field(256, ge=1)
    assistant_temperature: float = pydantic.Field(0.7, ge=0)
    assistant_top_p: float = pydantic.Field(1.0, gt=0, le=1)
    assistant_max_tokens: int = pydantic.Field(1024, ge=1, description="and never more than the context")
    attempts: int = pydantic.Field(4, ge=1, description="replies tried for a turn that guards refuse")
    guards: Guards = Guards()
    concurrency: int = pydantic.Field(32, ge=1, description="conversations in flight")
    retries: int = pydantic.Field(6, ge=0, description="after a passing endpoint failure")
    timeout: float = pydantic.Field(300.0, gt=0, description="seconds after which an endpoint's reply is given up")
    budget: str | None = pydantic.Field(None, description="cap on what is spent: 5usd or 2Mtok")
    prices: dict[str, tuple[float, float]] = pydantic.Field(
        {}, description="USD for a million prompt and completion tokens, by SPEC"
    )
    format: Literal["jsonl", "parquet"] = pydantic.Field("jsonl", description="parquet: that beside the JSONL")
    seed: int = 0


USER_ROOM = 16
"""A user turn with less room than this is not asked for; the conversation ends."""


def simulate(settings: SimulateSettings, out: Path, *, resume: bool = False, retry_failed: bool = False) -> StageResult:
    """Let the user talk with the assistant `count` times (paper, section 3.2), resuming inside conversations.

    Writes `store.sqlite` as it goes, and at the end `conversations.jsonl` and `ledger.json`. With `retry_failed` a
    simulation that is done is taken up again for the sake of conversations that failed.

    Raises:
        InputError: settings, model or seeds cannot be used.
        EndpointError: an endpoint serves nothing at all.
        BudgetReachedError: the cap is reached; what is finished is written.
    """
    if not settings.user:
        raise InputError("simulate needs a user model: --user hf:FOLDER or --user openai:MODEL@URL")
    done = run.stage(
        "simulate",
        out,
        settings,
        inputs=_inputs(settings),
        outputs=("conversations.jsonl", "ledger.json"),
        work=lambda: _simulate(settings, out),
        resume=resume,
        unfinished=lambda result: retry_failed and bool(result.get("errors")),
    )
    if settings.format == "parquet":
        formats.convert([out / "conversations.jsonl"], "parquet", out / "conversations.parquet")
    return done


def describe(result: Mapping[str, Any]) -> str:
    """The stage's result as text for a terminal."""
    roles = [role for role in ("user", "assistant", "judge") if any(row["role"] == role for row in result["spent"])]
    spent = {role: [row for row in result["spent"] if row["role"] == role] for role in roles}
    lines = [f"  {result['conversations']:,} conversations; ended by {_counts(result['stop_reasons'])}"]
    for role, rows in spent.items():
        replies, refused = sum(r["replies"] for r in rows), sum(r["discarded"] for r in rows)
        written, read = sum(r["completion_tokens"] for r in rows), sum(r["prompt_tokens"] for r in rows)
        lines.append(f"  {role}: {replies:,} replies, {refused:,} discarded; {read:,} tokens read, {written:,} written")
    if result["guards"]:
        rates = sorted(result["guard_rates"].items(), key=lambda pair: -pair[1])
        lines.append("  refused, of all replies of a role: " + ", ".join(f"{name} {rate:.1%}" for name, rate in rates))
    if result["seeds_too_long"]:
        lines.append(f"  {result['seeds_too_long']:,} seeds did not fit the context and were passed over")
    if result["errors"]:
        lines.append(f"  failed: {_counts(result['errors'])}; run again with --resume to try them once more")
    return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda pair: -pair[1]))


def _inputs(settings: SimulateSettings) -> dict[str, Path]:
    named = {name: getattr(settings, name) for name in ("user", "assistant", "judge", "seeds", "intents", "personas")}
    named["rounds"] = settings.rounds if isinstance(settings.rounds, str) else None
    paths = {name: Path(value.removeprefix("hf:")) for name, value in named.items() if value}
    return {name: path for name, path in paths.items() if path.exists()}


def _simulate(settings: SimulateSettings, out: Path) -> dict[str, Any]:
    from humanturn.simulate import context, seats
    from humanturn.simulate.start import started
    from humanturn.simulate.store import Store
    from humanturn.simulate.strategies import STRATEGIES
    from humanturn.simulate.table import Table
    from humanturn.simulate.termination import Budget

    budget = Budget(
        context.size(settings.user, settings.max_tokens),
        USER_ROOM,
        context.counter(settings.user, settings.tokenizer, settings.strategy),
    )
    strategy = STRATEGIES[settings.strategy]
    card = context.user_card(settings.user)
    start = started(settings, strategy, budget)
    specs = {"user": settings.user, "assistant": settings.assistant, "judge": settings.judge or settings.user}
    store = Store(out / "store.sqlite")
    ledger = seats.open_ledger(specs, settings.budget, settings.prices, store)
    table = Table(
        strategy=strategy.play,
        **seats.seated(specs, ledger, settings.timeout),
        user_sampling=_sampling(settings.user_temperature, settings.user_top_p, settings.user_max_tokens),
        assistant_sampling=_sampling(
            settings.assistant_temperature,
            settings.assistant_top_p,
            min(settings.assistant_max_tokens, budget.max_tokens),
        ),
        budget=budget,
        attempts=settings.attempts,
        guards=settings.guards,
        learned_ending=settings.ending == "learned" or (not settings.ending and bool(card and card.learned_ending)),
        sdf=settings.sdf,
        tasks=start.tasks,
        wave=strategy.wave(settings.count),
    )
    try:
        store.add_jobs(start.jobs)
        store.reopen_failed()
        expected = _estimate(settings, table, specs)
        try:
            asyncio.run(_carry_on(settings, table, store, ledger))
        except BudgetReachedError:
            _write(settings, store, out)
            raise
        written, summary = _write(settings, store, out)
    finally:
        store.close()
    if not written:
        raise InputError(f"{out}: no conversation came about: {summary['errors'] or summary['guards']}")
    return {"conversations": written, "seeds_too_long": start.too_long, "estimate": expected, **summary}


def _write(settings: SimulateSettings, store: Any, out: Path) -> tuple[int, dict[str, Any]]:
    """The finished conversations and the ledger; returns how many there are, and the summary."""
    written = jsonl.write(out / "conversations.jsonl", store.conversations(settings.strategy))
    summary = store.summary()
    jsonl.write_json(out / "ledger.json", summary["spent"])
    return written, summary


def _estimate(settings: SimulateSettings, table: Any, specs: Mapping[str, str]) -> dict[str, Any]:
    """What the whole simulation will take, said before it begins."""
    from humanturn.simulate import seats
    from humanturn.simulate.estimate import describe, estimate

    rounds = settings.rounds if isinstance(settings.rounds, int) else None
    samplings = {"user": table.user_sampling, "assistant": table.assistant_sampling}
    models = {seat: seats.dearest(specs[seat], settings.prices) for seat in samplings}
    found = estimate(settings.count, table.budget.max_tokens, rounds, samplings, models, settings.prices)
    print(describe(found, settings.count), file=sys.stderr, flush=True)
    return found


async def _carry_on(settings: SimulateSettings, table: Any, store: Any, ledger: Any) -> None:
    from humanturn.simulate.scheduler import run_all
    from humanturn.simulate.strategies import STRATEGIES

    settle = STRATEGIES[settings.strategy].settle
    try:
        with progress.bar("simulate", settings.count, "conversations") as advance:
            advance(settings.count - store.count("open"))
            for first in range(0, settings.count, table.wave):
                await run_all(
                    store.jobs("open", first, first + table.wave),
                    table,
                    store,
                    ledger,
                    concurrency=min(settings.concurrency, table.wave),
                    retries=settings.retries,
                    moved=advance,
                )
                settle(store, first, first + table.wave)
    finally:
        for model in (table.user, table.assistant, table.judge):
            await model.close()


def _sampling(temperature: float, top_p: float, max_tokens: int) -> Any:
    from humanturn.models.model import Sampling

    return Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
