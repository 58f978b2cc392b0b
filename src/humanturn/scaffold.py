"""The fixed text around turns: read off a backbone's chat template, and made into the template of a trained model."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from humanturn import template
from humanturn.conversation import Role
from humanturn.errors import FormatError, ModelError
from humanturn.template import USER_MODEL_PREFACE

ASSISTANT_PREFACE = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
"""What an assistant reads first whose backbone has no chat template of its own (Vicuna's)."""


class Scaffold(msgspec.Struct, frozen=True):
    """The fixed text around turns."""

    preface: str
    """Everything before the first turn when the conversation brings no system turn."""
    opening: str
    """Text before a system turn's header, such as the beginning-of-text token."""
    headers: dict[Role, str]
    ends: dict[Role, str]
    """End-of-turn token and separator; holds at least one special token."""


class Overhead(msgspec.Struct, frozen=True):
    """Tokens a template adds to a conversation."""

    preface: int
    per_turn: dict[Role, int]


def read_off(tokenizer: Any, preface: str = USER_MODEL_PREFACE) -> Scaffold:
    """Read the scaffold of a user model off a backbone's chat template; a plain one when it has none.

    The backbone's own headers and end tokens are kept, so that training starts from what it knows; rules that a stock
    template adds (a user must begin, contents are trimmed) are not, because a segment may begin with an answer.
    """
    specials = template.control_tokens(tokenizer)
    opening, headers, ends = _parts(tokenizer) if tokenizer.chat_template else (tokenizer.bos_token or "", {}, {})
    if not headers:
        headers = {"system": "", "user": "USER:\n", "assistant": "ASSISTANT:\n"}
        ends = {"system": "\n\n", "user": "\n", "assistant": "\n"}
    headers["user"] = _settled(tokenizer, headers["user"])
    for role in ("user", "assistant"):
        if not specials.search(ends[role]):
            if not tokenizer.eos_token:
                raise ModelError(
                    f"{tokenizer.name_or_path}: its tokenizer has no end token; set eos_token in its folder"
                )
            ends[role] = tokenizer.eos_token + ends[role]
    return Scaffold(opening + headers["system"] + preface + ends["system"], opening, headers, ends)


def chat_template(frame: Scaffold, opens: Role = "user") -> str:
    """A Jinja chat template that renders turns verbatim and opens the next turn of `opens`."""
    q = {name: json.dumps(value) for name, value in (("preface", frame.preface), ("opening", frame.opening))}
    return (
        f"{{%- set headers = {json.dumps(frame.headers)} -%}}\n"
        f"{{%- set ends = {json.dumps(frame.ends)} -%}}\n"
        "{%- if messages and messages[0]['role'] == 'system' -%}\n"
        f"{{{{- {q['opening']} -}}}}\n"
        "{%- else -%}\n"
        f"{{{{- {q['preface']} -}}}}\n"
        "{%- endif -%}\n"
        "{%- for message in messages -%}\n"
        "{{- headers[message['role']] + message['content'] + ends[message['role']] -}}\n"
        "{%- endfor -%}\n"
        "{%- if add_generation_prompt -%}\n"
        f"{{{{- headers['{opens}'] -}}}}\n"
        "{%- endif -%}\n"
    )


def trained_template(tokenizer: Any, role: Role) -> str:
    """The chat template of a model that is trained to play `role` from the backbone that `tokenizer` belongs to.

    A user model's is ours around the backbone's own headers; an assistant keeps its backbone's, if that has one.
    """
    if role == "user":
        return chat_template(read_off(tokenizer))
    return tokenizer.chat_template or chat_template(read_off(tokenizer, ASSISTANT_PREFACE), "assistant")


def overhead(tokenizer: Any, frame: Scaffold) -> Overhead:
    """How many tokens `frame` adds to a conversation and to each of its turns."""

    def count(piece: str) -> int:
        return len(tokenizer(piece, add_special_tokens=False)["input_ids"])

    roles: tuple[Role, ...] = ("system", "user", "assistant")
    return Overhead(
        count(frame.preface), {role: count(frame.headers[role]) + count(frame.ends[role]) for role in roles}
    )


def _settled(tokenizer: Any, header: str) -> str:
    """`header` less the white space at its end that the tokenizer would join to what follows it.

    A prompt ends with the header; its tokens must be those that stood before the turn in training.
    """
    while header and header[-1].isspace():
        alone = list(tokenizer(header, add_special_tokens=False)["input_ids"])
        if list(tokenizer(header + "What", add_special_tokens=False)["input_ids"])[: len(alone)] == alone:
            break
        header = header[:-1]
    return header


def _parts(tokenizer: Any) -> tuple[str, dict[Role, str], dict[Role, str]]:
    """(opening, headers, ends) of a stock chat template; empty dicts when it does not come apart that way."""

    def split(roles: Sequence[Role]) -> list[str]:
        return list(template.pieces(tokenizer, tokenizer.chat_template, tuple(roles)))

    try:
        between = split(["user", "assistant", "user"])[2]
        user_end = split(["user"])[-1]
        assistant_end = split(["user", "assistant"])[-1]
        before_answer = split(["user", "assistant"])[1]
    except FormatError:
        return tokenizer.bos_token or "", {}, {}
    if template.always_open(tokenizer):
        specials = template.control_tokens(tokenizer)
        user_end = before_answer[: template.end_length(specials, before_answer)]
        assistant_end = between[: template.end_length(specials, between)]
    if not between.startswith(assistant_end) or not before_answer.startswith(user_end):
        return tokenizer.bos_token or "", {}, {}
    headers: dict[Role, str] = {
        "user": between[len(assistant_end) :],
        "assistant": before_answer[len(user_end) :],
        "system": "",
    }
    ends: dict[Role, str] = {"user": user_end, "assistant": assistant_end, "system": "\n\n"}
    first = split(["user"])[0]
    before_header = first[: len(first) - len(headers["user"])] if first.endswith(headers["user"]) else ""
    bos = tokenizer.bos_token or ""
    opening = bos if bos and before_header.startswith(bos) else ""
    try:
        first, second, _ = split(["system", "user"])
    except FormatError:
        return opening, headers, ends
    if second.endswith(headers["user"]) and second != headers["user"]:
        headers["system"] = first.removeprefix(opening)
        ends["system"] = second[: len(second) - len(headers["user"])]
    return opening, headers, ends
