"""The simulate stage: a user and an assistant in, conversations out."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pydantic

from humanturn import jsonl, progress, run
from humanturn.conversation import Conversation, Turn
from humanturn.errors import InputError, ModelError
from humanturn.records import StageResult


class SimulateSettings(run.Settings):
    """Settings of `humanturn simulate`."""

    free: ClassVar[frozenset[str]] = frozenset({"concurrency", "retries"})

    user: str = pydantic.Field("", description="SPEC of the user model (or of the chat model that plays the user)")
    assistant: str = pydantic.Field("embedded", description="SPEC of whoever answers")
    strategy: Literal["trained", "roleplay"] = "trained"
    count: int = pydantic.Field(100, ge=1, description="conversations")
    seeds: str | None = pydantic.Field(None, description="conversations whose first round opens ours, in turn")
    max_tokens: int | None = pydantic.Field(
        None, ge=64, description="context that ends the conversation; default: what the user model was trained with"
    )
    rounds: int | None = pydantic.Field(None, ge=1, description="end after this many user turns, if the context allows")
    tokenizer: str | None = pydantic.Field(None, description="SPEC whose tokens count, when the user is remote")
    user_temperature: float = pydantic.Field(1.0, ge=0)
    user_top_p: float = pydantic.Field(0.95, gt=0, le=1)
    user_max_tokens: int = pydantic.Field(256, ge=1)
    assistant_temperature: float = pydantic.Field(0.7, ge=0)
    assistant_top_p: float = pydantic.Field(1.0, gt=0, le=1)
    assistant_max_tokens: int = pydantic.Field(1024, ge=1, description="and never more than the context")
    attempts: int = pydantic.Field(4, ge=1, description="replies tried for a turn that guards refuse")
    concurrency: int = pydantic.Field(32, ge=1, description="conversations in flight")
    retries: int = pydantic.Field(6, ge=0, description="after a passing endpoint failure")
    seed: int = 0


PAPER_CONTEXT = 2048
USER_ROOM = 16
"""A user turn with less room than this is not asked for; the conversation ends."""


def simulate(settings: SimulateSettings, out: Path, *, resume: bool = False) -> StageResult:
    """Let the user talk with the assistant `count` times (paper, section 3.2), resuming inside conversations.

    Writes `store.sqlite` as it goes, and at the end `conversations.jsonl` and `ledger.json`.

    Raises:
        InputError: settings, model or seeds cannot be used.
        EndpointError: an endpoint serves nothing at all.
    """
    inputs = {
        name: Path(value.removeprefix("hf:"))
        for name, value in (("user", settings.user), ("assistant", settings.assistant), ("seeds", settings.seeds or ""))
        if value and Path(value.removeprefix("hf:")).exists()
    }
    if not settings.user:
        raise InputError("simulate needs a user model: --user hf:FOLDER or --user openai:MODEL@URL")
    return run.stage(
        "simulate",
        out,
        settings,
        inputs=inputs,
        outputs=("conversations.jsonl", "ledger.json"),
        work=lambda: _simulate(settings, out),
        resume=resume,
    )


def describe(result: Mapping[str, Any]) -> str:
    """The stage's result as text for a terminal."""
    spent = {role: [row for row in result["spent"] if row["role"] == role] for role in ("user", "assistant")}
    lines = [f"  {result['conversations']:,} conversations; ended by {_counts(result['stop_reasons'])}"]
    for role, rows in spent.items():
        replies, refused = sum(r["replies"] for r in rows), sum(r["discarded"] for r in rows)
        written, read = sum(r["completion_tokens"] for r in rows), sum(r["prompt_tokens"] for r in rows)
        lines.append(f"  {role}: {replies:,} replies, {refused:,} discarded; {read:,} tokens read, {written:,} written")
    if result["guards"]:
        lines.append(f"  guards: {_counts(result['guards'])}")
    if result["seeds_too_long"]:
        lines.append(f"  {result['seeds_too_long']:,} seeds did not fit the context and were passed over")
    if result["errors"]:
        lines.append(f"  failed: {_counts(result['errors'])}; run again with --resume to try them once more")
    return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda pair: -pair[1]))


