"""Read tokens into the caches of several conversations with one forward pass, and predict what comes next in each.

All new tokens, whole prompts and single ones alike, stand in one row without padding; attention looks up each
conversation's own keys and values. Models whose attention does not work that way (soft-capped scores, attention sinks,
state spaces ...) are found out by trying, and read one conversation at a time with the library's own cache.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from humanturn.models.caches import Cache, Shape

ATTENTION = "humanturn_cached"
"""Name under which the attention below is registered with transformers."""

STEP_TOKENS = 256
"""Tokens read in one step, so that a long prompt does not hold up those who write."""

KEPT_BYTES = 2 * 2**30
"""Memory for the caches of conversations that wait for their next turn, per model."""


class Reader(Protocol):
    """Reads for one model."""

    step_tokens: int
    """Tokens that one step may read."""
    kept_tokens: int
    """Tokens of waiting conversations to keep in memory."""

    def cache(self) -> Any:
        """An empty cache; its `tokens` are those it has read."""
        ...

    def read(self, parts: Sequence[tuple[Any, list[int]]]) -> Any:
        """Read each part's tokens into its cache; returns the logits after each part, float32 (parts, vocabulary)."""
        ...


class Unsupported(Exception):
    """The model wants more of its attention than ours does."""


def reader(model: Any) -> Reader:
    """The fastest reader that predicts for `model` what the model itself does."""
    import torch

    if model.config._attn_implementation == ATTENTION:  # an engine had it before
        model.set_attn_implementation("sdpa")
    usual = model.config._attn_implementation
    ids = (torch.arange(12) * 7919 % model.config.get_text_config().vocab_size).tolist()
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0].float()
        try:
            packed = PackedReader(model)
            first, second = packed.cache(), packed.cache()
            packed.read([(first, ids[:7]), (second, ids[:3])])
            found = packed.read([(first, ids[7:8]), (second, ids[3:9])])
            tolerance = (1e-3 if found.dtype == model.dtype else 5e-2) * float(expected.abs().max())
            if float((found - expected[[7, 8]]).abs().max()) <= tolerance:
                return packed
        except (Unsupported, ValueError, TypeError, RuntimeError, AttributeError):
            pass
    model.set_attn_implementation(usual)
    return PlainReader(model)


class PackedReader:
    """One forward pass for all parts."""

    def __init__(self, model: Any) -> None:
        """Set up `model`.

        Raises:
            Unsupported: its layers are not all plain or sliding attention with keys and values of one shape.
        """
        from transformers import AttentionInterface

        kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
        if not kinds <= {"full_attention", "sliding_attention"}:
            raise Unsupported(", ".join(sorted(kinds)))
        if _turns_by_length(model.config.get_text_config()):
            raise Unsupported("positions that are turned by the length of the conversation")
        AttentionInterface.register(ATTENTION, _attend)
        model.set_attn_implementation(ATTENTION)
        self.model, self.step_tokens = model, STEP_TOKENS
        looked = _Look()
        self._forward([0], [0], looked, [0])
        self.shape = looked.shape(model)
        self.kept_tokens = KEPT_BYTES // self.shape.token_bytes

    def cache(self) -> Cache:
        """An empty cache."""
        return Cache(self.shape)

    def read(self, parts: Sequence[tuple[Cache, list[int]]]) -> Any:
        """As `Reader.read`."""
        ids = [token for _, tokens in parts for token in tokens]
        positions = [len(cache.tokens) + n for cache, tokens in parts for n in range(len(tokens))]
        step = _Step(parts, ids)
        logits = self._forward(ids, positions, step, [stop - 1 for _, stop in step.bounds])
        for cache, tokens in parts:
            cache.tokens += tokens
        return logits

    def _forward(self, ids: list[int], positions: list[int], step: Any, ends: list[int]) -> Any:
        import torch

        device = self.model.device
        result = self.model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=torch.tensor([positions], device=device),
            logits_to_keep=torch.tensor(ends, device=device),
            use_cache=False,
            conversations=step,
        )
        return result.logits[0].float()


class PlainReader:
    """A forward pass for each part, and nothing kept from turn to turn."""

    step_tokens = 1 << 40
    kept_tokens = 0

    def __init__(self, model: Any) -> None:
        import inspect

        self.model = model
        takes = inspect.signature(model.forward).parameters
        self._cache_name = "past_key_values" if "past_key_values" in takes else "cache_params"

    def cache(self) -> "PlainCache":
        """An empty cache."""
        from transformers import DynamicCache

        return PlainCache(DynamicCache(config=self.model.config))

    def read(self, parts: Sequence[tuple["PlainCache", list[int]]]) -> Any:
        """As `Reader.read`."""
        import torch

        rows = []
        for cache, tokens in parts:
            ids = torch.tensor([tokens], device=self.model.device)
            state = {self._cache_name: cache.state}
            rows.append(self.model(input_ids=ids, use_cache=True, logits_to_keep=1, **state).logits[0, -1].float())
            cache.tokens += tokens
        return torch.stack(rows)


