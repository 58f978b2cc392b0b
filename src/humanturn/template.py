"""Conversation -> text -> tokens that know whose they are. Training and serving both render here.

A model folder's own chat template makes the text, once; the tokenizer makes the tokens, once; and every token learns by
its character offsets which turn it belongs to. No token is ever guessed from its id.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from humanturn.conversation import Role, Turn
from humanturn.errors import FormatError, ModelError

USER_MODEL_PREFACE = (
    "A chat between a curious human and an artificial intelligence assistant.\n"
    "The human can ask further questions based on previous conversations, or he can directly ask brand new questions "
    "without any conversations as context."
)
"""What a user model reads first (paper, appendix A.1)."""

ROLEPLAY_PREFACE = (
    "You are a person who is chatting with an AI assistant. Stay in that role: you want something and you ask for it "
    "in your own words, as people type, short and informal. Never answer, explain or help; that is the "
    "assistant's part. Write only the person's next message."
)
"""The instruction that prompts an ordinary chat model to play the user."""

ROLEPLAY_OPENER = "Hello! How can I help you today?"
"""What the assistant says before a role-played user's first turn, so that there is a turn to answer."""

_LEAVES = re.compile(r"end_?(of_?)?conv", re.IGNORECASE)
"""In the names of tokens that end conversations: `<|endconversation|>` (UserLM)."""

SCAFFOLD = -1
"""Owner of tokens that belong to no turn: headers, separators, the preface."""


class Encoded(msgspec.Struct, frozen=True):
    """A rendered conversation as tokens."""

    ids: "np.ndarray[Any, Any]"
    """int32, shape (tokens,)."""
    owner: "np.ndarray[Any, Any]"
    """int32, shape (tokens,): index of the turn whose text or end-of-turn token this is, or `SCAFFOLD`."""


def text(tokenizer: Any, messages: Sequence[Turn], *, open_turn: bool = False) -> str:
    """Render `messages` with the tokenizer's chat template; `open_turn` adds the header of the next turn.

    Raises:
        ModelError: there is no chat template.
        FormatError: the template refuses these roles.
    """
    return _apply(tokenizer, [{"role": t.role, "content": t.content} for t in messages], open_turn)


def opens(tokenizer: Any) -> Role:
    """The role whose turn a model with this chat template writes: `user` for user models, else `assistant`.

    What stands open after an answer is what stands between an answer and the next user turn. Others' user models
    (UserLM) may open that turn always, asked or not.
    """
    roles: tuple[Role, ...] = ("user", "assistant", "user")
    between = pieces(tokenizer, tokenizer.chat_template, roles)[2].strip()
    talk = [Turn("user", "a"), Turn("assistant", "\ue000")]
    after = text(tokenizer, talk, open_turn=True).rpartition("\ue000")[2].strip()
    closed = pieces(tokenizer, tokenizer.chat_template, roles[:2])[-1].strip()
    opened = after != closed or always_open(tokenizer)
    return "user" if opened and after == between else "assistant"


def prompt_ids(tokenizer: Any, messages: Sequence[Turn]) -> list[int]:
    """Tokens after which the model writes the next turn."""
    rendered = text(tokenizer, messages, open_turn=True)
    ids: list[int] = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    return ids


