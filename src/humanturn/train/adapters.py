"""Which weights are trained: all of them, or LoRA adapters, which are merged into the backbone in the end."""

import functools
import importlib.util
from pathlib import Path
from typing import Any, Literal

from humanturn.errors import InputError

Method = Literal["lora", "full", "qlora"]


def precision(wanted: Literal["auto", "float32", "bfloat16"]) -> Literal["float32", "bfloat16"]:
    """Of matrix products and attention: with "auto" bfloat16 on CUDA and float32 on CPU.

    On a CPU bfloat16 pays where the processor multiplies it (AVX512_BF16, AMX), and is slower than float32 elsewhere.
    """
    import torch

    if wanted == "auto":
        return "bfloat16" if torch.cuda.is_available() else "float32"
    return wanted


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
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    for layer in adapted.modules():
        if type(layer) is peft.tuners.lora.Linear:  # not its kin, whose weights are in 4 bits
            layer.forward = functools.partial(_adapted, layer)
    return adapted


def _adapted(layer: Any, x: Any) -> Any:
    """What PEFT computes, B(A x) · scaling + W x, without two of its passes over a result as wide as the layer."""
    from humanturn.train import recompute

    narrow = layer.lora_A["default"](x) * layer.scaling["default"]
    wide = layer.lora_B["default"](narrow)
    if layer.r["default"] >= recompute.NARROW:  # then it may be kept for the way back, and must stay as it is
        return wide + layer.base_layer(x)
    return wide.add_(layer.base_layer(x))


def merge(model: Any, method: Method, backbone: Path) -> Any:
    """The trained model without adapters; QLoRA's are merged into the unquantized backbone."""
    if method == "full":
        return model
    if method == "lora":
        return model.merge_and_unload()
    import peft

    from humanturn.models import weights

    learned = peft.get_peft_model_state_dict(model)
    whole, _ = weights.load(backbone, device="cpu")  # the device has room for 4 bits a weight, not for 16
    adapted = peft.get_peft_model(whole, model.peft_config["default"])
    peft.set_peft_model_state_dict(adapted, learned)
    return adapted.merge_and_unload()
