"""Can a classifier tell two sets of turns apart? Cross-validated AUROC, 0.5 where there is nothing to find.

Two sets of features: n-grams (words and word pairs, 2 to 4 characters within words, tf-idf) and the surface alone
(length, case, punctuation, digits, line breaks), so that nobody takes a difference in casing for a difference in what
is said. Turns of one session never stand on both sides of a fold.
"""

import importlib
import math
import random
import string
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from humanturn.analyze.replies import Said
from humanturn.errors import InputError
from humanturn.records import Measurement

Features = Literal["ngrams", "surface"]
FOLDS = 5
MOST_CHARACTERS = 2000
"""Of a turn, what a classifier reads; length is a figure of its own."""
RESAMPLES = 500


def auroc(ours: Sequence[Said], theirs: Sequence[Said], features: Features, *, seed: int = 0) -> Measurement:
    """Mean over folds of the AUROC of logistic regression; the interval resamples sessions of both sets.

    Raises:
        InputError: fewer than `FOLDS` sessions in a set, or scikit-learn is missing.
    """
    fold_of = [_folds(ours, seed), _folds(theirs, seed + 1)]
    sides = (ours, theirs)
    concordances, members = [], []
    for fold in range(FOLDS):
        train = [
            [said for said, f in zip(side, folds, strict=True) if f != fold]
            for side, folds in zip(sides, fold_of, strict=True)
        ]
        tested = [[n for n, f in enumerate(folds) if f == fold] for folds in fold_of]
        score = classifier([s.text for s in train[0]], [s.text for s in train[1]], features)
        a, b = (score([side[n].text for n in numbers]) for side, numbers in zip(sides, tested, strict=True))
        concordances.append(_concordance(a, b))
        members.append(tested)
    return _measured(sides, concordances, members, seed)


def auroc_of_scores(
    ours: Sequence[Said],
    theirs: Sequence[Said],
    our_scores: "np.ndarray[Any, Any]",
    their_scores: "np.ndarray[Any, Any]",
    *,
    seed: int = 0,
) -> Measurement:
    """AUROC of scores that are given, higher for `theirs`; nothing is taught, so there are no folds."""
    every = [list(range(len(ours))), list(range(len(theirs)))]
    return _measured((ours, theirs), [_concordance(our_scores, their_scores)], [every], seed)


def classifier(
    negative: Sequence[str], positive: Sequence[str], features: Features
) -> Callable[[Sequence[str]], "np.ndarray[Any, Any]"]:
    """Logistic regression, classes weighted alike; gives the probability that each text is of the `positive` kind."""
    learn, pipeline = _sklearn("linear_model"), _sklearn("pipeline")
    model = learn.LogisticRegression(class_weight="balanced", max_iter=1000)
    if features == "surface":
        whole = pipeline.make_pipeline(_sklearn("preprocessing").StandardScaler(), model)
        read: Callable[[Sequence[str]], Any] = surface
    else:
        text = _sklearn("feature_extraction.text")
        options = {"sublinear_tf": True, "lowercase": False, "max_features": 50_000}
        words = text.TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", **options)
        characters = text.TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), **options)
        whole = pipeline.make_pipeline(pipeline.make_union(words, characters), model)
        read = list
    shown = [text_[:MOST_CHARACTERS] for text_ in (*negative, *positive)]
    whole.fit(read(shown), [0] * len(negative) + [1] * len(positive))

    def score(texts: Sequence[str]) -> "np.ndarray[Any, Any]":
        if not texts:
            return np.empty(0)
        found: np.ndarray[Any, Any] = whole.predict_proba(read([t[:MOST_CHARACTERS] for t in texts]))[:, 1]
        return found

    return score


def surface(texts: Sequence[str]) -> "np.ndarray[Any, Any]":
    """Features that know nothing of words; shape (texts, 8)."""
    rows = []
    for text in texts:
        n = max(len(text), 1)
        rows.append(
            (
                math.log1p(len(text)),
                math.log1p(len(text.split())),
                sum(map(str.isupper, text)) / n,
                sum(character in string.punctuation for character in text) / n,
                sum(map(str.isdigit, text)) / n,
                text[:1].islower(),
                text.rstrip()[-1:] in (".", "?", "!"),
                math.log1p(text.count("\n")),
            )
        )
    return np.array(rows, dtype=float).reshape(-1, 8)


def _folds(side: Sequence[Said], seed: int) -> list[int]:
    """A fold for each turn, the same for all turns of a session."""
    sessions = sorted({said.session_id for said in side})
    if len(sessions) < FOLDS:
        raise InputError(
            f"telling turns apart needs turns of {FOLDS} sessions or more on each side; there are {len(sessions)}"
        )
    random.Random(seed).shuffle(sessions)  # noqa: S311 (a draw, no secret)
    fold_of = {session: number % FOLDS for number, session in enumerate(sessions)}
    return [fold_of[said.session_id] for said in side]


def _concordance(a: "np.ndarray[Any, Any]", b: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """1 where a score of `b` is above one of `a`, ½ where they are even; shape (len(a), len(b))."""
    found: np.ndarray[Any, Any] = (b[None, :] > a[:, None]) + 0.5 * (b[None, :] == a[:, None])
    return found


def _measured(
    sides: tuple[Sequence[Said], Sequence[Said]],
    concordances: list["np.ndarray[Any, Any]"],
    members: list[list[list[int]]],
    seed: int,
) -> Measurement:
    """The mean AUROC over folds, its interval by resampling the sessions of both sides."""
    value = float(_mean_concordance(concordances, members, [np.ones((1, len(side))) for side in sides])[0])
    rng = np.random.default_rng(seed)
    draws = _mean_concordance(concordances, members, [_session_weights(side, rng) for side in sides])
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Measurement(value=value, n=len(sides[0]) + len(sides[1]), low=float(low), high=float(high))


def _mean_concordance(
    concordances: list["np.ndarray[Any, Any]"], members: list[list[list[int]]], weights: list["np.ndarray[Any, Any]"]
) -> "np.ndarray[Any, Any]":
    """Weighted AUROC averaged over folds, for each row of the weights (shape (draws, turns) for either side)."""
    found = []
    for concordance, (ours, theirs) in zip(concordances, members, strict=True):
        a, b = weights[0][:, ours], weights[1][:, theirs]
        with np.errstate(invalid="ignore"):
            found.append(np.einsum("di,ij,dj->d", a, concordance, b, optimize=True) / (a.sum(1) * b.sum(1)))
    mean: np.ndarray[Any, Any] = np.mean(found, axis=0)
    return mean


def _session_weights(side: Sequence[Said], rng: np.random.Generator) -> "np.ndarray[Any, Any]":
    """How often each turn's session is drawn in each resample; shape (RESAMPLES, turns)."""
    number: dict[str, int] = {}
    session_of = [number.setdefault(said.session_id, len(number)) for said in side]
    drawn = rng.multinomial(len(number), [1 / len(number)] * len(number), size=RESAMPLES)
    weights: np.ndarray[Any, Any] = drawn[:, session_of].astype(float)
    return weights


def _sklearn(module: str) -> Any:
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError:
        raise InputError("the scorecard needs scikit-learn; pip install 'humanturn[score]'") from None
