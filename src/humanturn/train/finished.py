"""The finished model: in one piece, as a plain Hugging Face folder."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humanturn import __version__, jsonl, run, template
from humanturn.errors import ModelError
from humanturn.models import weights
from humanturn.train import adapters, card, curve, distributed, saving

if TYPE_CHECKING:
    from humanturn.train.stage import TrainSettings


def whole(model: Any, settings: "TrainSettings", backbone: Path) -> Any:
    """The trained model as one piece, its adapters merged; of a sharded one, only the first process gets it."""
    if distributed.is_sharded(model):
        state = distributed.gather(model)
        if distributed.rank():
            return model
        fresh, _ = weights.load(backbone, device="cpu", dtype="float32")
        model = adapters.adapt(fresh, settings.method, rank=settings.lora_rank, seed=settings.seed)
        if unknown := model.load_state_dict(state, strict=False).unexpected_keys:
            raise ModelError(f"{backbone}: the trained weights do not fit its own ({', '.join(unknown[:3])} ...)")
    return adapters.merge(model, settings.method, backbone).to(weights.served_dtype())


def save(model: Any, tokenizer: Any, settings: "TrainSettings", summary: dict[str, Any], out: Path) -> None:
    """Write the model folder; `config.json` comes last, so a folder that has one is whole."""
    model.generation_config = _generation(model.generation_config, template.stop_ids(tokenizer))
    mine = weights.Card(
        role=settings.role,
        backbone=settings.backbone,
        max_tokens=settings.max_tokens,
        data_sha256=run.fingerprint(Path(settings.data)).sha256,
        humanturn=__version__,
        learned_ending=settings.learn_ending,
    )
    with saving.model_folder(out) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        jsonl.write_json(draft / "humanturn.json", mine)
        curve.draw(out / "metrics.jsonl", draft / "loss.svg", **summary.get("heldout_nll", {}))
        (draft / "README.md").write_text(card.text(mine, settings, summary), encoding="utf-8")
    shutil.rmtree(out / "checkpoints", ignore_errors=True)


def _generation(given: Any, stops: list[int]) -> Any:
    """The backbone's generation config with the trained model's stop tokens."""
    import transformers

    given.eos_token_id = stops
    try:
        given.validate(strict=True)
    except ValueError:  # some published ones sample without sampling, which transformers saves only unchanged
        return transformers.GenerationConfig(
            bos_token_id=given.bos_token_id, pad_token_id=given.pad_token_id, eos_token_id=stops
        )
    return given
