"""What of a forward pass is kept for the backward pass, and what is computed again."""

from typing import Any, Literal

import torch
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

Recompute = Literal["none", "elementwise", "layers"]

NARROW = 128
"""Products over fewer numbers than this are cheap for the size of their result (LoRA's second factor)."""

KEPT = {
    torch.ops.aten.mm.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
}


def enable(model: Any, how: Recompute) -> None:
    """Let `model` keep everything, only the results of matrix products and attention, or only each layer's input.

    `elementwise` halves the memory of activations for a few percent of time, `layers` leaves little of it for a third.
    The numbers are the same.
    """
    if how == "none":
        return
    options: dict[str, Any] = {"use_reentrant": False}
    if how == "elementwise":
        options["context_fn"] = _keep_products
    model.activation_checkpointing_enable(activation_checkpointing_kwargs=options)


def _keep_products() -> Any:
    return create_selective_checkpoint_contexts(_policy)


def _policy(_context: Any, operation: Any, *args: Any, **_: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if keeps(operation, args) else CheckpointPolicy.PREFER_RECOMPUTE


def keeps(operation: Any, args: Any) -> bool:
    """True for an operation whose result costs more to compute again than to keep."""
    if operation is torch.ops.aten.mm.default and args[0].shape[1] < NARROW:
        return False
    return operation in KEPT or operation.namespace in {"torch_attn", "flash_attn"}
