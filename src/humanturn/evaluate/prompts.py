"""What a judge is told: our own prompts, or those of a FastChat `judge_prompts.jsonl`.

Templates are `str.format` texts. FastChat's know `{question}`, `{answer}`, `{question_1}`, `{answer_a_2}`,
`{ref_answer_1}` and the like; ours are written with `{conversation}` (or `{conversation_a}` and `{conversation_b}`) and
`{reference}`, which hold any number of turns.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from humanturn import jsonl
from humanturn.conversation import Turn
from humanturn.errors import InputError


class Prompt(msgspec.Struct, frozen=True):
    """One line of a `judge_prompts.jsonl`."""

    name: str
    system_prompt: str
    prompt_template: str


# Names by (mode, with reference, later turn). Our own prompts carry the names of FastChat's, because its viewer finds
# judgments by them.
NAMES = {
    ("single", False, False): "single-v1",
    ("single", True, False): "single-math-v1",
    ("single", False, True): "single-v1-multi-turn",
    ("single", True, True): "single-math-v1-multi-turn",
    ("pairwise", False, False): "pair-v2",
    ("pairwise", True, False): "pair-math-v1",
    ("pairwise", False, True): "pair-v2-multi-turn",
    ("pairwise", True, True): "pair-math-v1-multi-turn",
}

_SINGLE = """You grade answers of AI assistants. Read what the user asked and what the assistant answered, then grade \
{focus}. Ask yourself: does it do what the user wants, is what it says true, is anything missing, is it clear, and is \
it as long as it needs to be and no longer? Length, politeness and formatting earn nothing by themselves.

First say in two or three sentences what is good and what is wrong. Then close with the grade, a whole number from 1 \
(useless) to 10 (could not be better), in double square brackets on a line of its own, like this: [[4]]"""

_PAIR = """You compare the answers that two AI assistants, A and B, gave to the same user, and decide which serves \
the user better{focus}. Ask yourself of each: does it do what the user wants, is what it says true, is anything \
missing, is it clear? Which of the two stands first, and which is longer, must not matter.

First say in two or three sentences what decides between them. Then close with your verdict in double square brackets \
on a line of its own: [[A]] if A is better, [[B]] if B is better, [[C]] if neither is."""

_REFERENCE = """

A correct answer is given as a reference. Compare with it step by step; another way to the same result is just as \
good, a wrong result is not."""

_FOCUS = {
    ("single", False): "the answer",
    ("single", True): "the last answer, in the light of the turns before it",
    ("pairwise", False): "",
    ("pairwise", True): "; judge their last answers, in the light of the turns before them",
}


def own() -> dict[str, Prompt]:
    """Our prompts, by name."""
    made = {}
    for (mode, referenced, later), name in NAMES.items():
        system = (_SINGLE if mode == "single" else _PAIR).format(focus=_FOCUS[mode, later])
        parts = ["=== The conversation ===\n{conversation}\n=== End of the conversation ==="]
        if mode == "pairwise":
            parts = [
                f"=== Conversation with assistant {who} ===\n{{conversation_{who.lower()}}}\n=== End of {who} ==="
                for who in "AB"
            ]
        if referenced:
            system += _REFERENCE
            parts.insert(0, "=== Reference ===\n{reference}\n=== End of the reference ===")
        made[name] = Prompt(name, system, "\n\n".join(parts))
    return made


def read(path: Path) -> dict[str, Prompt]:
    """Prompts of a FastChat `judge_prompts.jsonl`, by name.

    Raises:
        InputError: one of the prompts we need is not in it.
    """
    found = {prompt.name: prompt for prompt in jsonl.read(path, Prompt)}
    missing = [name for name in NAMES.values() if name not in found]
    if missing:
        raise InputError(f"{path}: lacks the prompts {', '.join(missing)}; add them")
    return found


def messages(
    prompts: dict[str, Prompt],
    questions: Sequence[str],
    answers: Sequence[Sequence[str]],
    reference: Sequence[str] | None,
) -> tuple[str, list[Turn]]:
    """Name of the prompt used, and what the judge is shown.

    Args:
        prompts: by name, as from `own` or `read`.
        questions: user turns up to the one judged.
        answers: of one assistant (a grade is asked for) or of A and B (a comparison), as many turns each.
        reference: as many turns, or None to judge without.

    Raises:
        InputError: the prompt has no place for that many turns.
    """
    mode, later = ("single" if len(answers) == 1 else "pairwise"), len(questions) > 1
    prompt = prompts[NAMES[mode, reference is not None, later]]
    fields = _fields(questions, answers, reference or ())
    if len(questions) > 2 and "{conversation" not in prompt.prompt_template:
        raise InputError(
            f"judge prompt {prompt.name} has places for two turns, a question has more; use our own prompts"
        )
    try:
        text = prompt.prompt_template.format(**fields)
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"judge prompt {prompt.name} has a place we cannot fill: {error}") from None
    return prompt.name, [Turn("system", prompt.system_prompt), Turn("user", text)]


def _fields(questions: Sequence[str], answers: Sequence[Sequence[str]], reference: Sequence[str]) -> dict[str, str]:
    """Every place a template may have."""
    fields = {"question": questions[-1], "reference": _transcript(questions, reference, "Reference")}
    fields |= {f"question_{n}": text for n, text in enumerate(questions, 1)}
    fields |= {f"ref_answer_{n}": text for n, text in enumerate(reference, 1)}
    for mark, turns in zip(("",) if len(answers) == 1 else ("_a", "_b"), answers, strict=True):
        fields[f"answer{mark}"] = turns[-1]
        fields[f"conversation{mark}"] = _transcript(questions, turns, "Assistant")
        fields |= {f"answer{mark}_{n}": text for n, text in enumerate(turns, 1)}
    return fields


def _transcript(questions: Sequence[str], answers: Sequence[str], who: str) -> str:
    return "\n\n".join(
        f"[User]\n{question}\n\n[{who}]\n{answer}" for question, answer in zip(questions, answers, strict=False)
    )
