"""Tokenizers: loading, and a fast counter for budgets."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from humanturn.errors import ModelError

Counter = Callable[[Sequence[str]], list[int]]
"""Number of tokens of each text, without special tokens added around it."""

# Control bytes that fastokens refuses and Hugging Face drops.
_REFUSED = str.maketrans("", "", "\x04\x06\x13\x14\x16\x1d")


def load(folder: str | Path) -> Any:
    """The fast Hugging Face tokenizer in `folder` (or of a hub id).

    Raises:
        ModelError: there is none, or it has no fast version, which gives no character offsets.
    """
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), use_fast=True)
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{folder}: no tokenizer can be loaded ({said}); give a Hugging Face model folder") from error
    if not tokenizer.is_fast:
        raise ModelError(f"{folder}: its tokenizer gives no character offsets; convert it to a fast tokenizer.json")
    return tokenizer


def counter(folder: Path) -> Counter:
    """A counter for the `tokenizer.json` in `folder`, at 60 MB/s or more (fastokens; the ids are Hugging Face's).

    Control tokens written out in a text are counted as the ordinary text they are.
    """
    import fastokens
    import numpy as np

    file = folder / "tokenizer.json"
    if not file.exists():
        raise ModelError(f"{folder}: has no tokenizer.json; give a model folder with a fast tokenizer")
    fast = fastokens.Tokenizer.from_file(str(file))

    def count(texts: Sequence[str]) -> list[int]:
        cleaned = [text.translate(_REFUSED) for text in texts]
        _, offsets = fast.encode_batch_flat(cleaned, add_special_tokens=False, split_special_tokens=True)
        return [int(n) for n in np.diff(np.frombuffer(offsets, np.uint64))]

    return count
