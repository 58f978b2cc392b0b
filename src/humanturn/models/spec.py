"""Model SPECs: one string names a model wherever a model is named."""

from pathlib import Path

from humanturn.errors import ModelError
from humanturn.models.model import ChatModel

FORMS = "embedded, hf:PATH_OR_HUB_ID, openai:MODEL, openai:MODEL@http://host:port/v1, pool:FILE.yaml, scripted:FILE"


def load(spec: str, *, key: str | None = None, timeout_s: float | None = None) -> ChatModel:
    """The model that `spec` names, ready to reply.

    Args:
        spec: a SPEC.
        key: environment variable that holds the key of an endpoint, when it is not the usual one.
        timeout_s: seconds after which a request to an endpoint is given up.

    Raises:
        ModelError: the SPEC is malformed, or names no usable model.
    """
    kind, _, rest = spec.partition(":")
    if kind in ("embedded", "hf"):
        from humanturn.models.local import LocalModel

        return LocalModel(spec, local_folder(spec))
    if kind == "openai" and rest:
        from humanturn.models.openai import KEY, TIMEOUT_S, OpenAIModel

        model, _, url = rest.partition("@")
        if "@" in url:
            raise ModelError(f"openai:{model}: a SPEC is written into files, so it takes no password; export {KEY}=...")
        return OpenAIModel(model, url or None, key=key or KEY, timeout_s=timeout_s or TIMEOUT_S)
    if kind == "pool" and rest:
        from humanturn.models import pool

        return pool.load(spec, timeout_s=timeout_s)
    if kind == "scripted" and rest:
        from humanturn.models.scripted import ScriptedModel

        return ScriptedModel(Path(rest))
    raise ModelError(f"{spec!r} is no model SPEC; use one of: {FORMS}")


def local_folder(spec: str) -> Path:
    """The Hugging Face folder of an `embedded` or `hf:` SPEC, converted or downloaded when it has to be.

    Raises:
        ModelError: the SPEC is of another kind, or no model is there.
    """
    kind, _, rest = spec.partition(":")
    if kind == "embedded":
        from humanturn.models.embedded import folder

        return folder()
    if kind != "hf" or not rest:
        raise ModelError(f"{spec!r} is no model whose weights are at hand; use embedded or hf:PATH_OR_HUB_ID")
    path = Path(rest)
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ModelError(f"{path}: is no model folder (it has no config.json); give a Hugging Face model folder")
        return path
    if path.is_absolute() or rest.startswith((".", "~")) or rest.count("/") != 1:
        raise ModelError(f"{path}: no such model folder")
    return _from_hub(rest)


def _from_hub(name: str) -> Path:
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(name, ignore_patterns=["*.bin", "*.pth", "*.pt", "*.gguf"]))
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"hf:{name}: neither a folder here nor to be had from the hub ({said})") from error
