"""Which weights are trained: all of them, or LoRA adapters, which are merged into the backbone in the end."""

import importlib.util
from pathlib import Path
from typing import Any, Literal

from humanturn.errors import InputError

Method = Literal["lora", "full", "qlora"]


def quantization(method: Method) -> Any:
    """How the backbone is loaded: in 4 bits (NF4, Dettmers et al. 2023) for QLoRA, else None: as it is.

    Raises:
        InputError: QLoRA without CUDA or without bitsandbytes.
    """
    if method != "qlora":
        return None
    import torch

    if not torch.cuda.is_available():
        raise InputError(
            "method qlora needs a CUDA device, whose kernels it computes 4-bit weights with; use --lora here"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError("method qlora needs bitsandbytes; install it with: pip install 'humanturn[qlora]'")
    import transformers

    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def adapt(model: Any, method: Method, *, rank: int, seed: int) -> Any:
    """The model with LoRA adapters on every linear layer but the head, or ready for full training."""
    if method == "full":
        return model
    import peft
    import transformers

    transformers.set_seed(seed)  # the adapters are drawn at random
    return peft.get_peft_model(
        model, peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    )


def merge(model: Any, method: Method, backbone: Path) -> Any:
    """The trained model without adapters; QLoRA's are merged into the unquantized backbone."""
    if method == "full":
        return model
    if method == "lora":
        return model.merge_and_unload()
    import peft

    from humanturn.models import packed, weights

    learned = peft.get_peft_model_state_dict(model)
    whole, _ = weights.load(backbone, attention=packed.register_attention())
    adapted = peft.get_peft_model(whole, model.peft_config["default"])
    peft.set_peft_model_state_dict(adapted, learned)
    return adapted.merge_and_unload()
