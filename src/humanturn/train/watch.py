"""What is looked at while a training runs: metrics, progress, checkpoints, and whether it still converges."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import transformers

from humanturn import jsonl
from humanturn.errors import HumanturnError
from humanturn.train import distributed, saving

STEADY = 5
"""Steps whose mean loss is looked at for divergence."""

RISE = 3.0
"""Nats per token by which that mean may exceed the lowest so far; a model that climbs more has come apart."""


class Diverged(HumanturnError):
    """The weights are no longer worth training."""

    def __init__(self, what: str, checkpoints: str) -> None:
        newest = saving.newest_checkpoint(Path(checkpoints))
        kept = f"the last good checkpoint is {newest}" if newest else "no checkpoint had been written yet"
        super().__init__(f"{what}; lower the learning rate and choose another --out ({kept})")


class Evaluate(transformers.TrainerCallback):  # type: ignore[misc]
    """Measures on heldout data every so many steps; what it finds is logged with the step's loss."""

    def __init__(self, every: int | None, evaluate: Callable[[], dict[str, float]]) -> None:
        self.every, self.evaluate = every, evaluate

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if self.every and logs is not None and "loss" in logs and state.global_step % self.every == 0:
            logs.update(self.evaluate())


class Watch(transformers.TrainerCallback):  # type: ignore[misc]
    """Writes metrics, marks finished checkpoints, moves the progress bar, stops what diverges."""

    def __init__(self, metrics: Path, trained_tokens: Sequence[int], advance: Callable[[float], None]) -> None:
        self.metrics, self.trained_tokens, self.advance = metrics, trained_tokens, advance
        self.losses = [line["loss"] for line in jsonl.read(metrics, dict)] if metrics.exists() else []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.advance(self.trained_tokens[state.global_step - 1])

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            line = {"step": state.global_step, "trained_tokens": sum(self.trained_tokens[: state.global_step])}
            kept = ("loss", "learning_rate", "grad_norm")
            keep = {name: value for name, value in logs.items() if name in kept or name.startswith("heldout_")}
            if distributed.rank() == 0:
                jsonl.append(self.metrics, line | keep)
            self.losses.append(logs["loss"])
            rise = climbed(self.losses)
            control.should_save = control.should_save and rise < RISE / 2
            if rise > RISE:
                raise Diverged(f"the loss climbed by {rise:.1f} to step {state.global_step}", args.output_dir)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        distributed.wait()  # until every process has written its part
        if distributed.rank() == 0:
            saving.finish(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def climbed(losses: Sequence[float]) -> float:
    """How far the mean loss of the last `STEADY` steps lies above the lowest such mean so far, nats per token."""
    if len(losses) <= STEADY:
        return 0.0
    means = [sum(losses[at - STEADY : at]) / STEADY for at in range(STEADY, len(losses) + 1)]
    return means[-1] - min(means)


def forget_after(metrics: Path, step: int) -> None:
    """Drop the lines of steps that will be done again."""
    if metrics.exists():
        jsonl.repair(metrics)
        jsonl.write(metrics, [line for line in jsonl.read(metrics, dict) if line["step"] <= step])
