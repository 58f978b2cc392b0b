"""The training loop: Hugging Face's Trainer, with exact token-normalized losses over packed rows.

An optimizer step is one item of the data: the rows of its conversations. Each row is backpropagated on its own, so
memory is bounded by a row; the loss of every token is divided by the trained tokens of the whole step.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn.functional import cross_entropy

from humanturn import jsonl
from humanturn.errors import HumanturnError
from humanturn.models import packed
from humanturn.models.packed import TokenSequence
from humanturn.train.packing import pack

COMPLETE = "complete"
"""A checkpoint directory with this file was written to its end."""


class Steps(torch.utils.data.Dataset):  # type: ignore[misc]
    """Item i is optimizer step i: its packed rows as model inputs."""

    def __init__(self, sequences: Sequence[TokenSequence], order: list[list[int]], row_tokens: int) -> None:
        self.sequences, self.order, self.row_tokens = sequences, order, row_tokens

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, step: int) -> dict[str, Any]:
        rows = pack([self.sequences[i] for i in self.order[step]], self.row_tokens)
        inputs = [packed.model_inputs(row) for row in rows]
        return {"rows": [kwargs for kwargs, _ in inputs], "targets": [targets for _, targets in inputs]}


class PackedTrainer(transformers.Trainer):  # type: ignore[misc]
    """Trainer whose loss is Σ −log p over the trained tokens of a step, divided by their number."""

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        model.train()
        inputs = self._prepare_inputs(inputs)
        count = sum(len(targets) for targets in inputs["targets"])
        total = torch.zeros((), device=self.args.device)
        for kwargs, targets in zip(inputs["rows"], inputs["targets"], strict=True):
            with self.compute_loss_context_manager():
                logits = model(**kwargs).logits[0].float()
                loss = cross_entropy(logits, targets, reduction="sum") / count
            self.accelerator.backward(loss)
            total += loss.detach()
        if not math.isfinite(float(total)):
            raise HumanturnError(
                f"the loss of step {self.state.global_step + 1} is {float(total)}; lower the learning rate"
                f" (the last good checkpoint is kept in {self.args.output_dir})"
            )
        return total


class Watch(transformers.TrainerCallback):  # type: ignore[misc]
    """Writes metrics, marks finished checkpoints, moves the progress bar."""

    def __init__(self, metrics: Path, trained_tokens: Sequence[int], advance: Callable[[float], None]) -> None:
        self.metrics, self.trained_tokens, self.advance = metrics, trained_tokens, advance

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.advance(self.trained_tokens[state.global_step - 1])

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            line = {"step": state.global_step, "trained_tokens": sum(self.trained_tokens[: state.global_step])}
            keep = {name: logs[name] for name in ("loss", "learning_rate", "grad_norm") if name in logs}
            jsonl.append(self.metrics, line | keep)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()


def fit(
    model: Any,
    data: Steps,
    *,
    out: Path,
    learning_rate: float,
    warmup: float,
    weight_decay: float,
    checkpoint_every: int,
    gradient_checkpointing: bool,
    seed: int,
    advance: Callable[[float], None],
) -> Any:
    """Train `model` on `data`, going on from the newest whole checkpoint under `out/checkpoints`; return the model.

    Raises:
        HumanturnError: the loss became NaN or infinite.
    """
    checkpoints, metrics = out / "checkpoints", out / "metrics.jsonl"
    newest = newest_checkpoint(checkpoints)
    trained = [sum(int(data.sequences[i].trained.sum()) for i in step) for step in data.order]
    done = int(newest.name.rpartition("-")[2]) if newest else 0
    _forget_after(metrics, done)
    advance(sum(trained[:done]))
    trainer = PackedTrainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(checkpoints),
            max_steps=len(data),
            per_device_train_batch_size=1,
            train_sampling_strategy="sequential",
            remove_unused_columns=False,
            learning_rate=learning_rate,
            warmup_steps=math.ceil(warmup * len(data)),
            lr_scheduler_type="cosine",
            weight_decay=weight_decay,
            max_grad_norm=1.0,
            activation_checkpointing=gradient_checkpointing,
            dataloader_pin_memory=torch.cuda.is_available(),
            save_strategy="steps",
            save_steps=checkpoint_every,
            save_total_limit=2,
            logging_steps=1,
            seed=seed,
            bf16=False,
            disable_tqdm=True,
            report_to="none",
        ),
        train_dataset=data,
        data_collator=lambda items: items[0],
        callbacks=[Watch(metrics, trained, advance)],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    if done < len(data):
        trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    elif newest:
        trainer._load_from_checkpoint(str(newest))
    return model


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; torn ones are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
    for torn in [p for p in found if not (p / COMPLETE).exists()]:
        shutil.rmtree(torn)
    whole = [p for p in found if p.exists()]
    return whole[-1] if whole else None


def _forget_after(metrics: Path, step: int) -> None:
    """Drop the lines of steps that will be done again."""
    if metrics.exists():
        jsonl.repair(metrics)
        jsonl.write(metrics, [line for line in jsonl.read(metrics, dict) if line["step"] <= step])
