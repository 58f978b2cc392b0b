"""Sequence classifiers as detectors of human turns: Hugging Face folders, safetensors only, no remote code."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from humanturn import progress
from humanturn.errors import InputError, ModelError
from humanturn.models import weights

MOST_TOKENS = 512
BATCH = 32


def load(folder: Path, label: str | None) -> Callable[[Sequence[str]], "np.ndarray[Any, Any]"]:
    """A function from texts to the probability that a machine wrote each, shape (texts,).

    Args:
        folder: of a model that transformers loads as a sequence classifier.
        label: name in its config of the class that means a person; the other classes are machines.

    Raises:
        ModelError: the folder holds no sequence classifier with safetensors weights.
        InputError: the label is missing, or none of the model's; the message lists them.
    """
    import torch
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
        config = transformers.AutoConfig.from_pretrained(str(folder))
        if not any("SequenceClassification" in name for name in config.architectures or ()):
            raise ValueError(f"its config names {', '.join(config.architectures or ()) or 'no model'}")
        model = transformers.AutoModelForSequenceClassification.from_pretrained(str(folder), use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder}: is no sequence classifier ({str(error).splitlines()[0]})") from error
    labels = {name: int(number) for number, name in model.config.id2label.items()}
    if label not in labels:
        raise InputError(
            f"{folder}: which of its labels means a person? Set analyze.detector.label (--detector-label) to one of"
            f" {', '.join(labels)}" + (f", not {label}" if label else "")
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        weights.set_threads()
    model = model.to(device).eval()
    longest = min(
        MOST_TOKENS, tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", MOST_TOKENS)
    )

    def machine(texts: Sequence[str]) -> "np.ndarray[Any, Any]":
        found = np.empty(len(texts))
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))  # texts of a length pad each other little
        with progress.bar(f"detect with {folder.name}", len(texts), "turns") as advance, torch.inference_mode():
            for at in range(0, len(order), BATCH):
                batch = order[at : at + BATCH]
                inputs = tokenizer(
                    [texts[n] or " " for n in batch],
                    truncation=True,
                    max_length=longest,
                    padding=len(batch) > 1,
                    return_tensors="pt",
                )
                logits = model(**inputs.to(device)).logits.float()
                found[batch] = 1 - logits.softmax(-1)[:, labels[label]].cpu().numpy()
                advance(len(batch))
        return found

    return machine
