"""Experiment trackers, through transformers' own callbacks; metrics.jsonl is written whatever is chosen."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from humanturn.errors import InputError

PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "trackio": ("trackio",), "wandb": ("wandb",)}
"""Any one of these is enough for a tracker."""


def require(names: Sequence[str]) -> None:
    """See to it before training that every tracker can be used.

    Raises:
        InputError: a package is not installed.
    """
    for name in names:
        if not any(importlib.util.find_spec(package) for package in PACKAGES[name]):
            raise InputError(f"--report-to {name} needs a package that is not here; pip install {PACKAGES[name][0]}")


def callbacks(names: Sequence[str], out: Path) -> list[Any]:
    """A callback for each tracker; TensorBoard's files lie in `out/tensorboard`."""
    from transformers.integrations import TensorBoardCallback, TrackioCallback, WandbCallback

    plain = {"trackio": TrackioCallback, "wandb": WandbCallback}
    return [TensorBoardCallback(_writer(out)) if name == "tensorboard" else plain[name]() for name in names]


def _writer(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        from tensorboardX import SummaryWriter
    return SummaryWriter(str(out / "tensorboard"))
