"""What is trained, for a person to see: conversations as the model reads them, trained tokens set apart."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from humanturn import formats, scaffold, template, tokens
from humanturn.conversation import Conversation
from humanturn.errors import FormatError, InputError
from humanturn.formats import sources
from humanturn.models import embedded, spec
from humanturn.records import Dropped
from humanturn.train import masking
from humanturn.train.stage import TrainSettings

SHOWN = 3
"""Conversations, unless a limit is given."""

STYLES = {"trained": "bold black on green", "read": "", "frame": "dim", "cut": "dim strike"}
MARKS = {"trained": ("[[", "]]"), "read": ("", ""), "frame": ("", ""), "cut": ("", "")}

# Conversations are untrusted: a terminal must not obey what they say.
_CONTROL = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), 0xFFFD)


class Span(msgspec.Struct, frozen=True):
    """Neighbouring tokens that are treated alike."""

    kind: str
    """`trained`; `read` (a turn that only gives context); `frame` (headers, preface); or `cut` (read by nobody, as
    nothing trained comes after it, or beyond the context)."""
    text: str
    tokens: int


class Shown(msgspec.Struct, frozen=True):
    """One conversation as the model reads it."""

    id: str
    spans: list[Span]

    def count(self, *kinds: str) -> int:
        """Tokens in spans of these kinds."""
        return sum(span.tokens for span in self.spans if span.kind in kinds)


def look(settings: TrainSettings) -> tuple[list[Shown], list[str]]:
    """The first conversations of `settings.data` (any format that prepare reads), and why others were left out.

    Only a tokenizer is loaded.

    Raises:
        InputError: there is no such data, or none of it can be shown.
    """
    found = list(itertools.islice(_conversations(settings.data), settings.limit or SHOWN))
    conversations = [item for item in found if isinstance(item, Conversation)]
    refused = [item.reason for item in found if isinstance(item, Dropped)]
    tokenizer = _tokenizer(settings.backbone)
    tokenizer.chat_template = scaffold.trained_template(tokenizer, settings.role)
    shown = []
    for conversation in conversations:
        try:
            shown.append(_show(tokenizer, conversation, settings))
        except FormatError as error:
            refused.append(str(error))
    if not shown:
        raise InputError(f"{settings.data}: nothing can be shown ({refused[0] if refused else 'it is empty'})")
    return shown, refused


def counts(shown: list[Shown]) -> dict[str, int]:
    """Tokens by what becomes of them, over all of `shown`."""
    return {
        "conversations": len(shown),
        "tokens": sum(one.count(*STYLES) for one in shown),
        "trained_tokens": sum(one.count("trained") for one in shown),
        "tokens_cut": sum(one.count("cut") for one in shown),
    }


def draw(shown: list[Shown], refused: list[str], role: str) -> None:
    """Print `shown`: coloured on a terminal, trained tokens in [[ ]] elsewhere."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    coloured = console.is_terminal and not console.no_color
    for one in shown:
        text = Text(f"--- {one.id}: {one.count('trained'):,} of {one.count(*STYLES):,} tokens trained\n", "bold")
        for span in one.spans:
            before, after = ("", "") if coloured else MARKS[span.kind]
            cut = f"\n--- not even read: {span.tokens:,} tokens, as nothing trained comes after ---\n"
            text.append(cut if span.kind == "cut" and not coloured else "")
            text.append(before + span.text.translate(_CONTROL) + after, STYLES[span.kind] if coloured else "")
        console.print(text)
    for reason in refused:
        console.print(Text(f"left out: {reason.translate(_CONTROL)}", "bold"))
    total = counts(shown)
    legend = Text.assemble(("trained", STYLES["trained"])) if coloured else Text("[[trained]]")
    legend.append(
        f": {total['trained_tokens']:,} {role} tokens of {total['tokens']:,} in {total['conversations']:,}"
        f" conversations; {total['tokens_cut']:,} after the last of them are cut"
    )
    console.print(legend)


def _conversations(data: str) -> Iterator[Conversation | Dropped]:
    for path in sources.files([data]):
        yield from formats.read(path)


def _tokenizer(backbone: str) -> Any:
    kind, _, rest = backbone.partition(":")
    if kind == "embedded":
        return tokens.load(embedded.tokenizer_folder())
    if kind == "hf" and rest.count("/") == 1 and not Path(rest).exists() and rest[0] not in "./~":
        return tokens.load(rest)  # from the hub, without the weights
    return tokens.load(spec.local_folder(backbone))


def _show(tokenizer: Any, conversation: Conversation, settings: TrainSettings) -> Shown:
    told = masking.tell(
        conversation,
        settings.role,
        learn_ending=settings.learn_ending,
        intent_dropped=settings.intent_dropped,
        seed=settings.seed,
    )
    coded = template.encode(tokenizer, told.messages, name=f"conversation {conversation.id}")
    trained = np.isin(coded.owner, told.learned)
    trained[:1] = False
    trained[settings.max_tokens :] = False
    last = int(np.flatnonzero(trained)[-1]) + 1 if trained.any() else 0
    kinds = np.where(trained, "trained", np.where(coded.owner == template.SCAFFOLD, "frame", "read"))
    kinds[last:] = "cut"
    edges = [0, *(np.flatnonzero(kinds[1:] != kinds[:-1]) + 1).tolist(), len(kinds)]
    spans = [
        Span(str(kinds[start]), tokenizer.decode(coded.ids[start:stop]), stop - start)
        for start, stop in itertools.pairwise(edges)
    ]
    return Shown(conversation.id, spans)
