"""Our loss is TRL's on the same labels. Runs where TRL is installed beside us (it is no dependency)."""

import numpy as np
import pytest
import torch

from humanturn import scaffold
from humanturn.conversation import Conversation, Turn
from humanturn.models import head, packed, weights
from humanturn.train.masking import mask

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

TALKS = [
    Conversation(
        id=f"t{n}", messages=tuple(Turn(("user", "assistant")[i % 2], f"Part {i} of {n}. " * (1 + n)) for i in range(4))
    )
    for n in range(5)
]


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_the_loss_is_that_of_trl_on_the_same_labels_packed_by_each(tiny, tmp_path, role):
    model, tokenizer = weights.load(tiny, attention=packed.register_attention())
    tokenizer.chat_template = scaffold.trained_template(tokenizer, role)
    sequences = mask(tokenizer, TALKS, role=role, max_tokens=256).sequences
    head.teach_losses(model)
    inputs, targets = packed.model_inputs(sequences)
    ours = float(model(**inputs, targets=targets).detach()) / len(targets)

    rows = [
        {"input_ids": s.ids.tolist(), "labels": np.where(s.trained, s.ids, -100).tolist()}  # as TRL is given them
        for s in sequences
    ]
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path), packing=True, packing_strategy="bfd", max_length=256, use_cpu=True, report_to="none",
        bf16=False, gradient_checkpointing=False, per_device_train_batch_size=len(rows),
    )  # fmt: skip
    trainer = trl.SFTTrainer(model=str(tiny), args=arguments, train_dataset=datasets.Dataset.from_list(rows))
    batch = next(iter(trainer.get_train_dataloader()))
    assert int((batch["labels"] != -100).sum()) == len(targets)
    with torch.no_grad():
        theirs = float(trainer.compute_loss(trainer.model, batch))
    assert ours == pytest.approx(theirs, rel=1e-5)
