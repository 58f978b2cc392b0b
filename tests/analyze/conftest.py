from pathlib import Path

import pytest

from humanturn import jsonl
from humanturn.conversation import Conversation, Turn

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SAID = (
    ("how do i sort a list in python?", "Use sorted(), or list.sort() to sort in place."),
    ("and backwards", "Pass reverse=True to either of them."),
    ("write a short poem about rain", "Rain on the roof, soft and slow, tells the garden what to grow."),
    (
        "make it longer pls",
        "Rain on the roof, soft and slow, tells the garden what to grow, and fills the brook below.",
    ),
)


def talk(number: int) -> Conversation:
    rounds = [SAID[(number + n) % len(SAID)] for n in range(1 + number % 3)]
    turns = [turn for asked, said in rounds for turn in (Turn("user", f"{asked} {number}"), Turn("assistant", said))]
    return Conversation(id=f"talk-{number}", messages=tuple(turns))


@pytest.fixture(scope="session")
def conversations_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "talks.jsonl"
    jsonl.write(path, (talk(n) for n in range(12)))
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A real Llama with 40,000 parameters that were never trained, in a Hugging Face folder."""
    import tokenizers
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("models") / "tiny"
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    backend.train_from_iterator([text for pair in SAID for text in pair], trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>", additional_special_tokens=special
    )
    tokenizer.chat_template = CHATML
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
