"""Tokenizers: loading, and a fast counter for budgets."""

import contextlib
import json
import threading
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
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
    import numpy as np

    fast = _fast(folder)

    def count(texts: Sequence[str]) -> list[int]:
        given = list(texts)
        try:
            _, offsets = fast.encode_batch_flat(given, add_special_tokens=False, split_special_tokens=True)
        except Exception:  # it refuses some control bytes, rare enough that looking for them would cost more
            cleaned = [text.translate(_REFUSED) for text in given]
            _, offsets = fast.encode_batch_flat(cleaned, add_special_tokens=False, split_special_tokens=True)
        return [int(n) for n in np.diff(np.frombuffer(offsets, np.uint64))]

    return count


def load_ahead(folder: Path) -> None:
    """Begin to load the fast tokenizer of `folder` beside whatever the caller does next (it needs no Python)."""

    def load() -> None:
        with contextlib.suppress(ModelError):  # whoever needs the tokenizer is told
            _fast(folder)

    threading.Thread(target=load, name="humanturn-tokenizer").start()


def _fast(folder: Path) -> Any:
    """The fastokens tokenizer of a folder; loading one takes a third of a second, and is done once."""
    with _loading:
        return _read_fast(folder)


_loading = threading.Lock()


@lru_cache(maxsize=4)
def _read_fast(folder: Path) -> Any:
    import fastokens

    file = _file(folder)
    try:
        return fastokens.Tokenizer.from_file(str(file))
    except Exception as error:
        raise ModelError(f"{file}: no tokenizer can be loaded ({error}); give another model folder") from error


class FileTokenizer:
    """What `template` asks of a tokenizer, read from the folder's files alone.

    It stands in for the Hugging Face tokenizer where only counts and the scaffold are needed, because importing
    transformers takes longer than preparing ten megabytes of conversations. It gives no character offsets.
    """

    def __init__(self, folder: Path) -> None:
        """Read `folder`.

        Raises:
            ModelError: a file is missing or damaged.
        """
        self.name_or_path = str(folder)
        load_ahead(folder)
        try:
            config = json.loads(_text(folder / "tokenizer_config.json") or "{}")
            named = json.loads(_text(folder / "special_tokens_map.json") or "{}") | config
            self._added = json.loads(_text(_file(folder))).get("added_tokens", [])
        except ValueError as error:
            raise ModelError(f"{folder}: its tokenizer files are damaged ({error}); download the model again") from None
        self.bos_token = _content(named.get("bos_token"))
        self.eos_token = _content(named.get("eos_token"))
        more = named.get("additional_special_tokens") or named.get("extra_special_tokens") or []
        every = [named.get(f"{name}_token") for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")]
        every += list(more.values()) if isinstance(more, dict) else more
        self.all_special_tokens = list(dict.fromkeys(t for t in map(_content, every) if t))
        self.chat_template = _text(folder / "chat_template.jinja") or _default(config.get("chat_template"))

    @cached_property
    def added_tokens_decoder(self) -> dict[int, Any]:
        """Added tokens by id; each has `content` and `special`."""
        from types import SimpleNamespace

        return {t["id"]: SimpleNamespace(content=t["content"], special=t["special"]) for t in self._added}

    def __call__(self, text: str, *, add_special_tokens: bool = False) -> dict[str, list[int]]:
        """Token ids of `text`, control tokens in it recognized."""
        return {
            "input_ids": list(_fast(Path(self.name_or_path)).encode(text, add_special_tokens=add_special_tokens).ids)
        }

    def apply_chat_template(
        self, messages: list[dict[str, str]], *, tokenize: bool = False, add_generation_prompt: bool = False
    ) -> str:
        """Render `messages` as transformers does."""
        if tokenize:
            raise ValueError("a FileTokenizer renders text only")
        return str(
            self._template.render(
                messages=messages,
                add_generation_prompt=add_generation_prompt,
                bos_token=self.bos_token or "",
                eos_token=self.eos_token or "",
            )
        )

    @cached_property
    def _template(self) -> Any:
        import datetime

        import jinja2.ext
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        def refuse(message: str) -> None:
            raise jinja2.TemplateError(message)

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
        environment.globals["raise_exception"] = refuse
        environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
        return environment.from_string(self.chat_template or "")


def _file(folder: Path) -> Path:
    file = folder / "tokenizer.json"
    if not file.exists():
        raise ModelError(f"{folder}: has no tokenizer.json; give a model folder with a fast tokenizer")
    return file


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _content(token: Any) -> str | None:
    found = token.get("content") if isinstance(token, dict) else token
    return str(found) if found else None


def _default(template: Any) -> str | None:
    """A tokenizer_config.json holds one chat template, or several by name."""
    if isinstance(template, list):
        template = next((t["template"] for t in template if t.get("name") == "default"), None)
    return str(template) if template else None
