"""How well a model predicts what people really said: the negative log-likelihood of their turns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from humanturn import progress, template
from humanturn.conversation import Conversation
from humanturn.models import packed, weights
from humanturn.models.packed import TokenSequence
from humanturn.records import TurnLikelihood

ROW_TOKENS = 2048


def user_turns(
    folder: Path,
    conversations: Sequence[Conversation],
    *,
    chat_template: str | None = None,
    prompted: str | None = None,
    label: str = "heldout likelihood",
) -> list[TurnLikelihood]:
    """Likelihood of every user turn of `conversations` under the model in `folder`.

    Args:
        folder: a Hugging Face model folder.
        conversations: segments; carried context is read and not scored.
        chat_template: renders the conversations; the folder's own when None.
        prompted: a role-play instruction: the model is told to be a user, and the roles are flipped, so that the
            human's words stand where the model's own would.
        label: for the progress bar.
    """
    model, tokenizer = weights.load(folder, attention=packed.register_attention())
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    return score(model, tokenizer, conversations, prompted=prompted, label=label)


def score(
    model: Any,
    tokenizer: Any,
    conversations: Sequence[Conversation],
    *,
    role: str = "user",
    prompted: str | None = None,
    label: str = "heldout likelihood",
) -> list[TurnLikelihood]:
    """As `user_turns`, for a loaded model (with packed attention) and the turns of either role.

    The figures do not depend on how conversations are packed together: attention stays inside each, and sums are kept
    per turn.
    """
    coded = [_encode(tokenizer, c, role, prompted) for c in conversations]
    sequences = [s for s, _ in coded if s is not None]
    owners = [owner for s, owner in coded if s is not None]
    kept = [c for c, (s, _) in zip(conversations, coded, strict=True) if s is not None]
    found: list[TurnLikelihood] = []
    with progress.bar(label, len(sequences), "conversations") as advance:
        for row in packed.rows(sequences, ROW_TOKENS):
            losses = _token_losses(model, [sequences[i] for i in row])
            start = 0
            for i in row:
                stop = start + int(sequences[i].trained.sum())
                found += _by_turn(kept[i], owners[i], losses[start:stop])
                start = stop
            advance(len(row))
    return found


def _encode(
    tokenizer: Any, conversation: Conversation, role: str, prompted: str | None
) -> tuple[TokenSequence | None, "np.ndarray[Any, Any]"]:
    """The conversation's tokens, and for each predicted one the index of its turn; None when nothing is predicted."""
    messages = conversation.messages
    shown = template.as_roleplay(messages, prompted) if prompted is not None else messages
    added = len(shown) - len(messages)
    coded = template.encode(tokenizer, shown, name=conversation.id)
    turn_of = coded.owner - added
    wanted = [n for n, t in enumerate(messages) if t.role == role and n >= conversation.context_turns]
    trained = np.isin(turn_of, wanted) & (coded.owner >= 0)
    trained[:1] = False
    if not trained.any():
        return None, turn_of[:0]
    return TokenSequence(coded.ids, trained).cut(), turn_of[trained]


def _token_losses(model: Any, sequences: list[TokenSequence]) -> "np.ndarray[Any, Any]":
    """-log p of every predicted token of one packed row, in nats, float64."""
    from humanturn.models import head

    inputs, targets = packed.model_inputs(sequences, model.device)
    result: np.ndarray[Any, Any] = head.token_losses(model, inputs, targets).double().cpu().numpy()
    return result


def _by_turn(
    conversation: Conversation, turn_of: "np.ndarray[Any, Any]", losses: "np.ndarray[Any, Any]"
) -> list[TurnLikelihood]:
    opens = conversation.messages[0].role != "assistant" and conversation.context_turns == 0
    first = next((n for n, t in enumerate(conversation.messages) if t.role == "user"), -1) if opens else -1
    return [
        TurnLikelihood(
            session_id=conversation.session_id,
            turn=int(turn),
            first=int(turn) == first,
            tokens=int((turn_of == turn).sum()),
            nll=float(losses[turn_of == turn].sum()),
            bytes=len(conversation.messages[int(turn)].content.encode()),
        )
        for turn in np.unique(turn_of)
    ]