class PlainCache(msgspec.Struct):
    """The library's own cache of one conversation."""

    state: Any
    tokens: list[int] = []

    @property
    def room(self) -> int:
        """Tokens it has memory for."""
        return len(self.tokens)


class _Step:
    """Where the tokens of one forward pass belong, worked out once for all layers."""

    def __init__(self, parts: Sequence[tuple[Cache, list[int]]], ids: list[int]) -> None:
        self.bounds: list[tuple[int, int]] = []
        self._held = [len(cache.tokens) for cache, _ in parts]
        self._places: list[tuple[Any, ...]] = []  # by part, by layer
        self._keys: list[tuple[Any, ...]] = []
        self._values: list[tuple[Any, ...]] = []
        self._masks: dict[tuple[int, int | None], Any] = {}
        at = 0
        for cache, tokens in parts:
            held, total = len(cache.tokens), len(cache.tokens) + len(tokens)
            cache.reserve(total)
            self.bounds.append((at, at + len(tokens)))
            self._places.append(cache.store[:, :, :, held:total].unbind(0))
            self._keys.append(cache.store[:, :1, :, :total].unbind(0))
            self._values.append(cache.store[:, 1:, :, :total].unbind(0))
            at += len(tokens)
        assert at == len(ids)

    def attend(self, layer: int, query: Any, key: Any, value: Any, scale: float | None, window: int | None) -> Any:
        """Store the new keys and values, and attend to all; query is (1, heads, tokens, width)."""
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        sizes = [stop - start for start, stop in self.bounds]
        grouped = key.shape[1] != query.shape[1]
        new = torch.cat([key, value]).split(sizes, dim=2)
        torch._foreach_copy_([places[layer] for places in self._places], list(new))
        parts = []
        for number, asked in enumerate(query.split(sizes, dim=2)):
            keys, values = self._keys[number][layer], self._values[number][layer]
            mask = None
            if sizes[number] > 1:
                mask = self._mask(number, sizes[number], window, keys.device)
            elif window is not None and keys.shape[2] > window:
                keys, values = keys[:, :, -window:], values[:, :, -window:]
            parts.append(
                scaled_dot_product_attention(asked, keys, values, attn_mask=mask, scale=scale, enable_gqa=grouped)
            )
        return torch.cat(parts, dim=2)

    def _mask(self, number: int, new: int, window: int | None, device: Any) -> Any:
        """Which tokens each new one may look at, bool, shape (new, all)."""
        import torch

        if (number, window) not in self._masks:
            at = torch.arange(self._held[number], self._held[number] + new, device=device)[:, None]
            before = torch.arange(self._held[number] + new, device=device)[None]
            mask = before <= at
            self._masks[number, window] = mask if window is None else mask & (before > at - window)
        return self._masks[number, window]


def _turns_by_length(config: Any) -> bool:
    """Whether rotary positions depend on how long a conversation is: those that are read together would share them."""
    given = getattr(config, "rope_parameters", None) or {}
    kinds = {part.get("rope_type") for part in (given, *given.values()) if isinstance(part, dict)}
    return bool(kinds & {"dynamic", "longrope"})


class _Look:
    """Stands in for a step to learn the shape of each layer's keys."""

    def __init__(self) -> None:
        self._keys: dict[int, Any] = {}
        self._windows: set[int | None] = set()

    def attend(self, layer: int, query: Any, key: Any, value: Any, scale: float | None, window: int | None) -> Any:
        """Remember, and pretend."""
        if key.shape != value.shape or layer in self._keys:
            raise Unsupported("keys and values of different shapes, or shared between layers")
        self._keys[layer] = key
        self._windows.add(window)
        return query

    def shape(self, model: Any) -> Shape:
        """The one shape of all layers."""
        shapes = {tuple(key.shape) for key in self._keys.values()}
        config = model.config.get_text_config()
        slides = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
        if (
            len(shapes) != 1
            or sorted(self._keys) != list(range(len(self._keys)))
            or (slides and not any(self._windows))
        ):
            raise Unsupported("layers that differ")
        ((_, heads, _, width),) = shapes
        return Shape(len(self._keys), heads, width, self._keys[0].dtype, self._keys[0].device)


def _attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    scaling: float | None = None,
    conversations: Any = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[Any, None]:
    """Attention as transformers asks for it; what we do not know of is refused, never ignored."""
    unknown = {
        name for name in ("softcap", "s_aux", "position_bias", "head_mask", "sinks") if more.get(name) is not None
    }
    if conversations is None or unknown or attention_mask is not None or not getattr(module, "is_causal", True):
        raise Unsupported(", ".join(sorted(unknown)) or type(module).__name__)
    seen = conversations.attend(module.layer_idx, query, key, value, scaling, sliding_window)
    return seen.transpose(1, 2), None
