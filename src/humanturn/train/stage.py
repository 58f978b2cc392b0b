"""The train stage: data and a backbone in, a model folder that transformers and vLLM load out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pydantic

from humanturn import jsonl, progress, run, scaffold
from humanturn.conversation import Conversation, first_sessions
from humanturn.errors import FormatError, InputError
from humanturn.records import StageResult, TurnLikelihood

BEFORE = "heldout_before.jsonl"
"""Likelihoods under the untrained model, kept while training, so that a resumed run does not measure them again."""


class TrainSettings(run.Settings):
    """Settings of `humanturn train`; the defaults are the paper's where it names them (section 4.1, Vicuna's)."""

    free: ClassVar[frozenset[str]] = frozenset(
        {"checkpoint_every", "gradient_checkpointing", "evaluate_every", "report_to"}
    )

    data: str = pydantic.Field("", description="conversations to learn from (JSONL)")
    role: Literal["user", "assistant"] = "user"
    backbone: str = pydantic.Field("embedded", description="model SPEC to start from: embedded or hf:PATH_OR_HUB_ID")
    heldout: str | None = pydantic.Field(
        None, description="conversations never trained on, for the loss before and after"
    )
    method: Literal["lora", "full", "qlora"] = pydantic.Field(
        "lora", description="adapters; every weight; or adapters over a backbone in 4 bits (CUDA)"
    )
    lora_rank: int = pydantic.Field(16, ge=1)
    epochs: float = pydantic.Field(3.0, gt=0)
    learning_rate: float | None = pydantic.Field(None, gt=0, description="default: 2e-5 full, 2e-4 LoRA")
    warmup: float = pydantic.Field(0.03, ge=0, lt=1, description="share of the steps")
    weight_decay: float = pydantic.Field(0.0, ge=0)
    batch_size: int = pydantic.Field(128, ge=1, description="conversations per optimizer step")
    max_tokens: int = pydantic.Field(2048, ge=16, description="context length")
    row_tokens: int = pydantic.Field(2048, ge=16, description="tokens per packed row; bounds memory")
    limit: int | None = pydantic.Field(None, ge=1, description="learn from the first N conversations only")
    heldout_limit: int | None = pydantic.Field(None, ge=1, description="measure on the first N heldout sessions only")
    heldout_segments: int | None = pydantic.Field(None, ge=1, description="and on the first N segments of each only")
    learn_ending: bool = pydantic.Field(
        False, description="a user model also learns to leave, by an empty turn, where sessions ended"
    )
    intent_dropped: float = pydantic.Field(
        0.5, ge=0, le=1, description="share of the conversations with an intent that are learned without it"
    )
    evaluate_every: int | None = pydantic.Field(
        None, ge=1, description="optimizer steps between measurements on heldout; default: only before and after"
    )
    report_to: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = pydantic.Field(
        (), description="trackers that get the metrics besides metrics.jsonl"
    )
    parallel: Literal["ddp", "fsdp"] = pydantic.Field(
        "ddp", description="under torchrun: every process holds the model, or (fsdp) a shard of it"
    )
    gradient_checkpointing: Literal["auto", "none", "elementwise", "layers"] = pydantic.Field(
        "auto", description="what the backward pass computes again; auto: as little as fits into memory"
    )
    precision: Literal["auto", "float32", "bfloat16"] = pydantic.Field(
        "auto", description="of products; auto: float32 on CPU, bfloat16 on CUDA (sums and learned weights: float32)"
    )
    checkpoint_every: int = pydantic.Field(50, ge=1, description="optimizer steps")
    seed: int = 0


def train(settings: TrainSettings, out: Path, *, resume: bool = False) -> StageResult:
    """Train one side of the conversation and save it as a plain Hugging Face folder in `out`.

    Writes the model, its chat template (a user model's opens the next *user* turn), `humanturn.json`, a model card,
    `metrics.jsonl` with its plot and, with heldout data, `heldout.json`: the likelihood of every heldout turn before
    and after. Under torchrun all processes train together, and the first one writes.

    Raises:
        InputError: data or backbone cannot be used; names file and conversation.
        SettingsChangedError: `out` holds work with other settings.
    """
    from humanturn.models import spec
    from humanturn.train import distributed, trackers

    trackers.require(settings.report_to)
    if settings.parallel == "fsdp" and distributed.world() == 1:
        raise InputError(
            "--fsdp shares a model out among processes; start them with"
            " `torchrun --nproc-per-node N -m humanturn train ...`"
        )
    if settings.parallel == "fsdp" and settings.method == "qlora":
        raise InputError("--qlora and --fsdp exclude each other: weights in 4 bits are not sharded")
    if settings.evaluate_every and not settings.heldout:
        raise InputError("--evaluate-every needs conversations to measure on; give --heldout FILE")
    if settings.learn_ending and settings.role != "user":
        raise InputError("--learn-ending is for --role user: it is the human who leaves")
    backbone = spec.local_folder(settings.backbone)
    inputs = {"data": Path(settings.data), "backbone": backbone}
    if settings.heldout:
        inputs["heldout"] = Path(settings.heldout)
    measured = ("heldout.json",) if settings.heldout else ()
    outputs = ("config.json", "humanturn.json", "metrics.jsonl", "model.safetensors", *measured)

    def stage(work: distributed.Work) -> StageResult:
        return run.stage("train", out, settings, inputs=inputs, outputs=outputs, work=work, resume=resume)

    distributed.join()
    return distributed.led(stage, lambda: _train(settings, backbone, out))


def describe(result: Mapping[str, Any]) -> str:
    """The stage's result as text for a terminal."""
    lines = [
        f"  {result['role']} turns of {result['conversations']:,} conversations: {result['trained_tokens']:,} trained"
        f" tokens among {result['tokens']:,} ({result['tokens_after_cut']:,} after cutting what no loss depends on)"
    ]
    if result["shortened"]:
        lines.append(
            f"  {result['shortened']:,} conversations were longer than the context; their tails were not learned"
        )
    if result.get("endings"):
        lines.append(f"  {result['endings']:,} of them teach how a session ends")
    if result.get("intents"):
        lines.append(f"  {result['intents']:,} of them stand behind their intent")
    if "heldout" in result:
        from humanturn.train import measure

        lines.append(measure.text(result["heldout"], result["role"]))
    return "\n".join(lines)


def _train(settings: TrainSettings, backbone: Path, out: Path) -> dict[str, Any]:
    import torch

    from humanturn.models import packed, weights
    from humanturn.train import adapters, distributed, finished, masking, measure, memory, packing, trainer

    quantization = adapters.quantization(settings.method)
    conversations = read_conversations(Path(settings.data), settings.limit)
    heldout = _heldout(settings)
    sharded = settings.parallel == "fsdp"
    precision = adapters.precision(settings.precision)
    model, tokenizer = weights.load(
        backbone,
        attention=packed.register_attention(precision),
        device="cpu" if sharded else None,
        dtype="float32" if precision == "float32" or settings.method == "full" else "auto",
        quantization=quantization,
    )
    tokenizer.chat_template = scaffold.trained_template(tokenizer, settings.role)
    masked = masking.mask(
        tokenizer,
        conversations,
        role=settings.role,
        max_tokens=settings.max_tokens,
        learn_ending=settings.learn_ending,
        intent_dropped=settings.intent_dropped,
        seed=settings.seed,
        where=settings.data,
    )
    order = packing.steps(
        len(masked.sequences), batch_size=settings.batch_size, epochs=settings.epochs, seed=settings.seed
    )
    model = adapters.adapt(model, settings.method, rank=settings.lora_rank, seed=settings.seed)
    if sharded:
        distributed.shard(measure.inner(model))

    def likelihood(label: str) -> list[TurnLikelihood]:
        cuda = model.device.type == "cuda"  # elsewhere the quicker numbers would blur small differences
        with torch.autocast(model.device.type, torch.bfloat16, enabled=cuda and precision == "bfloat16"):
            return measure.score(model, tokenizer, heldout, role=settings.role, label=label)

    steps = trainer.Steps(masked.sequences, order, settings.row_tokens)
    bfloat16 = precision == "bfloat16"
    room = memory.choose(
        model, row_tokens=steps.longest_row(), wanted=settings.gradient_checkpointing, bfloat16=bfloat16
    )
    before = measure.kept(out / BEFORE, lambda: likelihood("heldout before")) if heldout else []
    trained = sum(int(s.trained.sum()) for s in masked.sequences)
    per_run = sum(int(masked.sequences[i].trained.sum()) for step in order for i in step)
    with progress.bar(f"train {settings.role}", per_run, "tokens") as advance:
        model = trainer.fit(
            model,
            steps,
            out=out,
            learning_rate=settings.learning_rate or (2e-5 if settings.method == "full" else 2e-4),
            warmup=settings.warmup,
            weight_decay=settings.weight_decay,
            checkpoint_every=settings.checkpoint_every,
            room=room,
            seed=settings.seed,
            bfloat16=bfloat16,
            advance=advance,
            evaluate_every=settings.evaluate_every,
            evaluate=lambda: measure.now(likelihood("heldout now"), settings.role),
            report_to=settings.report_to,
        )
    after = likelihood("heldout after") if heldout else []
    model = finished.whole(model, settings, backbone)
    summary: dict[str, Any] = {
        "role": settings.role,
        "conversations": len(conversations),
        "steps": len(order),
        "tokens": masked.tokens,
        "tokens_after_cut": sum(len(s.ids) for s in masked.sequences),
        "trained_tokens": trained,
        "shortened": len(masked.shortened),
        "endings": masked.endings,
        "intents": masked.intents,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    if heldout:
        summary["heldout_nll"] = {"before": _per_token(before), "after": _per_token(after)}
        summary["heldout_sessions"] = len({row.session_id for row in after})
        summary["heldout"] = measure.compare(before, after, settings.role)
    if distributed.rank() == 0:
        if heldout:
            jsonl.write_json(out / "heldout.json", {"before": before, "after": after})
        finished.save(model, tokenizer, settings, summary, out)
        (out / BEFORE).unlink(missing_ok=True)
    return summary


def read_conversations(path: Path, limit: int | None) -> list[Conversation]:
    """The first `limit` conversations of a JSONL file in our native format.

    Raises:
        FormatError: there is none, or a line is no conversation; names file and line.
    """
    found: list[Conversation] = []
    for conversation in jsonl.read(path, Conversation):
        found.append(conversation)
        if len(found) == limit:
            break
    if not found:
        raise FormatError(f"{path}: holds no conversation; run `humanturn prepare` on your data first")
    return found


def _heldout(settings: TrainSettings) -> list[Conversation]:
    if settings.heldout is None:
        return []
    everything = read_conversations(Path(settings.heldout), None)
    return first_sessions(everything, settings.heldout_limit, settings.heldout_segments)


def _per_token(rows: Sequence[TurnLikelihood]) -> float:
    return sum(row.nll for row in rows) / sum(row.tokens for row in rows)
