"""Load a causal language model from a Hugging Face folder: safetensors only, no remote code."""

import json
import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from humanturn import run, tokens
from humanturn.errors import ModelError
from humanturn.models import packed


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """`humanturn.json` of a model we trained."""

    role: str
    """The side it plays: `user` or `assistant`."""
    backbone: str
    max_tokens: int
    """Context length it was trained with, in tokens."""
    data_sha256: str
    humanturn: str
    learned_ending: bool = False
    """True for a user model that ends a conversation by an empty turn: its end-of-turn token alone."""


def card(folder: Path) -> Card | None:
    """What humanturn knows of the model in `folder`; None for models it did not train."""
    path = folder / "humanturn.json"
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Card)
    except msgspec.MsgspecError as error:
        raise ModelError(f"{path}: damaged ({error}); remove it to use the folder as a plain model") from None


def context(folder: Path, tokenizer: Any) -> int | None:
    """Tokens that a model can read and write together: what its weights and its tokenizer allow, as vLLM reads them."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    limits = [config.get("max_position_embeddings"), config.get("n_positions"), tokenizer.model_max_length]
    return min((int(limit) for limit in limits if limit and limit < 2**31), default=None)


def set_threads() -> None:
    """Let torch compute with as many threads as `OMP_NUM_THREADS` says, or else as there are cores.

    The processes that torchrun starts share the cores instead: it sets that variable to 1, asked or not.
    """
    import torch

    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    if processes or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, run.cores() // max(1, processes)))


def served_dtype() -> Any:
    """In which weights are loaded and saved."""
    import torch

    return torch.bfloat16 if torch.cuda.is_available() else torch.float32


def load(
    folder: Path,
    *,
    attention: str = "sdpa",
    device: str | None = None,
    dtype: Literal["auto", "float32"] = "auto",
    quantization: Any = None,
) -> tuple[Any, Any]:
    """(model, tokenizer) in evaluation mode on the best device, or `device`.

    Args:
        folder: of a Hugging Face model.
        attention: an implementation's name: "sdpa", or what `packed.register_attention` gives.
        device: when not the best one.
        dtype: "auto" is float32 on CPU and bfloat16 on CUDA.
        quantization: what transformers takes as `quantization_config`, on CUDA.

    Raises:
        ModelError: the folder holds no causal language model with safetensors weights, or none that can be packed.
    """
    import torch
    import transformers

    tokenizer = tokens.load(folder)
    architectures = json.loads((folder / "config.json").read_text()).get("architectures") or []
    if not any("CausalLM" in name or "LMHead" in name or "ConditionalGeneration" in name for name in architectures):
        raise ModelError(
            f"{folder}: is no causal language model (its config names {', '.join(architectures) or 'no model'})"
        )
    cuda = torch.cuda.is_available()
    if not cuda:
        set_threads()
    transformers.utils.logging.disable_progress_bar()
    try:
        if attention != "sdpa":
            packed.refuse_unpackable(transformers.AutoConfig.from_pretrained(str(folder)))
        model = transformers.AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=served_dtype() if dtype == "auto" else torch.float32,
            attn_implementation=attention,
            use_safetensors=True,
            quantization_config=quantization,
            device_map={"": torch.cuda.current_device()} if quantization else None,
        )
    except ModelError:
        raise
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{folder}: the model cannot be loaded ({said})") from error
    if quantization:
        return model.eval(), tokenizer
    return model.to(device or ("cuda" if cuda else "cpu")).eval(), tokenizer
