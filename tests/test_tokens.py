import pytest

from humanturn import scaffold, template, tokens
from humanturn.errors import ModelError


def test_the_tokenizer_read_from_files_gives_the_scaffold_that_training_uses(smollm2):
    light, full = tokens.FileTokenizer(smollm2), tokens.load(smollm2)
    frame = scaffold.read_off(full)
    assert scaffold.read_off(light) == frame
    assert scaffold.overhead(light, frame) == scaffold.overhead(full, frame)
    assert template.control_tokens(light) == template.control_tokens(full)
    assert light("<|im_start|>user\nHi there<|im_end|>") == {
        "input_ids": full("<|im_start|>user\nHi there<|im_end|>", add_special_tokens=False)["input_ids"]
    }


def test_the_counter_counts_as_the_real_tokenizer(smollm2, sharegpt_700):
    from humanturn.formats import read_conversations

    texts = [turn.content for conversation in read_conversations(sharegpt_700) for turn in conversation.messages][:1500]
    full = tokens.load(smollm2)
    assert tokens.counter(smollm2)(texts) == [
        len(full(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]) for text in texts
    ]


def test_control_bytes_do_not_stop_the_counter(smollm2):
    count = tokens.counter(smollm2)
    assert count(["a\x04b", "hello\x1dworld", ""]) == [*count(["ab", "helloworld"]), 0]


def test_a_folder_without_tokenizer_says_so(tmp_path):
    with pytest.raises(ModelError, match=r"has no tokenizer\.json"):
        tokens.FileTokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="no tokenizer can be loaded"):
        tokens.counter(tmp_path)
