"""How much memory training takes, before it starts: an answer instead of a crash.

Bytes per token of a row are counted on a short row, so that they hold for any architecture and for adapters.
"""

from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.modeling_layers import GradientCheckpointingLayer

from humanturn.errors import InputError
from humanturn.models import head, packed
from humanturn.models.packed import TokenSequence
from humanturn.train import distributed
from humanturn.train.recompute import Recompute, keeps

PROBE_TOKENS = 64, 128
OVERHEAD = 1.1
"""Allocators keep a little more than they are asked for."""


class Estimate(msgspec.Struct, frozen=True):
    """Bytes that training needs beside what the process holds already (the weights among it)."""

    gradients: int
    optimizer: int
    """AdamW: two numbers per trained weight."""
    activations: int
    """Of the longest row."""
    logits: int
    """Of one chunk, with its gradients."""

    @property
    def total(self) -> int:
        """Bytes at the peak: a row's backward pass while gradients of earlier rows are there."""
        return int(OVERHEAD * (self.gradients + self.optimizer + self.activations + self.logits))


class RowCost(msgspec.Struct, frozen=True):
    """Bytes that a forward pass keeps for the backward pass, per token of its row (and `fixed` for any row)."""

    everything: float
    products: float
    """Results of matrix products and attention, and the inputs of layers."""
    layer_inputs: float
    fixed: int
    """Copies of weights in the numbers that products are computed in."""
    layers: int


class Room(msgspec.Struct, frozen=True):
    """How a training gets along with the memory there is."""

    recompute: Recompute
    needed: Estimate | None
    """None for a sharded model: what it takes is not counted."""
    plentiful: bool
    """Whether memory need not be saved."""


def choose(
    model: Any, *, row_tokens: int, wanted: Recompute | Literal["auto"] = "auto", bfloat16: bool = False
) -> Room:
    """What to compute again; with "auto" the quickest way that fits with room to spare.

    Args:
        model: as it will be trained, adapters and all.
        row_tokens: tokens of the longest row.
        wanted: "auto", or one of `Recompute`.
        bfloat16: whether products are computed in it.

    Raises:
        InputError: it does not fit into the memory that is free; says how much is missing and what to set.
    """
    if distributed.is_sharded(model):
        return Room("elementwise" if wanted == "auto" else wanted, None, plentiful=False)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16):
        cost = row_cost(model)
    ways: list[Recompute] = [way for way in get_args(Recompute) if wanted in ("auto", way)]
    found = [(way, estimate(model, cost, row_tokens, way)) for way in ways]
    room = free(model.device)
    for way, needed in found:
        plentiful = 2 * needed.total <= room  # holes between blocks that are kept can double what is taken
        # Keeping everything is a few percent quicker and takes half as much again.
        if needed.total <= room and ((way, wanted) != ("none", "auto") or plentiful):
            return Room(way, needed, plentiful)
    raise InputError(_advice(found[-1][0], found[-1][1], room, row_tokens, cost))


def estimate(model: Any, cost: RowCost, row_tokens: int, how: Recompute) -> Estimate:
    """Memory of training `model` on rows of `row_tokens` tokens."""
    trained = [p for p in model.parameters() if p.requires_grad]
    size = sum(p.numel() * p.element_size() for p in trained)
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    learned_head = sum(p.numel() * p.element_size() for p in head.outside_backbone(causal))
    vocabulary = causal.config.get_text_config().vocab_size
    chunk = min(row_tokens, head.chunk_tokens(vocabulary)) * vocabulary * 4
    return Estimate(
        gradients=size * (2 if distributed.world() > 1 else 1),  # DDP sends copies of them
        optimizer=2 * size,
        activations=int(cost.fixed + row_tokens * per_token(cost, how)),
        logits=2 * chunk + 2 * learned_head,
    )


def per_token(cost: RowCost, how: Recompute) -> float:
    """Bytes per token of a row that are alive at once; a layer that is computed again is there as a whole."""
    one_layer = cost.everything / max(1, cost.layers)
    kept = {"none": cost.everything, "elementwise": cost.products + one_layer, "layers": cost.layer_inputs + one_layer}
    return kept[how]


def row_cost(model: Any) -> RowCost:
    """Count what forward passes over two short rows keep; what both keep alike does not grow with the row."""
    layers = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    was_training = model.training
    model.train()
    (short, short_products), (long, long_products) = (_kept(model, tokens) for tokens in PROBE_TOKENS)
    model.train(was_training)
    more = PROBE_TOKENS[1] - PROBE_TOKENS[0]
    inputs_kept = model.config.get_text_config().hidden_size * next(model.parameters()).element_size() * len(layers)
    everything = (long - short) / more
    return RowCost(
        everything=everything,
        products=(long_products - short_products) / more + inputs_kept,
        layer_inputs=inputs_kept,
        fixed=max(0, int(long - PROBE_TOKENS[1] * everything)),
        layers=len(layers),
    )


def _kept(model: Any, tokens: int) -> tuple[int, int]:
    """Bytes that a forward pass over so many tokens keeps, and those of them that are results of products."""
    inputs, _ = packed.model_inputs([probe(model, tokens)], model.device)
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with _Products() as products, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(**inputs)
    del output
    return sum(saved.values()), products.bytes


def probe(model: Any, tokens: int) -> TokenSequence:
    """Any conversation of so many tokens, of which the last is trained."""
    at = np.arange(tokens)
    return TokenSequence((at % model.config.get_text_config().vocab_size).astype(np.int32), at == tokens - 1)


def free(device: Any) -> int:
    """Bytes that may still be taken on `device`; on CPU within the limits of a container, and shared by processes."""
    if torch.device(device).type == "cuda":
        available, _ = torch.cuda.mem_get_info(device)
        return int(available + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    import psutil

    room = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        if limit != "max":
            room = min(room, int(limit) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no such limits here
    return room // distributed.on_this_machine()


class _Products(TorchDispatchMode):  # type: ignore[misc]
    """Adds up the results that `recompute` keeps."""

    bytes = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        if keeps(operation, args):
            tensors = result if isinstance(result, tuple) else (result,)
            self.bytes += sum(t.numel() * t.element_size() for t in tensors if isinstance(t, torch.Tensor))
        return result


def _advice(how: Recompute, needed: Estimate, room: int, row_tokens: int, cost: RowCost) -> str:
    fixed = OVERHEAD * (needed.gradients + needed.optimizer + needed.logits)
    fitting = int((room - fixed) / (OVERHEAD * per_token(cost, "layers"))) // 64 * 64
    help_ = []
    if fitting >= 64:
        layers = "" if how == "layers" else "gradient_checkpointing to 'layers' and "
        help_.append(f"set {layers}max_tokens and row_tokens to {min(fitting, row_tokens)} or less")
    if needed.optimizer > needed.activations:
        help_.append("train with LoRA (--lora 16)")
    help_.append("choose a smaller backbone")
    return (
        f"training needs about {_gb(needed.total)} beside the loaded weights and {_gb(room)} are free"
        f" (gradients {_gb(needed.gradients)}, optimizer {_gb(needed.optimizer)},"
        f" a row of {row_tokens:,} tokens {_gb(needed.activations)}, logits {_gb(needed.logits)}); "
        + ", or ".join(help_)
    )


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
