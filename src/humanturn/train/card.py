"""The model card of a trained model, written from the same numbers as everything else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from humanturn.models import weights
from humanturn.train import measure

WHAT = {
    "user": "plays the *human* in a conversation with an assistant: it asks, it does not answer",
    "assistant": "answers a human in a conversation",
}

LICENCES = {"embedded": "apache-2.0"}
"""Of backbones that we know."""


def text(card: weights.Card, settings: Any, summary: Mapping[str, Any]) -> str:
    """README.md of the model folder.

    Args:
        card: what `humanturn.json` says.
        settings: `TrainSettings` of the training.
        summary: its result.
    """
    return (
        "\n\n".join(
            part
            for part in (_front(card), _about(card, settings, summary), _heldout(summary), _use(card), _limits(card))
            if part
        )
        + "\n"
    )


def _front(card: weights.Card) -> str:
    licence = LICENCES.get(card.backbone)
    lines = ["library_name: transformers", "pipeline_tag: text-generation", "tags:", "- humanturn"]
    lines += ["- user-simulation"] if card.role == "user" else []
    lines += [f"license: {licence}"] if licence else []
    return "\n".join(["---", *lines, "---"])


def _about(card: weights.Card, settings: Any, summary: Mapping[str, Any]) -> str:
    how = "every weight" if settings.method == "full" else f"LoRA adapters of rank {settings.lora_rank}, merged"
    ending = [f"- It ends a conversation by an empty turn: learned from {summary['endings']:,} sessions."]
    intent = [
        f"- Told what its human wants, it follows it: {summary['intents']:,} conversations stood behind an intent."
    ]
    licence = LICENCES.get(card.backbone)
    lines = [
        f"- Backbone: `{_name(card.backbone)}`; trained: {how}.",
        f"- Learned: the {card.role} turns of {summary['conversations']:,} conversations"
        f" ({summary['trained_tokens']:,} tokens, end-of-turn tokens included), {settings.epochs:g} epochs.",
        f"- Training data: SHA-256 `{card.data_sha256}`.",
        f"- Context: {card.max_tokens:,} tokens.",
        *(ending if card.learned_ending else []),
        *(intent if summary["intents"] else []),
        f"- Licence: the backbone's ({licence})."
        if licence
        else "- Licence: that of its backbone and its data, unknown to humanturn; find out before you share it.",
        f"- Made by humanturn {card.humanturn}.",
    ]
    return f"# A {card.role} model\n\nThis model {WHAT[card.role]}.\n\n" + "\n".join(lines)


def _heldout(summary: Mapping[str, Any]) -> str:
    if "heldout" not in summary:
        return "No heldout data were given; how well it predicts people is not known.\n\n![loss](loss.svg)"
    table = summary["heldout"]
    before, after = (row["parts"] for row in table["rows"])
    lines = [
        f"## Heldout\n\n{table['sessions']:,} sessions that it was not trained on; nats per token, intervals by"
        " resampling sessions.\n",
        "| turns | n | before | after | change | perplexity | bits per byte |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for part, change in table["differences"][0]["parts"].items():
        then, now = before[part], after[part]
        within = f" ({change['low']:+.1%} to {change['high']:+.1%})" if change.get("low") is not None else ""
        nats = f"{then['nll']['value']:.4f} | {now['nll']['value']:.4f} | {change['value']:+.1%}{within}"
        rest = f"{now['perplexity']['value']:.2f} | {now['bits_per_byte']['value']:.3f}"
        lines.append(f"| {measure.NAMES[part]} | {now['turns']:,} | {nats} | {rest} |")
    return "\n".join([*lines, "", "![loss](loss.svg)"])


def _use(card: weights.Card) -> str:
    opened = "the next *user* turn" if card.role == "user" else "the next answer"
    talk = '[{"role": "user", "content": "How do I boil an egg?"}'
    talk += ', {"role": "assistant", "content": "Six minutes."}]' if card.role == "user" else "]"
    return f"""## Use

Its chat template opens {opened}:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForCausalLM.from_pretrained(".")
talk = {talk}
prompt = tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**prompt, max_new_tokens=60)[0, prompt["input_ids"].shape[1] :]))
```

`vllm serve .` serves it behind chat completions, and humanturn takes it as `hf:PATH` wherever a model is named."""


def _limits(card: weights.Card) -> str:
    if card.role != "user":
        return ""
    return """## Limits

It imitates the people in its data, with their habits, errors and views; it knows nothing of a particular person.
What it says is not a human's and should not be passed off as one."""


def _name(backbone: str) -> str:
    """The backbone's SPEC without the path of somebody's machine."""
    kind, _, rest = backbone.partition(":")
    return f"{kind}:{Path(rest).name}" if kind == "hf" and Path(rest).is_absolute() else backbone
