"""The train stage: data and a backbone in, a model folder that transformers and vLLM load out."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pydantic

from humanturn import __version__, jsonl, progress, run
from humanturn.conversation import Conversation, first_sessions
from humanturn.errors import FormatError
from humanturn.records import StageResult, TurnLikelihood

MODEL_FILES = ("config.json", "humanturn.json", "heldout.json", "metrics.jsonl")


class TrainSettings(run.Settings):
    """Settings of `humanturn train`; the defaults are the paper's where it names them (section 4.1, Vicuna's)."""

    free: ClassVar[frozenset[str]] = frozenset({"checkpoint_every"})

    data: str = pydantic.Field("", description="conversations to learn from (JSONL)")
    role: Literal["user", "assistant"] = "user"
    backbone: str = pydantic.Field("embedded", description="model SPEC to start from: embedded or hf:PATH_OR_HUB_ID")
    heldout: str | None = pydantic.Field(
        None, description="conversations never trained on, for the loss before and after"
    )
    method: Literal["lora", "full"] = "lora"
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
    gradient_checkpointing: bool = False
    checkpoint_every: int = pydantic.Field(50, ge=1, description="optimizer steps")
    seed: int = 0


def train(settings: TrainSettings, out: Path, *, resume: bool = False) -> StageResult:
    """Train one side of the conversation and save it as a plain Hugging Face folder in `out`.

    Writes the model, its chat template (a user model's opens the next *user* turn), `humanturn.json`, `metrics.jsonl`
    and, with heldout data, `heldout.json`: the likelihood of every heldout turn before and after.

    Raises:
        InputError: data or backbone cannot be used; names file and conversation.
        SettingsChangedError: `out` holds work with other settings.
    """
    from humanturn.models import spec

    backbone = spec.local_folder(settings.backbone)
    inputs = {"data": Path(settings.data), "backbone": backbone}
    if settings.heldout:
        inputs["heldout"] = Path(settings.heldout)
    return run.stage(
        "train",
        out,
        settings,
        inputs=inputs,
        outputs=(*MODEL_FILES[: 2 + bool(settings.heldout)], "metrics.jsonl", "model.safetensors"),
        work=lambda: _train(settings, backbone, out),
        resume=resume,
    )


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
    if "heldout_nll" in result:
        before, after = result["heldout_nll"]["before"], result["heldout_nll"]["after"]
        lines.append(
            f"  heldout NLL per {result['role']} token, {result['heldout_sessions']} sessions:"
            f" {before:.4f} before, {after:.4f} after ({after / before - 1:+.1%})"
        )
    return "\n".join(lines)


def _train(settings: TrainSettings, backbone: Path, out: Path) -> dict[str, Any]:
    from humanturn import template
    from humanturn.models import packed, weights
    from humanturn.train import masking, packing, trainer

    conversations = read_conversations(Path(settings.data), settings.limit)
    heldout = _heldout(settings)
    model, tokenizer = weights.load(backbone, attention=packed.register_attention())
    if settings.role == "user" or not tokenizer.chat_template:
        tokenizer.chat_template = template.user_template(template.scaffold(tokenizer))
    masked = masking.mask(
        tokenizer, conversations, role=settings.role, max_tokens=settings.max_tokens, where=settings.data
    )
    order = packing.steps(
        len(masked.sequences), batch_size=settings.batch_size, epochs=settings.epochs, seed=settings.seed
    )
    before = _before(settings, out, model, tokenizer, heldout)
    model = _adapted(model, settings)
    trained = sum(int(s.trained.sum()) for s in masked.sequences)
    per_run = sum(int(masked.sequences[i].trained.sum()) for step in order for i in step)
    with progress.bar(f"train {settings.role}", per_run, "tokens") as advance:
        model = trainer.fit(
            model,
            trainer.Steps(masked.sequences, order, settings.row_tokens),
            out=out,
            learning_rate=settings.learning_rate or (2e-5 if settings.method == "full" else 2e-4),
            warmup=settings.warmup,
            weight_decay=settings.weight_decay,
            checkpoint_every=settings.checkpoint_every,
            gradient_checkpointing=settings.gradient_checkpointing,
            seed=settings.seed,
            advance=advance,
        )
    model = model.merge_and_unload() if settings.method == "lora" else model
    summary: dict[str, Any] = {
        "role": settings.role,
        "conversations": len(conversations),
        "steps": len(order),
        "tokens": masked.tokens,
        "tokens_after_cut": sum(len(s.ids) for s in masked.sequences),
        "trained_tokens": trained,
        "shortened": len(masked.shortened),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    if heldout:
        after = _likelihood(settings, model.eval(), tokenizer, heldout, "heldout after")
        jsonl.write_json(out / "heldout.json", {"before": before, "after": after})
        summary["heldout_nll"] = {"before": _per_token(before), "after": _per_token(after)}
        summary["heldout_sessions"] = len({row.session_id for row in after})
    _save(model, tokenizer, settings, backbone, out)
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


def _before(
    settings: TrainSettings, out: Path, model: Any, tokenizer: Any, heldout: Sequence[Conversation]
) -> list[TurnLikelihood]:
    """Heldout likelihood of the untrained backbone, kept on disk so that a resumed run does not repeat it."""
    if not heldout:
        return []
    path = out / "heldout_before.jsonl"
    if not path.exists():
        jsonl.write(path, _likelihood(settings, model, tokenizer, heldout, "heldout before"))
    return list(jsonl.read(path, TurnLikelihood))


def _likelihood(
    settings: TrainSettings, model: Any, tokenizer: Any, heldout: Sequence[Conversation], label: str
) -> list[TurnLikelihood]:
    from humanturn.models import likelihood

    return likelihood.score(model, tokenizer, heldout, role=settings.role, label=label)


def _per_token(rows: Sequence[TurnLikelihood]) -> float:
    return sum(row.nll for row in rows) / sum(row.tokens for row in rows)


def _adapted(model: Any, settings: TrainSettings) -> Any:
    """The model with LoRA adapters on every linear layer but the head, or ready for full training."""
    if settings.gradient_checkpointing:
        model.enable_input_require_grads()
    if settings.method == "full":
        return model
    import peft
    import transformers

    transformers.set_seed(settings.seed)  # the adapters are drawn at random
    return peft.get_peft_model(
        model,
        peft.LoraConfig(
            r=settings.lora_rank, lora_alpha=2 * settings.lora_rank, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )


def _save(model: Any, tokenizer: Any, settings: TrainSettings, backbone: Path, out: Path) -> None:
    """Write the model folder; `config.json` comes last, so a folder that has one is whole."""
    from humanturn import template
    from humanturn.models import weights

    draft = out / ".draft"
    shutil.rmtree(draft, ignore_errors=True)
    model.generation_config.eos_token_id = template.stop_ids(tokenizer)
    model.save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    card = weights.Card(
        role=settings.role,
        backbone=settings.backbone,
        max_tokens=settings.max_tokens,
        data_sha256=run.fingerprint(Path(settings.data)).sha256,
        humanturn=__version__,
    )
    jsonl.write_json(draft / "humanturn.json", card)
    for file in sorted(draft.iterdir(), key=lambda f: f.name == "config.json"):
        file.replace(out / file.name)
    shutil.rmtree(draft)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    (out / "heldout_before.jsonl").unlink(missing_ok=True)
