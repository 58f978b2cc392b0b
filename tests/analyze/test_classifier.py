import json

import numpy as np
import pytest

from humanturn import jsonl
from humanturn.analyze import classifier, humanlike
from humanturn.analyze.stage import AnalyzeSettings, analyze
from humanturn.conversation import Conversation, Turn
from humanturn.errors import InputError, ModelError


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory):
    """A sequence classifier with random weights, beside the tiny model's tokenizer."""
    import torch
    import transformers

    from humanturn import tokens

    where = tmp_path_factory.mktemp("classifier")
    tokenizer = tokens.load(tiny_model)
    tokenizer.save_pretrained(where)
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        id2label={0: "person", 1: "machine"},
        label2id={"person": 0, "machine": 1},
    )
    transformers.BertForSequenceClassification(config).save_pretrained(where)
    return where


TEXTS = ["how do i sort a list", "Certainly! " * 60, "", "pls make it longer"]


def test_probabilities_are_the_model_s_own_and_do_not_depend_on_the_batch(folder):
    machine, person = (classifier.load(folder, label) for label in ("person", "machine"))
    together = machine(TEXTS)
    assert together == pytest.approx([machine([text])[0] for text in TEXTS], abs=1e-5)
    assert together + person(TEXTS) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)


def test_which_label_means_a_person_must_be_said(folder):
    with pytest.raises(InputError, match="one of person, machine, not human"):
        classifier.load(folder, "human")
    with pytest.raises(InputError, match="which of its labels means a person"):
        classifier.load(folder, None)


def test_a_language_model_is_no_classifier(tiny_model):
    with pytest.raises(ModelError, match="is no sequence classifier"):
        classifier.load(tiny_model, "person")


def talks(name, said, n=12):
    return [
        Conversation(id=f"{name}{i}", messages=(Turn("user", f"{said} {i}"), Turn("assistant", "a"))) for i in range(n)
    ]


def test_a_classifier_is_reported_with_its_auroc_and_the_surface_s():
    def shouts(texts):
        return np.array([sum(map(str.isupper, text)) / max(len(text), 1) for text in texts])

    found = humanlike.check(shouts, "shouts", talks("h", "so quiet"), talks("m", "SO LOUD")).report
    assert (found.auroc.value, found.surface.value) == (1.0, 1.0)  # and its surface does as well
    blind = humanlike.check(lambda texts: np.zeros(len(texts)), "blind", talks("h", "x"), talks("m", "y"))
    assert blind.report.auroc.value == 0.5
    assert humanlike.ratio(blind, talks("h", "x")).value == 1.0


def test_the_human_like_column_by_a_classifier(folder, tiny_model, conversations_file, tmp_path):
    jsonl.write(tmp_path / "machine.jsonl", talks("m", "Kindly elaborate"))
    given = AnalyzeSettings(
        corpora={"talks": str(conversations_file)},
        tokenizer=f"hf:{tiny_model}",
        detector={
            "human": str(conversations_file),
            "machine": str(tmp_path / "machine.jsonl"),
            "model": f"hf:{folder}",
            "label": "person",
        },
    )
    analyze(given, tmp_path / "out")
    document = json.loads((tmp_path / "out/corpora.json").read_text())
    assert 0 <= document["corpora"]["talks"]["columns"]["human_like"]["value"] <= 1
    assert document["detector"]["model"] == f"hf:{folder}, person means a person"
    assert document["detector"]["auroc"]["n"] == 24 + 12