def _simulate(settings: SimulateSettings, out: Path) -> dict[str, Any]:
    from humanturn.models import spec
    from humanturn.simulate.conversation_loop import Table
    from humanturn.simulate.store import Store
    from humanturn.simulate.strategies import STRATEGIES
    from humanturn.simulate.termination import Budget

    budget = Budget(_context(settings), USER_ROOM, _context_counter(settings))
    store = Store(out / "store.sqlite")
    table = Table(
        user=spec.load(settings.user),
        assistant=spec.load(settings.assistant),
        view=STRATEGIES[settings.strategy],
        user_sampling=_sampling(settings.user_temperature, settings.user_top_p, settings.user_max_tokens),
        assistant_sampling=_sampling(
            settings.assistant_temperature,
            settings.assistant_top_p,
            min(settings.assistant_max_tokens, budget.max_tokens),
        ),
        budget=budget,
        rounds=settings.rounds,
        attempts=settings.attempts,
    )
    try:
        skipped = _add_jobs(settings, store, budget)
        store.reopen_failed()
        asyncio.run(_carry_on(settings, table, store))
        written = jsonl.write(out / "conversations.jsonl", store.conversations(settings.strategy))
        summary = store.summary()
    finally:
        store.close()
    jsonl.write_json(out / "ledger.json", summary["spent"])
    if not written:
        raise InputError(f"{out}: no conversation came about: {summary['errors'] or summary['guards']}")
    return {"conversations": written, "seeds_too_long": skipped, **summary}


async def _carry_on(settings: SimulateSettings, table: Any, store: Any) -> None:
    from humanturn.simulate.scheduler import run_all

    jobs = store.jobs("open")
    try:
        with progress.bar("simulate", settings.count, "conversations") as advance:
            advance(settings.count - len(jobs))
            await run_all(jobs, table, store, concurrency=settings.concurrency, retries=settings.retries, moved=advance)
    finally:
        await table.user.close()
        await table.assistant.close()


def _add_jobs(settings: SimulateSettings, store: Any, budget: Any) -> int:
    """Put the jobs into the store; returns how many seeds were too long to leave room for a user turn."""
    from humanturn.simulate.store import Job, openings

    seeds: list[tuple[str, tuple[Turn, ...]]] = []
    skipped = 0
    if settings.seeds:
        everything = openings(_read_seeds(Path(settings.seeds)))
        seeds = [seed for seed in everything if budget.left(seed[1]) >= USER_ROOM]
        skipped = len(everything) - len(seeds)
        if not seeds:
            raise InputError(f"{settings.seeds}: no seed fits the {budget.max_tokens} tokens; raise --max-tokens")
    jobs = []
    for i in range(settings.count):
        source, opening = seeds[i % len(seeds)] if seeds else (None, ())
        jobs.append(Job(i, run.derived_seed(settings.seed, i), opening, source))
    store.add_jobs(jobs)
    return skipped


def _read_seeds(path: Path) -> Sequence[Conversation]:
    from humanturn.formats import read_conversations

    return list(read_conversations(path))


def _context(settings: SimulateSettings) -> int:
    """The context in tokens: as given, or what a user model of ours was trained with, or the paper's 2,048."""
    from humanturn.models import weights

    folder = Path(settings.user.removeprefix("hf:"))
    card = weights.card(folder) if settings.max_tokens is None and folder.is_dir() else None
    return settings.max_tokens or (card.max_tokens if card else PAPER_CONTEXT)


def _context_counter(settings: SimulateSettings) -> Any:
    """Tokens of a rendered conversation, in the tokens of the user model or of `tokenizer`."""
    from humanturn import template, tokens
    from humanturn.models import spec

    name = settings.tokenizer or settings.user
    if not name.startswith(("hf:", "embedded")):
        raise ModelError(f"{name} does not tell its tokens; add --tokenizer SPEC, a model with the same tokenizer")
    folder = spec.local_folder(name)
    loaded = tokens.FileTokenizer(folder)
    if name == settings.user and settings.strategy == "trained" and template.opens(loaded) != "user":
        raise ModelError(
            f"{name} answers users, it does not play one (its chat template opens {template.opens(loaded)} turns);"
            " train a user model from it, or add --strategy roleplay"
        )
    extra = template.overhead(loaded, template.scaffold(loaded))
    count = tokens.counter(folder)

    def rendered(turns: Sequence[Turn]) -> int:
        contents = sum(count([turn.content for turn in turns]))
        return extra.preface + contents + sum(extra.per_turn[turn.role] for turn in turns)

    return rendered


def _sampling(temperature: float, top_p: float, max_tokens: int) -> Any:
    from humanturn.models.model import Sampling

    return Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
