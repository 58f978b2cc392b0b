"""How human is a user model: what it says where people spoke, beside other people and a role-playing baseline."""

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pydantic

from humanturn import jsonl, run
from humanturn.conversation import Conversation
from humanturn.errors import HumanturnError, InputError
from humanturn.records import StageResult


class ScorecardSettings(run.Settings):
    """Settings of `humanturn scorecard`."""

    free: ClassVar[frozenset[str]] = frozenset({"concurrency", "fail_under"})

    user: str = pydantic.Field("", description="SPEC of the user model")
    heldout: str = pydantic.Field("", description="human conversations it was not trained on")
    baseline: str | None = pydantic.Field(
        None,
        description="SPEC of a chat model that is told to play the user; default: what the user model was trained from",
    )
    training: str | None = pydantic.Field(None, description="what it was trained on, to look for copies")
    simulated: str | None = pydantic.Field(
        None, description="whole conversations of the user model, as `simulate` writes them, for their rounds"
    )
    simulated_baseline: str | None = pydantic.Field(None, description="the same of the role-play baseline")
    tokenizer: str = pydantic.Field("embedded", description="model SPEC whose tokenizer counts lengths")
    sessions: int = pydantic.Field(60, ge=10, description="sessions to ask the models in; half of the heldout at most")
    per_session: int = pydantic.Field(3, ge=1, description="first N user turns of each session")
    context_tokens: int = pydantic.Field(1024, ge=16, description="ask only where no more than this had been said")
    max_tokens: int = pydantic.Field(128, ge=1, description="longest turn; people's are cut there too")
    temperature: float = pydantic.Field(1.0, ge=0, description="1 draws from the model as it is")
    top_p: float = pydantic.Field(1.0, gt=0, le=1)
    likelihood: bool = pydantic.Field(True, description="measure NLL too, for models whose weights are at hand")
    fail_under: dict[str, float] = pydantic.Field(
        {}, description="row, and the nearness to people (0 to 1) to keep; rows of NLL, perplexity, bits: the most"
    )
    concurrency: int = pydantic.Field(32, ge=1, description="requests under way at once")
    seed: int = 0


def scorecard(settings: ScorecardSettings, out: Path, *, resume: bool = False) -> StageResult:
    """Ask the user model and the baseline for turns at heldout places and compare them with people's.

    Writes `scorecard.json`, `metrics.json` (flat, for experiment trackers), `scorecard.html` with the table and the
    radar, and `said/*.jsonl`: every turn that was compared.

    Raises:
        InputError: the heldout file has too few sessions, or a setting cannot be used.
        HumanturnError: a row is less human than `fail_under` asks (after everything was written).
    """
    from humanturn.analyze.scorecard_rows import ROWS

    unknown = sorted(set(settings.fail_under) - {row.key for row in ROWS})
    if unknown:
        raise InputError(f"fail_under names {', '.join(unknown)}; there are: {', '.join(row.key for row in ROWS)}")
    inputs = {"heldout": Path(settings.heldout)}
    for name in ("training", "simulated", "simulated_baseline"):
        if given := getattr(settings, name):
            inputs[name] = Path(given)
    for name, spec_ in (("user", settings.user), ("baseline", settings.baseline)):
        if spec_ and spec_.startswith("hf:") and Path(spec_.removeprefix("hf:")).is_dir():
            inputs[name] = Path(spec_.removeprefix("hf:"))
    done = run.stage(
        "scorecard",
        out,
        settings,
        inputs=inputs,
        outputs=("scorecard.json", "metrics.json", "scorecard.html"),
        work=lambda: _scorecard(settings, out),
        resume=resume,
    )
    _refuse_failures(settings.fail_under, done.result)
    return done


def describe(result: Mapping[str, Any]) -> str:
    """The scorecard as a plain-text table: people, the user model, the role-player, and who is nearer to people."""
    lines = [f"  {'':<34}{'people':>10}{'user model':>12}{'role-play':>12}  nearer"]
    for row in msgspec.to_builtins(result["rows"]):
        values = [row["sides"].get(side) for side in ("human", "user", "baseline")]
        cells = ["" if value is None else f"{value['value']:.3f}" for value in values]
        nearer = {"user": "user model", "baseline": "role-play"}.get(row.get("nearer") or "", "")
        doubt = " (may be chance)" if nearer and not row.get("clear") else ""
        lines.append(f"  {row['label']:<34}{cells[0]:>10}{cells[1]:>12}{cells[2]:>12}  {nearer}{doubt}")
    return "\n".join(lines)


