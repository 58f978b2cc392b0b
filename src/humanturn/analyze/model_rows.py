"""The rows of a scorecard that need a model's own probabilities: likelihoods of people's turns, and endings."""

from collections.abc import Mapping, Sequence

from humanturn import heldout, template, tokens
from humanturn.analyze import endings
from humanturn.conversation import Conversation
from humanturn.models import likelihood, spec, weights
from humanturn.records import Measurement, TurnLikelihood

SUFFIX = {"all": "", "first": "_first", "follow_up": "_follow_up"}


def measure(
    user: str, baseline: str | None, conversations: Sequence[Conversation], *, seed: int = 0
) -> tuple[dict[str, dict[str, Measurement]], dict[str, bool]]:
    """NLL, perplexity and bits per byte of people's turns, and F1 of endings when the user model has learned to end.

    Returns:
        Per side (`user`, `baseline`) its figures by row, for models whose weights are at hand; and by row whether the
        order of the two is clear, by the interval of the paired difference.
    """
    sides = {"user": (user, None), "baseline": (baseline, template.ROLEPLAY_PREFACE)}
    own = {
        side: (model, prompted)
        for side, (model, prompted) in sides.items()
        if model and model.partition(":")[0] in ("hf", "embedded")
    }
    if "user" not in own:
        return {}, {}
    found: dict[str, Sequence[TurnLikelihood]] = {
        side: _likelihoods(user, model, prompted, conversations, f"heldout {side}")
        for side, (model, prompted) in own.items()
    }
    table = heldout.table(found, of="user", seed=seed)
    measured = {row.name: _flat(row.parts) for row in table.rows}
    card = weights.card(spec.local_folder(user))
    where = endings.places(conversations) if card and card.learned_ending else []
    if any(place.ended for place in where):
        for side, (model, prompted) in own.items():
            empty = [place.conversation for place in where]
            decided = _likelihoods(user, model, prompted, empty, f"endings {side}")
            score = endings.f1(where, decided, seed=seed)
            measured[side] |= {"termination_f1": score} if score else {}
    clear = {
        f"{key}{SUFFIX[part]}": d.low is not None and d.high is not None and (d.high < 0 or d.low > 0)
        for difference in table.differences
        for part, d in difference.parts.items()
        for key in ("nll", "perplexity", "bits_per_byte")
    }
    return measured, clear


def _likelihoods(
    user: str, model: str, prompted: str | None, conversations: Sequence[Conversation], label: str
) -> list[TurnLikelihood]:
    """Likelihood of the user turns; a baseline without a chat template of its own is shown the user model's."""
    folder = spec.local_folder(model)
    told = None if tokens.load(folder).chat_template else tokens.load(spec.local_folder(user)).chat_template
    return likelihood.user_turns(folder, conversations, chat_template=told, prompted=prompted, label=label)


def _flat(parts: Mapping[str, heldout.Likelihood]) -> dict[str, Measurement]:
    return {
        f"{key}{SUFFIX[part]}": measurement
        for part, one in parts.items()
        for key, measurement in (
            ("nll", one.nll),
            ("perplexity", one.perplexity),
            ("bits_per_byte", one.bits_per_byte),
        )
    }
