"""What cannot be trained on is refused before training, with the name of what has to be mended."""

import json
import shutil

import pytest

from humanturn import jsonl
from humanturn.conversation import Conversation, Turn
from humanturn.errors import FormatError, InputError, ModelError, SettingsChangedError
from humanturn.train.stage import TrainSettings, train

TALK = Conversation(id="t1", messages=(Turn("user", "How long does bread keep?"), Turn("assistant", "Four days.")))


@pytest.fixture
def given(tmp_path, tiny):
    jsonl.write(tmp_path / "train.jsonl", [TALK])
    return TrainSettings(
        data=str(tmp_path / "train.jsonl"), backbone=f"hf:{tiny}", epochs=1, batch_size=1, max_tokens=128
    )


def changed(folder, to, **files):
    """A copy of a model folder with some keys of its JSON files set (None: removed)."""
    shutil.copytree(folder, to)
    for name, keys in files.items():
        path = to / f"{name}.json"
        value = json.loads(path.read_text()) | keys
        path.write_text(json.dumps({k: v for k, v in value.items() if v is not None}))
    return to


def test_a_conversation_without_a_turn_of_the_role_is_named(given, tmp_path):
    jsonl.write(tmp_path / "train.jsonl", [TALK, Conversation(id="t2", messages=(Turn("assistant", "Hello."),))])
    with pytest.raises(FormatError, match=r"train\.jsonl: conversation t2 has no user token to train"):
        train(given, tmp_path / "out")


def test_a_conversation_whose_answers_lie_past_the_budget_is_named(given, tmp_path):
    long = Conversation(id="t3", messages=(Turn("user", "word " * 200), Turn("assistant", "Yes.")))
    jsonl.write(tmp_path / "train.jsonl", [TALK, long])
    with pytest.raises(FormatError, match="conversation t3 .*128"):
        train(given.model_copy(update={"role": "assistant"}), tmp_path / "out")


def test_a_trained_turn_longer_than_the_budget_is_named(given, tmp_path):
    long = Conversation(id="t4", messages=(Turn("user", "word " * 200), Turn("assistant", "Yes.")))
    jsonl.write(tmp_path / "train.jsonl", [TALK, long])
    with pytest.raises(
        FormatError, match=r"conversation t4 has a user turn of 2\d\d tokens, more than the budget of 128"
    ):
        train(given, tmp_path / "out")


def test_a_template_that_drops_turns_is_named_with_the_turn(given, tmp_path, tiny):
    deaf = changed(tiny, tmp_path / "deaf")
    (deaf / "chat_template.jinja").write_text("{{ messages[0]['content'] }}<|im_end|>")
    settings = given.model_copy(update={"backbone": f"hf:{deaf}", "role": "assistant"})
    with pytest.raises(FormatError, match=r"the chat template of .*deaf drops turn 1 \(assistant\)"):
        train(settings, tmp_path / "out")


def test_a_tokenizer_without_an_end_token_is_named(given, tmp_path, tiny):
    endless = changed(tiny, tmp_path / "endless", tokenizer_config={"eos_token": None, "chat_template": None})
    (endless / "chat_template.jinja").unlink(missing_ok=True)
    (endless / "special_tokens_map.json").unlink(missing_ok=True)
    with pytest.raises(ModelError, match="endless: its tokenizer has no end token; set eos_token"):
        train(given.model_copy(update={"backbone": f"hf:{endless}"}), tmp_path / "out")


def test_a_backbone_that_is_no_causal_language_model_is_named(given, tmp_path, tiny):
    classifier = changed(tiny, tmp_path / "classifier", config={"architectures": ["LlamaForSequenceClassification"]})
    with pytest.raises(ModelError, match="classifier: is no causal language model"):
        train(given.model_copy(update={"backbone": f"hf:{classifier}"}), tmp_path / "out")


def test_quantized_training_without_cuda_says_what_to_use(given, tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    with pytest.raises(InputError, match="qlora needs a CUDA device.*use --lora here"):
        train(given.model_copy(update={"method": "qlora"}), tmp_path / "out")


def test_bad_input_leaves_no_work_to_resume(given, tmp_path):
    jsonl.write(tmp_path / "train.jsonl", [Conversation(id="t2", messages=(Turn("assistant", "Hello."),))])
    with pytest.raises(FormatError):
        train(given, tmp_path / "out")
    jsonl.write(tmp_path / "train.jsonl", [TALK])
    assert train(given, tmp_path / "out").result["steps"] == 1


def test_resuming_with_other_settings_or_data_names_what_differs(given, tmp_path):
    train(given, tmp_path / "out")
    with pytest.raises(SettingsChangedError, match=r"learning_rate was None and is 0\.1"):
        train(given.model_copy(update={"learning_rate": 0.1}), tmp_path / "out", resume=True)
    jsonl.write(tmp_path / "train.jsonl", [TALK, TALK])
    with pytest.raises(SettingsChangedError, match="the contents of data changed"):
        train(given, tmp_path / "out", resume=True)


def test_what_cannot_change_results_may_differ_on_resume(given, tmp_path):
    train(given, tmp_path / "out")
    other = given.model_copy(update={"gradient_checkpointing": "layers", "checkpoint_every": 7})
    assert train(other, tmp_path / "out").skipped
