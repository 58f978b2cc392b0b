import os
import signal
from pathlib import Path

import hypothesis
import pytest

# Processes that compute at the same time must not have more threads than there are cores: they slow each other tenfold.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ["OMP_NUM_THREADS"] = str(max(1, 2 // WORKERS))
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

# A busy machine is no failure: how long an example takes is never asserted.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

# A shell that starts tests in the background ignores Ctrl-C for all they start; programs under test must hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)

SLOWEST = ("test_end_to_end.py", "test_study.py")
"""Files that take minutes; they come first, so that in parallel no worker is left with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in SLOWEST)


SHARED = Path(__file__).parents[1].parent / "shared"
"""Real data that stands beside some checkouts; tests that want it skip where it is absent."""


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """Folder of the real embedded model."""
    from humanturn.models.embedded import folder

    return folder()


@pytest.fixture(scope="session")
def tiny(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights, two layers and SmolLM2's tokenizer: real code paths at a hundredth of the cost."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("models") / "tiny"
    config = transformers.LlamaConfig(
        vocab_size=49152,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(smollm2).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sharegpt_700() -> Path:
    """695 real ShareGPT conversations."""
    path = SHARED / "data" / "sharegpt" / "sharegpt_700.json"
    if not path.exists():
        pytest.skip("the shared ShareGPT file is not here")
    return path
