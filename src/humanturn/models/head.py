"""The loss of chosen tokens without their logits as a whole: a chunk of the vocabulary-wide matrix exists at a time.

The model's own `forward` is entered once for the hidden states and once more per chunk, with its backbone standing
aside, so that whatever the model does to its logits (softcaps, scales, adapters on the head) is done by its own code.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy, log_softmax

LOGITS_BYTES = 64 << 20
"""Float32 logits of one chunk; about twice as much is alive at a time."""

Logits = Callable[[torch.Tensor], torch.Tensor]
"""Hidden states, shape (n, width), to logits, shape (n, vocabulary)."""


def chunk_tokens(vocabulary: int) -> int:
    """Predicted tokens per chunk."""
    return max(16, LOGITS_BYTES // (4 * vocabulary))


def teach_losses(causal: Any) -> None:
    """Let `causal(**inputs, targets=...)` answer with a loss; without `targets` its forward is what it was.

    `inputs` and `targets` are those of `packed.model_inputs`; the answer is the sum of -log p(target), float32, scalar.
    The model is taught and not its caller, so that whatever wraps it (DDP, FSDP, PEFT) sees an ordinary call.
    """
    plain = causal.forward

    def forward(*args: Any, targets: torch.Tensor | None = None, **kwargs: Any) -> Any:
        if targets is None:
            return plain(*args, **kwargs)
        keep = kwargs.pop("logits_to_keep")
        with _apart(causal, plain, args, kwargs) as parts:
            if parts is None:
                logits = plain(*args, logits_to_keep=keep, **kwargs).logits[0]
                return cross_entropy(logits.float(), targets, reduction="sum")
            hidden, logits_of = parts
            return _ChunkedLoss.apply(hidden[keep], targets, _vocabulary(causal), logits_of, *outside_backbone(causal))

    causal.forward = forward


@torch.no_grad()  # type: ignore[untyped-decorator]  # FSDP trains on with buffers of this pass: no inference mode
def token_losses(causal: Any, inputs: dict[str, Any], targets: torch.Tensor) -> torch.Tensor:
    """-log p of every target, in nats, float32, shape (predicted,); arguments as of `packed.model_inputs`."""
    kwargs = dict(inputs)
    keep = kwargs.pop("logits_to_keep")
    with _apart(causal, causal.forward, (), kwargs) as parts:
        if parts is None:
            logits = causal(**inputs).logits[0]
            return cross_entropy(logits.float(), targets, reduction="none")
        hidden, logits_of = parts
        size = chunk_tokens(_vocabulary(causal))
        chunks = zip(hidden[keep].split(size), targets.split(size), strict=True)
        return torch.cat([cross_entropy(logits_of(some).float(), wanted, reduction="none") for some, wanted in chunks])


@contextlib.contextmanager
def _apart(
    causal: Any, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[torch.Tensor, Logits] | None]:
    """(hidden states of the one row, what follows them); None for a model that does not come apart at its backbone."""
    name, head = causal.base_model_prefix, causal.get_output_embeddings()
    backbone = causal._modules.get(name)
    if backbone is None or head is None or any(hasattr(p, "full_tensor") for p in head.parameters()):
        yield None  # no backbone of that name, or a head whose shards a parallel engine gathers by itself
        return
    said: list[Any] = []

    def listen(_module: Any, _inputs: Any, output: Any) -> Any:
        said.append(output)
        return _saying(output, output.last_hidden_state[:, :1])  # the head is asked for one token, and not believed

    hook = backbone.register_forward_hook(listen)
    try:
        once = forward(*args, **kwargs).logits
    finally:
        hook.remove()
    if len(said) != 1 or once.shape[:2] != (1, 1):
        yield None
        return

    def logits_of(states: torch.Tensor) -> torch.Tensor:
        causal._modules[name] = _Aside(_saying(said[0], states[None]))
        try:
            logits: torch.Tensor = forward(*args, **kwargs).logits[0]
            return logits
        finally:
            causal._modules[name] = backbone

    yield said[0].last_hidden_state[0], logits_of


class _Aside(torch.nn.Module):  # type: ignore[misc]
    """Stands where the backbone was and repeats what it said."""

    def __init__(self, said: Any) -> None:
        super().__init__()
        self.said = said

    def forward(self, *_: Any, **__: Any) -> Any:
        return self.said


def _saying(output: Any, states: torch.Tensor) -> Any:
    return type(output)(**{**output, "last_hidden_state": states})


def _vocabulary(causal: Any) -> int:
    return int(causal.config.get_text_config().vocab_size)


def outside_backbone(causal: Any) -> list[torch.Tensor]:
    """What is learned of the head; a weight it shares with the embeddings gets its part of the gradient from both.

    Nothing for a model that does not come apart at its backbone: all of it is learned at once.
    """
    head, backbone = causal.get_output_embeddings(), causal._modules.get(causal.base_model_prefix)
    if head is None or backbone is None:
        return []
    inside = {id(p) for p in backbone.parameters()} - {id(p) for p in head.parameters()}
    return [p for p in causal.parameters() if p.requires_grad and id(p) not in inside]


class _ChunkedLoss(torch.autograd.Function):  # type: ignore[misc]
    """Σ −log p of `targets`; gradients are taken while a chunk's logits are there, and handed on in `backward`."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        targets: torch.Tensor,
        vocabulary: int,
        logits_of: Logits,
        *learned: torch.Tensor,
    ) -> torch.Tensor:
        total = torch.zeros((), device=hidden.device)
        size = chunk_tokens(vocabulary)
        learning = any(ctx.needs_input_grad)
        slopes: list[torch.Tensor] = []
        for start in range(0, len(targets), size):
            wanted = targets[start : start + size, None]
            with torch.enable_grad():
                states = hidden[start : start + size].detach().requires_grad_()
                logits = logits_of(states)
            logp = log_softmax(logits.detach(), dim=-1, dtype=torch.float32)
            total -= logp.gather(1, wanted).sum()
            if learning:
                slope = logp.exp_().scatter_add_(1, wanted, -torch.ones_like(wanted, dtype=torch.float32))
                found = torch.autograd.grad(logits, [states, *learned], slope.to(logits.dtype))
                if not slopes:
                    slopes = [torch.empty_like(hidden), *found[1:]]
                else:
                    for sum_, part in zip(slopes[1:], found[1:], strict=True):
                        sum_ += part
                slopes[0][start : start + size] = found[0]
        if learning and not slopes:  # no token counts in this row
            slopes = [torch.zeros_like(t) for t in (hidden, *learned)]
        ctx.slopes = slopes
        return total

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, scale: torch.Tensor) -> Any:
        to_hidden, *to_learned = [slope.mul_(scale) for slope in ctx.slopes]
        del ctx.slopes
        return to_hidden, None, None, None, *to_learned
