"""The training loop: Hugging Face's Trainer, with exact token-normalized losses over packed rows.

An optimizer step is one item of the data: the rows of its conversations. Each row is backpropagated on its own, so
memory is bounded by a row; the loss of every token is divided by the trained tokens of the whole step.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from humanturn.models import head, packed
from humanturn.models.packed import TokenSequence
from humanturn.train import allocation, distributed, memory, recompute, saving, trackers, watch
from humanturn.train.packing import pack

SHARDS = "shards"
"""Folder in a checkpoint of a sharded model."""


class Steps(torch.utils.data.Dataset):  # type: ignore[misc]
    """Item i is optimizer step i: this process's part of its packed rows, as model inputs."""

    def __init__(self, sequences: Sequence[TokenSequence], order: list[list[int]], row_tokens: int) -> None:
        self.sequences, self.order, self.row_tokens = sequences, order, row_tokens

    def __len__(self) -> int:
        return len(self.order)

    def longest_row(self) -> int:
        """Tokens that no row exceeds."""
        longest = max(len(s.ids) for s in self.sequences)
        return max(longest, min(self.row_tokens, longest * max(len(step) for step in self.order)))

    def __getitem__(self, step: int) -> dict[str, Any]:
        rows = pack([self.sequences[i] for i in self.order[step]], self.row_tokens)
        mine = distributed.share_out(rows)[distributed.rank()]
        inputs = [packed.model_inputs(row or [_nothing(rows)]) for row in mine]
        return {
            "rows": [kwargs for kwargs, _ in inputs],
            "targets": [targets for _, targets in inputs],
            "weights": [float(bool(row)) for row in mine],
            "count": sum(int(s.trained.sum()) for row in rows for s in row),
        }


def _nothing(rows: Sequence[Sequence[TokenSequence]]) -> TokenSequence:
    """Two tokens for a process that has no row of its own."""
    return TokenSequence(rows[0][0].ids[:2], np.array([False, True]))


class PackedTrainer(transformers.Trainer):  # type: ignore[misc]
    """Trainer whose loss is Σ −log p over the trained tokens of a step, divided by their number.

    The model has to be taught losses (`head.teach_losses`).
    """

    def __init__(self, *, bfloat16: bool, **given: Any) -> None:
        super().__init__(**given)
        self.bfloat16 = bfloat16
        """Whether products are computed in bfloat16 (weights, sums and optimizer stay as they are)."""

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        model.train()
        inputs = self._prepare_inputs(inputs)
        total = torch.zeros((), device=self.args.device)
        rows = list(zip(inputs["rows"], inputs["targets"], inputs["weights"], strict=True))
        for n, (kwargs, targets, weight) in enumerate(rows, 1):
            with contextlib.nullcontext() if n == len(rows) else self.accelerator.no_sync(model):
                with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.bfloat16):
                    loss = model(**kwargs, targets=targets) * (weight / inputs["count"])
                # Engines average the processes' gradients; the step's is their sum.
                self.accelerator.backward(loss * distributed.world())
            total += loss.detach()
        distributed.total(total)
        self._refuse(float(total), "the loss")
        return total

    def get_train_dataloader(self) -> Any:
        """Steps in their order: what each process takes of one is decided there."""
        return torch.utils.data.DataLoader(self.train_dataset, collate_fn=self.data_collator)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        self._refuse(float(norm), "the gradient norm")
        return norm

    def _refuse(self, value: float, name: str) -> None:
        """Stop before the weights are touched."""
        if not math.isfinite(value):
            raise watch.Diverged(f"{name} of step {self.state.global_step + 1} is {value}", self.args.output_dir)


class ShardedTrainer(PackedTrainer):
    """The same over a model that is sharded already; checkpoints are written and read by all processes."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.is_distributed_loading_by_transformers = True  # wrap nothing: placement and gradients are the model's own

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Nothing: the weights go with the optimizer's state."""

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        distributed.save(self.model, self.optimizer.optimizer, Path(output_dir) / SHARDS)
        if distributed.rank() == 0:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / "scheduler.pt")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        distributed.load_weights(self.model, Path(resume_from_checkpoint) / SHARDS)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint:
            distributed.load_optimizer(self.model, self.optimizer.optimizer, Path(checkpoint) / SHARDS)
            self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True))


def fit(
    model: Any,
    data: Steps,
    *,
    out: Path,
    learning_rate: float,
    warmup: float,
    weight_decay: float,
    checkpoint_every: int,
    room: memory.Room,
    seed: int,
    bfloat16: bool = False,
    advance: Callable[[float], None],
    evaluate_every: int | None = None,
    evaluate: Callable[[], dict[str, float]] = dict,
    report_to: Sequence[str] = (),
) -> Any:
    """Train `model` on `data`, going on from the newest whole checkpoint under `out/checkpoints`; return the model.

    Raises:
        Diverged: the loss or the gradient became NaN or infinite, or the loss climbs.
        HumanturnError: a checkpoint finds no room on the disk.
    """
    checkpoints, metrics = out / "checkpoints", out / "metrics.jsonl"
    newest = distributed.tell(saving.newest_checkpoint(checkpoints) if distributed.rank() == 0 else None)
    trained = [sum(int(data.sequences[i].trained.sum()) for i in step) for step in data.order]
    done = int(newest.name.rpartition("-")[2]) if newest else 0
    if distributed.rank() == 0:
        watch.forget_after(metrics, done)
    distributed.wait()
    advance(sum(trained[:done]))
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    head.teach_losses(causal)
    recompute.enable(causal, room.recompute)
    told = trackers.callbacks(report_to, out) if distributed.rank() == 0 else []
    args = transformers.TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=len(data),
        per_device_train_batch_size=1,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        learning_rate=learning_rate,
        warmup_steps=int(warmup * len(data)),
        lr_scheduler_type="cosine",
        weight_decay=weight_decay,
        max_grad_norm=1.0,
        dataloader_pin_memory=torch.cuda.is_available(),
        save_strategy="steps",
        save_steps=checkpoint_every,
        save_total_limit=2,
        logging_steps=1,
        seed=seed,
        use_cpu=not torch.cuda.is_available(),  # otherwise torchrun's processes go unnoticed
        ddp_find_unused_parameters=False,
        bf16=False,
        disable_tqdm=True,
        report_to="none",
    )
    args._n_gpu = min(1, args.n_gpu)  # nn.DataParallel would cut rows apart; several devices take torchrun
    trainer = (ShardedTrainer if distributed.is_sharded(model) else PackedTrainer)(
        model=model,
        bfloat16=bfloat16,
        args=args,
        train_dataset=data,
        data_collator=lambda items: items[0],
        callbacks=[watch.Evaluate(evaluate_every, evaluate), *told, watch.Watch(metrics, trained, advance)],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    if done < len(data):
        with allocation.blocks(reused=room.plentiful), saving.explained(out):
            trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    elif newest:
        trainer._load_from_checkpoint(str(newest))
    return model