def _scorecard(settings: ScorecardSettings, out: Path) -> dict[str, Any]:
    from humanturn import formats, tokens
    from humanturn.analyze import copying, model_rows, replies, scorecard_page, scorecard_rows
    from humanturn.models import spec
    from humanturn.models.model import Sampling

    folder = spec.local_folder(settings.tokenizer)
    conversations = list(formats.read_conversations(settings.heldout))
    asked, others = _halves(conversations, settings, tokens.counter(folder))
    memory = copying.remember(formats.read_conversations(settings.training)) if settings.training else None
    cut = _cutter(folder, settings.max_tokens)
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens)
    baseline = settings.baseline or _backbone(settings.user)
    sides = {"human": replies.human(asked)}
    for side, model in (("user", settings.user), ("baseline", baseline)):
        if model:
            path = out / "said" / f"{side}.jsonl"
            path.parent.mkdir(exist_ok=True)
            sides[side] = replies.ask(
                spec.load(model),
                asked,
                path,
                sampling=sampling,
                seed=settings.seed,
                roleplay=side == "baseline",
                concurrency=settings.concurrency,
            )
    jsonl.write(out / "said" / "human.jsonl", sides["human"])
    compared = scorecard_rows.Comparison(
        places={place.id: place for place in asked},
        reference=[msgspec.structs.replace(said, text=cut(said.text)) for said in replies.human(others)],
        assistant=[cut(turn) for c in _of(conversations, others) for turn in c.turns_of("assistant")],
        count=tokens.counter(folder),
        memory=memory,
        seed=settings.seed,
    )
    measured = {
        side: scorecard_rows.measure([msgspec.structs.replace(s, text=cut(s.text)) for s in said], compared)
        for side, said in sides.items()
    }
    for side, found in _rounds(settings, _of(conversations, asked), _of(conversations, others)).items():
        measured.setdefault(side, {}).update(found)
    paired: dict[str, bool] = {}
    if settings.likelihood:
        likelihoods, paired = model_rows.measure(settings.user, baseline, _of(conversations, asked), seed=settings.seed)
        for side, found in likelihoods.items():
            measured[side] |= found
    rows = scorecard_rows.table(measured, paired)
    result = {
        "models": {"user": settings.user, "baseline": baseline},
        "places": len(asked),
        "sessions": len({place.session_id for place in asked}),
        "reference_turns": len(others),
        "reference_sessions": len({place.session_id for place in others}),
        "rows": rows,
    }
    jsonl.write_json(out / "scorecard.json", result)
    scorecard_page.write(result, out)
    return result


def _halves(
    conversations: Sequence[Conversation], settings: ScorecardSettings, count: Any
) -> tuple[list[Any], list[Any]]:
    """Places to ask at, and places of other sessions whose people are the reference."""
    from humanturn.analyze import replies

    every = replies.places(conversations, per_session=settings.per_session)
    lengths = [sum(count([turn.content for turn in place.before])) for place in every]
    fitting = [place for place, n in zip(every, lengths, strict=True) if n <= settings.context_tokens]
    sessions = sorted({place.session_id for place in fitting})
    random.Random(settings.seed).shuffle(sessions)  # noqa: S311 (a draw, no secret)
    chosen = set(sessions[: min(settings.sessions, len(sessions) // 2)])
    if len(chosen) < 10:
        raise InputError(
            f"{settings.heldout}: has {len(sessions)} sessions to compare in; a scorecard needs 20 or more"
        )
    return [p for p in fitting if p.session_id in chosen], [p for p in fitting if p.session_id not in chosen]


def _of(conversations: Sequence[Conversation], where: Sequence[Any]) -> list[Conversation]:
    sessions = {place.session_id for place in where}
    return [c for c in conversations if c.session_id in sessions]


def _rounds(
    settings: ScorecardSettings, asked: Sequence[Conversation], others: Sequence[Conversation]
) -> dict[str, dict[str, Any]]:
    """Distances of rounds of whole conversations to those of people's other sessions, for the sides that have any."""
    from humanturn import formats
    from humanturn.analyze import distances

    if not settings.simulated:
        return {}
    sides = {"human": asked, "user": formats.read_conversations(settings.simulated)}
    if settings.simulated_baseline:
        sides["baseline"] = formats.read_conversations(settings.simulated_baseline)
    reference = _session_rounds(others)
    return {
        side: distances.apart("rounds", _session_rounds(talks), reference, seed=settings.seed)
        for side, talks in sides.items()
    }


def _session_rounds(conversations: Iterable[Conversation]) -> list[tuple[str, int]]:
    """(session, rounds), segments of a session put together."""
    rounds: dict[str, int] = {}
    for conversation in conversations:
        rounds[conversation.session_id] = rounds.get(conversation.session_id, 0) + conversation.rounds()
    return list(rounds.items())


def _cutter(folder: Path, max_tokens: int) -> Any:
    """A function that cuts a text after `max_tokens` tokens, so that people's turns end where a model's have to."""
    from humanturn import tokens

    tokenizer = tokens.load(folder)

    def cut(text: str) -> str:
        if len(text) <= max_tokens:
            return text
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return text if len(offsets) <= max_tokens else text[: offsets[max_tokens - 1][1]]

    return cut


def _backbone(user: str) -> str | None:
    from humanturn.models import spec, weights

    if not user.startswith("hf:"):
        return None
    card = weights.card(spec.local_folder(user))
    return card.backbone if card else None


def _refuse_failures(wanted: Mapping[str, float], result: Mapping[str, Any]) -> None:
    """Hold the user model's rows against what `fail_under` asks; a row that was not measured fails too."""
    rows = {row["key"]: row for row in msgspec.to_builtins(result["rows"])}
    failed = [said for key, asked in wanted.items() if (said := _falls_short(rows.get(key), key, asked))]
    if failed:
        raise HumanturnError(f"less human than asked: {'; '.join(failed)}")


def _falls_short(row: Mapping[str, Any] | None, key: str, asked: float) -> str | None:
    """What is wrong with a row, or None: nearness is held from below, a likelihood (the less the better) from above."""
    if row is None or "user" not in row["sides"]:
        return f"{key} was not measured"
    value = row["sides"]["user"]["value"]
    if row["kind"] == "nll":
        return f"{key} is {value:.3f}, more than {asked:g}" if value > asked else None
    nearness = row["nearness"].get("user", 0.0)
    return f"{key} is {value:.3f}, a nearness of {nearness:.3f}, less than {asked:g}" if nearness < asked else None