def encode(tokenizer: Any, messages: Sequence[Turn], *, name: str = "conversation") -> Encoded:
    """Tokens of the rendered conversation, each with the turn that owns it.

    A turn owns its text and its end-of-turn token (paper, section 3.1.1), never its header.

    Raises:
        FormatError: the template drops or rewrites a turn, or a turn spells out a control token; says which.
    """
    specials = control_tokens(tokenizer)
    for number, turn in enumerate(messages):
        found = specials.search(turn.content)
        if found:
            raise FormatError(
                f"{name}, turn {number}: spells out the control token {found[0]!r};"
                " `humanturn prepare` drops such sessions"
            )
    rendered = text(tokenizer, messages)
    fixed = pieces(tokenizer, tokenizer.chat_template, tuple(turn.role for turn in messages))
    starts, stops, cursor = [], [], 0
    for number, turn in enumerate(messages):
        cursor += len(fixed[number])
        if not rendered.startswith(turn.content, cursor):
            raise FormatError(
                f"{name}, turn {number}: the chat template does not render this {turn.role} turn verbatim;"
                " strip its white space, or use another template"
            )
        starts.append(cursor)
        cursor += len(turn.content)
        stops.append(cursor + end_length(specials, fixed[number + 1]))
    if cursor + len(fixed[-1]) != len(rendered):
        raise FormatError(f"{name}: the chat template renders it as something other than its turns")
    coded = tokenizer(rendered, add_special_tokens=False, return_offsets_mapping=True)
    offsets = np.asarray(coded["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    owner = np.full(len(offsets), SCAFFOLD, dtype=np.int32)
    if starts:
        turn_of = np.searchsorted(np.asarray(starts), offsets[:, 1], side="left") - 1
        inside = (turn_of >= 0) & (offsets[:, 0] < np.asarray(stops)[turn_of]) & (offsets[:, 1] > offsets[:, 0])
        owner[inside] = turn_of[inside]
    return Encoded(np.asarray(coded["input_ids"], dtype=np.int32), owner)


def as_roleplay(messages: Sequence[Turn], preface: str = ROLEPLAY_PREFACE) -> list[Turn]:
    """The conversation as a chat model sees it that is told to play the user: roles flipped, the instruction first."""
    flipped = [Turn("assistant" if t.role == "user" else "user", t.content) for t in messages if t.role != "system"]
    opener = [] if flipped and flipped[0].role == "user" else [Turn("user", ROLEPLAY_OPENER)]
    return [Turn("system", preface), *opener, *flipped]


def with_intent(messages: Sequence[Turn], intent: str) -> list[Turn]:
    """The conversation behind a system turn that tells a user model what its human wants (as UserLM is conditioned)."""
    return [Turn("system", f"{USER_MODEL_PREFACE}\nWhat the human wants: {intent}"), *messages]


def stop_ids(tokenizer: Any) -> list[int]:
    """Ids that end a turn: the end-of-text token, whatever the chat template ends each turn with, and the token by
    which others' user models end a conversation: nothing is said before it, so the turn is empty, as an ending is.
    """
    found = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    found += [token for token, added in tokenizer.added_tokens_decoder.items() if _LEAVES.search(added.content)]
    specials = control_tokens(tokenizer)
    for roles in (("user", "assistant"), ("user",)):
        match = specials.search(pieces(tokenizer, tokenizer.chat_template, roles)[-1])
        if match:
            found.append(tokenizer.convert_tokens_to_ids(match[0]))
    return sorted(set(found))


def _apply(tokenizer: Any, messages: list[dict[str, str]], open_turn: bool) -> str:
    if not tokenizer.chat_template:
        raise ModelError(f"{tokenizer.name_or_path}: has no chat template; put a chat_template.jinja into its folder")
    try:
        rendered: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=open_turn)
    except Exception as error:  # templates raise what they like
        roles = ", ".join(m["role"] for m in messages[:6])
        raise FormatError(f"the chat template of {tokenizer.name_or_path} refuses turns of {roles}: {error}") from error
    return rendered


@lru_cache(maxsize=4096)
def pieces(tokenizer: Any, chat_template: str, roles: tuple[Role, ...]) -> tuple[str, ...]:
    """The fixed text before, between and after turns of these roles (`chat_template` is part of the cache key)."""
    marks = [f"\ue000{i}\ue001" for i in range(len(roles))]
    rendered = _apply(tokenizer, [{"role": r, "content": m} for r, m in zip(roles, marks, strict=True)], False)
    pieces, cursor = [], 0
    for number, mark in enumerate(marks):
        at = rendered.find(mark, cursor)
        if at < 0:
            raise FormatError(f"the chat template of {tokenizer.name_or_path} drops turn {number} ({roles[number]})")
        pieces.append(rendered[cursor:at])
        cursor = at + len(mark)
    return (*pieces, rendered[cursor:])


def always_open(tokenizer: Any) -> bool:
    """Whether the template opens the next turn even where it is not asked to."""
    closed = pieces(tokenizer, tokenizer.chat_template, ("user", "assistant"))[-1]
    specials = control_tokens(tokenizer)
    return bool(specials.search(closed[end_length(specials, closed) :]))


def end_length(specials: re.Pattern[str], piece: str) -> int:
    """Characters of `piece` up to and with its first special token; 0 when a turn has no end token of its own."""
    match = specials.search(piece)
    return match.end() if match and not piece[: match.start()].strip() else 0


@lru_cache(maxsize=16)
def control_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Matches any control token of the tokenizer spelled out in a text."""
    tokens = {str(t) for t in tokenizer.all_special_tokens} | {
        t.content for t in tokenizer.added_tokens_decoder.values() if t.special
    }
    return re.compile("|".join(re.escape(t) for t in sorted(tokens, key=len, reverse=True)) or r"(?!)")
